use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::Span;

use crate::cell::{Claim, Control, Never};
use crate::config::PoolConfig;
use crate::error::TaskError;
use crate::observer::{Observer, TaskEvent};
use crate::queue::{MemoryQueue, QueueConfig, Ticket};
use crate::state::{CancelReason, TaskState};
use crate::stats::{Counters, TaskStats, WorkerStats};
use crate::task::Body;

/// What workers, handles and the pool's own handles share.
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    pub(crate) config: PoolConfig,
    pub(crate) queue: MemoryQueue<Job>,
    pub(crate) counters: Counters,
    pub(crate) blocking: Arc<Semaphore>,
    pub(crate) workers: TaskTracker,
    /// What each worker has at the moment.
    pub(super) desks: Box<[Mutex<Option<Desk>>]>,
    /// 0 while tasks may run, else how they are to be cut off; see [`Shared::halted`].
    halt: AtomicU8,
    observer: Option<Arc<dyn Observer>>,
}

/// A task on its way to a worker.
pub(crate) struct Job {
    pub(super) claim: Claim,
    pub(super) body: Body,
    pub(super) limit: Option<Duration>,
    pub(super) deadline: Option<Instant>,
    pub(super) submitted: Instant,
    pub(super) span: Span,
}

pub(super) struct Desk {
    pub(super) control: Arc<dyn Control>,
    pub(super) since: Instant,
}

const HALT_SHUTDOWN: u8 = 1;
const HALT_DROPPED: u8 = 2;

impl Shared {
    pub(super) fn new(name: Arc<str>, config: PoolConfig, observer: Option<Arc<dyn Observer>>) -> Self {
        let whole = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        let queue = QueueConfig::new(whole(config.queue)).age_after(config.age_after);
        Self {
            name,
            queue: MemoryQueue::new(queue),
            counters: Counters::default(),
            blocking: Arc::new(Semaphore::new(whole(config.blocking_threads))),
            workers: TaskTracker::new(),
            desks: (0..config.workers).map(|_| Mutex::default()).collect(),
            halt: AtomicU8::new(0),
            observer,
            config,
        }
    }

    pub(super) fn observe<'a>(&self, event: impl FnOnce() -> TaskEvent<'a>) {
        if let Some(observer) = &self.observer {
            observer.observe(&event());
        }
    }

    /// Gives a task up: out of the queue at once, or by the worker that has it.
    pub(crate) fn cancel(&self, control: &dyn Control, ticket: Ticket, reason: CancelReason) {
        control.core().request_cancel(reason);
        if let Some(job) = self.queue.remove(ticket) {
            self.end(control, TaskError::Cancelled { reason }, Duration::ZERO);
            drop(job);
        }
    }

    /// Ends a task without a value and counts it, unless it ended before.
    pub(super) fn end(&self, control: &dyn Control, end: TaskError<Never>, ran: Duration) -> bool {
        let state = end.state();
        let first = control.end(end);
        if first {
            self.ended(control, state, ran);
        }
        control.announce();
        first
    }

    /// Counts and tells the end of a task; whoever settled it calls this once.
    pub(super) fn ended(&self, control: &dyn Control, state: TaskState, ran: Duration) {
        self.counters.ended(state, ran);
        let core = control.core();
        if !matches!(state, TaskState::Completed) {
            tracing::debug!(pool = &*self.name, task = %core.id(), kind = &*core.kind, state = state.as_str(), "task ended without a value");
        }
        self.observe(|| TaskEvent::Finished { pool: &self.name, id: core.id(), kind: &core.kind, state, ran });
    }

    /// Cuts everything off: what waits is cancelled now, what runs by its worker.
    pub(super) fn halt(&self, reason: CancelReason) {
        let code = match reason {
            CancelReason::PoolDropped => HALT_DROPPED,
            _ => HALT_SHUTDOWN,
        };
        self.queue.close();
        // Workers look at this after they have put a task on their desk, and we look at the desks after it is
        // set: one of the two finds every task.
        self.halt.store(code, Ordering::SeqCst);
        for job in self.queue.drain() {
            let control = Arc::clone(job.claim.control());
            control.core().request_cancel(reason);
            self.end(&*control, TaskError::Cancelled { reason }, Duration::ZERO);
        }
        for control in self.at_work() {
            control.core().request_cancel(reason);
        }
    }

    pub(super) fn halted(&self) -> Option<CancelReason> {
        match self.halt.load(Ordering::SeqCst) {
            HALT_SHUTDOWN => Some(CancelReason::Shutdown),
            HALT_DROPPED => Some(CancelReason::PoolDropped),
            _ => None,
        }
    }

    pub(super) fn at_work(&self) -> Vec<Arc<dyn Control>> {
        self.desks.iter().filter_map(|desk| desk.lock().as_ref().map(|desk| Arc::clone(&desk.control))).collect()
    }

    pub(super) fn worker_stats(&self, now: Instant) -> Vec<WorkerStats> {
        self.desks
            .iter()
            .enumerate()
            .filter_map(|(worker, desk)| {
                desk.lock().as_ref().map(|desk| WorkerStats {
                    worker,
                    task: desk.control.core().id(),
                    kind: desk.control.core().kind.clone(),
                    since: now.saturating_duration_since(desk.since),
                })
            })
            .collect()
    }

    pub(super) fn stats(&self, now: Instant) -> TaskStats {
        let get = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let queue = self.queue.stats(now);
        let counters = &self.counters;
        TaskStats {
            queued: u64::try_from(queue.ready).unwrap_or(u64::MAX),
            running: u64::try_from(queue.claimed).unwrap_or(u64::MAX),
            workers: u64::from(self.config.workers),
            submitted: queue.pushed,
            completed: get(&counters.completed),
            failed: get(&counters.failed),
            cancelled: get(&counters.cancelled),
            timed_out: get(&counters.timed_out),
            panicked: get(&counters.panicked),
            rejected: get(&counters.rejected),
            stuck: get(&counters.stuck),
            oldest_wait: queue.oldest,
            wait_total: queue.waited,
            run_total: counters.run_total(),
        }
    }

    /// When a slot may be free: the mean run of a task, over as many workers.
    pub(super) fn next_slot(&self) -> Option<Duration> {
        let ended = self.counters.so_far();
        let ended = ended.completed + ended.failed;
        let ended = u32::try_from(ended).ok().filter(|n| *n > 0)?;
        Some(self.counters.run_total() / ended / self.config.workers.max(1))
    }
}
