//! Patterns over the text of keys.
//!
//! The language is that of Redis' `SCAN MATCH`, so that one pattern means the same here and in a
//! tier behind; `globset` speaks of paths, where `*` stops at a slash, and brings a regex engine
//! with it. A match takes at most the product of both lengths: a star that failed is widened and
//! never nested.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

/// A pattern over the text of keys.
///
/// `*` stands for any text, `?` for one character, `[abc]` and `[a-z]` for one of those, `[^a]` or
/// `[!a]` for any other; `\` takes the next character as it is. The pattern must fit the whole text.
///
/// # Examples
///
/// ```
/// use bedplate_cache::Glob;
///
/// let prices = Glob::new("product:*:price")?;
/// assert!(prices.fits("product:7:price"));
/// assert!(!prices.fits("product:7:name"));
/// assert_eq!(Glob::new("product:[7").unwrap_err().at(), 8);
/// # Ok::<(), bedplate_cache::GlobError>(())
/// ```
#[derive(Clone)]
pub struct Glob {
    pattern: Arc<str>,
    parts: Arc<[Part]>,
}

#[derive(Debug)]
enum Part {
    Char(char),
    Any,
    AnyText,
    Class { ranges: Box<[(char, char)]>, negated: bool },
}

/// Why a text is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid glob `{pattern}`: {reason} at byte {at}")]
pub struct GlobError {
    pattern: String,
    reason: &'static str,
    at: usize,
}

impl GlobError {
    /// Returns the text that is not a pattern, cut to the length that one may have.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// Returns the byte at which it goes wrong.
    pub const fn at(&self) -> usize {
        self.at
    }
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// [`GlobError`] for a class that is not closed, is empty or whose range is the wrong way
    /// round, for a `\` at the end, and for more than 1024 bytes.
    pub fn new(pattern: &str) -> Result<Self, GlobError> {
        let parts = Parser { pattern, chars: pattern.char_indices().peekable() }.parse()?;
        Ok(Self { pattern: Arc::from(pattern), parts: parts.into() })
    }

    /// Returns the text of the pattern.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Tells whether the pattern fits a whole text.
    pub fn fits(&self, text: &str) -> bool {
        let (mut parts, mut rest) = (&*self.parts, text);
        // After the last star: what follows it, and where in the text that was tried.
        let mut star: Option<(&[Part], &str)> = None;
        loop {
            let mut chars = rest.chars();
            let fits = match parts.split_first() {
                Some((Part::AnyText, after)) => {
                    star = Some((after, rest));
                    parts = after;
                    continue;
                }
                Some((part, after)) => chars.next().is_some_and(|c| part.fits(c)).then_some(after),
                None if rest.is_empty() => return true,
                None => None,
            };
            if let Some(after) = fits {
                (parts, rest) = (after, chars.as_str());
                continue;
            }
            let Some((after, tried)) = star else { return false };
            let mut wider = tried.chars();
            if wider.next().is_none() {
                return false;
            }
            star = Some((after, wider.as_str()));
            (parts, rest) = (after, wider.as_str());
        }
    }
}

impl Part {
    fn fits(&self, c: char) -> bool {
        match self {
            Self::Char(own) => *own == c,
            Self::Any | Self::AnyText => true,
            Self::Class { ranges, negated } => {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != *negated
            }
        }
    }
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

impl Eq for Glob {}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Glob({:?})", &*self.pattern)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

impl std::str::FromStr for Glob {
    type Err = GlobError;

    fn from_str(pattern: &str) -> Result<Self, GlobError> {
        Self::new(pattern)
    }
}

struct Parser<'a> {
    pattern: &'a str,
    chars: std::iter::Peekable<std::str::CharIndices<'a>>,
}

impl Parser<'_> {
    fn parse(mut self) -> Result<Vec<Part>, GlobError> {
        if self.pattern.len() > MAX_BYTES {
            return Err(self.error("more than 1024 bytes", MAX_BYTES));
        }
        let mut parts = Vec::new();
        while let Some((at, c)) = self.chars.next() {
            let part = match c {
                '*' if matches!(parts.last(), Some(Part::AnyText)) => continue,
                '*' => Part::AnyText,
                '?' => Part::Any,
                '[' => self.class(at)?,
                '\\' => Part::Char(self.escaped(at)?),
                c => Part::Char(c),
            };
            parts.push(part);
        }
        Ok(parts)
    }

    fn class(&mut self, at: usize) -> Result<Part, GlobError> {
        let negated = self.chars.next_if(|(_, c)| matches!(c, '^' | '!')).is_some();
        let mut ranges = Vec::new();
        loop {
            let first = match self.chars.next() {
                None => return Err(self.error("a class that is not closed", at)),
                Some((_, ']')) if ranges.is_empty() => return Err(self.error("an empty class", at)),
                Some((_, ']')) => return Ok(Part::Class { ranges: ranges.into(), negated }),
                Some((at, '\\')) => self.escaped(at)?,
                Some((_, c)) => c,
            };
            // A dash before the end of the class is one of its characters.
            let mut ahead = self.chars.clone();
            let range = matches!(ahead.next(), Some((_, '-'))) && !matches!(ahead.next(), Some((_, ']')) | None);
            if !range {
                ranges.push((first, first));
                continue;
            }
            self.chars.next();
            let last = match self.chars.next() {
                Some((at, '\\')) => self.escaped(at)?,
                Some((_, c)) => c,
                None => return Err(self.error("a class that is not closed", at)),
            };
            if last < first {
                return Err(self.error("a range that ends before it begins", at));
            }
            ranges.push((first, last));
        }
    }

    fn escaped(&mut self, at: usize) -> Result<char, GlobError> {
        self.chars.next().map(|(_, c)| c).ok_or_else(|| self.error("a backslash with nothing after it", at))
    }

    fn error(&self, reason: &'static str, at: usize) -> GlobError {
        let pattern = self.pattern.chars().take(MAX_BYTES).collect();
        GlobError { pattern, reason, at }
    }
}

const MAX_BYTES: usize = 1024;
