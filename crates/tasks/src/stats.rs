use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

use crate::id::TaskId;
use crate::state::{FailReason, TaskState};

/// What a pool holds and has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TaskStats {
    /// Tasks that wait.
    pub queued: u64,
    /// Tasks that run.
    pub running: u64,
    /// How many may run at a time.
    pub workers: u64,
    /// Tasks that were taken in.
    pub submitted: u64,
    /// Those that gave their value.
    pub completed: u64,
    /// Those that returned an error.
    pub failed: u64,
    /// Those that were given up.
    pub cancelled: u64,
    /// Those that ran out of time.
    pub timed_out: u64,
    /// Those that panicked.
    pub panicked: u64,
    /// Tasks that were not taken in, the queue being full.
    pub rejected: u64,
    /// Threads that blocking tasks hold beyond their end.
    pub stuck: u64,
    /// How long the oldest waiting task has waited.
    pub oldest_wait: Option<Duration>,
    /// How long all that began had waited, together.
    pub wait_total: Duration,
    /// How long all that ended had run, together.
    pub run_total: Duration,
}

/// What one worker does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct WorkerStats {
    /// The worker's number, from 0.
    pub worker: usize,
    /// The task it has.
    pub task: TaskId,
    /// The task's kind.
    pub kind: Cow<'static, str>,
    /// How long it has had it.
    pub since: Duration,
}

/// What became of the tasks of a pool that was shut down, from the call of
/// [`shutdown`](crate::TaskPool::shutdown) on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Tasks that gave their value.
    pub completed: u64,
    /// Tasks that returned an error, panicked or ran out of time.
    pub failed: u64,
    /// Tasks that were cancelled, most of them because the deadline was over.
    pub cancelled: u64,
    /// Those of the cancelled whose code was still running when the pool went: workers that a task blocks and
    /// threads that do not come back.
    pub abandoned: u64,
    /// How long the shutdown took.
    pub took: Duration,
}

impl ShutdownReport {
    /// Says whether every task came to its own end.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.cancelled == 0 && self.abandoned == 0
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) completed: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) cancelled: AtomicU64,
    pub(crate) timed_out: AtomicU64,
    pub(crate) panicked: AtomicU64,
    pub(crate) rejected: AtomicU64,
    pub(crate) stuck: AtomicU64,
    run_nanos: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) cancelled: u64,
}

impl Counters {
    pub(crate) fn ended(&self, state: TaskState, ran: Duration) {
        let counter = match state {
            TaskState::Completed | TaskState::Pending | TaskState::Running => &self.completed,
            TaskState::Failed(FailReason::Error) => &self.failed,
            TaskState::Failed(FailReason::Panicked) => &self.panicked,
            TaskState::Failed(FailReason::TimedOut) => &self.timed_out,
            TaskState::Cancelled(_) => &self.cancelled,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(ran.as_nanos()).unwrap_or(u64::MAX);
        self.run_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    pub(crate) fn run_total(&self) -> Duration {
        Duration::from_nanos(self.run_nanos.load(Ordering::Relaxed))
    }

    pub(crate) fn so_far(&self) -> Ended {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Ended {
            completed: get(&self.completed),
            failed: get(&self.failed) + get(&self.timed_out) + get(&self.panicked),
            cancelled: get(&self.cancelled),
        }
    }
}
