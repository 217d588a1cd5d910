use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument as _, Span, field};

use crate::job::{RunState, Stop};
use crate::jobs::core::{Ack, Core, Run};
use crate::jobs::event::{AttemptEnd, JobEvent};
use crate::jobs::stats::count;
use crate::jobs::worker::handler::{Attempted, Handler, Work};
use crate::store::{End, Failure, FailureKind, Settlement};

/// Runs one attempt to its end and hands that in.
pub(crate) async fn execute(mut guard: Guard, waited: Duration) {
    let (core, run) = (&guard.core, &guard.run);
    count(&core.counters.started);
    core.counters.wait.record(waited);
    core.tell(|| JobEvent::Started { job: Arc::clone(&run.job), attempt: run.attempt, waited });
    let span = span(core, run);
    guard.began = Instant::now();
    attempt(guard).instrument(span).await;
}

async fn attempt(guard: Guard) {
    let (run, handler) = (&guard.run, &guard.handler);
    let settlement = if let Some(why) = run.stopped() {
        // Told so before there was a thread for it: others may have it by now.
        handler.stopped(run, why)
    } else {
        let work = handler.run(Arc::clone(&guard.core.codec), Arc::clone(run));
        let settlement = drive(&guard, work).await;
        let told = run.stopped().is_some_and(|why| !matches!(why, Stop::Shutdown | Stop::LeaseLost));
        if told && !matches!(settlement, Settlement::Completed(_)) {
            threads_back(&guard).await;
        }
        settlement
    };
    guard.finish(settlement);
}

/// A span by the messaging conventions of OpenTelemetry (v1.44, "process").
fn span(core: &Core, run: &RunState) -> Span {
    let job = &run.job;
    let span = tracing::info_span!(
        "process",
        otel.name = field::Empty,
        otel.kind = "consumer",
        otel.status_code = field::Empty,
        messaging.system = "bedplate",
        messaging.operation.name = "process",
        messaging.operation.type = "process",
        messaging.destination.name = &*job.queue,
        messaging.message.id = %job.id,
        job.kind = &*job.kind,
        job.attempt = run.attempt,
        error.type = field::Empty,
    );
    if !span.is_disabled() {
        span.record("otel.name", format_args!("process {}", job.queue));
        if let Some(propagate) = &core.propagate {
            propagate.extract(&job.headers, &span);
        }
    }
    span
}

/// Lets the work go on until it ends, or its time is over or it was told to stop and its grace is over.
async fn drive(guard: &Guard, work: Work) -> Settlement {
    let (run, handler) = (&guard.run, &guard.handler);
    let ended = |done: std::thread::Result<Attempted>| match done {
        Ok(Attempted::Ended(settlement)) => settlement,
        Ok(Attempted::Stopped) => handler.stopped(run, run.stopped().unwrap_or(&Stop::Shutdown)),
        Err(panic) => handler.retry(run, Failure::new(FailureKind::Panicked, panic_text(&*panic))),
    };
    let mut work = AssertUnwindSafe(work).catch_unwind();
    // One that is beyond all clocks is none.
    let limit = limit(run).and_then(|(limit, why)| Some((Instant::now().checked_add(limit)?, why)));
    let limit = limit.map(|limit| run.limit.get_or_init(|| limit));
    {
        let stop = std::pin::pin!(run.token.cancelled());
        let time = std::pin::pin!(async {
            match limit {
                Some((at, _)) => sleep_until(*at).await,
                None => std::future::pending().await,
            }
        });
        match (select(&mut work, select(stop, time)).await, limit) {
            (Either::Left((done, _)), _) => return ended(done),
            (Either::Right((Either::Right(_), _)), Some((_, why))) => run.stop(why.clone()),
            (Either::Right(_), _) => {}
        }
    }
    if let Ok(done) = timeout(guard.core.config.grace, &mut work).await {
        return ended(done);
    }
    // What the work's destructors do must not take the worker down.
    if std::panic::catch_unwind(AssertUnwindSafe(move || drop(work))).is_err() {
        return handler.retry(run, Failure::new(FailureKind::Panicked, "panicked while it was stopped"));
    }
    handler.stopped(run, run.stopped().unwrap_or(&Stop::Shutdown))
}

/// Waits for blocking work that the attempt left on its threads: it must not run beside the next attempt, if that can be.
async fn threads_back(guard: &Guard) {
    let Guard { core, run, .. } = guard;
    let back = std::pin::pin!(timeout(core.config.stuck_after, run.threads.back()));
    let leaves = std::pin::pin!(core.stopping.cancelled());
    if matches!(select(back, leaves).await, Either::Left((Err(_), _))) {
        core.stuck(guard.number, core.config.grace + core.config.stuck_after);
    }
}

/// How long the attempt may take, and what it has then exceeded.
fn limit(run: &RunState) -> Option<(Duration, Stop)> {
    let left = run.job.deadline.map(|deadline| deadline.duration_since(wall_clock()).unwrap_or_default());
    match (run.job.timeout, left) {
        (Some(timeout), Some(left)) if left < timeout => Some((left, Stop::DeadlineExceeded)),
        (Some(timeout), _) => Some((timeout, Stop::TimedOut)),
        (None, left) => left.map(|left| (left, Stop::DeadlineExceeded)),
    }
}

fn wall_clock() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "a deadline is a time of the calendar")]
    SystemTime::now()
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "panicked without a text".to_owned())
}

/// An attempt under way: however it ends, it leaves the list and its claim ends.
pub(crate) struct Guard {
    core: Arc<Core>,
    number: u64,
    run: Arc<RunState>,
    handler: Arc<dyn Handler>,
    began: Instant,
    slot: Option<OwnedSemaphorePermit>,
}

impl Guard {
    /// Lists an attempt among those under way; `claimed` is when its claim was asked for.
    pub(crate) fn enter(
        core: &Arc<Core>,
        handler: Arc<dyn Handler>,
        run: RunState,
        claimed: Instant,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let run = Arc::new(run);
        let number = core.enter(Run { state: Arc::clone(&run), claimed, told: None, stuck: false });
        Self { core: Arc::clone(core), number, run, handler, began: Instant::now(), slot: Some(slot) }
    }

    fn finish(mut self, settlement: Settlement) {
        self.leave(settlement);
    }

    fn leave(&mut self, settlement: Settlement) {
        let Some(slot) = self.slot.take() else { return };
        let ran = self.began.elapsed();
        self.core.counters.run.record(ran);
        let outcome = outcome(&settlement, &self.run);
        if let Settlement::Retry { failure, .. } | Settlement::Failed(failure) = &settlement {
            let span = Span::current();
            span.record("otel.status_code", "ERROR");
            span.record("error.type", failure.kind.as_str());
            let (job, attempt) = (&self.run.job, self.run.attempt);
            if matches!(outcome, AttemptEnd::Failed { .. }) {
                tracing::warn!(job.id = %job.id, job.kind = %job.kind, attempt, kind = failure.kind.as_str(), error = %failure.message, "a job failed for good");
            } else {
                tracing::debug!(job.id = %job.id, job.kind = %job.kind, attempt, kind = failure.kind.as_str(), error = %failure.message, "an attempt failed");
            }
        }
        let end = End::new(self.run.lease, settlement);
        self.core.leave(self.number, Ack { run: Arc::clone(&self.run), end, outcome, ran });
        drop(slot);
    }
}

impl Drop for Guard {
    /// The runtime ended, or dropped the work, before it did: it goes back. But what panics beside the work would panic
    /// again, without end.
    fn drop(&mut self) {
        let settlement = if std::thread::panicking() {
            self.handler.retry(&self.run, Failure::new(FailureKind::Panicked, "panicked beside the work"))
        } else {
            Settlement::Returned
        };
        self.leave(settlement);
    }
}

fn outcome(settlement: &Settlement, run: &RunState) -> AttemptEnd {
    match settlement {
        Settlement::Completed(_) => AttemptEnd::Completed,
        Settlement::Retry { failure, .. } if run.attempt().is_last() => AttemptEnd::Failed { kind: failure.kind },
        Settlement::Retry { failure, after } => AttemptEnd::Retried { kind: failure.kind, after: *after },
        Settlement::Failed(failure) => AttemptEnd::Failed { kind: failure.kind },
        Settlement::Cancelled(_) => AttemptEnd::Cancelled,
        Settlement::Snoozed(after) => AttemptEnd::Snoozed { after: *after },
        Settlement::Returned => AttemptEnd::Returned,
    }
}
