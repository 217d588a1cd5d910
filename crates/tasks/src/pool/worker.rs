use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::task::JoinError;
use tokio::time::{sleep_until, timeout};
use tracing::Span;

use crate::cell::{Control, Core, Never};
use crate::config::LONGEST;
use crate::error::TaskError;
use crate::observer::TaskEvent;
use crate::pool::shared::{Desk, Job, Shared};
use crate::queue::Claimed;
use crate::state::{CancelReason, TaskState};
use crate::task::Body;

/// Claims and runs tasks until the queue is closed and empty.
pub(super) async fn work(shared: Arc<Shared>, worker: usize) {
    while let Some(claimed) = shared.queue.claim(now).await {
        run(&shared, worker, claimed).await;
        // A queue that never runs dry would otherwise keep everybody else off this thread.
        tokio::task::consume_budget().await;
    }
}

pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

async fn run(shared: &Arc<Shared>, worker: usize, claimed: Claimed<Job>) {
    let Claimed { item: job, waited, .. } = claimed;
    let control = Arc::clone(job.claim.control());
    let since = job.submitted.checked_add(waited).unwrap_or(job.submitted);
    if control.start() {
        set_desk(shared, worker, Some(Arc::clone(&control)), since);
        if let Some(reason) = shared.halted() {
            control.core().request_cancel(reason);
        }
        let core = control.core();
        shared.observe(|| TaskEvent::Started { pool: &shared.name, id: core.id(), kind: &core.kind, waited });
        perform(shared, job, since).await;
        set_desk(shared, worker, None, since);
    }
    shared.queue.settle();
}

fn set_desk(shared: &Shared, worker: usize, task: Option<Arc<dyn Control>>, since: Instant) {
    let desk = task.map(|control| Desk { control, since });
    let before = match shared.desks.get(worker) {
        Some(place) => std::mem::replace(&mut *place.lock(), desk),
        None => None,
    };
    // Outside of the lock, since it may be the last holder of a result with a `Drop` of its own.
    drop(before);
}

async fn perform(shared: &Arc<Shared>, job: Job, started: Instant) {
    let Job { claim, body, limit, deadline, submitted, span } = job;
    let control = &**claim.control();
    let core = control.core();
    let limit = limit.map(|limit| limit.min(LONGEST));
    let own = limit.and_then(|limit| started.checked_add(limit).map(|end| (end, limit)));
    let outer = deadline.map(|end| (end, end.saturating_duration_since(submitted)));
    let soonest = [own, outer].into_iter().flatten().min();
    let after = soonest.map_or(Duration::ZERO, |(_, after)| after);
    let at = soonest.map(|(at, _)| at);
    let end = End { core, at };
    let span = tracing::info_span!(parent: &span, "task", kind = &*core.kind, id = %core.id());
    let overdue = end.at.is_some_and(|at| at <= started);
    let stop = match body {
        _ if overdue => Err(Stop::TimedOut),
        Body::Async(body) => asynchronous(body, &end, &span).await,
        Body::Blocking(body) => blocking(shared, control, body, &end, after, &span, started).await,
    };
    match stop {
        Ok(Some(state)) => {
            shared.ended(control, state, since(started));
            control.announce();
        }
        // Somebody ended it before, and counted it.
        Ok(None) => {}
        Err(stop) => {
            shared.end(control, stop.into_error(after), since(started));
        }
    }
    claim.defuse();
}

fn since(started: Instant) -> Duration {
    now().saturating_duration_since(started)
}

/// The state in which a body left its task, if it was the body that ended it.
type Ending = Option<TaskState>;

/// When and by whom a task can be ended from outside.
struct End<'a> {
    core: &'a Core,
    at: Option<Instant>,
}

/// Why a task was stopped.
enum Stop {
    Panicked(String),
    TimedOut,
    Cancelled(CancelReason),
}

impl Stop {
    fn into_error(self, after: Duration) -> TaskError<Never> {
        match self {
            Self::Panicked(message) => TaskError::Panicked { message },
            Self::TimedOut => TaskError::TimedOut { after },
            Self::Cancelled(reason) => TaskError::Cancelled { reason },
        }
    }
}

async fn asynchronous(
    mut body: Pin<Box<dyn Future<Output = Ending> + Send>>,
    end: &End<'_>,
    span: &Span,
) -> Result<Ending, Stop> {
    let stop = unless_ended(body.as_mut(), end, span).await;
    let _inside = span.enter();
    // What the future holds may panic when it is dropped; how the task ended stands all the same.
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(body))) {
        let message = message(&*panic);
        tracing::error!(message, "task panicked while it was dropped");
    }
    stop
}

/// Polls `work` inside `span` until it is ready, panics, is cancelled or out of time.
///
/// The timer is made only once the work has to wait.
async fn unless_ended<F: Future + Unpin>(mut work: F, end: &End<'_>, span: &Span) -> Result<F::Output, Stop> {
    let mut timer = pin!(None);
    poll_fn(move |task| {
        if let Some(reason) = end.core.cancel_reason() {
            return Poll::Ready(Err(Stop::Cancelled(reason)));
        }
        let polled = {
            let _inside = span.enter();
            catch_unwind(AssertUnwindSafe(|| Pin::new(&mut work).poll(task)))
        };
        match polled {
            Ok(Poll::Ready(value)) => return Poll::Ready(Ok(value)),
            Err(panic) => return Poll::Ready(Err(Stop::Panicked(message(&*panic)))),
            Ok(Poll::Pending) => {}
        }
        end.core.worker.register(task.waker());
        // Asked again, for a cancel between the first question and the registration.
        if let Some(reason) = end.core.cancel_reason() {
            return Poll::Ready(Err(Stop::Cancelled(reason)));
        }
        if timer.is_none()
            && let Some(at) = end.at
        {
            timer.set(Some(sleep_until(at.into())));
        }
        match timer.as_mut().as_pin_mut() {
            Some(timer) => timer.poll(task).map(|()| Err(Stop::TimedOut)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Runs `body` on a thread for blocking work, and goes on without it if it does not come back in time.
async fn blocking(
    shared: &Arc<Shared>,
    control: &dyn Control,
    body: Box<dyn FnOnce() -> Ending + Send>,
    end: &End<'_>,
    after: Duration,
    span: &Span,
    started: Instant,
) -> Result<Ending, Stop> {
    let permit = {
        let waiting = pin!(Arc::clone(&shared.blocking).acquire_owned());
        unless_ended(waiting, end, span).await?
    };
    let thread = Arc::new(AtomicU8::new(AT_WORK));
    let mut join = {
        let (shared, thread, span) = (Arc::clone(shared), Arc::clone(&thread), span.clone());
        tokio::task::spawn_blocking(move || {
            let _leave = Leave { shared, thread };
            let _permit = permit;
            let _inside = span.enter();
            body()
        })
    };
    let stop = match unless_ended(&mut join, end, span).await {
        Ok(joined) => return joined.map_err(lost_thread),
        Err(stop) => stop,
    };
    // Whoever waits hears of it now; the worker still waits for the thread, which holds memory and a place.
    shared.end(control, stop.into_error(after), since(started));
    let returned = timeout(shared.config.stuck_after, join).await.is_ok();
    if !returned && thread.swap(LEFT_ALONE, Ordering::AcqRel) == AT_WORK {
        shared.counters.stuck.fetch_add(1, Ordering::Relaxed);
        let core = control.core();
        tracing::warn!(pool = &*shared.name, task = %core.id(), kind = &*core.kind, "blocking task is stuck");
        shared.observe(|| TaskEvent::Stuck { pool: &shared.name, id: core.id(), kind: &core.kind });
    }
    Ok(None)
}

fn lost_thread(lost: JoinError) -> Stop {
    match lost.try_into_panic() {
        Ok(panic) => Stop::Panicked(message(&*panic)),
        Err(_) => Stop::Cancelled(CancelReason::RuntimeGone),
    }
}

/// Says when a blocking task's thread comes back, also by a panic.
struct Leave {
    shared: Arc<Shared>,
    thread: Arc<AtomicU8>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        if self.thread.swap(BACK, Ordering::AcqRel) == LEFT_ALONE {
            self.shared.counters.stuck.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

const AT_WORK: u8 = 0;
const LEFT_ALONE: u8 = 1;
const BACK: u8 = 2;

fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
