//! A store in memory that fails on demand, and what a runtime makes of it.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bedplate_tasks::store::{
    Beat, Capabilities, Claim, ClaimRequest, End, Enqueued, JobQuery, JobRecord, JobState, JobStore, LeaseState,
    Maintained, MemoryStore, NewJob, Settled, Settlement, Signal, StoreControl, StoreError, StoreStats, WorkerInfo,
};
use bedplate_tasks::{Drain, Job, JobContext, Jobs, Stop, TaskId};
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
        self.inner.settle(ends).await
    }

    async fn job(&self, id: TaskId) -> Result<Option<JobRecord>, StoreError> {
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
