use std::sync::Arc;
use std::time::Duration;

use crate::class::{Classify, ErrorClass};

/// Why a protected call gave no value: the caller's own error, typed as it was, or the policy that refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure<E> {
    /// The call itself failed, and no policy could or would mend it.
    #[error("call failed after {attempts} attempt(s)")]
    Inner {
        /// What the last attempt returned.
        #[source]
        error: E,
        /// What it was judged to mean.
        class: ErrorClass,
        /// How many attempts were made.
        attempts: u32,
    },
    /// A time limit ended the call. Whether its work was done is unknown.
    #[error("{} timed out after {after:?}, {attempts} attempt(s) made", scope.as_str())]
    TimedOut {
        /// Which limit it was.
        scope: TimeoutScope,
        /// The limit.
        after: Duration,
        /// How many attempts were made.
        attempts: u32,
    },
    /// A policy refused the call without making it.
    #[error("{by} refused the call: {}", reason.as_str())]
    Rejected {
        /// The name of the breaker, limiter or bulkhead that refused.
        by: Arc<str>,
        /// Why it did.
        reason: Rejection,
        /// When a call may be admitted again; `None` when that is not known or only a person can say so.
        retry_after: Option<Duration>,
    },
}

/// Why a policy refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Rejection {
    /// A circuit breaker is open.
    BreakerOpen,
    /// A rate limit is reached.
    RateLimited,
    /// All places are taken and nobody may wait.
    Full,
    /// The call waited for a place and got none in time.
    QueueTimeout,
    /// The call gave way to others of higher priority.
    Shed,
    /// The callee refuses so much that the call was not even sent (Google SRE, "Handling Overload").
    Throttled,
    /// The budget does not even allow the first attempt.
    BudgetExhausted,
    /// Nothing refused it: a test injected the failure.
    Injected,
    /// The deadline had passed before the call began.
    DeadlinePassed,
}

impl Rejection {
    /// Names the reason with fixed words, fit for a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::RateLimited => "rate_limited",
            Self::Full => "full",
            Self::QueueTimeout => "queue_timeout",
            Self::Shed => "shed",
            Self::Throttled => "throttled",
            Self::BudgetExhausted => "budget_exhausted",
            Self::Injected => "injected",
            Self::DeadlinePassed => "deadline_passed",
        }
    }
}

impl Rejection {
    /// Returns what a refusal means to the policies around: an injected one passes for a fault of the callee.
    const fn class(self, retry_after: Option<Duration>) -> ErrorClass {
        match self {
            Self::Injected => ErrorClass::Transient,
            _ => ErrorClass::Overload { after: retry_after },
        }
    }
}

/// What a time limit covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TimeoutScope {
    /// One attempt.
    Attempt,
    /// The whole call with all its attempts and waits.
    Total,
}

impl TimeoutScope {
    /// Names the scope with a fixed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attempt => "attempt",
            Self::Total => "call",
        }
    }
}

impl<E> Failure<E> {
    /// Wraps an error of the call with its class.
    #[must_use]
    pub const fn inner(error: E, class: ErrorClass) -> Self {
        Self::Inner { error, class, attempts: 1 }
    }

    /// Returns the class of the failure; a refusal is [`ErrorClass::Overload`], an injected one
    /// [`ErrorClass::Transient`].
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Inner { class, .. } => *class,
            Self::TimedOut { .. } => ErrorClass::Timeout,
            Self::Rejected { reason, retry_after, .. } => reason.class(*retry_after),
        }
    }

    /// Says whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.class().is_transient()
    }

    /// Says whether a policy refused the call, so that it was never made. An injected failure passes for one of the callee.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(self, Self::Rejected { reason, .. } if !matches!(reason, Rejection::Injected))
    }

    /// Returns how long to wait before calling again, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Inner { class, .. } => class.retry_after(),
            Self::Rejected { retry_after, .. } => *retry_after,
            Self::TimedOut { .. } => None,
        }
    }

    /// Returns how many attempts were made; a refused call made none.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::Inner { attempts, .. } | Self::TimedOut { attempts, .. } => *attempts,
            Self::Rejected { .. } => 0,
        }
    }

    /// Returns the caller's error, if the call itself failed.
    #[must_use]
    pub const fn error(&self) -> Option<&E> {
        match self {
            Self::Inner { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Takes the caller's error out, if the call itself failed.
    #[must_use]
    pub fn into_error(self) -> Option<E> {
        match self {
            Self::Inner { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Changes the type of the caller's error and keeps everything else.
    #[must_use]
    pub fn map<F>(self, change: impl FnOnce(E) -> F) -> Failure<F> {
        match self {
            Self::Inner { error, class, attempts } => Failure::Inner { error: change(error), class, attempts },
            Self::TimedOut { scope, after, attempts } => Failure::TimedOut { scope, after, attempts },
            Self::Rejected { by, reason, retry_after } => Failure::Rejected { by, reason, retry_after },
        }
    }

    pub(crate) fn with_attempts(mut self, made: u32) -> Self {
        if let Self::Inner { attempts, .. } | Self::TimedOut { attempts, .. } = &mut self {
            *attempts = made;
        }
        self
    }
}

impl<E: Classify> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        let class = error.class();
        Self::inner(error, class)
    }
}

impl<E> Classify for Failure<E> {
    fn class(&self) -> ErrorClass {
        Self::class(self)
    }
}
