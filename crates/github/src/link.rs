//! The `Link` header (RFC 8288), as far as pagination needs it.

/// Returns the target whose relation is `next`.
pub(crate) fn next(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let (_, after) = rest.split_once('<')?;
        let (target, after) = after.split_once('>')?;
        // Parameters reach to the next link; a quoted value may hold commas and semicolons.
        let (mut parameters, after) = cut(after, ',');
        while !parameters.is_empty() {
            let (parameter, more) = cut(parameters, ';');
            if is_next(parameter) {
                return Some(target);
            }
            parameters = more;
        }
        rest = after;
    }
}

/// Splits at the first `separator` that is not in quotes.
fn cut(text: &str, separator: char) -> (&str, &str) {
    let mut quoted = false;
    let found = text.find(|c| {
        quoted ^= c == '"';
        c == separator && !quoted
    });
    found.and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?))).unwrap_or((text, ""))
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let mut relations = value.trim().trim_matches('"').split_ascii_whitespace();
    name.trim().eq_ignore_ascii_case("rel") && relations.any(|relation| relation.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_next_page_is_found_among_others() {
        let header = r#"<https://api.github.com/r?page=1>; rel="prev", <https://api.github.com/r?page=3>; rel="next", <https://api.github.com/r?page=5>; rel="last""#;
        assert_eq!(next(header), Some("https://api.github.com/r?page=3"));
        assert_eq!(next(r#"<a>; title="x, <b>; rel=next"; rel="last""#), None);
        assert_eq!(next("<a>; Rel=next"), Some("a"));
        assert_eq!(next(r#"<a>; rel="first next""#), Some("a"));
        assert_eq!(next(r#"<a>; rel="nextish""#), None);
    }

    proptest! {
        #[test]
        fn any_header_is_read_to_its_end(header in ".{0,80}") {
            let _next = next(&header);
        }

        #[test]
        fn a_written_header_is_read_back(pages in prop::collection::vec(("[a-z]{1,5}", "[a-z]{1,4}|next"), 0..5)) {
            let links: Vec<_> = pages.iter().map(|(url, rel)| format!(r#"<{url}>; rel="{rel}""#)).collect();
            let expected = pages.iter().find(|(_, rel)| rel == "next").map(|(url, _)| url.as_str());
            let header = links.join(", ");
            prop_assert_eq!(next(&header), expected);
        }
    }
}
