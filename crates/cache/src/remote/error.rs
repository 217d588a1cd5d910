//! Why a remote tier or a backplane did not do what it was asked.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// What a remote tier, a lock or a backplane answers when it cannot.
///
/// The cache counts each as a miss or queues the write; none reaches a caller who asked for a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// No answer in time. A write may have happened.
    #[error("no answer within {after:?}")]
    #[non_exhaustive]
    TimedOut {
        /// How long was waited.
        after: Duration,
    },
    /// The other side cannot be reached.
    #[error("the remote cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// The other side answered, with an error or with what is no answer to the question.
    #[error("the remote refused")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// Recent calls failed, so this one was not made.
    #[error("the remote is being left alone for {retry_after:?}")]
    #[non_exhaustive]
    BreakerOpen {
        /// When a call may be let through again.
        retry_after: Duration,
    },
    /// The value is larger than the tier takes.
    #[error("{bytes} bytes are more than the tier takes ({limit})")]
    #[non_exhaustive]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        limit: u64,
    },
    /// The backend was closed.
    #[error("the remote is closed")]
    Closed,
    /// The code of the tier or of the backplane panicked. Whether it did what it was asked is not known.
    #[error("the remote's code panicked: {message}")]
    #[non_exhaustive]
    Panicked {
        /// The text of the panic, where it had one.
        message: Arc<str>,
    },
}

impl RemoteError {
    /// Wraps a failure to reach the other side.
    pub fn unreachable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unreachable(source.into())
    }

    /// Wraps a refusal by the other side.
    pub fn refused(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Refused(source.into())
    }

    /// Makes the error of a call that was waited for so long.
    pub const fn timed_out(after: Duration) -> Self {
        Self::TimedOut { after }
    }

    /// Makes the error of a value that is too large.
    pub const fn too_large(bytes: u64, limit: u64) -> Self {
        Self::TooLarge { bytes, limit }
    }

    /// Makes the refusal of an open breaker.
    pub const fn breaker_open(retry_after: Duration) -> Self {
        Self::BreakerOpen { retry_after }
    }

    pub(crate) const fn panicked(message: Arc<str>) -> Self {
        Self::Panicked { message }
    }

    /// Tells whether the same call may succeed later as it is.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Unreachable(_) | Self::BreakerOpen { .. } | Self::Panicked { .. })
    }

    /// Returns how long to wait before the next attempt, where that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BreakerOpen { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}
