//! One attempt of a processor or model: what it may end with, and what that means to the recovery policies.

use std::time::Duration;

use bedplate_models::ModelError;
use bedplate_recovery::{Classify, ErrorClass, Failure};
use bedplate_tasks::TaskError;

use crate::ProcessorError;
use crate::error::{Cause, Unanswered};

/// Why one attempt gave no output.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttemptError {
    #[error(transparent)]
    Processor(#[from] ProcessorError),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("no output within {after:?}")]
    TimedOut { after: Duration },
    #[error("panicked: {message}")]
    Panicked { message: String },
    #[error("cut off by the shutdown")]
    CutOff,
}

impl Classify for AttemptError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Processor(error) => error.class(),
            Self::Model(error) => error.class(),
            Self::TimedOut { .. } => ErrorClass::Timeout,
            Self::Panicked { .. } => ErrorClass::Permanent,
            Self::CutOff => ErrorClass::Cancelled,
        }
    }
}

impl<E: Into<Self>> From<TaskError<E>> for AttemptError {
    fn from(error: TaskError<E>) -> Self {
        match error {
            TaskError::Failed(error) => error.into(),
            TaskError::Panicked { message } => Self::Panicked { message },
            TaskError::TimedOut { after } => Self::TimedOut { after },
            _ => Self::CutOff,
        }
    }
}

impl From<Failure<AttemptError>> for Unanswered {
    fn from(failure: Failure<AttemptError>) -> Self {
        let attempts = failure.attempts();
        let cause = match failure {
            Failure::Inner { error, .. } => match error {
                AttemptError::Processor(error) => Cause::Processor(error),
                AttemptError::Model(error) => Cause::Model(error),
                AttemptError::TimedOut { after } => Cause::TimedOut { after },
                AttemptError::Panicked { message } => Cause::Panicked { message },
                AttemptError::CutOff => Cause::ShuttingDown,
            },
            Failure::TimedOut { after, .. } => Cause::TimedOut { after },
            Failure::Rejected { by, retry_after, .. } => Cause::BreakerOpen { processor: by.to_string(), retry_after },
            other => Cause::Processor(ProcessorError::permanent(other.to_string())),
        };
        Self { cause, attempts }
    }
}
