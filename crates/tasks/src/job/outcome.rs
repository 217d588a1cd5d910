use crate::job::definition::Job;
use crate::store::{Failure, FailureKind, JobRecord, JobState};

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome<T, E> {
    /// It gave this.
    Completed(T),
    /// It failed for good.
    Failed {
        /// How.
        failure: Failure,
        /// The error that its last attempt returned, if that is how it failed.
        error: Option<E>,
    },
    /// It was given up, for this reason.
    Cancelled(String),
}

impl<T, E> Outcome<T, E> {
    /// Returns what it gave, or how it did not.
    ///
    /// # Errors
    /// [`JobError`] for a job that failed or was cancelled.
    pub fn into_result(self) -> Result<T, JobError<E>> {
        match self {
            Self::Completed(output) => Ok(output),
            Self::Failed { failure, error } => Err(JobError::Failed { failure, error }),
            Self::Cancelled(reason) => Err(JobError::Cancelled { reason }),
        }
    }
}

/// Why a job gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError<E> {
    /// It failed for good.
    #[error("job failed: {failure}")]
    Failed {
        /// How.
        failure: Failure,
        /// The error that its last attempt returned, if that is how it failed.
        error: Option<E>,
    },
    /// It was given up.
    #[error("job was cancelled: {reason}")]
    Cancelled {
        /// Why.
        reason: String,
    },
    /// It could not be waited for.
    #[error(transparent)]
    Wait(#[from] crate::jobs::WaitError),
}

/// Reads how a job of this kind ended; `None` while it has not.
pub(crate) fn outcome<J: Job>(record: &JobRecord) -> serde_json::Result<Option<Outcome<J::Output, J::Error>>> {
    Ok(Some(match record.state {
        JobState::Pending | JobState::Running => return Ok(None),
        JobState::Completed => {
            let output = record.output.as_deref().unwrap_or(b"null");
            Outcome::Completed(serde_json::from_slice(output)?)
        }
        JobState::Failed => {
            let unknown = || Failure::new(FailureKind::Error, "the store does not say how");
            let failure = record.failure.clone().unwrap_or_else(unknown);
            let error = failure.error.as_deref().and_then(|json| serde_json::from_slice(json).ok());
            Outcome::Failed { failure, error }
        }
        JobState::Cancelled => Outcome::Cancelled(record.cancel.clone().unwrap_or_default()),
    }))
}
