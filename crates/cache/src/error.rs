//! What can go wrong.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {field} `{value}`: expected {expected}")]
#[non_exhaustive]
pub struct ConfigError {
    field: &'static str,
    value: String,
    expected: String,
}

impl ConfigError {
    pub(crate) fn new(field: &'static str, value: impl fmt::Display, expected: impl Into<String>) -> Self {
        Self { field, value: value.to_string(), expected: expected.into() }
    }

    /// Returns the name of the setting.
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// Returns the value it was given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns what would be right.
    pub fn expected(&self) -> &str {
        &self.expected
    }
}

/// Why [`get_or_load`](crate::Cache::get_or_load) has no value to give.
///
/// A cloned error still is the error of one and the same load.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError<E> {
    /// The loader returned an error, which all callers of that load share.
    #[error("the loader failed")]
    Loader(#[source] Arc<E>),
    /// The loader panicked.
    #[error("the loader panicked: {message}")]
    #[non_exhaustive]
    Panicked {
        /// The text of the panic, where it had one.
        message: Arc<str>,
    },
    /// The load was dropped before its end, since the runtime it ran on was shut down.
    #[error("the load was cut off by the end of its runtime")]
    Aborted,
    /// The loader asked, directly or through other loads that wait for one another, for the very key it
    /// was to load. Of loads that close a circle at the same time, more than one may be told.
    #[error("the loader waits for the key it is to load")]
    Reentrant,
    /// The load took longer than a caller may wait; it goes on and fills the cache.
    #[error("the load takes longer than the hard timeout of {}ms", waited.as_millis())]
    #[non_exhaustive]
    TimedOut {
        /// How long the caller waited.
        waited: Duration,
    },
    /// The value was not cached, and there is no tokio runtime to load it on.
    #[error("there is no tokio runtime to load on")]
    NoRuntime,
}

impl<E> LoadError<E> {
    /// Returns the loader's own error, if that is what it was.
    pub fn loader_error(&self) -> Option<&E> {
        match self {
            Self::Loader(error) => Some(error),
            _ => None,
        }
    }

    /// Tells whether the same call may succeed later as it is. Of the loader's own error only its
    /// owner can tell, so that is a no: ask [`loader_error`](Self::loader_error).
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Aborted | Self::TimedOut { .. })
    }
}

impl<E> Clone for LoadError<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Loader(error) => Self::Loader(Arc::clone(error)),
            Self::Panicked { message } => Self::Panicked { message: Arc::clone(message) },
            Self::Aborted => Self::Aborted,
            Self::Reentrant => Self::Reentrant,
            Self::TimedOut { waited } => Self::TimedOut { waited: *waited },
            Self::NoRuntime => Self::NoRuntime,
        }
    }
}
