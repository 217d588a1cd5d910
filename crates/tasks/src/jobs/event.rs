use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use crate::id::TaskId;
use crate::store::{FailureKind, NewJob};

/// What happened to a job in this process, or to the store as this process sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobEvent {
    /// A job was taken in, from here.
    Submitted {
        /// The job.
        id: TaskId,
        /// Its kind.
        kind: Cow<'static, str>,
        /// Whether it was another one's duplicate, whose id it is then.
        duplicate: bool,
    },
    /// A worker here began an attempt.
    Started {
        /// The job.
        job: Arc<NewJob>,
        /// The attempt, from 1.
        attempt: u32,
        /// How long it had been due.
        waited: Duration,
    },
    /// An attempt ended, and the store took its end.
    Ended {
        /// The job.
        job: Arc<NewJob>,
        /// The attempt, from 1.
        attempt: u32,
        /// How long it ran.
        ran: Duration,
        /// How it ended.
        end: AttemptEnd,
    },
    /// The lease of an attempt was lost: its end is refused.
    LeaseLost {
        /// The job.
        job: Arc<NewJob>,
        /// The attempt, from 1.
        attempt: u32,
    },
    /// An attempt was told to stop and does not, since its code blocks.
    Stuck {
        /// The job.
        job: Arc<NewJob>,
        /// For how long it has been told.
        since: Duration,
    },
    /// Jobs were taken from workers that gave no sign of life.
    Rescued {
        /// How many may be tried again.
        again: u64,
        /// How many had no attempt left and failed.
        failed: u64,
    },
    /// The store cannot be reached; what is to be said is kept and said again.
    StoreDown {
        /// What it says.
        error: Arc<str>,
    },
    /// The store can be reached again.
    StoreUp {
        /// After how long.
        after: Duration,
    },
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttemptEnd {
    /// The job completed.
    Completed,
    /// It is tried again after this time, if an attempt is left.
    Retried {
        /// How it failed.
        kind: FailureKind,
        /// After how long.
        after: Duration,
    },
    /// The job failed for good.
    Failed {
        /// How.
        kind: FailureKind,
    },
    /// The job was cancelled.
    Cancelled,
    /// It goes on after this time, and the attempt does not count.
    Snoozed {
        /// After how long.
        after: Duration,
    },
    /// It went back to the store, and the attempt does not count.
    Returned,
}
