use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::class::{Classify, ErrorClass};

/// Names one error, in a log and to the caller: 16 hexadecimal digits, drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ErrorId(u64);

impl ErrorId {
    pub(super) const fn new(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for ErrorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// An error that a boundary has seen: its id, its class, and what may be told to the caller.
///
/// What went wrong inside stands in the record under the id, not here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail} (error {id})")]
pub struct Caught {
    id: ErrorId,
    class: ErrorClass,
    detail: Arc<str>,
}

impl Caught {
    pub(super) fn new(id: ErrorId, class: ErrorClass, detail: impl Into<Arc<str>>) -> Self {
        Self { id, class, detail: detail.into() }
    }

    /// Returns the id under which the error is recorded.
    #[must_use]
    pub const fn id(&self) -> ErrorId {
        self.id
    }

    /// Returns what may be told to the caller: for his own mistake what it is, for everything else a fixed sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Returns how long to wait before asking again, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        self.class.retry_after()
    }

    /// Returns the HTTP status that says the same: 400, 429, 503, 504 or 500.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self.class {
            ErrorClass::CallerFault => 400,
            ErrorClass::Throttled { .. } => 429,
            ErrorClass::Timeout => 504,
            ErrorClass::Overload { .. } | ErrorClass::Transient | ErrorClass::Cancelled => 503,
            ErrorClass::Permanent => 500,
        }
    }
}

impl Classify for Caught {
    fn class(&self) -> ErrorClass {
        self.class
    }
}

/// Returns what may be told of an error of a class that is not the caller's fault.
pub(super) const fn sentence(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Throttled { .. } => "too many requests",
        ErrorClass::Timeout => "no answer in time",
        ErrorClass::Overload { .. } | ErrorClass::Transient => "temporarily unavailable",
        ErrorClass::Cancelled => "the request was given up",
        ErrorClass::CallerFault => "the request is wrong",
        ErrorClass::Permanent => "internal error",
    }
}
