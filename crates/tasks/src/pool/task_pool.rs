use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::TryAcquireError;
use tokio::time::timeout;
use tracing::Span;

use crate::cell::Claim;
use crate::config::{PoolBuilder, PoolConfig};
use crate::error::{SubmitError, TaskError};
use crate::handle::TaskHandle;
use crate::observer::{Observer, TaskEvent};
use crate::pool::shared::{Job, Shared};
use crate::pool::worker::{now, work};
use crate::queue::PushError;
use crate::state::CancelReason;
use crate::stats::{ShutdownReport, TaskStats, WorkerStats};
use crate::task::Task;

/// A bounded pool of workers; clones are handles to the same pool.
///
/// When the last of them is dropped, all that waits or runs is cancelled and every task's handle resolves; to let
/// the work end first, call [`shutdown`](Self::shutdown).
///
/// # Examples
/// ```
/// use bedplate_tasks::{Task, TaskPool};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = TaskPool::builder("thumbnails").workers(4).build()?;
/// let handle = pool.submit(Task::infallible("add", |_cx| async { 1 + 1 })).await?;
/// assert_eq!(handle.await?, 2);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct TaskPool {
    owner: Arc<Owner>,
}

/// Exists once per pool, so that its drop is the pool's.
struct Owner(Arc<Shared>);

impl TaskPool {
    /// Starts setting up a pool; the name appears in events and logs.
    pub fn builder(name: impl Into<Arc<str>>) -> PoolBuilder {
        PoolBuilder::new(name.into())
    }

    pub(crate) fn start(
        name: Arc<str>,
        config: PoolConfig,
        observer: Option<Arc<dyn Observer>>,
        runtime: &Handle,
    ) -> Self {
        let shared = Arc::new(Shared::new(name, config, observer));
        for worker in 0..shared.desks.len() {
            let work = work(Arc::clone(&shared), worker);
            drop(shared.workers.spawn_on(work, runtime));
        }
        shared.workers.close();
        Self { owner: Arc::new(Owner(shared)) }
    }

    /// Hands a task over, waiting for a slot in the queue if there is none: that is the backpressure.
    ///
    /// The task runs inside the span that is current here.
    ///
    /// # Errors
    /// Returns [`SubmitError::Closed`] with the task once the pool is shut down.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready drops the task; it was not submitted.
    pub async fn submit<T, E>(&self, task: Task<T, E>) -> Result<TaskHandle<T, E>, SubmitError<Task<T, E>>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        if self.shared().queue.reserve().await { self.insert(task) } else { Err(SubmitError::Closed { task }) }
    }

    /// Hands a task over if the queue has a slot.
    ///
    /// # Errors
    /// Returns the task in [`SubmitError::Full`] if the queue has none, in [`SubmitError::Closed`] once the pool is
    /// shut down.
    pub fn try_submit<T, E>(&self, task: Task<T, E>) -> Result<TaskHandle<T, E>, SubmitError<Task<T, E>>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let shared = self.shared();
        match shared.queue.try_reserve() {
            Ok(()) => self.insert(task),
            Err(TryAcquireError::Closed) => Err(SubmitError::Closed { task }),
            Err(TryAcquireError::NoPermits) => {
                shared.counters.rejected.fetch_add(1, Ordering::Relaxed);
                shared.observe(|| TaskEvent::Rejected { pool: &shared.name, kind: task.kind() });
                let retry_after = shared.next_slot();
                Err(SubmitError::Full { task, retry_after })
            }
        }
    }

    /// Ends the pool: takes no more tasks, lets those it has come to their end, and after `within` cuts off the rest.
    ///
    /// Every handle resolves. Cut off means: what waits is cancelled, async tasks are dropped at their await,
    /// blocking ones are told. A thread that does not come back within
    /// [`stuck_after`](PoolConfig::stuck_after), and a worker that its task blocks for twice as long, is abandoned.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the pool closed to new tasks and working on those it has.
    pub async fn shutdown(&self, within: Duration) -> ShutdownReport {
        let shared = self.shared();
        let (started, before) = (now(), shared.counters.so_far());
        shared.queue.close();
        if timeout(within, shared.workers.wait()).await.is_err() {
            shared.halt(CancelReason::Shutdown);
            // Workers give a deaf thread up after `stuck_after`; who is still at work after twice that is blocked.
            let grace = shared.config.stuck_after.saturating_mul(2);
            drop(timeout(grace, shared.workers.wait()).await);
        }
        let reason = CancelReason::Shutdown;
        let blocked = shared.at_work();
        let stuck = shared.counters.stuck.load(Ordering::Relaxed);
        for control in &blocked {
            let ran = Duration::ZERO;
            shared.end(&**control, TaskError::Cancelled { reason }, ran);
        }
        let after = shared.counters.so_far();
        let report = ShutdownReport {
            completed: after.completed - before.completed,
            failed: after.failed - before.failed,
            cancelled: after.cancelled - before.cancelled,
            abandoned: stuck + u64::try_from(blocked.len()).unwrap_or(0),
            took: now().saturating_duration_since(started),
        };
        log(&shared.name, &report);
        report
    }

    /// Returns what the pool holds and has done.
    #[must_use]
    pub fn stats(&self) -> TaskStats {
        self.shared().stats(now())
    }

    /// Returns what each busy worker does, the longest at it first.
    #[must_use]
    pub fn workers(&self) -> Vec<WorkerStats> {
        let mut busy = self.shared().worker_stats(now());
        busy.sort_by_key(|worker| std::cmp::Reverse(worker.since));
        busy
    }

    /// Returns the pool's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared().name
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.owner.0
    }

    /// Puts a task into the slot that was reserved for it.
    fn insert<T, E>(&self, task: Task<T, E>) -> Result<TaskHandle<T, E>, SubmitError<Task<T, E>>>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let shared = self.shared();
        let Task { cell, body, id, priority, timeout, deadline } = task;
        let setup = cell.core.set_up(id, deadline);
        let submitted = now();
        let job = Job {
            claim: Claim::new(Arc::clone(&cell) as _),
            body,
            limit: timeout.or(shared.config.default_timeout),
            deadline,
            submitted,
            span: Span::current(),
        };
        shared.observe(|| TaskEvent::Submitted { pool: &shared.name, id: setup.id, kind: &cell.core.kind, priority });
        match shared.queue.push_reserved(submitted, priority, job) {
            Ok(ticket) => Ok(TaskHandle::new(cell, Arc::clone(shared), ticket)),
            Err(PushError::Full(job) | PushError::Closed(job)) => {
                let Job { claim, body, .. } = job;
                claim.defuse();
                let task = Task { cell, body, id, priority, timeout, deadline };
                Err(SubmitError::Closed { task })
            }
        }
    }
}

/// Says how a pool ended: an end without a loss is no news, and a process may have many pools.
fn log(pool: &str, report: &ShutdownReport) {
    let ShutdownReport { completed, failed, cancelled, abandoned, took } = *report;
    let took_ms = took.as_secs_f64() * 1_000.0;
    if report.is_clean() {
        tracing::debug!(pool, completed, failed, cancelled, abandoned, took_ms, "task pool shut down");
    } else {
        tracing::warn!(pool, completed, failed, cancelled, abandoned, took_ms, "task pool shut down with losses");
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.halt(CancelReason::PoolDropped);
    }
}

impl fmt::Debug for TaskPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskPool")
            .field("name", &self.shared().name)
            .field("config", &self.shared().config)
            .finish_non_exhaustive()
    }
}
