use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, timeout, timeout_at};

use crate::job::Stop;
use crate::jobs::core::{Ack, Core, chain, outage_delays};
use crate::jobs::event::{AttemptEnd, JobEvent};
use crate::jobs::stats::count;
use crate::store::{Beat, End, Failure, FailureKind, JobProgress, JobState, Lease, Settled, Settlement, StoreError};

/// At most so many ends go to the store together.
const BATCH: usize = 512;

/// From so many that come together on, it is worth waiting for more.
const MANY: usize = 8;

/// Takes the ends of attempts to the store, many at a time, and keeps them until it has taken them.
pub(crate) async fn settle(core: Arc<Core>, mut acks: UnboundedReceiver<Ack>) {
    let mut batch = Vec::new();
    // How many ends came together last: when they come one by one, waiting for more only makes a crash dearer.
    let mut last = 0;
    loop {
        let received = core.stopped.run_until_cancelled(acks.recv_many(&mut batch, BATCH)).await;
        match received {
            Some(0) => return,
            Some(_) if last >= MANY => gather(&core, &mut acks, &mut batch).await,
            Some(_) => {}
            None => {
                if core.dropped.load(Ordering::Relaxed) {
                    last_ends(&core, &mut acks, &mut batch).await;
                }
                // The last word: what is there is said once more, without patience.
                acks.close();
                while let Ok(ack) = acks.try_recv() {
                    batch.push(ack);
                }
                if !batch.is_empty() {
                    hand_over(&core, &mut batch).await;
                }
                return;
            }
        }
        last = batch.len();
        hand_over(&core, &mut batch).await;
    }
}

/// Takes the ends that there are to the store.
#[cfg(feature = "testing")]
pub(crate) async fn settle_now(core: &Core, acks: &mut UnboundedReceiver<Ack>) {
    let mut batch = Vec::new();
    while let Ok(ack) = acks.try_recv() {
        batch.push(ack);
    }
    hand_over(core, &mut batch).await;
}

/// Waits a little for more while other attempts run: a durable store writes a hundred as fast as one.
async fn gather(core: &Core, acks: &mut UnboundedReceiver<Ack>, batch: &mut Vec<Ack>) {
    if core.config.linger.is_zero() || !core.store.capabilities().durable {
        return;
    }
    let until = Instant::now() + core.config.linger;
    while batch.len() < BATCH && core.running() > 0 && !core.stopping.is_cancelled() {
        match timeout_at(until, acks.recv_many(batch, BATCH - batch.len())).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// Waits for the jobs that were told to stop since nobody has a handle any more.
async fn last_ends(core: &Core, acks: &mut UnboundedReceiver<Ack>, batch: &mut Vec<Ack>) {
    // Where a claim is under way, what it gives goes back.
    let until = Instant::now() + core.config.grace.max(core.config.poll) + Duration::from_millis(500);
    while core.running() > 0 || !core.fetched.is_cancelled() {
        // Few come, so that looking now and then whether there will be more is cheap.
        let look = (Instant::now() + Duration::from_millis(20)).min(until);
        if timeout_at(look, acks.recv_many(batch, BATCH)).await.is_ok() {
            hand_over(core, batch).await;
        }
        if Instant::now() >= until {
            return;
        }
    }
}

async fn hand_over(core: &Core, batch: &mut Vec<Ack>) {
    last_reports(core, batch).await;
    let ends: Vec<End> = batch.iter().map(|ack| ack.end.clone()).collect();
    let (answer, tries) = say(core, &ends).await;
    match answer {
        Ok(answers) => {
            for (ack, answer) in batch.drain(..).zip(answers) {
                heard(core, &ack, answer, tries).await;
            }
        }
        Err(error) if batch.len() > 1 && !error.is_transient() => {
            // One of them is not what the store can take: the others must not suffer for it.
            for ack in batch.drain(..) {
                one(core, ack).await;
            }
        }
        Err(error) => {
            for ack in batch.drain(..) {
                refused(core, ack, &error).await;
            }
        }
    }
}

/// Passes on what attempts reported last: of one that has ended, the store takes no report.
async fn last_reports(core: &Core, batch: &[Ack]) {
    let reports: Vec<(Lease, JobProgress)> =
        batch.iter().filter_map(|ack| ack.run.take_report().map(|report| (ack.run.lease, report))).collect();
    if reports.is_empty() {
        return;
    }
    let message = Beat::new(core.worker(), core.config.lease).progress(reports);
    // No end waits for a store that is away, only to be told how far the work was.
    drop(timeout(core.config.lease / 4, core.store.beat(&message)).await);
}

/// Says it until the store has heard; returns how many times it took.
async fn say(core: &Core, ends: &[End]) -> (Result<Vec<Settled>, StoreError>, u32) {
    let mut delays = outage_delays();
    let mut tries = 0;
    loop {
        tries += 1;
        let answer = core.store.settle(ends).await;
        core.note(&answer);
        match answer {
            Err(error) if error.is_transient() && !core.stopped.is_cancelled() => {
                tracing::debug!(%error, ends = ends.len(), "ends of jobs are kept and said again");
                core.counters.settle_retries.fetch_add(u64::try_from(ends.len()).unwrap_or(0), Ordering::Relaxed);
                core.pause(delays.next().unwrap_or(Duration::from_secs(1))).await;
            }
            answer => return (answer, tries),
        }
    }
}

async fn one(core: &Core, ack: Ack) {
    let (answer, tries) = say(core, std::slice::from_ref(&ack.end)).await;
    match answer.map(|answers| answers.first().copied()) {
        Ok(answer) => heard(core, &ack, answer.unwrap_or(Settled::LeaseLost), tries).await,
        Err(error) => refused(core, ack, &error).await,
    }
}

/// The store will never take this end: the job is to fail rather than to run again and again. One that it could not
/// take until the runtime ended is kept by nobody: the job did not fail, and comes back by its lease.
async fn refused(core: &Core, mut ack: Ack, error: &StoreError) {
    let text = chain(error);
    if error.is_transient() {
        return lost(core, &ack, &text);
    }
    let failure = Failure::new(FailureKind::Error, format!("the store refused how it ended: {text}"));
    ack.end.settlement = Settlement::Failed(failure);
    let (answer, tries) = say(core, std::slice::from_ref(&ack.end)).await;
    if let Ok(answers) = answer {
        return heard(core, &ack, answers.first().copied().unwrap_or(Settled::LeaseLost), tries).await;
    }
    core.unsettled.fetch_sub(1, Ordering::Relaxed);
    lost(core, &ack, &text);
}

fn lost(core: &Core, ack: &Ack, text: &str) {
    count(&core.counters.settle_lost);
    let job = &ack.run.job;
    tracing::error!(job.id = %job.id, job.kind = %job.kind, error = %text, "the end of a job is lost, its lease will end");
}

/// An end that was said more than once may have been taken the first time: the job tells.
async fn heard(core: &Core, ack: &Ack, answer: Settled, tries: u32) {
    let again = tries > 1 && answer == Settled::LeaseLost;
    let answer = if again && was_taken(core, ack).await { Settled::Accepted } else { answer };
    note(core, ack, answer);
}

async fn was_taken(core: &Core, ack: &Ack) -> bool {
    let state = match &ack.outcome {
        AttemptEnd::Completed => JobState::Completed,
        AttemptEnd::Failed { .. } => JobState::Failed,
        AttemptEnd::Cancelled => JobState::Cancelled,
        AttemptEnd::Retried { .. } | AttemptEnd::Snoozed { .. } | AttemptEnd::Returned => JobState::Pending,
    };
    let record = core.store.job(ack.run.job.id).await;
    let counts = !matches!(ack.outcome, AttemptEnd::Snoozed { .. } | AttemptEnd::Returned);
    let attempts = if counts { ack.run.attempt } else { ack.run.attempt.saturating_sub(1) };
    matches!(record, Ok(Some(record)) if record.state == state && record.attempts == attempts)
}

fn note(core: &Core, ack: &Ack, answer: Settled) {
    core.unsettled.fetch_sub(1, Ordering::Relaxed);
    core.settled.notify_one();
    let (job, attempt) = (&ack.run.job, ack.run.attempt);
    match answer {
        Settled::Accepted => {
            core.counters.ended(&ack.outcome);
            core.tell(|| {
                let (job, end) = (Arc::clone(job), ack.outcome.clone());
                JobEvent::Ended { job, attempt, ran: ack.ran, end }
            });
        }
        // It was told when the work was.
        Settled::LeaseLost if ack.run.stopped() == Some(&Stop::LeaseLost) => {}
        Settled::LeaseLost => {
            count(&core.counters.leases_lost);
            tracing::warn!(job.id = %job.id, job.kind = %job.kind, attempt, "the end of an attempt was refused, its lease was lost");
            core.tell(|| JobEvent::LeaseLost { job: Arc::clone(job), attempt });
        }
    }
    core.waiters.wake(job.id);
}
