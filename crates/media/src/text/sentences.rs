use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// Joins hard-wrapped lines, byte for byte: a line end inside a sentence becomes as many spaces as it had bytes, so that
/// every offset still holds in the original text.
///
/// A line end stays where the next line is blank, begins a list item or a heading, or where the line is short, as verses and
/// addresses are.
pub(super) fn unwrap_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        let content = line.trim_end_matches(['\r', '\n']);
        out.push_str(content);
        let ending = line.len() - content.len();
        let joins = lines.peek().is_some_and(|next| continues(content, next.trim_end()));
        if joins {
            out.extend(std::iter::repeat_n(' ', ending));
        } else {
            // A lone carriage return or line feed is a sentence break in UAX #29; a pair must not become two.
            out.extend(std::iter::repeat_n(' ', ending.saturating_sub(1)));
            if ending > 0 {
                out.push('\n');
            }
        }
    }
    out
}

/// Returns the sentences as ranges of the unwrapped text, without surrounding white space.
pub(super) fn split(unwrapped: &str) -> Vec<Range<usize>> {
    let mut sentences: Vec<Range<usize>> = Vec::new();
    let mut open = false;
    for (start, piece) in unwrapped.split_sentence_bound_indices() {
        let trimmed = piece.trim();
        if !trimmed.chars().any(char::is_alphanumeric) {
            // Closing quotes and stray marks belong to what went before; a line end closes it.
            open &= !piece.contains('\n');
            continue;
        }
        let begin = start + (piece.len() - piece.trim_start().len());
        let end = begin + trimmed.len();
        match sentences.last_mut() {
            Some(last) if open => last.end = end,
            _ => sentences.push(begin..end),
        }
        open = ends_in_abbreviation(trimmed) && !piece.ends_with('\n');
    }
    sentences
}

/// Counts blocks of lines with blank lines between.
pub(super) fn paragraphs(text: &str) -> u64 {
    let mut count = 0;
    let mut inside = false;
    for line in text.lines() {
        let blank = line.trim().is_empty();
        count += u64::from(!blank && !inside);
        inside = !blank;
    }
    count
}

fn continues(line: &str, next: &str) -> bool {
    let next = next.trim_start();
    let Some(first) = next.chars().next() else {
        return false;
    };
    let item = matches!(first, '-' | '*' | '•' | '#' | '>' | '|' | '=')
        || next.split_once(['.', ')']).is_some_and(|(number, _)| {
            !number.is_empty() && number.len() <= 3 && number.bytes().all(|b| b.is_ascii_digit())
        });
    let heading = line.trim_start().starts_with('#');
    let wrapped = line.chars().nth(SHORT_LINE).is_some() || first.is_lowercase();
    !item && !heading && wrapped && !line.trim().is_empty()
}

/// UAX #29 ends a sentence behind "Dr. " where a capital follows, as it cannot know the word.
fn ends_in_abbreviation(sentence: &str) -> bool {
    let Some(body) = sentence.strip_suffix('.') else {
        return false;
    };
    let word = body.rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '"' | '“')).next().unwrap_or_default();
    let initial = {
        let mut characters = word.chars();
        characters.next().is_some_and(char::is_uppercase) && characters.next().is_none()
    };
    initial || ABBREVIATIONS.contains(&word)
}

/// Lines shorter than this many characters are taken as they stand unless the next begins in lower case.
const SHORT_LINE: usize = 45;

const ABBREVIATIONS: [&str; 30] = [
    "Mr", "Mrs", "Ms", "Dr", "Prof", "Sr", "Jr", "St", "Mt", "vs", "etc", "e.g", "i.e", "cf", "No", "Fig", "Vol", "pp",
    "al", "Inc", "Ltd", "Co", "Bd", "Nr", "z.B", "d.h", "bzw", "Mme", "Mlle", "Sra",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences(text: &str) -> Vec<String> {
        let unwrapped = unwrap_lines(text);
        assert_eq!(unwrapped.len(), text.len());
        split(&unwrapped)
            .into_iter()
            .map(|range| unwrapped[range].split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn hard_wrapped_lines_are_one_sentence() {
        let text = "The quick brown fox that lives behind the old mill\r\njumps over the dog, and then it runs away again.\nIt sleeps.";
        assert_eq!(
            sentences(text),
            [
                "The quick brown fox that lives behind the old mill jumps over the dog, and then it runs away again.",
                "It sleeps."
            ]
        );
    }

    #[test]
    fn lists_headings_and_verses_keep_their_lines() {
        assert_eq!(sentences("Shopping\n- apples\n- pears\n").len(), 3);
        assert_eq!(sentences("Roses are red,\nViolets are blue.\n").len(), 2);
        assert_eq!(
            sentences("# A heading that goes on for rather more than forty-five characters\nThen text.").len(),
            2
        );
    }

    #[test]
    fn abbreviations_and_initials_do_not_end_a_sentence() {
        assert_eq!(
            sentences("Dr. Smith met J. Doe. They spoke, e.g. About rain."),
            ["Dr. Smith met J. Doe.", "They spoke, e.g. About rain."]
        );
    }

    #[test]
    fn other_scripts_have_sentences_too() {
        assert_eq!(sentences("狐は速い。犬は眠る。").len(), 2);
        assert_eq!(sentences("Быстрая лиса. Ленивая собака!").len(), 2);
    }

    #[test]
    fn paragraphs_are_set_apart_by_blank_lines() {
        assert_eq!(paragraphs("a\nb\n\n \nc\n"), 2);
        assert_eq!(paragraphs("\n\n"), 0);
    }
}
