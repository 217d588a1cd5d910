use std::collections::BTreeMap;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::id::TaskId;
use crate::job::definition::{Attempt, Job};
use crate::store::{Claim, JobProgress, Lease, NewJob};

/// Why a job is to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// Somebody cancelled it, for this reason.
    Cancelled(String),
    /// The attempt took longer than it may.
    TimedOut,
    /// Its deadline is over.
    DeadlineExceeded,
    /// Its lease was lost: another worker may run it already, and nothing that this one says counts any more.
    LeaseLost,
    /// The worker shuts down; the job goes back to the store and the attempt does not count.
    Shutdown,
}

/// The news that a job is to stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("job is to stop")]
#[non_exhaustive]
pub struct Stopped {
    /// Why.
    pub reason: Stop,
}

/// What one attempt is about, shared by its context and the worker.
#[derive(Debug)]
pub(crate) struct RunState {
    pub(crate) job: Arc<NewJob>,
    pub(crate) lease: Lease,
    pub(crate) attempt: u32,
    pub(crate) token: CancellationToken,
    reason: OnceLock<Stop>,
    /// When its time is over, once it has begun and if it ever is, and what it is told then.
    pub(crate) limit: OnceLock<(Instant, Stop)>,
    progress: Mutex<Reported>,
    blocking: Arc<Semaphore>,
    pub(crate) threads: Arc<Threads>,
    runtime: Handle,
}

/// The threads on which an attempt's blocking work runs.
#[derive(Debug, Default)]
pub(crate) struct Threads {
    busy: AtomicUsize,
    freed: Notify,
}

impl Threads {
    pub(crate) fn busy(&self) -> usize {
        self.busy.load(Ordering::Acquire)
    }

    /// Waits until all have come back.
    pub(crate) async fn back(&self) {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.busy() == 0 {
                return;
            }
            freed.await;
        }
    }
}

/// Blocking work that has its thread; dropped when that comes back.
struct OnThread {
    threads: Arc<Threads>,
    slot: Option<OwnedSemaphorePermit>,
}

impl OnThread {
    fn enter(threads: &Arc<Threads>, slot: OwnedSemaphorePermit) -> Self {
        threads.busy.fetch_add(1, Ordering::Release);
        Self { threads: Arc::clone(threads), slot: Some(slot) }
    }
}

impl Drop for OnThread {
    fn drop(&mut self) {
        drop(self.slot.take());
        self.threads.busy.fetch_sub(1, Ordering::Release);
        self.threads.freed.notify_waiters();
    }
}

#[derive(Debug, Default)]
struct Reported {
    number: u64,
    value: Option<Vec<u8>>,
}

impl RunState {
    pub(crate) fn new(claim: &Claim, blocking: Arc<Semaphore>, runtime: Handle) -> Self {
        Self {
            job: Arc::clone(&claim.job),
            lease: claim.lease,
            attempt: claim.attempt,
            token: CancellationToken::new(),
            reason: OnceLock::new(),
            limit: OnceLock::new(),
            progress: Mutex::default(),
            blocking,
            threads: Arc::default(),
            runtime,
        }
    }

    /// Tells the work to stop; the first reason counts.
    pub(crate) fn stop(&self, reason: Stop) {
        // A later reason changes nothing.
        let _first = self.reason.set(reason);
        self.token.cancel();
    }

    pub(crate) fn stopped(&self) -> Option<&Stop> {
        self.reason.get()
    }

    fn report(&self, value: Vec<u8>) {
        let mut progress = self.progress.lock();
        progress.number += 1;
        progress.value = Some(value);
    }

    /// Takes the report that was not passed on yet.
    pub(crate) fn take_report(&self) -> Option<JobProgress> {
        let mut progress = self.progress.lock();
        let value = progress.value.take()?;
        Some(JobProgress::new(self.attempt, progress.number, value))
    }

    pub(crate) fn attempt(&self) -> Attempt {
        Attempt { id: self.job.id, number: self.attempt, most: self.job.max_attempts }
    }
}

/// What a running job knows of itself, and how it speaks to those who wait for it.
///
/// A clone may be moved into whatever the job starts.
pub struct JobContext<J: Job> {
    run: Arc<RunState>,
    state: J::State,
}

impl<J: Job> JobContext<J> {
    pub(crate) const fn new(run: Arc<RunState>, state: J::State) -> Self {
        Self { run, state }
    }

    /// Returns the job's id, the same in every attempt.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.run.job.id
    }

    /// Returns which attempt it is.
    #[must_use]
    pub fn attempt(&self) -> Attempt {
        self.run.attempt()
    }

    /// Returns the queue it came from.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.run.job.queue
    }

    /// Returns what went along with the job.
    #[must_use]
    pub fn headers(&self) -> &BTreeMap<String, String> {
        &self.run.job.headers
    }

    /// Returns what the job shares with the application.
    #[must_use]
    pub const fn state(&self) -> &J::State {
        &self.state
    }

    /// Reports how far the work has come.
    ///
    /// Cheap: only the latest report is kept, and passed on at most four times a second. One that cannot be written as
    /// JSON is left out.
    pub fn progress(&self, progress: &J::Progress) {
        match serde_json::to_vec(progress) {
            Ok(value) => self.run.report(value),
            Err(error) => tracing::debug!(job.id = %self.id(), %error, "a progress report is no JSON"),
        }
    }

    /// Says whether the work is to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.run.token.is_cancelled()
    }

    /// Fails once the work is to stop; blocking work calls it in its loop.
    ///
    /// # Errors
    /// Returns [`Stopped`], which tells why.
    pub fn check(&self) -> Result<(), Stopped> {
        match self.run.stopped() {
            Some(reason) => Err(Stopped { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Waits until the work is to stop.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn stopped(&self) -> Stop {
        self.run.token.cancelled().await;
        self.run.stopped().cloned().unwrap_or(Stop::Shutdown)
    }

    /// Runs blocking or processor-bound work on a thread of the bounded pool for such work.
    ///
    /// It cannot be stopped from outside: it is to call [`check`](Self::check) of a clone of this context in its loops.
    /// A panic goes on in the caller.
    ///
    /// # Errors
    /// Returns [`Stopped`] if the job is to stop before a thread is free.
    ///
    /// # Cancel safety
    /// Dropped while it waits for a thread, nothing has begun. Dropped later, the work goes on: the attempt of a job that
    /// was told to stop ends when its threads have come back, or is called stuck after
    /// [`stuck_after`](crate::JobsConfig::stuck_after).
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Stopped> {
        let slot = {
            let wait = std::pin::pin!(Arc::clone(&self.run.blocking).acquire_owned());
            let stop = std::pin::pin!(self.run.token.cancelled());
            match futures_util::future::select(wait, stop).await {
                futures_util::future::Either::Left((Ok(slot), _)) => slot,
                _ => return Err(Stopped { reason: self.run.stopped().cloned().unwrap_or(Stop::Shutdown) }),
            }
        };
        let here = OnThread::enter(&self.run.threads, slot);
        let work = self.run.runtime.spawn_blocking(move || {
            let answer = work();
            drop(here);
            answer
        });
        match work.await {
            Ok(answer) => Ok(answer),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // The runtime ends.
                Err(_) => Err(Stopped { reason: Stop::Shutdown }),
            },
        }
    }
}

impl<J: Job> Clone for JobContext<J> {
    fn clone(&self) -> Self {
        Self { run: Arc::clone(&self.run), state: self.state.clone() }
    }
}

impl<J: Job> fmt::Debug for JobContext<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("id", &self.id())
            .field("kind", &J::KIND)
            .field("attempt", &self.run.attempt)
            .field("stopped", &self.run.stopped())
            .finish_non_exhaustive()
    }
}
