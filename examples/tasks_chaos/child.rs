//! What the processes do that are killed.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bedplate_tasks::{AttemptEnd, CronSchedule, Drain, JobEvent, Jobs, JobsBuilder, Missed, Overlap};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;

use crate::Fail;
use crate::diary::{ACCEPTED, Diary, LOST, PUT};
use crate::job::{Chaos, What};
use crate::store::Place;

/// What a child is to do, as one argument.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) task: Task,
    pub(crate) place: Place,
    pub(crate) diary: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Works on jobs, 20 at a time.
    Work,
    /// Submits jobs as fast as it can and writes down those that were taken.
    Produce,
    /// Submits a job each second, by a clock that is so many seconds off.
    Schedule(i64),
}

/// The lease of the workers; with the sweep it bounds the rescue.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
pub(crate) const SWEEP: Duration = Duration::from_millis(500);

pub(crate) fn settings(builder: JobsBuilder) -> JobsBuilder {
    builder.lease(LEASE).sweep(SWEEP)
}

pub(crate) async fn run(child: Child) -> Result<(), Fail> {
    let diary = Arc::new(Diary::open(&child.diary)?);
    let store = child.place.open().await?;
    let builder = settings(Jobs::with_store(store)).state(Arc::clone(&diary));
    match child.task {
        Task::Work => work(builder, diary).await,
        Task::Produce => produce(&builder.workers(0).start()?, &diary).await,
        Task::Schedule(off) => schedule(builder, off).await,
    }
}

async fn work(builder: JobsBuilder, diary: Arc<Diary>) -> Result<(), Fail> {
    let jobs = builder.workers(20).register::<Chaos>().start()?;
    let mut events = jobs.events();
    tokio::spawn(async move {
        loop {
            match events.recv().await {
                Ok(JobEvent::Ended { job, attempt, end: AttemptEnd::Completed, .. }) => {
                    diary.write(ACCEPTED, job.id, &attempt.to_string());
                }
                Ok(JobEvent::LeaseLost { job, attempt }) => diary.write(LOST, job.id, &attempt.to_string()),
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    // Until it is killed, or its parent is gone.
    wait_for_parent().await;
    jobs.shutdown(Drain::soft(Duration::from_secs(2))).await;
    Ok(())
}

/// Waits until nobody holds the other end of the standard input.
async fn wait_for_parent() {
    let read = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    drop(tokio::task::spawn_blocking(read).await);
}

async fn produce(jobs: &Jobs, diary: &Diary) -> Result<(), Fail> {
    loop {
        let handles = jobs.submit_many((0..3).map(|_| Chaos { what: What::Work(1) })).await?;
        for handle in handles {
            diary.write(PUT, handle.id(), "-");
        }
        let handle = jobs.submit(Chaos { what: What::Work(1) }).await?;
        diary.write(PUT, handle.id(), "-");
    }
}

async fn schedule(builder: JobsBuilder, off: i64) -> Result<(), Fail> {
    let every_second = CronSchedule::new("* * * * * *", "Europe/Berlin")?
        .missed(Missed::RunAll { within: Duration::from_mins(5), most: 100 })
        .overlap(Overlap::Allow);
    let clock = move || {
        #[expect(clippy::disallowed_methods, reason = "a clock that is off is off from this one")]
        let now = SystemTime::now();
        let by = Duration::from_secs(off.unsigned_abs());
        if off < 0 { now.checked_sub(by).unwrap_or(now) } else { now + by }
    };
    let jobs =
        builder.workers(0).wall_clock(clock).cron("tick", every_second, || Chaos { what: What::Work(1) }).start()?;
    wait_for_parent().await;
    sleep(Duration::ZERO).await;
    jobs.shutdown(Drain::default()).await;
    Ok(())
}

impl std::fmt::Display for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let task = match self.task {
            Task::Work => "work".to_owned(),
            Task::Produce => "produce".to_owned(),
            Task::Schedule(off) => format!("schedule:{off}"),
        };
        write!(f, "{task};{};{}", self.diary.display(), self.place)
    }
}

impl FromStr for Child {
    type Err = Fail;

    fn from_str(text: &str) -> Result<Self, Fail> {
        let mut words = text.splitn(3, ';');
        let mut word = || words.next().ok_or("a child needs a task, a diary and a place");
        let task = match word()? {
            "work" => Task::Work,
            "produce" => Task::Produce,
            other => match other.strip_prefix("schedule:") {
                Some(off) => Task::Schedule(off.parse()?),
                None => return Err(format!("task {other} is unknown").into()),
            },
        };
        let diary = word()?.into();
        Ok(Self { task, diary, place: word()?.parse()? })
    }
}
