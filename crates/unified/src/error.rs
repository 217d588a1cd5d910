use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bedplate_media::{MediaError, Modality};
use bedplate_models::ModelError;
use bedplate_recovery::{Classify, ErrorClass};

use crate::RequestId;
use crate::explain::SettingSource;

type Source = Box<dyn Error + Send + Sync>;

/// A system that cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting is out of bounds or contradicts another.
    #[error("{field} is {value}, expected {expected}")]
    Invalid {
        /// The setting's path.
        field: String,
        /// What was given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A configuration file holds a setting that does not exist or is of another type.
    #[error("{field} of {from} is wrong: {reason}")]
    Setting {
        /// The setting's path.
        field: String,
        /// The layer it was given in.
        from: String,
        /// What is wrong, and which settings there are.
        reason: String,
    },
    /// A configuration file cannot be read.
    #[error("{from} cannot be read")]
    File {
        /// The layer.
        from: String,
        /// Why not.
        #[source]
        source: Source,
    },
    /// One of the parts refused its settings or could not start.
    #[error("{part} cannot be set up")]
    Part {
        /// The part, as `cache`.
        part: &'static str,
        /// Why not.
        #[source]
        source: Source,
    },
}

impl BuildError {
    pub(crate) fn part(part: &'static str, source: impl Into<Source>) -> Self {
        Self::Part { part, source: source.into() }
    }

    pub(crate) fn file(from: &SettingSource, source: impl Into<Source>) -> Self {
        Self::File { from: from.to_string(), source: source.into() }
    }

    pub(crate) fn setting(field: String, from: &SettingSource, reason: &impl ToString) -> Self {
        Self::Setting { field, from: from.to_string(), reason: reason.to_string() }
    }
}

/// Why a processor gave no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessorError {
    /// The content itself is wrong; trying again is of no use, and no fall-back answers.
    #[error(transparent)]
    Content(#[from] MediaError),
    /// The request is wrong in another way; trying again is of no use, and no fall-back answers.
    #[error("{field} is {value}, expected {expected}")]
    Request {
        /// The part of the request.
        field: String,
        /// What was given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// It may work when it is tried again.
    #[error("the processor failed for now: {reason}")]
    Transient {
        /// What happened.
        reason: String,
    },
    /// It will not work when it is tried again; a fall-back may answer.
    #[error("the processor failed: {reason}")]
    Permanent {
        /// What happened.
        reason: String,
    },
}

impl ProcessorError {
    /// Returns a failure that may pass.
    #[must_use]
    pub fn transient(reason: impl Into<String>) -> Self {
        Self::Transient { reason: reason.into() }
    }

    /// Returns a failure that stays.
    #[must_use]
    pub fn permanent(reason: impl Into<String>) -> Self {
        Self::Permanent { reason: reason.into() }
    }
}

impl Classify for ProcessorError {
    fn class(&self) -> ErrorClass {
        match self {
            // The content may be to blame, but the decoder is; reading the header alone may still do.
            Self::Content(MediaError::DecoderPanicked { .. }) | Self::Permanent { .. } => ErrorClass::Permanent,
            Self::Content(_) | Self::Request { .. } => ErrorClass::CallerFault,
            Self::Transient { .. } => ErrorClass::Transient,
        }
    }
}

/// Why a request has no answer.
///
/// Every such request is recorded as failed. Cloning is cheap: requests for the same content share one failure.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProcessError {
    /// The request.
    pub id: RequestId,
    /// What happened.
    pub(crate) unanswered: Arc<Unanswered>,
}

/// What happened, and how often a processor or model was tried before.
#[derive(Debug)]
pub(crate) struct Unanswered {
    pub(crate) cause: Cause,
    pub(crate) attempts: u32,
}

impl From<Cause> for Unanswered {
    fn from(cause: Cause) -> Self {
        Self { cause, attempts: 0 }
    }
}

impl fmt::Display for ProcessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}: {}", self.id, self.unanswered.cause)
    }
}

impl Error for ProcessError {
    /// What lies behind the cause, which `Display` tells itself.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.unanswered.cause.source()
    }
}

/// What happened to a request, by what the caller can do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is wrong: send another one.
    InvalidRequest,
    /// The content is larger than what is taken.
    TooLarge,
    /// The content is of no kind that is processed.
    Unsupported,
    /// Too many requests: come again, after [`ProcessError::retry_after`] where it is known.
    Overloaded,
    /// The processor is not called for now, because its last calls failed: come again, after
    /// [`ProcessError::retry_after`] where it is known.
    Unavailable,
    /// The time was up.
    TimedOut,
    /// The processor or model failed, and no fall-back answered.
    Failed,
    /// The system is shutting down.
    ShuttingDown,
}

impl ErrorKind {
    /// Returns the stable name that is recorded, as `invalid_request`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Overloaded => "overloaded",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Failed => "failed",
            Self::ShuttingDown => "shutting_down",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Cause {
    #[error("{field} {reason}")]
    Field { field: String, reason: String },
    #[error(transparent)]
    Content(MediaError),
    #[error(transparent)]
    Processor(ProcessorError),
    #[error(transparent)]
    Model(ModelError),
    #[error("modality is {modality}, but this system has no processor for it")]
    NoProcessor { modality: Modality },
    #[error("the queue is full, with {queued} requests waiting")]
    Overloaded { queued: u64, retry_after: Option<Duration> },
    #[error("processor {processor} is not called for now, because its last calls failed")]
    BreakerOpen { processor: String, retry_after: Option<Duration> },
    #[error("no answer within {after:?}")]
    TimedOut { after: Duration },
    #[error("the processor panicked: {message}")]
    Panicked { message: String },
    #[error("the system is shutting down")]
    ShuttingDown,
}

impl ProcessError {
    /// Returns what happened, by what the caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &self.unanswered.cause {
            Cause::Content(error) | Cause::Processor(ProcessorError::Content(error)) => content_kind(error),
            Cause::Field { .. }
            | Cause::Processor(ProcessorError::Request { .. })
            | Cause::Model(ModelError::InvalidPrompt { .. }) => ErrorKind::InvalidRequest,
            Cause::Overloaded { .. } => ErrorKind::Overloaded,
            Cause::BreakerOpen { .. } => ErrorKind::Unavailable,
            Cause::Model(ModelError::TimedOut { .. }) | Cause::TimedOut { .. } => ErrorKind::TimedOut,
            Cause::NoProcessor { .. } => ErrorKind::Unsupported,
            Cause::ShuttingDown => ErrorKind::ShuttingDown,
            Cause::Processor(_) | Cause::Model(_) | Cause::Panicked { .. } => ErrorKind::Failed,
        }
    }

    /// Returns whether the same request may succeed when it is sent again later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match &self.unanswered.cause {
            Cause::Processor(error) => error.class().is_transient(),
            Cause::Model(error) => error.is_transient(),
            _ => matches!(
                self.kind(),
                ErrorKind::Overloaded | ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::ShuttingDown
            ),
        }
    }

    /// Returns when to come again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match &self.unanswered.cause {
            Cause::Overloaded { retry_after, .. } | Cause::BreakerOpen { retry_after, .. } => *retry_after,
            Cause::Model(error) => error.retry_after(),
            _ => None,
        }
    }

    /// Returns what happened and why, without the request's id.
    #[must_use]
    pub fn message(&self) -> String {
        let mut message = self.unanswered.cause.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            message = format!("{message}: {error}");
            source = error.source();
        }
        message
    }
}

fn content_kind(error: &MediaError) -> ErrorKind {
    match error {
        MediaError::TooLarge { .. } | MediaError::LimitExceeded { .. } => ErrorKind::TooLarge,
        MediaError::Unrecognized { .. } | MediaError::Disabled { .. } => ErrorKind::Unsupported,
        MediaError::DecoderPanicked { .. } => ErrorKind::Failed,
        _ => ErrorKind::InvalidRequest,
    }
}
