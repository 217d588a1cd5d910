use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::id::TaskId;
use crate::store::new_job::BatchId;
use crate::store::record::JobState;

/// Which jobs to list; all conditions hold at once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct JobQuery {
    /// In this state.
    pub state: Option<JobState>,
    /// Of this kind.
    pub kind: Option<String>,
    /// In this queue.
    pub queue: Option<String>,
    /// Of this set.
    pub batch: Option<BatchId>,
    /// With an id after this one: the way to the next page.
    pub after: Option<TaskId>,
    /// At most so many; 1 to 1,000, zero counts as 100.
    pub limit: usize,
}

impl JobQuery {
    /// Lists everything, a hundred at a time, in the order of the ids.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: None, kind: None, queue: None, batch: None, after: None, limit: 100 }
    }

    /// Lists those in this state.
    #[must_use]
    pub const fn state(mut self, state: JobState) -> Self {
        self.state = Some(state);
        self
    }

    /// Lists those of this kind.
    #[must_use]
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// Lists those in this queue.
    #[must_use]
    pub fn queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Lists those of this set.
    #[must_use]
    pub const fn batch(mut self, batch: BatchId) -> Self {
        self.batch = Some(batch);
        self
    }

    /// Goes on after this one.
    #[must_use]
    pub const fn after(mut self, id: TaskId) -> Self {
        self.after = Some(id);
        self
    }

    /// Lists at most so many.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Returns how many to list, within its bounds.
    #[must_use]
    pub fn page(&self) -> usize {
        if self.limit == 0 { 100 } else { self.limit.min(1_000) }
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Maintained {
    /// Jobs taken from workers whose lease was over, to be started anew; since the last call, whichever call found them.
    pub rescued: u64,
    /// Jobs that failed because their last attempt's lease was over; as above.
    pub crashed: u64,
    /// Jobs that failed because their deadline was over before they began.
    pub overdue: u64,
    /// Ended jobs that were forgotten.
    pub pruned: u64,
}

/// How full one queue is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueueDepth {
    /// The queue's name.
    pub queue: String,
    /// Jobs that a worker may begin now.
    pub ready: u64,
    /// Jobs whose time has not come, or that wait for others.
    pub scheduled: u64,
    /// Jobs under a lease.
    pub running: u64,
    /// How long the first of the ready ones has been due.
    pub oldest: Option<Duration>,
    /// Whether nobody is given jobs of it.
    pub paused: bool,
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoreStats {
    /// The queues that hold unfinished jobs or are paused, by name.
    pub queues: Vec<QueueDepth>,
    /// Jobs that are remembered as completed.
    pub completed: u64,
    /// Dead letters: jobs that are remembered as failed.
    pub failed: u64,
    /// Jobs that are remembered as cancelled.
    pub cancelled: u64,
}

impl StoreStats {
    /// Returns how many jobs have not ended.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.queues.iter().map(|queue| queue.ready + queue.scheduled + queue.running).sum()
    }
}

/// A worker process as the store sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its name, one for each start.
    pub id: Arc<str>,
    /// On which host.
    pub host: Arc<str>,
    /// In which process.
    pub pid: u32,
    /// How many jobs it can run at a time.
    pub slots: u32,
    /// How many it runs.
    pub running: u32,
    /// Since when it works.
    pub started_at: SystemTime,
    /// When it last gave a sign of life, by the store's clock; the worker itself leaves it out.
    pub seen_at: Option<SystemTime>,
}

impl WorkerInfo {
    /// Describes a worker that has just started.
    #[must_use]
    pub fn new(id: impl Into<Arc<str>>, host: impl Into<Arc<str>>, slots: u32, started_at: SystemTime) -> Self {
        Self { id: id.into(), host: host.into(), pid: std::process::id(), slots, running: 0, started_at, seen_at: None }
    }
}
