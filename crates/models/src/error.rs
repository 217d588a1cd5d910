use std::error::Error;
use std::time::Duration;

use bedplate_recovery::{Classify, ErrorClass};

/// Why a model gave no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The prompt cannot be sent; nothing was.
    #[error("{field} is {value}, expected {expected}")]
    InvalidPrompt {
        /// The part of the prompt.
        field: &'static str,
        /// What it is.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The provider refused the request as wrong (4xx).
    #[error("the provider refused the request with status {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The provider's message, cut to 500 characters.
        message: String,
    },
    /// The provider refused the key or its rights (401, 403).
    #[error("the provider refused the credentials with status {status}")]
    Unauthorized {
        /// The HTTP status.
        status: u16,
    },
    /// Too many requests or tokens (429).
    #[error("the provider limits the rate of requests")]
    RateLimited {
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
    },
    /// The provider failed or is overloaded (5xx).
    #[error("the provider failed with status {status}")]
    Provider {
        /// The HTTP status.
        status: u16,
        /// How long the provider asks to wait.
        retry_after: Option<Duration>,
    },
    /// No answer came within the time.
    #[error("no answer came within {after:?}")]
    TimedOut {
        /// The time that was given.
        after: Duration,
    },
    /// The provider could not be reached, or the connection broke.
    #[error("the provider cannot be reached")]
    Network {
        /// The transport's error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The provider's answer cannot be understood.
    #[error("the provider's answer has no {missing}")]
    Malformed {
        /// What is missing or unreadable.
        missing: &'static str,
        /// The reader's error, where there is one.
        #[source]
        source: Option<Box<dyn Error + Send + Sync>>,
    },
}

impl ModelError {
    /// Returns whether the same call may succeed when it is made again, here or elsewhere.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.class().is_transient()
    }

    /// Returns how long the provider asks to wait.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after } | Self::Provider { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl Classify for ModelError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::InvalidPrompt { .. } => ErrorClass::CallerFault,
            Self::RateLimited { retry_after } => ErrorClass::Throttled { after: *retry_after },
            Self::Provider { retry_after: Some(after), .. } => ErrorClass::Throttled { after: Some(*after) },
            Self::Provider { .. } | Self::Network { .. } => ErrorClass::Transient,
            Self::TimedOut { .. } => ErrorClass::Timeout,
            // The provider refuses what this program sends, its key or its form: another model may take it.
            Self::Refused { .. } | Self::Unauthorized { .. } | Self::Malformed { .. } => ErrorClass::Permanent,
        }
    }
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, expected {expected}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The setting.
    pub field: &'static str,
    /// What was given.
    pub value: String,
    /// What would be right.
    pub expected: &'static str,
}
