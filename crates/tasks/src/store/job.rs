use std::borrow::Cow;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::id::TaskId;
use crate::store::lease::Lease;
use crate::store::ready::Priority;

/// Where jobs that are data wait, are claimed under a lease, and leave their result.
///
/// Delivery is at least once: a lease that expires gives the job to somebody else. What the first holder says
/// afterwards is refused with [`StoreError::LeaseLost`], so that a job has one accepted end.
#[async_trait]
pub trait JobStore: Send + Sync {
    /// Takes a job in; an id that is known already changes nothing, so that a repeated call is harmless.
    ///
    /// # Errors
    /// Returns [`StoreError::Full`] if no more jobs may wait.
    ///
    /// # Cancel safety
    /// The job is in the store or not; calling again with the same id tells.
    async fn enqueue(&self, job: NewJob) -> Result<TaskId, StoreError>;

    /// Claims jobs, waiting for the first one as long as the request says; an empty list means there was none.
    ///
    /// # Errors
    /// Fails as the store does.
    ///
    /// # Cancel safety
    /// Jobs claimed by a call that was dropped come back when their lease is over.
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<Claim>, StoreError>;

    /// Prolongs a lease to `term` from now.
    ///
    /// # Errors
    /// Returns [`StoreError::LeaseLost`] if it is no longer held, also because the job was cancelled: the work is
    /// to stop.
    async fn extend(&self, lease: Lease, term: Duration) -> Result<(), StoreError>;

    /// Ends a claim.
    ///
    /// # Errors
    /// Returns [`StoreError::LeaseLost`] if it is no longer held; nothing was changed.
    async fn settle(&self, lease: Lease, settlement: Settlement) -> Result<(), StoreError>;

    /// Gives a job up: a waiting one ends at once, the holder of a running one loses the lease. Returns the state
    /// in which it is now.
    ///
    /// # Errors
    /// Returns [`StoreError::Unknown`] for an id that the store does not have.
    async fn cancel(&self, id: TaskId) -> Result<JobState, StoreError>;

    /// Returns what the store knows of a job, or `None` for one that it does not have (any more).
    ///
    /// # Errors
    /// Fails as the store does.
    async fn job(&self, id: TaskId) -> Result<Option<JobRecord>, StoreError>;
}

/// A job to take in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewJob {
    /// Its id.
    pub id: TaskId,
    /// What kind of work it is; workers choose their code by it.
    pub kind: Cow<'static, str>,
    /// What the work is about, in a form that the kind defines.
    pub payload: Vec<u8>,
    /// How soon it gets a worker.
    pub priority: Priority,
    /// How many times it may be claimed; at least 1, default 3. A job that takes its worker down ends after as many.
    pub max_attempts: u32,
}

impl NewJob {
    /// Describes a job with a new id.
    #[must_use]
    pub fn new(kind: impl Into<Cow<'static, str>>, payload: Vec<u8>) -> Self {
        Self { id: TaskId::generate(), kind: kind.into(), payload, priority: Priority::default(), max_attempts: 3 }
    }

    /// Lets the job overtake those of lower priority.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets how many times it may be claimed.
    #[must_use]
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }
}

/// What a worker asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClaimRequest {
    /// At most this many jobs; no more than the worker has free hands.
    pub most: usize,
    /// How long the leases hold.
    pub term: Duration,
    /// How long to wait for the first job.
    pub wait: Duration,
}

impl ClaimRequest {
    /// Asks for up to `most` jobs under leases of `term`, without waiting.
    #[must_use]
    pub const fn new(most: usize, term: Duration) -> Self {
        Self { most, term, wait: Duration::ZERO }
    }

    /// Waits this long for the first job.
    #[must_use]
    pub const fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

/// A job with the right to work on it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claim {
    /// The job.
    pub job: NewJob,
    /// The right.
    pub lease: Lease,
    /// The number of this attempt, from 1.
    pub attempt: u32,
}

/// How a claim ends.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Settlement {
    /// The work is done, with this output.
    Completed(Vec<u8>),
    /// The work failed for good.
    Failed(String),
    /// The work is to be tried again; if no attempt is left it failed with this text.
    Retry(String),
    /// The job goes back untouched, as at a shutdown; the attempt does not count.
    Returned,
}

/// What a store knows of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct JobRecord {
    /// The job.
    pub job: NewJob,
    /// Its state.
    pub state: JobState,
    /// How many times it was claimed.
    pub attempts: u32,
    /// What it gave, once completed.
    pub output: Option<Vec<u8>>,
    /// What the last attempt said when it failed.
    pub error: Option<String>,
}

/// Where a job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum JobState {
    /// It waits.
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
    /// Says whether nothing more will happen.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }
}

/// Why a store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No more jobs may wait.
    #[error("store is full")]
    Full,
    /// The lease is no longer held: it expired, was settled, or the job was cancelled.
    #[error("lease is lost")]
    LeaseLost,
    /// The store does not have this job.
    #[error("job {0} is unknown")]
    Unknown(TaskId),
    /// The engine behind the store failed.
    #[error("store failed")]
    Backend(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Says whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Full | Self::Backend(_))
    }
}
