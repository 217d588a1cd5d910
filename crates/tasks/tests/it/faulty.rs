//! A store in memory that fails on demand, and what a runtime makes of it.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bedplate_tasks::store::{
    Beat, Capabilities, Claim, ClaimRequest, End, Enqueued, JobQuery, JobRecord, JobState, JobStore, LeaseState,
    Maintained, MemoryStore, NewJob, Settled, Settlement, Signal, StoreControl, StoreError, StoreStats, WorkerInfo,
};
use bedplate_tasks::{Drain, Job, JobContext, JobEvent, Jobs, Stop, TaskId, WaitError};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, sleep};

use crate::support::MS;

#[derive(Debug, Clone, Default)]
struct Faulty {
    inner: MemoryStore,
    /// No end that is a completion gets through.
    drops_completions: Arc<AtomicBool>,
    /// No sign of life is answered.
    swallows_beats: Arc<AtomicBool>,
    beats: Arc<AtomicUsize>,
    /// What is claimed arrives a second later.
    slow_claims: Arc<AtomicBool>,
    /// A look at a job takes ten seconds.
    slow_looks: Arc<AtomicBool>,
    /// The next ends are taken, and nobody hears of it.
    loses_an_answer: Arc<AtomicBool>,
}

#[async_trait]
impl JobStore for Faulty {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn signals(&self) -> broadcast::Receiver<Signal> {
        self.inner.signals()
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        self.inner.enqueue(jobs).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        let claims = self.inner.claim(request).await;
        if self.slow_claims.load(Ordering::SeqCst) {
            sleep(Duration::from_secs(1)).await;
        }
        claims
    }

    async fn beat(&self, beat: &Beat) -> Result<Vec<LeaseState>, StoreError> {
        self.beats.fetch_add(1, Ordering::SeqCst);
        if self.swallows_beats.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        self.inner.beat(beat).await
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>, StoreError> {
        let completes = ends.iter().any(|end| matches!(end.settlement, Settlement::Completed(_)));
        if completes && self.drops_completions.load(Ordering::SeqCst) {
            return Err(StoreError::backend("faulty", true, "no connection"));
        }
        let answers = self.inner.settle(ends).await;
        if self.loses_an_answer.swap(false, Ordering::SeqCst) {
            return Err(StoreError::backend("faulty", true, "the connection was lost"));
        }
        answers
    }

    async fn job(&self, id: TaskId) -> Result<Option<JobRecord>, StoreError> {
        if self.slow_looks.load(Ordering::SeqCst) {
            sleep(Duration::from_secs(10)).await;
        }
        self.inner.job(id).await
    }
}

#[async_trait]
impl StoreControl for Faulty {
    async fn cancel(&self, id: TaskId, reason: &str) -> Result<JobState, StoreError> {
        self.inner.cancel(id, reason).await
    }

    async fn find(&self, query: &JobQuery) -> Result<Vec<JobRecord>, StoreError> {
        self.inner.find(query).await
    }

    async fn replay(&self, ids: &[TaskId]) -> Result<u64, StoreError> {
        self.inner.replay(ids).await
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), StoreError> {
        self.inner.set_paused(queue, paused).await
    }

    async fn maintain(&self) -> Result<Maintained, StoreError> {
        self.inner.maintain().await
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        self.inner.stats().await
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        self.inner.workers().await
    }
}

/// Ends at once, or waits until it is told to stop and says so.
#[derive(Serialize, Deserialize)]
struct Probe {
    waits: bool,
}

impl Job for Probe {
    const KIND: &'static str = "faulty.v1";
    type Output = ();
    type Error = String;
    type Progress = ();
    type State = mpsc::UnboundedSender<Stop>;

    async fn run(self, cx: JobContext<Self>) -> Result<(), String> {
        if self.waits {
            cx.state().send(cx.stopped().await).unwrap();
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_completed_does_not_fail_because_the_store_was_away_at_a_shutdown() {
    let store = Faulty::default();
    store.drops_completions.store(true, Ordering::SeqCst);
    let (told, _stops) = mpsc::unbounded_channel::<Stop>();
    let jobs = Jobs::builder(store.clone()).state(told).register::<Probe>().start().unwrap();
    let id = jobs.submit(Probe { waits: false }).await.unwrap().id();
    sleep(500 * MS).await;
    let report = jobs.shutdown(Drain::soft(Duration::from_secs(1))).await;
    let record = store.job(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.failure), (JobState::Running, None), "it comes back by its lease");
    assert!(!report.is_clean(), "{report:?}");
}

/// A claim whose answer is on its way while a shutdown begins gives its jobs back, and costs them no attempt.
#[tokio::test(start_paused = true)]
async fn what_is_claimed_during_a_shutdown_goes_back() {
    let store = Faulty::default();
    store.slow_claims.store(true, Ordering::SeqCst);
    let (told, _stops) = mpsc::unbounded_channel::<Stop>();
    let jobs = Jobs::builder(store.clone()).state(told).register::<Probe>().start().unwrap();
    let id = jobs.submit(Probe { waits: false }).await.unwrap().id();
    sleep(500 * MS).await;
    assert_eq!(store.job(id).await.unwrap().unwrap().state, JobState::Running);
    let report = jobs.shutdown(Drain::default()).await;
    assert_eq!((report.running, report.unsettled), (0, 0));
    let record = store.job(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempts), (JobState::Pending, 0));
}

#[tokio::test(start_paused = true)]
async fn a_job_hears_that_its_lease_is_over_before_another_has_it() {
    const LEASE: Duration = Duration::from_secs(8);
    let store = Faulty::default();
    let (told, mut stops) = mpsc::unbounded_channel::<Stop>();
    let jobs = Jobs::builder(store.clone()).lease(LEASE).state(told).register::<Probe>().start().unwrap();
    jobs.submit(Probe { waits: true }).await.unwrap();
    sleep(Duration::from_millis(20_500)).await;
    assert!(stops.try_recv().is_err(), "it has its lease");
    store.swallows_beats.store(true, Ordering::SeqCst);
    let began = Instant::now();
    assert_eq!(stops.recv().await, Some(Stop::LeaseLost));
    assert!(began.elapsed() <= LEASE, "{:?}", began.elapsed());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(jobs.stats().await.unwrap().leases_lost, 1, "one lease is lost once, though its end is refused too");
}

/// What ended an attempt is counted and told, also if the answer of the store was lost on its way.
#[tokio::test(start_paused = true)]
async fn an_end_whose_answer_was_lost_is_counted() {
    let store = Faulty::default();
    let (told, _stops) = mpsc::unbounded_channel::<Stop>();
    let jobs = Jobs::builder(store.clone()).state(told).register::<Probe>().start().unwrap();
    let mut events = jobs.events();
    store.loses_an_answer.store(true, Ordering::SeqCst);
    jobs.submit(Probe { waits: false }).await.unwrap().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    let stats = jobs.stats().await.unwrap();
    assert_eq!((stats.completed, stats.leases_lost, stats.settle_retries), (1, 0, 1));
    let ended = std::iter::from_fn(|| events.try_recv().ok()).filter(|event| matches!(event, JobEvent::Ended { .. }));
    assert_eq!(ended.count(), 1);
}

/// An outage is told once, and so is its end; the ends of jobs are kept meanwhile.
#[tokio::test(start_paused = true)]
async fn an_outage_is_told_and_outlived() {
    let store = Faulty::default();
    store.drops_completions.store(true, Ordering::SeqCst);
    let (told, _stops) = mpsc::unbounded_channel::<Stop>();
    let jobs = Jobs::builder(store.clone()).state(told).register::<Probe>().start().unwrap();
    let mut events = jobs.events();
    let handle = jobs.submit(Probe { waits: false }).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(handle.status().await.unwrap().state, JobState::Running);
    store.drops_completions.store(false, Ordering::SeqCst);
    let began = Instant::now();
    handle.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let stats = jobs.stats().await.unwrap();
    assert!(stats.store_up && stats.settle_retries > 1 && stats.settle_lost == 0, "{stats:?}");
    let events: Vec<JobEvent> = std::iter::from_fn(|| events.try_recv().ok()).collect();
    assert!(
        matches!(&events.iter().find(|event| matches!(event, JobEvent::StoreDown { .. })), Some(JobEvent::StoreDown { error }) if error.contains("no connection"))
    );
    assert!(events.iter().any(|event| matches!(event, JobEvent::StoreUp { .. })));
    assert_eq!(stats.completed, 1);
}

/// Nobody looks after a job for a runtime that is shut down.
#[tokio::test(start_paused = true)]
async fn who_waits_beyond_a_shutdown_is_told() {
    let store = MemoryStore::default();
    let jobs = Jobs::builder(store.clone()).workers(0).start().unwrap();
    let handle = jobs.submit(Probe { waits: true }).await.unwrap();
    let (end, ()) = tokio::join!(handle.wait(), async {
        sleep(MS).await;
        jobs.shutdown(Drain::default()).await;
    });
    assert!(matches!(end, Err(WaitError::Closed(id)) if id == handle.id()), "{end:?}");
    assert!(matches!(handle.wait().await, Err(WaitError::Closed(_))));
    assert_eq!(handle.status().await.unwrap().state, JobState::Pending);
}

/// However long the pauses between the looks at a large set are.
#[tokio::test(start_paused = true)]
async fn who_watches_a_set_beyond_a_shutdown_is_told() {
    let store = Faulty::default();
    store.slow_looks.store(true, Ordering::SeqCst);
    let jobs = Jobs::builder(store).workers(0).start().unwrap();
    let mut batch = jobs.batch();
    batch.add(jobs.submit(Probe { waits: true })).unwrap();
    let mut progress = batch.submit().await.unwrap().progress();
    assert_eq!(progress.next().await.unwrap().left(), 1);
    let began = Instant::now();
    let (end, ()) = tokio::join!(progress.next(), async {
        sleep(Duration::from_secs(15)).await;
        jobs.shutdown(Drain::default()).await;
    });
    assert_eq!(end, None);
    // It was told in a pause, and had a last look.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_a_sign_of_life_of_its_own() {
    let store = Faulty::default();
    let (told, _stops) = mpsc::unbounded_channel::<Stop>();
    let jobs = Jobs::builder(store.clone()).workers(1).state(told).register::<Probe>().start().unwrap();
    let began = Instant::now();
    for _ in 0..50 {
        let job = jobs.submit(Probe { waits: false }).await.unwrap();
        job.result().await.unwrap();
        sleep(10 * MS).await;
    }
    // The first one says who is there; then one where work still ran at a look, and one per quarter of a lease.
    let looks = began.elapsed().as_millis() / 250 + 2;
    let beats = u128::try_from(store.beats.load(Ordering::SeqCst)).unwrap();
    assert!((1..=looks).contains(&beats), "{beats} signs of life in {:?}", began.elapsed());
}
