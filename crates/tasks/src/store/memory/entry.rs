use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::id::TaskId;
use crate::queue::Priority;
use crate::store::new_job::NewJob;
use crate::store::record::{Failure, JobProgress, JobRecord, JobState};

/// Time since the store was made.
pub(super) type Age = Duration;

/// A job's place among those that wait: the smallest is next.
///
/// With ageing a priority is a head start: one level is worth as much as having come `age_after` earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    class: i8,
    score: i128,
    number: u64,
}

impl Rank {
    pub(super) fn new(due: Age, priority: Priority, age_after: Duration, number: u64) -> Self {
        let level = priority as i8;
        let since = i128::try_from(due.as_nanos()).unwrap_or(i128::MAX);
        if age_after.is_zero() {
            return Self { class: -level, score: since, number };
        }
        let head_start = i128::try_from(age_after.as_nanos()).unwrap_or(i128::MAX).saturating_mul(level.into());
        Self { class: 0, score: since.saturating_sub(head_start), number }
    }
}

/// Where a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Among those that may begin.
    Ready(Rank),
    /// Until its time has come, or until its key may start again.
    Scheduled(Age),
    /// Until another one of its key has ended.
    Held(Rank),
    /// Until those that it depends on have ended.
    Dependent,
    /// With a worker.
    Running { fence: u64, until: Age },
    /// It is over, and forgotten at this time.
    Ended(Age),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) job: Arc<NewJob>,
    pub(super) place: Place,
    pub(super) state: JobState,
    pub(super) number: u64,
    pub(super) attempts: u32,
    pub(super) waiting_for: u32,
    pub(super) dependents: Vec<TaskId>,
    pub(super) worker: Option<Arc<str>>,
    pub(super) cancel: Option<String>,
    pub(super) progress: Option<JobProgress>,
    pub(super) output: Option<Vec<u8>>,
    pub(super) failure: Option<Failure>,
    pub(super) enqueued: Age,
    pub(super) due: Age,
    pub(super) deadline: Option<Age>,
    pub(super) started: Option<Age>,
    pub(super) ended: Option<Age>,
}

impl Entry {
    pub(super) fn new(job: Arc<NewJob>, number: u64, now: Age, due: Age, deadline: Option<Age>) -> Self {
        Self {
            job,
            place: Place::Dependent,
            state: JobState::Pending,
            number,
            attempts: 0,
            waiting_for: 0,
            dependents: Vec::new(),
            worker: None,
            cancel: None,
            progress: None,
            output: None,
            failure: None,
            enqueued: now,
            due,
            deadline,
            started: None,
            ended: None,
        }
    }

    /// Says whether its deadline is over.
    pub(super) fn is_overdue(&self, now: Age) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }

    /// How long after its end it is remembered.
    pub(super) fn kept_for(&self) -> Duration {
        let retention = self.job.retention;
        if self.state == JobState::Failed { retention.failed } else { retention.ended }
    }

    pub(super) fn record(&self, epoch: SystemTime) -> JobRecord {
        let at = |age: Age| epoch.checked_add(age).unwrap_or(epoch);
        JobRecord {
            job: Arc::clone(&self.job),
            state: self.state,
            attempts: self.attempts,
            progress: self.progress.clone(),
            output: self.output.clone(),
            failure: self.failure.clone(),
            cancel: self.cancel.clone(),
            waiting_for: self.waiting_for,
            worker: self.worker.as_deref().map(str::to_owned),
            enqueued_at: at(self.enqueued),
            due_at: at(self.due),
            started_at: self.started.map(at),
            ended_at: self.ended.map(at),
        }
    }
}
