//! Jobs that hold their thread, whatever they are told.
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedplate_tasks::store::{JobState, MemoryStore};
use bedplate_tasks::{Drain, Job, JobContext, JobEvent, JobOptions, Jobs, JobsConfig};
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::support::MS;

/// Holds a thread for so many milliseconds in its first attempt, and ends at once in the second.
#[derive(Serialize, Deserialize)]
struct Deaf {
    thread: Thread,
    holds: u64,
}

#[derive(Serialize, Deserialize, PartialEq)]
enum Thread {
    /// One of the runtime's.
    Own,
    /// One for blocking work.
    Blocking,
    /// As above, and the work ends by itself when it is told to.
    Left,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    running: Arc<AtomicU32>,
    most: Arc<AtomicU32>,
}

impl Seen {
    fn hold(&self, time: Duration) {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(running, Ordering::SeqCst);
        let (_open, never) = channel::<()>();
        let _elapsed = never.recv_timeout(time);
        self.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Job for Deaf {
    const KIND: &'static str = "deaf.v1";
    type Output = u32;
    type Error = String;
    type Progress = ();
    type State = Seen;

    fn options() -> JobOptions {
        let at_once = bedplate_tasks::Backoff::constant(Duration::from_millis(1));
        JobOptions::new().max_attempts(2).timeout(200 * MS).backoff(at_once)
    }

    async fn run(self, cx: JobContext<Self>) -> Result<u32, String> {
        let (seen, attempt) = (cx.state().clone(), cx.attempt().number);
        let time = if attempt == 1 { Duration::from_millis(self.holds) } else { MS };
        if self.thread == Thread::Own {
            seen.hold(time);
            return Ok(attempt);
        }
        let hold = std::pin::pin!(cx.blocking(move || seen.hold(time)));
        let told = std::pin::pin!(async {
            match self.thread {
                Thread::Left => drop(cx.stopped().await),
                _ => std::future::pending().await,
            }
        });
        match select(hold, told).await {
            Either::Left((done, _)) => done.map(|()| attempt).map_err(|stopped| stopped.to_string()),
            Either::Right(_) => Err("it was told to stop".to_owned()),
        }
    }
}

fn impatient() -> JobsConfig {
    let mut config = JobsConfig::default();
    config.blocking_threads = 2;
    (config.grace, config.stuck_after) = (100 * MS, 500 * MS);
    (config.lease, config.sweep) = (Duration::from_secs(1), 100 * MS);
    config
}

fn start(store: &MemoryStore, seen: &Seen) -> Jobs {
    start_with(impatient(), store, seen)
}

fn start_with(config: JobsConfig, store: &MemoryStore, seen: &Seen) -> Jobs {
    Jobs::builder(store.clone()).config(config).state(seen.clone()).register::<Deaf>().start().unwrap()
}

async fn stuck(jobs: &Jobs) -> u64 {
    jobs.stats().await.unwrap().stuck
}

/// A job that blocks a thread of the runtime hears nothing, and no timer beside it goes off: it is found, told of, and
/// given to others once it is clear that it does not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_blocks_its_thread_is_told_of_and_run_elsewhere() {
    let (store, seen) = (MemoryStore::default(), Seen::default());
    let jobs = start(&store, &seen);
    let mut events = jobs.events();
    let began = Instant::now();
    let handle = jobs.submit(Deaf { thread: Thread::Own, holds: 12_000 }).await.unwrap();
    assert_eq!(handle.clone().await.unwrap(), 2, "the second attempt");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    assert_eq!((stuck(&jobs).await, seen.running.load(Ordering::SeqCst)), (1, 1));
    let told = std::iter::from_fn(|| events.try_recv().ok())
        .filter(|event| matches!(event, JobEvent::Stuck { job, .. } if job.id == handle.id()));
    assert_eq!(told.count(), 1);
    let report = jobs.shutdown(Drain::soft(MS).then_hard(MS)).await;
    assert_eq!((report.abandoned, report.is_clean()), (1, false), "{report:?}");
}

/// Blocking work that outlives its attempt for a moment does not run beside the next one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_waits_for_its_blocking_work() {
    let (store, seen) = (MemoryStore::default(), Seen::default());
    let mut config = impatient();
    config.stuck_after = Duration::from_secs(20);
    let jobs = start_with(config, &store, &seen);
    for thread in [Thread::Blocking, Thread::Left] {
        assert_eq!(jobs.submit(Deaf { thread, holds: 500 }).await.unwrap().await.unwrap(), 2);
        assert_eq!((seen.most.load(Ordering::SeqCst), stuck(&jobs).await), (1, 0));
    }
    assert!(jobs.shutdown(Drain::default()).await.is_clean());
}

/// Blocking work that does not come back is told of, and counts as abandoned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_work_that_does_not_come_back_is_told_of() {
    let (store, seen) = (MemoryStore::default(), Seen::default());
    let jobs = start(&store, &seen);
    let handle = jobs.submit(Deaf { thread: Thread::Blocking, holds: 3_000 }).await.unwrap();
    assert_eq!(handle.clone().await.unwrap(), 2, "the second attempt");
    assert_eq!((stuck(&jobs).await, seen.running.load(Ordering::SeqCst)), (1, 1), "the first is still at it");
    assert_eq!(handle.status().await.unwrap().state, JobState::Completed);
    let report = jobs.shutdown(Drain::soft(MS).then_hard(MS)).await;
    assert_eq!((report.running, report.abandoned), (0, 1), "{report:?}");
    sleep(MS).await;
}

/// Ends the whole runtime at its first step.
#[derive(Serialize, Deserialize)]
struct Quits;

#[derive(Clone, Default)]
struct Last {
    jobs: Arc<Mutex<Option<Jobs>>>,
    begun: Arc<AtomicU32>,
}

impl Job for Quits {
    const KIND: &'static str = "quits.v1";
    type Output = ();
    type Error = String;
    type Progress = ();
    type State = Last;

    async fn run(self, cx: JobContext<Self>) -> Result<(), String> {
        cx.state().begun.fetch_add(1, Ordering::SeqCst);
        drop(cx.state().jobs.lock().unwrap().take());
        Ok(())
    }
}

/// What waits for a thread when it is told to stop does not begin: others may have it by then.
#[tokio::test(start_paused = true)]
async fn what_is_told_to_stop_before_it_has_a_thread_does_not_begin() {
    let (store, last) = (MemoryStore::default(), Last::default());
    let web = Jobs::builder(store.clone()).workers(0).start().unwrap();
    let handles = [web.submit(Quits).await.unwrap(), web.submit(Quits).await.unwrap()];
    let worker = Jobs::builder(store).workers(2).state(last.clone()).register::<Quits>().start().unwrap();
    *last.jobs.lock().unwrap() = Some(worker);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(last.begun.load(Ordering::SeqCst), 1);
    assert_eq!(handles[0].status().await.unwrap().state, JobState::Completed);
    let second = handles[1].status().await.unwrap();
    assert_eq!((second.state, second.attempts), (JobState::Pending, 0), "it was given back");
}

/// A limit beyond all clocks is no limit.
#[tokio::test(start_paused = true)]
async fn a_time_without_end_is_none() {
    let (store, seen) = (MemoryStore::default(), Seen::default());
    let jobs = start(&store, &seen);
    let job = Deaf { thread: Thread::Blocking, holds: 1 };
    let handle = jobs.submit(job).timeout(Duration::MAX).await.unwrap();
    assert_eq!(handle.await.unwrap(), 1, "the first attempt");
}
