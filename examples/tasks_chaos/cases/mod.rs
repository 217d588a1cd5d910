//! One file per case; the numbers are those of the table in `docs/src/guides/tasks.md`.

mod cancel;
mod copies;
mod kill;
mod outage;
mod poison;
mod producer;
mod schedules;
mod soak;
mod zombie;

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bedplate_tasks::store::{JobQuery, JobRecord, JobState, Store};
use bedplate_tasks::{Drain, Jobs, TaskId};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::Fail;
use crate::child::{Child, Task, settings};
use crate::diary::Diary;
use crate::job::{Chaos, What};
use crate::options::Options;
use crate::process::Process;
use crate::report::Report;
use crate::server::PrivateRedis;
use crate::store::{Kind, Place};

pub(crate) async fn run(case: &'static str, options: &Options) -> Result<Report, Fail> {
    let scene = Scene::new(case, options).await?;
    let report = play(case, &scene).await;
    scene.jobs.shutdown(Drain::default()).await;
    if scene.server.is_none() {
        // What is left on a server harms nobody.
        drop(scene.place.clean());
    }
    report
}

async fn play(case: &'static str, scene: &Scene) -> Result<Report, Fail> {
    match case {
        "c1" => kill::run(scene).await,
        "c2" => zombie::run(scene).await,
        "c3" => outage::run(scene).await,
        "c4" => producer::run(scene).await,
        "c5" => poison::run(scene).await,
        "c6" => copies::run(scene).await,
        "c7" => schedules::run(scene).await,
        "c8" => cancel::run(scene).await,
        _ => soak::run(scene).await,
    }
}

/// Where a case takes place: an empty store, a diary, and this process's own view of the store.
struct Scene {
    case: &'static str,
    place: Place,
    /// How many jobs the case is about.
    count: u64,
    /// How long the chaos lasts.
    time: Duration,
    diary: PathBuf,
    jobs: Jobs,
    store: Arc<dyn Store>,
    /// A server of the case's own, where it is to be killed.
    server: Option<PrivateRedis>,
    folder: TempDir,
}

impl Scene {
    async fn new(case: &'static str, options: &Options) -> Result<Self, Fail> {
        let folder = tempfile::tempdir()?;
        let server = match (case, options.store) {
            ("c3", Kind::Redis) => Some(PrivateRedis::new(folder.path())?),
            _ => None,
        };
        let mut place = Place::new(options.store, folder.path(), case)?;
        if let (Place::Redis { url, .. }, Some(server)) = (&mut place, &server) {
            *url = server.url();
        }
        let diary = folder.path().join("diary");
        let store = place.open().await?;
        let state = Arc::new(Diary::open(&diary)?);
        let jobs = settings(Jobs::with_store(Arc::clone(&store))).workers(0).state(state).start()?;
        Ok(Self { case, place, count: options.jobs, time: options.time, diary, jobs, store, server, folder })
    }

    fn report(&self) -> Report {
        Report::new(self.case, self.place.kind().name())
    }

    fn child(&self, task: Task) -> Result<Process, Fail> {
        Process::start(Child { task, place: self.place.clone(), diary: self.diary.clone() })
    }

    fn workers(&self, number: usize) -> Result<Vec<Process>, Fail> {
        (0..number).map(|_| self.child(Task::Work)).collect()
    }

    /// Submits jobs that take so many milliseconds each, a thousand at a time.
    async fn submit(&self, number: u64, millis: RangeInclusive<u64>) -> Result<Vec<TaskId>, Fail> {
        let mut ids = Vec::new();
        let mut left = number;
        while left > 0 {
            let part = left.min(1_000);
            let jobs = (0..part).map(|_| Chaos { what: What::Work(fastrand::u64(millis.clone())) });
            ids.extend(self.jobs.submit_many(jobs).await?.iter().map(bedplate_tasks::JobHandle::id));
            left -= part;
        }
        Ok(ids)
    }

    /// Waits until so many jobs have not ended, at most for this long; returns how many have not.
    async fn drained(&self, to: u64, limit: Duration) -> Result<u64, Fail> {
        let began = Instant::now();
        loop {
            // A store that is away now may be back then.
            if let Ok(stats) = self.store.stats().await {
                let left = stats.unfinished();
                if left <= to || began.elapsed() > limit {
                    return Ok(left);
                }
            }
            if began.elapsed() > limit.saturating_mul(2) {
                return Err("the store does not come back".into());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// All jobs that the store knows.
    async fn records(&self) -> Result<Vec<JobRecord>, Fail> {
        let mut query = JobQuery::new().limit(1_000);
        let mut all = Vec::new();
        loop {
            let page = self.store.find(&query).await?;
            let Some(last) = page.last() else { return Ok(all) };
            query = query.after(last.job.id);
            all.extend(page);
        }
    }
}

/// How many of these are in this state.
fn in_state(records: &[JobRecord], state: JobState) -> u64 {
    to_u64(records.iter().filter(|record| record.state == state).count())
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
