use std::time::Duration;

use bedplate_recovery::{Classify, ErrorClass};

use crate::state::{CancelReason, FailReason, TaskState};

/// Why a task gave no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError<E> {
    /// The task returned this error.
    #[error("task failed")]
    Failed(#[source] E),
    /// The task panicked; its worker lives on.
    #[error("task panicked: {message}")]
    Panicked {
        /// What the panic said, if it said it in text.
        message: String,
    },
    /// The task did not end in time.
    #[error("task timed out after {after:?}")]
    TimedOut {
        /// The limit that was over: the task's, or the time from its submission to its deadline.
        after: Duration,
    },
    /// The task was given up.
    #[error("task was cancelled: {}", reason.as_str())]
    Cancelled {
        /// By whom.
        reason: CancelReason,
    },
    /// The result was already taken from this handle.
    #[error("result was already taken")]
    ResultTaken,
}

impl<E> TaskError<E> {
    /// Returns the error of the task itself, if it returned one.
    #[must_use]
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Failed(error) => Some(error),
            _ => None,
        }
    }

    pub(crate) const fn state(&self) -> TaskState {
        match self {
            Self::Failed(_) | Self::ResultTaken => TaskState::Failed(FailReason::Error),
            Self::Panicked { .. } => TaskState::Failed(FailReason::Panicked),
            Self::TimedOut { .. } => TaskState::Failed(FailReason::TimedOut),
            Self::Cancelled { reason } => TaskState::Cancelled(*reason),
        }
    }
}

impl<E: Classify> TaskError<E> {
    /// Says whether the same task may succeed when it is submitted again.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.class().is_transient()
    }
}

impl<E: Classify> Classify for TaskError<E> {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Failed(error) => error.class(),
            Self::TimedOut { .. } => ErrorClass::Timeout,
            Self::Cancelled { .. } => ErrorClass::Cancelled,
            Self::Panicked { .. } | Self::ResultTaken => ErrorClass::Permanent,
        }
    }
}

/// A task that the pool did not take; it is in the error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError<T> {
    /// The queue is full.
    #[error("queue is full")]
    Full {
        /// The task.
        task: T,
        /// When a slot may be free, by the pace so far; `None` before any task has ended.
        retry_after: Option<Duration>,
    },
    /// The pool is shut down.
    #[error("task pool is closed")]
    Closed {
        /// The task.
        task: T,
    },
}

impl<T> SubmitError<T> {
    /// Takes the task back.
    #[must_use]
    pub fn into_task(self) -> T {
        match self {
            Self::Full { task, .. } | Self::Closed { task } => task,
        }
    }

    /// Says whether submitting again later can help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Full { .. })
    }

    /// Returns when to submit again, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Full { retry_after, .. } => *retry_after,
            Self::Closed { .. } => None,
        }
    }
}

impl<T> Classify for SubmitError<T> {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Full { retry_after: Some(after), .. } => ErrorClass::Throttled { after: Some(*after) },
            Self::Full { .. } => ErrorClass::Overload { after: None },
            Self::Closed { .. } => ErrorClass::Permanent,
        }
    }
}
