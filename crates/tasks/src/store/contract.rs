use std::fmt;

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::id::TaskId;
use crate::store::capabilities::Capabilities;
use crate::store::claim::{Beat, Claim, ClaimRequest, End, LeaseState, Settled};
use crate::store::control::{JobQuery, Maintained, StoreStats, WorkerInfo};
use crate::store::error::StoreError;
use crate::store::new_job::{Enqueued, NewJob};
use crate::store::record::{JobRecord, JobState};
use crate::store::signal::Signal;

/// What producers and workers need of a store.
///
/// Times are the store's: leases, delays and windows are measured by its clock, never by a worker's. Lists are taken
/// whole or not at all, and answers stand in the order of what was asked.
#[async_trait]
pub trait JobStore: fmt::Debug + Send + Sync {
    /// Says what the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Hears of changes from now on; a reader that falls behind misses some.
    fn signals(&self) -> broadcast::Receiver<Signal>;

    /// Takes jobs in, all or none. An id or a unique key that is known already changes nothing and gives the known
    /// one's id, so that a repeated call is harmless; within one call the first counts.
    ///
    /// # Errors
    /// [`StoreError::Full`] if they do not all find room, [`StoreError::Invalid`] for what no job may be (also a
    /// dependency that is neither known nor before it in the call), [`StoreError::Unsupported`] for what the store
    /// lacks.
    ///
    /// # Cancel safety
    /// The jobs are in the store or not; calling again with the same ids tells.
    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError>;

    /// Claims jobs that are due, waiting for the first one as long as the request says ([`ClaimRequest::rest`], so that
    /// a worker that leaves is not held up); an empty list means there was none. The most urgent first, then the one that was due first; within the limits of their queues and keys, and
    /// none of a paused queue.
    ///
    /// A job whose cancel was asked for, or whose deadline is over, is not given out.
    ///
    /// # Errors
    /// Fails as the store does.
    ///
    /// # Cancel safety
    /// Jobs claimed by a call that was dropped come back when their lease is over, at the cost of an attempt.
    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError>;

    /// Prolongs leases and passes reports on. One that is over by the store's clock is lost, as in
    /// [`settle`](Self::settle). A report of a lease that is not held changes nothing, nor does an older
    /// one than is known.
    ///
    /// # Errors
    /// Fails as the store does; nothing is prolonged then.
    async fn beat(&self, beat: &Beat) -> Result<Vec<LeaseState>, StoreError>;

    /// Ends claims. Each end stands for itself: one whose lease is lost changes nothing and hinders no other. A lease is
    /// lost when its time is over by the store's clock, and not only once somebody has swept or taken the job: else
    /// what a late worker hears would depend on how often others sweep.
    ///
    /// # Errors
    /// Fails as the store does. Whether an end was taken is then not known; ending it again tells, since one that was
    /// taken answers [`Settled::LeaseLost`].
    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>, StoreError>;

    /// Returns what the store knows of a job, or `None` for one that it does not have (any more).
    ///
    /// # Errors
    /// Fails as the store does.
    async fn job(&self, id: TaskId) -> Result<Option<JobRecord>, StoreError>;
}

/// What operators and the sweep need of a store.
#[async_trait]
pub trait StoreControl: Send + Sync {
    /// Gives a job up: a waiting one ends at once; the holder of a running one is asked to end it, and the sweep ends it
    /// if the holder is gone. Returns the state in which it is now.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] for an id that the store does not have.
    async fn cancel(&self, id: TaskId, reason: &str) -> Result<JobState, StoreError>;

    /// Lists jobs in the order of their ids.
    ///
    /// # Errors
    /// Fails as the store does.
    async fn find(&self, query: &JobQuery) -> Result<Vec<JobRecord>, StoreError>;

    /// Takes jobs that failed or were cancelled up again, with all their attempts; returns how many there were. One whose
    /// unique key another one has taken meanwhile is left as it is.
    ///
    /// # Errors
    /// Fails as the store does.
    async fn replay(&self, ids: &[TaskId]) -> Result<u64, StoreError>;

    /// Gives out no jobs of this queue, or again; those that run are not touched.
    ///
    /// # Errors
    /// Fails as the store does.
    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), StoreError>;

    /// Sweeps: takes back leases that are over, fails what is overdue, forgets what was kept long enough. Any number of
    /// processes may do so at a time.
    ///
    /// # Errors
    /// Fails as the store does.
    async fn maintain(&self) -> Result<Maintained, StoreError>;

    /// Returns what the store holds.
    ///
    /// The numbers are exact, so that it may have to count: on PostgreSQL it reads an entry per job that is kept, some
    /// tenths of a second per million. Ask now and then, not for each scrape.
    ///
    /// # Errors
    /// Fails as the store does.
    async fn stats(&self) -> Result<StoreStats, StoreError>;

    /// Lists the workers that gave a sign of life lately.
    ///
    /// # Errors
    /// Fails as the store does.
    async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError>;
}

/// A whole store.
pub trait Store: JobStore + StoreControl {}

impl<S: JobStore + StoreControl + ?Sized> Store for S {}
