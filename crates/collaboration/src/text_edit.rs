use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;

/// Plans one change of a text.
///
/// Places are **characters**: Unicode scalar values, Rust's `char`. An object that an editor has embedded in the text
/// counts as one; where others have put something into the text that no text shows, places are UTF-16 units. Each call sees the text as the calls before it leave it. Nothing is changed until the closure that
/// was given to [`Session::edit`](crate::Session::edit) returns `Ok`; then everything is, at once.
pub struct TextEdit<'a> {
    read: &'a dyn Fn() -> String,
    before: OnceCell<String>,
    len: usize,
    bytes: usize,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Insert { at: usize, text: String },
    Delete { at: usize, len: usize },
}

impl<'a> TextEdit<'a> {
    pub(crate) const fn new(len: usize, read: &'a dyn Fn() -> String) -> Self {
        Self { read, before: OnceCell::new(), len, bytes: 0, steps: Vec::new() }
    }

    /// Returns the length in characters, the planned changes included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Says whether the text would be empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the text as it was before this edit, without embedded objects.
    #[must_use]
    pub fn before(&self) -> &str {
        self.before.get_or_init(|| (self.read)())
    }

    /// Inserts `text` before the character `at`; at the length, it appends.
    ///
    /// # Errors
    /// [`EditError::OutOfRange`] if the text is shorter.
    pub fn insert(&mut self, at: usize, text: &str) -> Result<(), EditError> {
        self.within("at", at)?;
        if !text.is_empty() {
            self.len = self.len.saturating_add(text.chars().count());
            self.bytes = self.bytes.saturating_add(text.len());
            self.steps.push(Step::Insert { at, text: text.to_owned() });
        }
        Ok(())
    }

    /// Appends `text`.
    ///
    /// # Errors
    /// None; the result is there so that the call can end a closure as the others do.
    pub fn push(&mut self, text: &str) -> Result<(), EditError> {
        self.insert(self.len, text)
    }

    /// Deletes the characters of `range`.
    ///
    /// # Errors
    /// [`EditError::OutOfRange`] if the text is shorter or the range is reversed.
    pub fn delete(&mut self, range: Range<usize>) -> Result<(), EditError> {
        self.within("range.end", range.end)?;
        let Some(len) = range.end.checked_sub(range.start) else {
            return Err(EditError::OutOfRange { field: "range.start", value: range.start, max: range.end });
        };
        if len > 0 {
            self.len -= len;
            self.steps.push(Step::Delete { at: range.start, len });
        }
        Ok(())
    }

    /// Puts `text` in the place of the characters of `range`.
    ///
    /// # Errors
    /// [`EditError::OutOfRange`] if the text is shorter or the range is reversed.
    pub fn replace(&mut self, range: Range<usize>, text: &str) -> Result<(), EditError> {
        let at = range.start;
        self.delete(range)?;
        self.insert(at, text)
    }

    pub(crate) fn into_steps(self) -> (Vec<Step>, usize) {
        (self.steps, self.bytes)
    }

    const fn within(&self, field: &'static str, value: usize) -> Result<(), EditError> {
        if value <= self.len { Ok(()) } else { Err(EditError::OutOfRange { field, value, max: self.len }) }
    }
}

impl fmt::Debug for TextEdit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextEdit").field("len", &self.len).field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

/// An edit that does not fit the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// A place beyond the end of the text, or of the range.
    #[error("{field} is {value}, expected 0 to {max} characters")]
    OutOfRange {
        /// The argument.
        field: &'static str,
        /// What was given.
        value: usize,
        /// The greatest value that would be right.
        max: usize,
    },
    /// The caller gave the edit up by itself.
    #[error("edit was given up: {reason}")]
    GivenUp {
        /// Why.
        reason: String,
    },
}

impl EditError {
    /// Gives an edit up from within its closure, so that nothing is changed.
    #[must_use]
    pub fn give_up(reason: impl Into<String>) -> Self {
        Self::GivenUp { reason: reason.into() }
    }
}
