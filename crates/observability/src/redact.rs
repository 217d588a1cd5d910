use std::borrow::Cow;
use std::fmt;

/// What is never written: the values of some fields, and words that look like credentials.
///
/// It acts where a field is recorded, so a secret reaches neither the log nor a trace. Fields are matched by their whole
/// name without regard to case; patterns by how a word begins, also within messages.
///
/// # Examples
/// ```
/// use bedplate_observability::Redact;
/// let redact = Redact::default().field("card").pattern("sk-");
/// assert_eq!(redact.text("key sk-12345678 refused"), "key [redacted] refused");
/// assert!(redact.is_field("Card") && redact.is_field("password"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use]
pub struct Redact {
    fields: Vec<Box<str>>,
    /// What most names can be told from `fields` by.
    shapes: Shapes,
    patterns: Vec<Box<str>>,
}

impl Redact {
    /// Redacts nothing.
    pub const fn none() -> Self {
        Self { fields: Vec::new(), shapes: Shapes([0; 32]), patterns: Vec::new() }
    }

    /// Adds a field whose value is never written.
    pub fn field(mut self, name: impl AsRef<str>) -> Self {
        let name = name.as_ref().to_lowercase();
        self.shapes.add(&name);
        self.fields.push(name.into());
        self
    }

    /// Adds a beginning of words that are never written, as `sk-` or `ghp_`; an empty one is ignored. A word that goes on
    /// for less than four characters after it stays. Each character of each text is looked at, about 1 ns apiece, so there
    /// are none by default.
    pub fn pattern(mut self, prefix: impl Into<String>) -> Self {
        let prefix = prefix.into();
        if !prefix.is_empty() {
            self.patterns.push(prefix.into());
        }
        self
    }

    /// Adds the beginnings of well-known credentials: of AWS, GitHub, GitLab, Slack, Stripe, OpenAI, Google and JWT.
    pub fn credentials(self) -> Self {
        let known = ["AKIA", "ASIA", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk_live_"];
        known.into_iter().chain(["sk-", "AIza", "eyJ"]).fold(self, Self::pattern)
    }

    /// Returns whether a field of this name is never written.
    #[must_use]
    #[inline]
    pub fn is_field(&self, name: &str) -> bool {
        self.shapes.may_have(name) && self.fields.iter().any(|field| field.eq_ignore_ascii_case(name))
    }

    /// Returns the text without the words that a pattern forbids.
    #[must_use]
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.patterns.is_empty() || !text.split(is_boundary).any(|word| self.secret(word).is_some()) {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len());
        for part in text.split_inclusive(is_boundary) {
            let word = part.trim_end_matches(is_boundary);
            if let Some(at) = self.secret(word) {
                out.push_str(word.get(..at).unwrap_or_default());
                out.push_str(REDACTED);
                out.push_str(part.get(word.len()..).unwrap_or_default());
            } else {
                out.push_str(part);
            }
        }
        Cow::Owned(out)
    }

    /// Both together.
    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.fields.extend(other.fields.iter().cloned());
        self.patterns.extend(other.patterns.iter().cloned());
        self.shapes = Shapes(std::array::from_fn(|at| self.shapes.of(at) | other.shapes.of(at)));
        self
    }

    pub(crate) const fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Where a secret begins in a word: at its own beginning, or behind a mark that may also stand within a secret, so that
    /// one in a path is found and one with such a mark goes as a whole.
    fn secret(&self, word: &str) -> Option<usize> {
        let is = |word: &str| {
            self.patterns.iter().any(|prefix| word.len() >= prefix.len() + 4 && word.starts_with(&**prefix))
        };
        let marks = word.match_indices(['/', '&', '?', '@', '|', '`', '\\']);
        std::iter::once(0).chain(marks.map(|(at, _)| at + 1)).find(|at| word.get(*at..).is_some_and(is))
    }
}

impl Default for Redact {
    /// Redacts the fields `password`, `secret`, `token`, `api_key`, `authorization` and `cookie`.
    fn default() -> Self {
        ["password", "secret", "token", "api_key", "authorization", "cookie"]
            .into_iter()
            .fold(Self::none(), Self::field)
    }
}

impl fmt::Debug for Redact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redact").field("fields", &self.fields).field("patterns", &self.patterns).finish_non_exhaustive()
    }
}

/// For each first letter, a bit for each length of the names that begin with it; names from 63 bytes on share the last.
#[derive(Clone, PartialEq, Eq)]
struct Shapes([u64; 32]);

impl Shapes {
    fn add(&mut self, name: &str) {
        let (first, length) = Self::shape(name);
        if let Some(lengths) = self.0.get_mut(first) {
            *lengths |= length;
        }
    }

    fn may_have(&self, name: &str) -> bool {
        let (first, length) = Self::shape(name);
        self.of(first) & length != 0
    }

    fn of(&self, first: usize) -> u64 {
        self.0.get(first).copied().unwrap_or(0)
    }

    /// The same for both cases of a letter.
    fn shape(name: &str) -> (usize, u64) {
        (name.as_bytes().first().map_or(0, |first| usize::from(first & 31)), 1 << name.len().min(63))
    }
}

fn is_boundary(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '=' | ':' | '(' | ')' | '[' | ']' | '{' | '}' | '<' | '>')
}

pub(crate) const REDACTED: &str = "[redacted]";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_are_found_between_any_marks() {
        let redact = Redact::none().credentials();
        assert_eq!(redact.text("Bearer eyJhbGciOi.x.y, again"), "Bearer [redacted], again");
        assert_eq!(redact.text(r#"{"key":"ghp_abcdefgh"}"#), r#"{"key":"[redacted]"}"#);
        // What follows in the same word may belong to it.
        assert_eq!(redact.text("GET /reset/eyJhbGciOi/x?next"), "GET /reset/[redacted]");
        assert_eq!(redact.text("a=1&ghp_abcdefgh me@sk-12345"), "a=1&[redacted] me@[redacted]");
        assert_eq!(redact.text("task-force risk-averse sk-1"), "task-force risk-averse sk-1");
        assert!(matches!(redact.text("nothing here"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn a_field_is_found_in_any_case(names in prop::collection::vec("[a-zA-Z_é]{0,70}", 0..8), asked in "[a-zA-Z_é]{0,70}") {
            let redact = names.iter().fold(Redact::none(), Redact::field);
            let halves = names.split_at(names.len() / 2);
            let of = |names: &[String]| names.iter().fold(Redact::none(), Redact::field);
            let joined = of(halves.0).and(&of(halves.1));
            for name in names.iter().chain([&asked]) {
                let listed = names.iter().any(|known| known.to_lowercase().eq_ignore_ascii_case(name));
                prop_assert_eq!(redact.is_field(name), listed);
                prop_assert_eq!(joined.is_field(name), listed);
                let ascii = name.to_lowercase().to_ascii_uppercase();
                prop_assert_eq!(redact.is_field(&ascii), names.iter().any(|known| known.to_lowercase().eq_ignore_ascii_case(&ascii)));
            }
        }

        #[test]
        fn a_secret_is_never_left_and_the_rest_always_is(before in "[ a-z,]{0,20}", after in "[ a-z,]{0,20}") {
            let redact = Redact::none().pattern("AKIA");
            let out = redact.text(&format!("{before} AKIA12345 {after}")).into_owned();
            prop_assert_eq!(out, format!("{before} [redacted] {after}"));
        }
    }
}
