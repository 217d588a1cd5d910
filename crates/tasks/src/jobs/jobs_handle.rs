use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::time::{Instant, timeout};

use crate::id::TaskId;
use crate::job::{Job, Stop};
use crate::jobs::batch::Batch;
use crate::jobs::builder::JobsBuilder;
use crate::jobs::core::Core;
use crate::jobs::error::{EnqueueError, WaitError};
use crate::jobs::event::JobEvent;
use crate::jobs::handle::{JobHandle, cancel};
use crate::jobs::shutdown::{Drain, DrainReport};
use crate::jobs::stats::JobsStats;
use crate::jobs::submit::{Submit, enqueue};
use crate::jobs::worker::Engine;
use crate::store::{Capabilities, JobQuery, JobRecord, JobState, NewJob, Store, StoreError, WorkerInfo};

/// Typed jobs on a store: submits them, waits for them, and works on those whose kinds it was told.
///
/// A clone is a handle to the same runtime. When the last one is dropped without [`shutdown`](Self::shutdown), jobs that
/// run are told to stop and go back to the store, which takes as long as their grace at most.
#[derive(Clone)]
pub struct Jobs {
    core: Arc<Core>,
    life: Arc<Life>,
}

struct Life {
    core: Arc<Core>,
    engine: Option<Engine>,
}

impl Jobs {
    /// Sets up a runtime on this store.
    pub fn builder(store: impl Store + 'static) -> JobsBuilder {
        JobsBuilder::new(Arc::new(store))
    }

    /// Sets up a runtime on a store that others use too.
    pub fn with_store(store: Arc<dyn Store>) -> JobsBuilder {
        JobsBuilder::new(store)
    }

    pub(crate) fn new(core: Arc<Core>, engine: Option<Engine>) -> Self {
        let life = Arc::new(Life { core: Arc::clone(&core), engine });
        Self { core, life }
    }

    /// Submits a job; awaited it is in the store, waiting for room there if need be.
    ///
    /// # Examples
    /// See [`Job`].
    pub fn submit<J: Job>(&self, job: J) -> Submit<J> {
        Submit::new(&self.core, job, true)
    }

    /// Submits a job; awaited it is in the store, or refused if there is no room.
    pub fn try_submit<J: Job>(&self, job: J) -> Submit<J> {
        Submit::new(&self.core, job, false)
    }

    /// Submits many jobs at once, all or none; far faster than one by one.
    ///
    /// # Errors
    /// [`EnqueueError`] for the first that cannot be.
    pub async fn submit_many<J: Job>(
        &self,
        jobs: impl IntoIterator<Item = J> + Send,
    ) -> Result<Vec<JobHandle<J>>, EnqueueError> {
        let jobs: Result<Vec<NewJob>, EnqueueError> = jobs.into_iter().map(|job| self.submit(job).prepare()).collect();
        let answers = enqueue(&self.core, jobs?, true).await?;
        let handle = |id, duplicate| JobHandle::new(Arc::clone(&self.core), id, duplicate);
        Ok(answers.into_iter().map(|answer| handle(answer.id(), answer.is_duplicate())).collect())
    }

    /// Begins a set of jobs that may wait for each other and are submitted together.
    pub fn batch(&self) -> Batch {
        Batch::new(&self.core)
    }

    /// Returns a handle to a job of the store, whichever process submitted it.
    ///
    /// That it is of this kind is seen when the job is read: if not, waiting for it and asking for its status fail with
    /// [`WaitError::OtherKind`]. Giving it up does not read it.
    pub fn handle<J: Job>(&self, id: TaskId) -> JobHandle<J> {
        JobHandle::new(Arc::clone(&self.core), id, false)
    }

    /// Gives a job up, whatever its kind; see [`JobHandle::cancel`].
    ///
    /// # Errors
    /// [`WaitError::Expired`] if the store does not know it any more, [`WaitError::Store`] if that fails.
    pub async fn cancel(&self, id: TaskId, reason: &str) -> Result<JobState, WaitError> {
        cancel(&self.core, id, reason).await
    }

    /// Lists jobs in the order of their ids.
    ///
    /// # Errors
    /// Fails as the store does.
    pub async fn find(&self, query: &JobQuery) -> Result<Vec<JobRecord>, StoreError> {
        self.core.store.find(query).await
    }

    /// Takes dead letters up again, those that the query finds among the failed; returns how many.
    ///
    /// # Errors
    /// Fails as the store does.
    pub async fn replay(&self, query: JobQuery) -> Result<u64, StoreError> {
        let mut query = query.state(JobState::Failed);
        let mut replayed = 0;
        loop {
            let page = self.core.store.find(&query).await?;
            let ids: Vec<TaskId> = page.iter().map(|record| record.job.id).collect();
            let Some(last) = ids.last().copied() else { return Ok(replayed) };
            replayed += self.core.store.replay(&ids).await?;
            query = query.after(last);
        }
    }

    /// Gives out no jobs of this queue any more, in all processes; those that run go on.
    ///
    /// # Errors
    /// Fails as the store does.
    pub async fn pause(&self, queue: &str) -> Result<(), StoreError> {
        self.core.store.set_paused(queue, true).await
    }

    /// Gives out jobs of this queue again.
    ///
    /// # Errors
    /// Fails as the store does.
    pub async fn resume(&self, queue: &str) -> Result<(), StoreError> {
        self.core.store.set_paused(queue, false).await
    }

    /// Returns what the store holds and what this process has done.
    ///
    /// # Errors
    /// Fails as the store does.
    pub async fn stats(&self) -> Result<JobsStats, StoreError> {
        let answer = self.core.store.stats().await;
        self.core.note(&answer);
        let running = u64::try_from(self.core.running()).unwrap_or(u64::MAX);
        Ok(self.core.counters.snapshot(answer?, self.core.config.workers.into(), running, self.core.is_up()))
    }

    /// Lists the workers of all processes that gave a sign of life lately.
    ///
    /// # Errors
    /// Fails as the store does.
    pub async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        self.core.store.workers().await
    }

    /// Hears of what happens here from now on; a reader that falls behind misses some.
    pub fn events(&self) -> broadcast::Receiver<JobEvent> {
        self.core.events.subscribe()
    }

    /// Says what the store can do.
    pub fn capabilities(&self) -> Capabilities {
        self.core.store.capabilities()
    }

    #[cfg(feature = "testing")]
    pub(crate) fn codec(&self) -> &dyn crate::job::Codec {
        &*self.core.codec
    }

    /// Returns the store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.core.store
    }

    /// Runs what is due, one job after another, until nothing is; returns how many attempts that were.
    ///
    /// For a runtime that was started by [`JobsBuilder::start_manual`]; one with loops runs jobs by itself, and this
    /// does nothing.
    #[cfg(feature = "testing")]
    pub async fn run_due(&self) -> usize {
        crate::jobs::worker::run_due(&self.core).await
    }

    /// Stops working: begins no more jobs, lets those that run come to their end, tells the rest to stop when the soft
    /// time is over, and gives back what has not ended when the hard one is. Given back jobs cost no attempt.
    ///
    /// A second call finds nothing to do. Handles cannot wait for the store any more afterwards.
    ///
    /// # Cancel safety
    /// Dropped, no more jobs begin, and another call goes on from there.
    pub async fn shutdown(&self, drain: Drain) -> DrainReport {
        let core = &self.core;
        let began = Instant::now();
        core.stopping.cancel();
        let running = core.running();
        // A claim that is under way may still give jobs out, which go back at once.
        drop(timeout(core.config.poll.saturating_add(SLACK), core.fetched.cancelled()).await);
        let soft = timeout(drain.soft.saturating_sub(began.elapsed()), idle(core)).await.is_ok();
        let told = if soft { 0 } else { tell_all(core, &Stop::Shutdown) };
        let hard = Instant::now();
        if !soft {
            // What is dropped after its grace ends by itself; what blocks its thread does not.
            drop(timeout(drain.hard.min(core.config.grace.saturating_add(SLACK)), idle(core)).await);
        }
        let abandoned = core.under_way();
        drop(timeout(drain.hard.saturating_sub(hard.elapsed()).max(SLACK), settled(core)).await);
        core.stopped.cancel();
        core.beat_now.notify_one();
        core.settled.notify_waiters();
        core.waiters.wake_all();
        if let Some(engine) = &self.life.engine {
            drop(timeout(core.config.poll.saturating_add(drain.hard).max(SLACK), engine.ended()).await);
        }
        let unsettled = core.unsettled.load(Ordering::Relaxed);
        DrainReport { running, told, abandoned, unsettled, took: began.elapsed() }
    }
}

const SLACK: Duration = Duration::from_millis(500);

/// Waits until nothing runs.
async fn idle(core: &Core) {
    while core.running() > 0 {
        let settled = core.settled.notified();
        if core.running() > 0 {
            // Rings when an end was taken; looked at again meanwhile, since one may be kept.
            drop(timeout(Duration::from_millis(10), settled).await);
        }
    }
}

/// Waits until the store has taken every end.
async fn settled(core: &Core) {
    while core.unsettled.load(Ordering::Relaxed) > 0 {
        drop(timeout(Duration::from_millis(10), core.settled.notified()).await);
    }
}

fn tell_all(core: &Core, stop: &Stop) -> usize {
    let runs: Vec<_> = core.runs.lock().values().map(|run| Arc::clone(&run.state)).collect();
    for run in &runs {
        run.stop(stop.clone());
    }
    runs.len()
}

impl Drop for Life {
    fn drop(&mut self) {
        self.core.stopping.cancel();
        tell_all(&self.core, &Stop::Shutdown);
        self.core.dropped.store(true, Ordering::Relaxed);
        self.core.stopped.cancel();
        self.core.beat_now.notify_one();
        self.core.waiters.wake_all();
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jobs").field("core", &self.core).finish_non_exhaustive()
    }
}
