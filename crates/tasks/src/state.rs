use serde::{Deserialize, Serialize};

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TaskState {
    /// It waits for a worker.
    Pending,
    /// A worker has it.
    Running,
    /// It gave its value.
    Completed,
    /// It ended without one.
    Failed(FailReason),
    /// It was given up.
    Cancelled(CancelReason),
}

/// Why a task failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailReason {
    /// It returned an error.
    Error,
    /// It panicked.
    Panicked,
    /// It did not end in time.
    TimedOut,
}

/// Why a task was cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CancelReason {
    /// Somebody called `cancel`.
    Requested,
    /// Its handle was dropped and had been told to cancel then.
    HandleDropped,
    /// The pool was shut down and its deadline was over.
    Shutdown,
    /// The last handle to the pool was dropped.
    PoolDropped,
    /// The runtime ended, or dropped the worker, before the task did.
    RuntimeGone,
}

impl TaskState {
    /// Says whether nothing more will happen.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Names the state with a fixed word, fit for a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed(FailReason::Error) => "failed",
            Self::Failed(FailReason::Panicked) => "panicked",
            Self::Failed(FailReason::TimedOut) => "timed_out",
            Self::Cancelled(_) => "cancelled",
        }
    }
}

impl CancelReason {
    /// Names the reason with a fixed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::HandleDropped => "handle dropped",
            Self::Shutdown => "shutdown",
            Self::PoolDropped => "pool dropped",
            Self::RuntimeGone => "runtime gone",
        }
    }
}
