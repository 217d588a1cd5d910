use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::time::{Instant, timeout};

use crate::job::{RunState, Stop};
use crate::jobs::core::Core;
use crate::jobs::event::JobEvent;
use crate::jobs::stats::count;
use crate::store::{Beat, JobProgress, Lease, LeaseState};

/// Gives signs of life, passes reports on, and tells the work what the store says.
pub(crate) async fn beat(core: Arc<Core>) {
    let every = core.config.lease / 4;
    let mut last_all: Option<Instant> = None;
    // When the last call began after which all leases were known to hold.
    let mut last_heard = Instant::now();
    // Work has begun after a rest.
    let mut fresh = false;
    loop {
        // Before it looks, so that whoever begins afterwards rings: a look and a beginning hold the same lock.
        core.beat_rests.store(!fresh, Ordering::Relaxed);
        let busy = fresh || core.running() > 0;
        core.beat_rests.store(!busy, Ordering::Relaxed);
        let pause = if busy { core.config.progress.min(every) } else { every };
        let pause = pause.min(lease_left(&core, last_heard));
        let rung = match timeout(pause, bell(&core)).await {
            // A claim was a sign of life, too: another one is due if the work still runs after a while.
            Ok(Bell::Begun) if last_all.is_some() => {
                fresh = true;
                continue;
            }
            Ok(_) => true,
            Err(_) => std::mem::take(&mut fresh) && core.running() > 0,
        };
        if core.stopped.is_cancelled() {
            return;
        }
        let began = Instant::now();
        let left = lease_left(&core, last_heard);
        let due = rung || left.is_zero() || last_all.is_none_or(|last| began.duration_since(last) >= every);
        look_for_stuck(&core, began);
        let runs: Vec<(Arc<RunState>, Instant)> = core
            .runs
            .lock()
            .values()
            .filter(|run| !run.stuck)
            .map(|run| (Arc::clone(&run.state), run.claimed))
            .collect();
        let progress: Vec<(Lease, JobProgress)> =
            runs.iter().filter_map(|(run, _)| run.take_report().map(|report| (run.lease, report))).collect();
        if !due && progress.is_empty() {
            continue;
        }
        let leases: Vec<Lease> = if due { runs.iter().map(|(run, _)| run.lease).collect() } else { Vec::new() };
        let message = Beat::new(core.worker(), core.config.lease).leases(leases).progress(progress);
        // No longer than a lease holds: the work is to hear in time that it is over.
        let answer = timeout((core.config.lease / 2).min(left), core.store.beat(&message)).await;
        match answer {
            Ok(Ok(states)) => {
                core.note(&Ok::<(), crate::store::StoreError>(()));
                if due {
                    (last_all, last_heard) = (Some(began), began);
                }
                for ((run, _), state) in runs.iter().zip(states) {
                    obey(&core, run, state);
                }
            }
            Ok(failed @ Err(_)) => core.note(&failed),
            Err(_) => tracing::debug!("the store did not answer a sign of life in time"),
        }
        // Whoever could not be heard for a lease's time may have lost it, and others may have begun.
        for (run, claimed) in &runs {
            if last_heard.max(*claimed).elapsed() >= core.config.lease {
                obey(&core, run, LeaseState::Lost);
            }
        }
    }
}

enum Bell {
    Now,
    Begun,
}

async fn bell(core: &Core) -> Bell {
    let (now, begun) = (std::pin::pin!(core.beat_now.notified()), std::pin::pin!(core.begun.notified()));
    match select(now, begun).await {
        Either::Left(_) => Bell::Now,
        Either::Right(_) => Bell::Begun,
    }
}

/// How long the first lease still holds of those that were not given up.
fn lease_left(core: &Core, last_heard: Instant) -> Duration {
    let runs = core.runs.lock();
    let held = runs.values().filter(|run| run.state.stopped().is_none());
    let first = held.map(|run| last_heard.max(run.claimed)).min();
    first.map_or(core.config.lease, |first| core.config.lease.saturating_sub(first.elapsed()))
}

fn obey(core: &Core, run: &Arc<RunState>, state: LeaseState) {
    match state {
        LeaseState::Held => {}
        LeaseState::CancelRequested(reason) => run.stop(Stop::Cancelled(reason)),
        LeaseState::Lost => {
            // One that ended meanwhile has no lease any more; that it was refused is told by whoever says its end.
            if !core.runs.lock().values().any(|one| one.state.lease == run.lease) {
                return;
            }
            if run.stopped().is_none() {
                count(&core.counters.leases_lost);
                tracing::warn!(job.id = %run.job.id, job.kind = %run.job.kind, attempt = run.attempt, "the lease of an attempt was lost");
                core.tell(|| JobEvent::LeaseLost { job: Arc::clone(&run.job), attempt: run.attempt });
            }
            run.stop(Stop::LeaseLost);
        }
    }
}

/// Finds work that blocks its thread: it hears nothing, neither that its time is over nor that it is to stop.
fn look_for_stuck(core: &Core, now: Instant) {
    let patience: Duration = core.config.grace + core.config.stuck_after;
    let mut stuck = Vec::new();
    for (number, run) in core.runs.lock().iter_mut() {
        if run.state.stopped().is_none() {
            // Work that does not block hears it from the timer beside it.
            if let Some((at, why)) = run.state.limit.get()
                && now.saturating_duration_since(*at) >= LATE
            {
                run.state.stop(why.clone());
            } else {
                continue;
            }
        }
        let since = now.duration_since(*run.told.get_or_insert(now));
        if !run.stuck && since >= patience {
            stuck.push((*number, since));
        }
    }
    for (number, since) in stuck {
        core.stuck(number, since);
    }
}

/// How late the timer of an attempt may be.
const LATE: Duration = Duration::from_secs(1);
