use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::store::new_job::NewJob;

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobState {
    /// It waits: for its time, for others, for a worker.
    Pending,
    /// Somebody has a lease on it.
    Running,
    /// It is done.
    Completed,
    /// It failed for good.
    Failed,
    /// It was given up.
    Cancelled,
}

impl JobState {
    /// Says whether nothing more will happen, but for a replay.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Names the state with a fixed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// In what way an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The work returned an error.
    Error,
    /// It panicked.
    Panicked,
    /// It took longer than an attempt may.
    TimedOut,
    /// Its deadline was over.
    DeadlineExceeded,
    /// Its worker went away: it was killed, it lost the store for too long, or the work took the process down.
    Crashed,
    /// The payload is not what the kind expects.
    Undecodable,
    /// What it returned is larger than a result may be.
    ResultTooLarge,
}

impl FailureKind {
    /// Names the kind with a fixed word, fit for a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Crashed => "crashed",
            Self::Undecodable => "undecodable",
            Self::ResultTooLarge => "result_too_large",
        }
    }
}

/// How an attempt failed.
///
/// Shown, it is what there is to say; in what way it failed comes before that unless it is an error of the work's own.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Failure {
    /// In what way.
    pub kind: FailureKind,
    /// What there is to say; cut after 4 KiB.
    pub message: String,
    /// The error that the work returned, as a JSON text.
    pub error: Option<Vec<u8>>,
}

impl Failure {
    /// Describes a failure without an error of the work's own.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > LONGEST_MESSAGE {
            message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        }
        Self { kind, message, error: None }
    }

    /// Adds the error that the work returned, as a JSON text.
    #[must_use]
    pub fn error(mut self, json: Vec<u8>) -> Self {
        self.error = Some(json);
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FailureKind::Error => f.write_str(&self.message),
            kind => write!(f, "{}: {}", kind.as_str(), self.message),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Failure");
        shown.field("kind", &self.kind).field("message", &self.message);
        match self.error.as_deref().map(std::str::from_utf8) {
            Some(Ok(json)) => shown.field("error", &Some(json)),
            _ => shown.field("error", &self.error),
        };
        shown.finish()
    }
}

impl std::error::Error for Failure {}

/// The longest message of a failure, in bytes.
const LONGEST_MESSAGE: usize = 4 * 1_024;

/// How far an attempt has come, as it said itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobProgress {
    /// What it said, a JSON text in the form of the kind.
    pub value: Vec<u8>,
    /// Which attempt said it.
    pub attempt: u32,
    /// The how manieth report of the attempt it is, from 1.
    pub number: u64,
}

impl JobProgress {
    /// Describes one report.
    #[must_use]
    pub const fn new(attempt: u32, number: u64, value: Vec<u8>) -> Self {
        Self { value, attempt, number }
    }
}

/// What a store knows of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobRecord {
    /// The job as it was taken in. A store may leave the payload out of one that has ended.
    pub job: Arc<NewJob>,
    /// Its state.
    pub state: JobState,
    /// How many starts count so far; those that were returned or snoozed do not.
    pub attempts: u32,
    /// The latest report of the latest attempt.
    pub progress: Option<JobProgress>,
    /// What it gave, once completed; a JSON text.
    pub output: Option<Vec<u8>>,
    /// How the latest attempt that failed did.
    pub failure: Option<Failure>,
    /// Why it was, or is to be, cancelled.
    pub cancel: Option<String>,
    /// How many of those that it depends on have not ended.
    pub waiting_for: u32,
    /// Which worker has or had it.
    pub worker: Option<String>,
    /// When it was taken in, by the store's clock like all that follow.
    pub enqueued_at: SystemTime,
    /// When it may begin, or may begin again.
    pub due_at: SystemTime,
    /// When the latest attempt began.
    pub started_at: Option<SystemTime>,
    /// When it ended.
    pub ended_at: Option<SystemTime>,
}

impl JobRecord {
    /// Describes a job that was just taken in.
    #[must_use]
    pub const fn pending(job: Arc<NewJob>, enqueued_at: SystemTime, due_at: SystemTime) -> Self {
        Self {
            job,
            state: JobState::Pending,
            attempts: 0,
            progress: None,
            output: None,
            failure: None,
            cancel: None,
            waiting_for: 0,
            worker: None,
            enqueued_at,
            due_at,
            started_at: None,
            ended_at: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_once_how_it_failed_and_shows_json_as_text() {
        let mut failure = Failure::new(FailureKind::Error, "NotFound").error(b"\"NotFound\"".to_vec());
        assert_eq!(failure.to_string(), "NotFound");
        let shown = r#"Failure { kind: Error, message: "NotFound", error: Some("\"NotFound\"") }"#;
        assert_eq!(format!("{failure:?}"), shown);
        failure.error = Some(vec![0xff]);
        assert!(format!("{failure:?}").contains("error: Some([255])"));
        assert_eq!(Failure::new(FailureKind::TimedOut, "did not end").to_string(), "timed_out: did not end");
    }
}
