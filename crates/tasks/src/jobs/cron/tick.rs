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
use crate::jobs::submit::{Submit, enqueue, inject, seal};
use crate::store::{NewJob, OnDependencyFailure, StoreError, Unique, UniqueScope};

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

    /// Whether each missed tick has its job, one after another.
    const fn makes_up(&self) -> bool {
        matches!(self.schedule.missed_policy(), Missed::RunAll { .. })
            && matches!(self.schedule.overlap_policy(), Overlap::Skip | Overlap::BufferOne)
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
        let ticks = plan.due(clock());
        let last = ticks.last().copied();
        let mut before = match ticks.first() {
            Some(first) if entry.makes_up() && ticks.len() > 1 => unfinished(&core, &entry, *first).await,
            _ => None,
        };
        for tick in ticks {
            let place = Place { after: before.filter(|_| entry.makes_up()), last: Some(tick) == last };
            // One that could not be submitted leaves no gap.
            before = submit(&core, &entry, tick, place).await.or(before);
        }
        core.pause(plan.pause(clock())).await;
        if core.stopping.is_cancelled() || core.stopped.is_cancelled() {
            return;
        }
    }
}

/// Where a tick stands among those that come up at the same time.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The job that it is to wait for.
    after: Option<TaskId>,
    /// No other follows.
    last: bool,
}

/// Returns the tick's job, if the store has it.
async fn submit(core: &Arc<Core>, entry: &Entry, tick: SystemTime, place: Place) -> Option<TaskId> {
    // A panic of whatever makes the job costs this tick, not the schedule.
    let prepared = std::panic::catch_unwind(AssertUnwindSafe(|| prepare(core, entry, tick, place)));
    let job = match prepared {
        Ok(Ok(job)) => job,
        Err(_) => {
            tracing::error!(schedule = entry.name, "what makes the job of a schedule panicked");
            return None;
        }
        Ok(Err(error)) => {
            tracing::error!(schedule = entry.name, error = %chain(&error), "the job of a schedule cannot be submitted");
            return None;
        }
    };
    if entry.schedule.overlap_policy() == Overlap::CancelOther {
        cancel_before(core, entry, tick).await;
    }
    let mut delays = outage_delays();
    loop {
        match enqueue(core, vec![job.clone()], true).await {
            Err(error) if error.is_transient() && !core.stopped.is_cancelled() => {
                core.pause(delays.next().unwrap_or(Duration::from_secs(1))).await;
            }
            Err(error) => {
                tracing::error!(schedule = entry.name, error = %chain(&error), "the job of a schedule was not submitted");
                return None;
            }
            Ok(answers) => return answers.first().map(|answer| answer.id()),
        }
    }
}

/// The jobs of the ticks before one, the latest first, whether they were submitted or not.
fn earlier(entry: &Entry, tick: SystemTime) -> impl Iterator<Item = TaskId> {
    let before = |time: &SystemTime| entry.schedule.latest(time.checked_sub(Duration::from_millis(1))?);
    let remembered = move |time: &SystemTime| tick.duration_since(*time).is_ok_and(|age| age <= REMEMBERED);
    std::iter::successors(before(&tick), before)
        .take(MOST_BACK)
        .take_while(remembered)
        .map(|time| id(&entry.name, time))
}

/// Cancels the job of the latest tick that had one; what came before it was cancelled by it.
async fn cancel_before(core: &Core, entry: &Entry, tick: SystemTime) {
    for job in earlier(entry, tick) {
        match core.insist(|| core.store.cancel(job, "the next tick of its schedule came")).await {
            // Its tick was missed.
            Err(StoreError::Unknown(_)) => {}
            Err(error) => {
                tracing::error!(schedule = entry.name, error = %chain(&error), "the earlier job of a schedule was not cancelled");
                return;
            }
            Ok(_) => return,
        }
    }
}

/// Returns the job of the latest tick that had one, if it has not ended.
async fn unfinished(core: &Core, entry: &Entry, tick: SystemTime) -> Option<TaskId> {
    for job in earlier(entry, tick) {
        if let Some(record) = core.insist(|| core.store.job(job)).await.ok()? {
            return (!record.state.is_final()).then_some(job);
        }
    }
    None
}

/// How many missed ticks are looked through for a job.
const MOST_BACK: usize = 1_000;

/// How long the job of a tick is remembered at least after its end.
const REMEMBERED: Duration = Duration::from_hours(48);

fn prepare(core: &Arc<Core>, entry: &Entry, tick: SystemTime, place: Place) -> Result<NewJob, EnqueueError> {
    let mut job = (entry.make)(core)?;
    job.id = id(&entry.name, tick);
    if let Some(before) = place.after {
        job.depends_on.push(before);
        job.on_dependency_failure = OnDependencyFailure::Run;
    }
    let key = format!("cron:{}", entry.name);
    match entry.schedule.overlap_policy() {
        // Those that are made up for wait for one another, and what comes next for the last of them.
        Overlap::Skip | Overlap::BufferOne if entry.makes_up() && !place.last => {}
        Overlap::Skip => job.unique = Some(Unique::key(key)),
        Overlap::BufferOne => job.unique = Some(Unique::key(key).scope(UniqueScope::Pending)),
        Overlap::Allow | Overlap::CancelOther => {}
    }
    // As long as a tick may come up again, its job is remembered.
    let within = match entry.schedule.missed_policy() {
        Missed::Skip => Duration::ZERO,
        Missed::RunOnce { within } | Missed::RunAll { within, .. } => within,
    };
    let remember = within.saturating_add(REMEMBERED);
    job.retention.ended = job.retention.ended.max(remember);
    job.retention.failed = job.retention.failed.max(remember);
    job.headers.insert(TICK.to_owned(), seconds(tick).to_string());
    inject(core, &mut job);
    seal(core, &mut job)?;
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
