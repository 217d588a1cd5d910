use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bedplate_tasks::store::{FailureKind, JobQuery, JobState, MemoryConfig, MemoryStore, Unique, UniqueScope};
use bedplate_tasks::{
    Attempt, Decision, Drain, EnqueueError, Job, JobContext, JobError, JobOptions, Jobs, Outcome, Priority, StartError,
    Stop, UpgradeError, WaitError,
};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

use crate::support::MS;

/// What a test tells a job to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Do {
    Give(u32),
    Fail(String),
    FailTimes(u32),
    Panic,
    Sleep(Duration),
    Stubborn(Duration),
    Block(Duration),
    Hog(Duration),
    Huge(usize),
    Snooze,
    Report,
    Hang,
}

#[derive(Debug, Serialize, Deserialize)]
struct Probe {
    what: Do,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("probe failed: {0}")]
struct ProbeError(String);

#[derive(Clone, Default)]
struct Seen {
    starts: Arc<AtomicU32>,
    stops: Arc<parking_lot::Mutex<Vec<Stop>>>,
    dropped: Arc<AtomicU32>,
    go: Arc<Notify>,
}

struct CountsDrop(Arc<AtomicU32>);

impl Drop for CountsDrop {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Job for Probe {
    const KIND: &'static str = "probe.v1";
    type Output = String;
    type Error = ProbeError;
    type Progress = u32;
    type State = Seen;

    fn options() -> JobOptions {
        JobOptions::new().max_attempts(3).timeout(Duration::from_secs(30)).max_output(1_000).max_payload(5_000)
    }

    fn on_error(error: &ProbeError, attempt: &Attempt) -> Decision {
        match error.0.as_str() {
            "gone" => Decision::Discard,
            "unwanted" => Decision::Cancel,
            "later" => Decision::RetryIn(Duration::from_mins(1)),
            "busy" if attempt.number == 1 => Decision::Snooze(Duration::from_secs(5)),
            _ => Decision::Retry,
        }
    }

    async fn run(self, cx: JobContext<Self>) -> Result<String, ProbeError> {
        let seen = cx.state().clone();
        let start = seen.starts.fetch_add(1, Ordering::SeqCst) + 1;
        let _drop = CountsDrop(Arc::clone(&seen.dropped));
        match self.what {
            Do::Give(number) => {
                cx.progress(&number);
                Ok(number.to_string())
            }
            Do::Fail(text) => Err(ProbeError(text)),
            Do::FailTimes(times) if cx.attempt().number <= times => Err(ProbeError("not yet".into())),
            Do::Panic => panic!("a bug"),
            Do::Sleep(time) => {
                sleep(time).await;
                Ok("slept".into())
            }
            Do::Stubborn(time) => {
                let stop = cx.stopped().await;
                seen.stops.lock().push(stop);
                sleep(time).await;
                Ok("finished".into())
            }
            Do::Block(time) => {
                let (inner, until) = (cx.clone(), time);
                cx.blocking(move || {
                    let (_, never) = std::sync::mpsc::channel::<()>();
                    let mut left = until;
                    while inner.check().is_ok() && !left.is_zero() {
                        let _elapsed = never.recv_timeout(MS);
                        left = left.saturating_sub(MS);
                    }
                })
                .await
                .map_err(|stopped| ProbeError(stopped.to_string()))?;
                Ok("blocked".into())
            }
            Do::Hog(time) => {
                // The runtime's own thread: what handlers should not do, and do.
                let (_open, never) = std::sync::mpsc::channel::<()>();
                let _elapsed = never.recv_timeout(time);
                Ok("hogged".into())
            }
            Do::Huge(bytes) => Ok("x".repeat(bytes)),
            Do::Snooze if start == 1 => Err(ProbeError("busy".into())),
            Do::FailTimes(_) | Do::Snooze => Ok(cx.attempt().number.to_string()),
            Do::Report => {
                for percent in [10, 50, 100] {
                    cx.progress(&percent);
                    seen.go.notified().await;
                }
                Ok("reported".into())
            }
            Do::Hang => std::future::pending().await,
        }
    }
}

fn probe(what: Do) -> Probe {
    Probe { what }
}

fn start() -> (Jobs, Seen) {
    let seen = Seen::default();
    let jobs = Jobs::builder(MemoryStore::default()).state(seen.clone()).register::<Probe>().start().unwrap();
    (jobs, seen)
}

async fn outcome(jobs: &Jobs, what: Do) -> Outcome<String, ProbeError> {
    jobs.submit(probe(what)).await.unwrap().wait_timeout(Duration::from_hours(2)).await.unwrap()
}

fn failure(outcome: Outcome<String, ProbeError>) -> (FailureKind, String, Option<ProbeError>) {
    match outcome {
        Outcome::Failed { failure, error } => (failure.kind, failure.message, error),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn each_way_to_end_is_told_apart() {
    let (jobs, seen) = start();
    assert_eq!(outcome(&jobs, Do::Give(7)).await, Outcome::Completed("7".into()));
    let error = ProbeError("gone".into());
    assert_eq!(
        failure(outcome(&jobs, Do::Fail("gone".into())).await),
        (FailureKind::Error, "probe failed: gone".into(), Some(error))
    );
    assert_eq!(outcome(&jobs, Do::Fail("unwanted".into())).await, Outcome::Cancelled("probe failed: unwanted".into()));
    let before = seen.starts.load(Ordering::SeqCst);
    let (kind, message, error) = failure(outcome(&jobs, Do::Panic).await);
    assert_eq!((kind, &*message, error), (FailureKind::Panicked, "a bug", None));
    assert_eq!(seen.starts.load(Ordering::SeqCst) - before, 3, "a panic is tried again");
    let (kind, message, _) = failure(outcome(&jobs, Do::Huge(1_001)).await);
    assert_eq!((kind, &*message), (FailureKind::ResultTooLarge, "the result has 1003 bytes, expected at most 1000"));
    let (kind, message, _) = failure(outcome(&jobs, Do::Hang).await);
    assert_eq!((kind, &*message), (FailureKind::TimedOut, "did not end within 30s"));
    let stats = jobs.stats().await.unwrap();
    assert_eq!((stats.completed, stats.failed, stats.cancelled, stats.panicked, stats.timed_out), (1, 4, 1, 3, 3));
    assert_eq!((stats.running, stats.leases_lost, stats.store.unfinished()), (0, 0, 0));
    assert!(jobs.shutdown(Drain::default()).await.is_clean());
    assert_eq!(seen.dropped.load(Ordering::SeqCst), seen.starts.load(Ordering::SeqCst), "nothing leaks");
}

#[tokio::test(start_paused = true)]
async fn retries_wait_longer_each_time_and_keep_their_count_in_the_store() {
    let (jobs, _) = start();
    let began = Instant::now();
    assert_eq!(outcome(&jobs, Do::FailTimes(2)).await, Outcome::Completed("3".into()));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(2_400) && took < Duration::from_secs(6), "1 s and 2 s, not {took:?}");
    let began = Instant::now();
    assert!(matches!(outcome(&jobs, Do::Fail("later".into())).await, Outcome::Failed { .. }));
    assert!(began.elapsed() >= Duration::from_mins(2));
    let began = Instant::now();
    assert_eq!(outcome(&jobs, Do::Give(1)).await, Outcome::Completed("1".into()));
    assert!(began.elapsed() < 50 * MS, "it starts at once: {:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_snoozed_attempt_does_not_count() {
    let (jobs, seen) = start();
    let began = Instant::now();
    assert_eq!(outcome(&jobs, Do::Snooze).await, Outcome::Completed("1".into()));
    assert!(began.elapsed() >= Duration::from_secs(5));
    assert_eq!(seen.starts.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn progress_reaches_the_reader_while_the_job_runs() {
    let (jobs, seen) = start();
    let handle = jobs.submit(probe(Do::Report)).await.unwrap();
    let mut progress = handle.progress();
    for expected in [10, 50, 100] {
        assert_eq!(progress.next().await, Some(expected));
        assert_eq!(handle.status().await.unwrap().progress, Some(expected));
        seen.go.notify_one();
    }
    assert_eq!(progress.next().await, None);
    assert_eq!(handle.result().await.unwrap(), "reported");
    let quick = jobs.submit(probe(Do::Give(7))).await.unwrap();
    assert_eq!(quick.result().await.unwrap(), "7");
    assert_eq!(quick.status().await.unwrap().progress, Some(7), "reported with its last breath");
}

#[tokio::test(start_paused = true)]
async fn cancel_tells_the_job_then_drops_it() {
    let (jobs, seen) = start();
    let hangs = jobs.submit(probe(Do::Hang)).await.unwrap();
    while hangs.status().await.unwrap().state != JobState::Running {
        sleep(MS).await;
    }
    let began = Instant::now();
    assert_eq!(hangs.cancel("user left").await.unwrap(), JobState::Running);
    assert!(matches!(hangs.result().await, Err(JobError::Cancelled { reason }) if reason == "user left"));
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(6), "the grace is 5 s, not {took:?}");
    assert_eq!(seen.dropped.load(Ordering::SeqCst), 1);

    let stubborn = jobs.submit(probe(Do::Stubborn(Duration::from_secs(4)))).await.unwrap();
    while stubborn.status().await.unwrap().state != JobState::Running {
        sleep(MS).await;
    }
    stubborn.cancel("too late").await.unwrap();
    assert_eq!(stubborn.result().await.unwrap(), "finished", "who ends within the grace has ended");
    assert_eq!(*seen.stops.lock(), [Stop::Cancelled("too late".into())]);

    let waits = jobs.submit(probe(Do::Hang)).delay(Duration::from_hours(1)).await.unwrap();
    assert_eq!(waits.cancel("no").await.unwrap(), JobState::Cancelled);
    assert_eq!(waits.wait().await.unwrap(), Outcome::Cancelled("no".into()));
}

#[tokio::test(start_paused = true)]
async fn no_more_run_than_there_are_workers_and_the_urgent_go_first() {
    let seen = Seen::default();
    let jobs =
        Jobs::builder(MemoryStore::default()).workers(2).state(seen.clone()).register::<Probe>().start().unwrap();
    let mut handles = jobs.submit_many((0..6).map(|_| probe(Do::Sleep(Duration::from_secs(10))))).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(seen.starts.load(Ordering::SeqCst), 2);
    let urgent = jobs.submit(probe(Do::Sleep(Duration::from_secs(10)))).priority(Priority::Critical).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(urgent.status().await.unwrap().state, JobState::Running);
    handles.push(urgent);
    for handle in handles {
        handle.result().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_waits_for_the_first() {
    let (jobs, seen) = start();
    let unique = || Unique::key("once").scope(UniqueScope::Any);
    let first = jobs.submit(probe(Do::Sleep(Duration::from_secs(3)))).unique(unique()).await.unwrap();
    let second = jobs.submit(probe(Do::Give(2))).unique(unique()).await.unwrap();
    assert_eq!((second.id(), second.is_duplicate()), (first.id(), true));
    assert_eq!(second.await.unwrap(), "slept");
    let keyed = jobs.submit(probe(Do::Give(1))).idempotency_key("request-1").await.unwrap();
    let again = jobs.submit(probe(Do::Give(2))).idempotency_key("request-1").await.unwrap();
    assert_eq!((again.id(), again.result().await.unwrap()), (keyed.id(), "1".to_owned()));
    assert_eq!(seen.starts.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_makes_submitters_wait_or_refuses() {
    let store = MemoryStore::new(MemoryConfig::default().capacity(2)).unwrap();
    let jobs = Jobs::builder(store).workers(1).state(Seen::default()).register::<Probe>().start().unwrap();
    let nap = || probe(Do::Sleep(Duration::from_secs(10)));
    let mut handles = vec![jobs.submit(nap()).await.unwrap()];
    sleep(MS).await;
    for _ in 0..2 {
        handles.push(jobs.try_submit(nap()).await.unwrap());
    }
    let refused = jobs.try_submit(nap()).await.unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    assert!(matches!(refused, EnqueueError::Store(_)));
    let began = Instant::now();
    handles.push(jobs.submit(nap()).await.unwrap());
    assert!(began.elapsed() >= Duration::from_secs(9), "it waited for room");
    let too_many = jobs.submit_many((0..3).map(|_| nap())).await;
    assert!(too_many.is_err(), "three never find room");
    for handle in handles {
        handle.result().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn shutdown_lets_end_tells_and_gives_back() {
    let store = MemoryStore::default();
    let seen = Seen::default();
    let first = Jobs::builder(store.clone()).state(seen.clone()).register::<Probe>().start().unwrap();
    let quick = first.submit(probe(Do::Sleep(Duration::from_secs(5)))).await.unwrap();
    let endless = first.submit(probe(Do::Hang)).timeout(Duration::from_hours(1)).await.unwrap();
    let polite = first.submit(probe(Do::Stubborn(MS))).timeout(Duration::from_hours(1)).await.unwrap();
    sleep(10 * MS).await;
    let report = first.shutdown(Drain::soft(Duration::from_secs(20)).then_hard(Duration::from_secs(10))).await;
    assert_eq!((report.running, report.told, report.abandoned, report.unsettled), (3, 2, 0, 0));
    assert!(report.took >= Duration::from_secs(25) && report.took < Duration::from_secs(32), "{report:?}");
    let second = Jobs::builder(store).state(seen).start().unwrap();
    let state = async |id| second.handle::<Probe>(id).status().await.unwrap();
    assert_eq!(state(quick.id()).await.state, JobState::Completed);
    assert_eq!(state(polite.id()).await.state, JobState::Completed);
    let back = state(endless.id()).await;
    assert_eq!((back.state, back.attempts), (JobState::Pending, 0), "it cost no attempt");
    assert!(matches!(first.submit(probe(Do::Give(1))).await, Err(EnqueueError::Closed)));
}

/// The claim that waits for jobs does not hold a shutdown up, and gives nothing out any more.
#[tokio::test(start_paused = true)]
async fn an_idle_worker_shuts_down_at_once() {
    let store = MemoryStore::default();
    let first = Jobs::builder(store.clone()).state(Seen::default()).register::<Probe>().start().unwrap();
    let other = Jobs::builder(store).state(Seen::default()).start().unwrap();
    sleep(10 * MS).await;
    let report = first.shutdown(Drain::default()).await;
    assert_eq!((report.running, report.unsettled), (0, 0));
    assert!(report.took < 10 * MS, "{report:?}");
    let handle = other.submit(probe(Do::Give(1))).await.unwrap();
    sleep(10 * MS).await;
    let status = handle.status().await.unwrap();
    assert_eq!((status.state, status.attempts), (JobState::Pending, 0));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_gives_back_what_runs() {
    let store = MemoryStore::default();
    let jobs = Jobs::builder(store.clone()).state(Seen::default()).register::<Probe>().start().unwrap();
    let id = jobs.submit(probe(Do::Hang)).await.unwrap().id();
    sleep(10 * MS).await;
    drop(jobs);
    let other = Jobs::builder(store).start().unwrap();
    let began = Instant::now();
    while other.handle::<Probe>(id).status().await.unwrap().state != JobState::Pending {
        assert!(began.elapsed() < Duration::from_secs(7), "it is not given back within its grace");
        sleep(100 * MS).await;
    }
    assert_eq!(other.handle::<Probe>(id).status().await.unwrap().attempts, 0, "it costs no attempt");
}

/// Panics when an attempt clones it.
struct Brittle(bool);

impl Clone for Brittle {
    fn clone(&self) -> Self {
        assert!(!self.0, "a bug in a clone");
        Self(true)
    }
}

#[derive(Serialize, Deserialize)]
struct OnBrittle;

impl Job for OnBrittle {
    const KIND: &'static str = "brittle.v1";
    type Output = ();
    type Error = String;
    type Progress = ();
    type State = Brittle;

    fn options() -> JobOptions {
        JobOptions::new().max_attempts(1)
    }

    async fn run(self, _: JobContext<Self>) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_beside_the_work_costs_an_attempt() {
    let jobs = Jobs::builder(MemoryStore::default()).state(Brittle(false)).register::<OnBrittle>().start().unwrap();
    let handle = jobs.submit(OnBrittle).await.unwrap();
    let Outcome::Failed { failure, .. } = handle.wait_timeout(Duration::from_secs(5)).await.unwrap() else {
        panic!("it cannot have run")
    };
    assert_eq!(failure.kind, FailureKind::Panicked);
}

/// Reports twice and snoozes, then reports once.
#[derive(Serialize, Deserialize)]
struct Naps;

impl Job for Naps {
    const KIND: &'static str = "naps.v1";
    type Output = ();
    type Error = String;
    type Progress = u32;
    type State = Seen;

    fn on_error(_: &String, _: &Attempt) -> Decision {
        Decision::Snooze(Duration::from_secs(1))
    }

    async fn run(self, cx: JobContext<Self>) -> Result<(), String> {
        let first = cx.state().starts.fetch_add(1, Ordering::SeqCst) == 0;
        for percent in if first { [10, 20] } else { [70, 80] } {
            cx.progress(&percent);
            cx.state().go.notified().await;
        }
        if first { Err("not yet".into()) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn progress_goes_on_after_a_snooze() {
    let seen = Seen::default();
    let jobs = Jobs::builder(MemoryStore::default()).state(seen.clone()).register::<Naps>().start().unwrap();
    let handle = jobs.submit(Naps).await.unwrap();
    let mut progress = handle.progress();
    for percent in [10, 20, 70, 80] {
        assert_eq!(tokio::time::timeout(Duration::from_mins(1), progress.next()).await, Ok(Some(percent)));
        seen.go.notify_one();
    }
    assert_eq!(progress.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn kinds_without_code_are_left_and_payloads_that_are_wrong_end() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Other {
        text: String,
    }
    impl Job for Other {
        const KIND: &'static str = "other.v1";
        const VERSION: u16 = 2;
        type Output = String;
        type Error = String;
        type Progress = ();
        type State = ();

        fn upgrade(version: u16, arguments: serde_json::Value) -> Result<Self, UpgradeError> {
            match version {
                1 => Ok(Self { text: serde_json::from_value::<String>(arguments)?.to_uppercase() }),
                other => Err(UpgradeError::new(format!("version {other} is unknown"))),
            }
        }

        async fn run(self, _: JobContext<Self>) -> Result<String, String> {
            Ok(self.text)
        }
    }
    let store = MemoryStore::default();
    let without = Jobs::builder(store.clone()).state(Seen::default()).register::<Probe>().start().unwrap();
    let handle = without.submit(Other { text: "plain".into() }).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(handle.status().await.unwrap().state, JobState::Pending);
    let mut old = without.submit(Other { text: String::new() }).max_attempts(2).prepare().unwrap();
    (old.version, old.payload) = (1, b"\"quiet\"".to_vec());
    let mut unknown = without.submit(Other { text: String::new() }).max_attempts(2).prepare().unwrap();
    unknown.version = 9;
    let mut garbage = without.submit(Other { text: String::new() }).max_attempts(2).prepare().unwrap();
    garbage.payload = b"{\"text\":7".to_vec();
    let ids = [old.id, unknown.id, garbage.id];
    without.store().enqueue(vec![old, unknown, garbage]).await.unwrap();
    let with = Jobs::builder(store).register::<Other>().start().unwrap();
    assert_eq!(handle.result().await.unwrap(), "plain");
    let end = async |at: usize| with.handle::<Other>(ids[at]).wait().await.unwrap();
    assert_eq!(end(0).await, Outcome::Completed("QUIET".into()));
    for (at, says) in [(1, "version 9 is unknown"), (2, "invalid type: integer `7`")] {
        match end(at).await {
            Outcome::Failed { failure, error: None } => {
                assert_eq!(failure.kind, FailureKind::Undecodable);
                assert!(failure.message.contains(says), "{}", failure.message);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_listed_and_replayed() {
    let (jobs, _) = start();
    for _ in 0..3 {
        assert!(matches!(outcome(&jobs, Do::Fail("gone".into())).await, Outcome::Failed { .. }));
    }
    assert_eq!(jobs.find(&JobQuery::new().state(JobState::Failed)).await.unwrap().len(), 3);
    assert_eq!(jobs.replay(JobQuery::new().kind("another.v1")).await.unwrap(), 0);
    assert_eq!(jobs.replay(JobQuery::new().kind(Probe::KIND).limit(2)).await.unwrap(), 3);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(jobs.stats().await.unwrap().failed, 6);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_what_is_not_there_ends() {
    let (jobs, _) = start();
    let lost = jobs.handle::<Probe>(bedplate_tasks::TaskId::generate());
    assert!(matches!(lost.wait().await, Err(WaitError::Expired(id)) if id == lost.id()));
    assert!(matches!(lost.cancel("x").await, Err(WaitError::Expired(_))));
    assert_eq!(lost.progress().count().await, 0);
    let slow = jobs.submit(probe(Do::Hang)).await.unwrap();
    assert!(matches!(slow.wait_timeout(10 * MS).await, Err(WaitError::Elapsed(_))));
    let brief = bedplate_tasks::store::Retention::both(Duration::ZERO);
    let gone = jobs.submit(probe(Do::Give(1))).retention(brief).await.unwrap();
    sleep(Duration::from_secs(10)).await;
    assert!(matches!(gone.result().await, Err(JobError::Wait(WaitError::Expired(_)))));
}

#[tokio::test(start_paused = true)]
async fn bad_settings_and_arguments_are_refused_by_name() {
    let fails = |answer: Result<Jobs, StartError>| answer.unwrap_err().to_string();
    let builder = || Jobs::builder(MemoryStore::default()).state(Seen::default());
    assert_eq!(fails(builder().workers(10_001).start()), "workers is 10001, expected 0 to 10,000");
    assert_eq!(fails(builder().lease(MS).start()), "lease is 1ms, expected 1 s to 1 hour");
    let twice = builder().register::<Probe>().register::<Probe>().start();
    assert_eq!(fails(twice), "kind probe.v1 is registered twice");
    let missing = Jobs::builder(MemoryStore::default()).register::<Probe>().start();
    assert!(fails(missing).starts_with("kind probe.v1 needs a state of type"));
    let (jobs, _) = start();
    let large = jobs.submit(probe(Do::Fail("x".repeat(5_000)))).await.unwrap_err();
    assert_eq!(large.to_string(), "arguments of probe.v1 have 5020 bytes, expected at most 5000");
    let far = jobs.submit(probe(Do::Give(1))).delay(Duration::MAX).await.unwrap_err();
    assert!(far.to_string().contains("expected at most ten years"), "{far}");
}

#[tokio::test]
async fn blocking_work_stops_when_it_is_told() {
    let (jobs, _) = start();
    let handle = jobs.submit(probe(Do::Block(Duration::from_mins(10)))).await.unwrap();
    while handle.status().await.unwrap().state != JobState::Running {
        sleep(MS).await;
    }
    sleep(20 * MS).await;
    handle.cancel("enough").await.unwrap();
    assert_eq!(handle.result().await.unwrap(), "blocked", "it returned within the grace");
    assert_eq!(outcome(&jobs, Do::Block(5 * MS)).await, Outcome::Completed("blocked".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_blocks_every_thread_keeps_its_lease() {
    let seen = Seen::default();
    let jobs = Jobs::builder(MemoryStore::default())
        .state(seen.clone())
        .register::<Probe>()
        .lease(Duration::from_secs(1))
        .start()
        .unwrap();
    let mut handles = Vec::new();
    for _ in 0..6 {
        handles.push(jobs.submit(probe(Do::Hog(Duration::from_millis(1_500)))).await.unwrap());
    }
    for handle in handles {
        assert_eq!(handle.result().await.unwrap(), "hogged");
    }
    assert_eq!(seen.starts.load(Ordering::SeqCst), 6, "no job ran twice");
    assert_eq!(jobs.stats().await.unwrap().leases_lost, 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_reports_how_far_it_is_and_can_be_cancelled() {
    let (jobs, _) = start();
    let mut batch = jobs.batch();
    let one = batch.add(jobs.submit(probe(Do::Sleep(Duration::from_secs(1))))).unwrap();
    let two = batch.add(jobs.submit(probe(Do::Fail("gone".into()))).after([one.id()])).unwrap();
    let three = batch.add(jobs.submit(probe(Do::Give(3))).after([two.id()])).unwrap();
    let batch = batch.submit().await.unwrap();
    let steps: Vec<_> = batch.progress().map(|at| (at.left(), at.completed, at.failed, at.cancelled)).collect().await;
    assert_eq!(steps.first(), Some(&(3, 0, 0, 0)));
    assert_eq!(steps.last(), Some(&(0, 1, 1, 1)));
    assert!(matches!(three.wait().await.unwrap(), Outcome::Cancelled(reason) if reason.contains("depends")));
    let mut twins = jobs.batch();
    for _ in 0..2 {
        drop(twins.add(jobs.submit(probe(Do::Give(1))).unique(Unique::key("twin"))).unwrap());
    }
    let twins = twins.submit().await.unwrap();
    assert_eq!(twins.progress().map(|at| at.total).collect::<Vec<_>>().await.last(), Some(&1));
    let ended = twins.wait().await.unwrap();
    assert_eq!((ended.total, ended.completed, ended.left()), (1, 1, 0));
    let mut endless = jobs.batch();
    for _ in 0..3 {
        drop(endless.add(jobs.submit(probe(Do::Hang))).unwrap());
    }
    let endless = endless.submit().await.unwrap();
    assert_eq!(endless.cancel("enough").await.unwrap(), 3);
    assert_eq!(endless.wait().await.unwrap().cancelled, 3);
}

#[tokio::test(start_paused = true)]
async fn events_tell_the_story_of_a_job() {
    use bedplate_tasks::{AttemptEnd, JobEvent};
    let (jobs, _) = start();
    let (told, mut story) = mpsc::unbounded_channel();
    let mut events = jobs.events();
    tokio::spawn(async move {
        while let Ok(event) = events.recv().await {
            told.send(event).unwrap();
        }
    });
    let handle = jobs.submit(probe(Do::FailTimes(1))).await.unwrap();
    handle.result().await.unwrap();
    let mut names = Vec::new();
    while names.len() < 5 {
        names.push(match story.recv().await.unwrap() {
            JobEvent::Submitted { id, duplicate: false, .. } if id == handle.id() => "submitted".to_owned(),
            JobEvent::Started { attempt, .. } => format!("started {attempt}"),
            JobEvent::Ended { attempt, end: AttemptEnd::Retried { kind: FailureKind::Error, .. }, .. } => {
                format!("retried {attempt}")
            }
            JobEvent::Ended { attempt, end: AttemptEnd::Completed, .. } => format!("completed {attempt}"),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(names, ["submitted", "started 1", "retried 1", "started 2", "completed 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_another_kind_says_so() {
    /// Gives the same type as `Probe`, so that its outputs could be read as this one's.
    #[derive(Serialize, Deserialize)]
    struct Lookalike;
    impl Job for Lookalike {
        const KIND: &'static str = "lookalike.v1";
        type Output = String;
        type Error = String;
        type Progress = u32;
        type State = ();
        async fn run(self, _: JobContext<Self>) -> Result<String, String> {
            Ok(String::new())
        }
    }
    let (jobs, _) = start();
    let running = jobs.submit(probe(Do::Report)).await.unwrap();
    assert_eq!(running.progress().next().await, Some(10));
    assert_eq!(jobs.handle::<Lookalike>(running.id()).progress().count().await, 0);
    let right = jobs.submit(probe(Do::Give(1))).await.unwrap();
    right.result().await.unwrap();
    let wrong = jobs.handle::<Lookalike>(right.id());
    let expected = format!("job {} is of kind \"probe.v1\", expected \"lookalike.v1\"", right.id());
    assert_eq!(wrong.status().await.unwrap_err().to_string(), expected);
    assert!(matches!(wrong.wait().await, Err(WaitError::OtherKind { expected: Lookalike::KIND, .. })));
    assert_eq!(wrong.result().await.unwrap_err().to_string(), expected);
    let hangs = jobs.submit(probe(Do::Hang)).await.unwrap();
    let wait = jobs.handle::<Lookalike>(hangs.id()).wait_timeout(MS).await;
    assert!(matches!(wait, Err(WaitError::OtherKind { .. })), "it does not wait for the end");
}

#[tokio::test(start_paused = true)]
async fn a_failed_job_says_once_why() {
    let (jobs, _) = start();
    let error = jobs.submit(probe(Do::Fail("gone".into()))).await.unwrap().result().await.unwrap_err();
    assert_eq!(error.to_string(), "job failed: probe failed: gone");
    let error = jobs.submit(probe(Do::Panic)).max_attempts(1).await.unwrap().result().await.unwrap_err();
    assert!(error.to_string().starts_with("job failed: panicked: "), "{error}");
}
