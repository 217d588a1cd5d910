use std::borrow::Cow;

use crate::config::ConfigError;
use crate::id::TaskId;
use crate::job::CodecError;
use crate::store::StoreError;

/// Why a job was not submitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The arguments cannot be written as JSON.
    #[error("arguments of {kind} are no JSON")]
    Arguments {
        /// The kind.
        kind: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The arguments are larger than those of the kind may be.
    #[error("arguments of {kind} have {size} bytes, expected at most {most}")]
    TooLarge {
        /// The kind.
        kind: &'static str,
        /// How large they are, in bytes of JSON.
        size: usize,
        /// How large they may be.
        most: usize,
    },
    /// The arguments cannot be sealed.
    #[error("arguments of {kind} cannot be sealed")]
    Codec {
        /// The kind.
        kind: Cow<'static, str>,
        /// Why.
        #[source]
        source: CodecError,
    },
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The runtime is shut down.
    #[error("jobs are shut down")]
    Closed,
}

impl EnqueueError {
    /// Says whether submitting again later can help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_transient())
    }
}

/// Why a job's end could not be waited for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WaitError {
    /// The store does not know the job, or has forgotten it.
    #[error("job {0} is unknown or expired")]
    Expired(TaskId),
    /// The time to wait was over before the job.
    #[error("job {0} did not end in time")]
    Elapsed(TaskId),
    /// The runtime of the handle was shut down before the job ended; a handle of another one can wait for it.
    #[error("jobs are shut down, job {0} has not ended")]
    Closed(TaskId),
    /// What the job gave is not what its kind gives.
    #[error("result of job {id} is not what its kind gives")]
    Undecodable {
        /// The job.
        id: TaskId,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The job is of another kind than the handle.
    #[error("job {id} is of kind {kind:?}, expected {expected:?}")]
    OtherKind {
        /// The job.
        id: TaskId,
        /// Its kind.
        kind: Cow<'static, str>,
        /// The handle's.
        expected: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a runtime does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Two kinds of work have the same name.
    #[error("kind {kind} is registered twice")]
    Duplicate {
        /// The name.
        kind: &'static str,
    },
    /// A kind shares something with the application that it was not given.
    #[error("kind {kind} needs a state of type {state}, expected it to be given by `state`")]
    MissingState {
        /// The kind.
        kind: &'static str,
        /// What it needs.
        state: &'static str,
    },
    /// Two schedules have the same name.
    #[error("schedule {name} is given twice")]
    DuplicateSchedule {
        /// The name.
        name: String,
    },
    /// There is no tokio runtime to run on.
    #[error("no tokio runtime, expected to be called within one")]
    NoRuntime,
    /// The thread that talks to the store could not be started.
    #[error("cannot start the thread for the store")]
    Thread(#[source] std::io::Error),
}
