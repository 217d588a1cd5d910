use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uuid::Builder;

use crate::id::TaskId;
use crate::job::Job;
use crate::jobs::core::{Core, chain, outage_delays};
use crate::jobs::cron::plan::Plan;
use crate::jobs::cron::schedule::{CronSchedule, Missed, Overlap};
use crate::jobs::error::EnqueueError;
use crate::jobs::submit::{Submit, enqueue};
use crate::store::{NewJob, Unique, UniqueScope};

type Make = Box<dyn Fn(&Arc<Core>) -> Result<NewJob, EnqueueError> + Send + Sync>;

/// A schedule and the jobs that it submits.
pub(crate) struct Entry {
    name: String,
    kind: &'static str,
    schedule: CronSchedule,
    make: Make,
}

impl Entry {
    pub(crate) fn new<J: Job>(
        name: String,
        schedule: CronSchedule,
        job: impl Fn() -> J + Send + Sync + 'static,
    ) -> Self {
        let make = Box::new(move |core: &Arc<Core>| Submit::new(core, job(), true).prepare_plain());
        Self { name, kind: J::KIND, schedule, make }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn kind(&self) -> &'static str {
        self.kind
    }
}

/// The header that tells a job of a schedule for which tick it is, in seconds since 1970.
const TICK: &str = "bedplate-tick";

/// Submits a job at each tick.
///
/// A tick's job has an id that follows from the schedule's name and the tick, so that any number of processes may do
/// this at once: the store takes one in.
pub(crate) async fn tick(core: Arc<Core>, entry: Entry, clock: Arc<dyn Fn() -> SystemTime + Send + Sync>) {
    let mut plan = Plan::new(entry.schedule.clone());
    loop {
        for tick in plan.due(clock()) {
            submit(&core, &entry, tick).await;
        }
        core.pause(plan.pause(clock())).await;
        if core.stopping.is_cancelled() || core.stopped.is_cancelled() {
            return;
        }
    }
}

async fn submit(core: &Arc<Core>, entry: &Entry, tick: SystemTime) {
    // A panic of whatever makes the job costs this tick, not the schedule.
    let prepared = std::panic::catch_unwind(AssertUnwindSafe(|| prepare(core, entry, tick)));
    let job = match prepared {
        Ok(Ok(job)) => job,
        Err(_) => {
            tracing::error!(schedule = entry.name, "what makes the job of a schedule panicked");
            return;
        }
        Ok(Err(error)) => {
            tracing::error!(schedule = entry.name, error = %chain(&error), "the job of a schedule cannot be submitted");
            return;
        }
    };
    if entry.schedule.overlap_policy() == Overlap::CancelOther
        && let Some(before) = tick.checked_sub(Duration::from_millis(1)).and_then(|time| entry.schedule.latest(time))
    {
        // One that was never there, or is over, is fine.
        drop(core.store.cancel(id(&entry.name, before), "the next tick of its schedule came").await);
    }
    let mut delays = outage_delays();
    loop {
        match enqueue(core, vec![job.clone()], true).await {
            Err(error) if error.is_transient() && !core.stopped.is_cancelled() => {
                core.pause(delays.next().unwrap_or(Duration::from_secs(1))).await;
            }
            Err(error) => {
                tracing::error!(schedule = entry.name, error = %chain(&error), "the job of a schedule was not submitted");
                return;
            }
            Ok(_) => return,
        }
    }
}

fn prepare(core: &Arc<Core>, entry: &Entry, tick: SystemTime) -> Result<NewJob, EnqueueError> {
    let mut job = (entry.make)(core)?;
    job.id = id(&entry.name, tick);
    let key = format!("cron:{}", entry.name);
    match entry.schedule.overlap_policy() {
        Overlap::Skip => job.unique = Some(Unique::key(key)),
        Overlap::BufferOne => job.unique = Some(Unique::key(key).scope(UniqueScope::Pending)),
        Overlap::Allow | Overlap::CancelOther => {}
    }
    // As long as a tick may come up again, its job is remembered.
    let within = match entry.schedule.missed_policy() {
        Missed::Skip => Duration::ZERO,
        Missed::RunOnce { within } | Missed::RunAll { within, .. } => within,
    };
    let remember = within.saturating_add(Duration::from_hours(48));
    job.retention.ended = job.retention.ended.max(remember);
    job.retention.failed = job.retention.failed.max(remember);
    job.headers.insert(TICK.to_owned(), seconds(tick).to_string());
    crate::jobs::submit::seal(core, &mut job)?;
    Ok(job)
}

fn seconds(tick: SystemTime) -> u64 {
    tick.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A UUID of version 8 (RFC 9562, 5.8) from the schedule's name and the tick.
fn id(name: &str, tick: SystemTime) -> TaskId {
    let mut hash = blake3::Hasher::new();
    hash.update(b"bedplate cron tick\0").update(name.as_bytes()).update(b"\0").update(&seconds(tick).to_be_bytes());
    let mut bytes = [0; 16];
    hash.finalize_xof().fill(&mut bytes);
    TaskId::from_uuid(Builder::from_custom_bytes(bytes).into_uuid())
}
