use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use crate::id::TaskId;
use crate::store::capabilities::Capabilities;
use crate::store::claim::{Beat, Claim, ClaimRequest, End, LeaseState, Settled};
use crate::store::contract::{JobStore, StoreControl};
use crate::store::control::{JobQuery, Maintained, StoreStats, WorkerInfo};
use crate::store::error::StoreError;
use crate::store::memory::board::Board;
use crate::store::memory::entry::Age;
use crate::store::new_job::{Enqueued, NewJob};
use crate::store::record::{JobRecord, JobState};
use crate::store::signal::Signal;
use crate::store::validate;
use crate::sync::Mutex;

/// The settings of a [`MemoryStore`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryConfig {
    /// How many jobs may wait; at least 1, default 100,000. Each costs some 700 bytes and its payload.
    pub capacity: usize,
    /// How many ended jobs are remembered at most, whatever their retention; default 100,000.
    pub remember: usize,
    /// How long a job waits until that is worth one priority; default 30 s, zero means that priorities are strict.
    pub age_after: Duration,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self { capacity: 100_000, remember: 100_000, age_after: Duration::from_secs(30) }
    }
}

impl MemoryConfig {
    /// Sets how many jobs may wait.
    #[must_use]
    pub const fn capacity(mut self, jobs: usize) -> Self {
        self.capacity = jobs;
        self
    }

    /// Sets how many ended jobs are remembered at most.
    #[must_use]
    pub const fn remember(mut self, jobs: usize) -> Self {
        self.remember = jobs;
        self
    }

    /// Sets how long a job waits until that is worth one priority.
    #[must_use]
    pub const fn age_after(mut self, time: Duration) -> Self {
        self.age_after = time;
        self
    }
}

/// Jobs in memory, bounded: nothing needs to be installed, nothing outlives the process.
///
/// Its clock is tokio's, so that paused time moves it. A clone is a handle to the same jobs.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use bedplate_tasks::store::{ClaimRequest, End, JobState, JobStore, MemoryStore, NewJob, Settlement};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::default();
/// let id = store.enqueue(vec![NewJob::new("greet.v1", b"\"world\"".to_vec())]).await?[0].id();
/// let claims = store.claim(&ClaimRequest::new("me", ["greet.v1"], 10, Duration::from_secs(10))).await?;
/// store.settle(&[End::new(claims[0].lease, Settlement::Completed(b"\"hello\"".to_vec()))]).await?;
/// assert_eq!(store.job(id).await?.map(|job| job.state), Some(JobState::Completed));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    board: Mutex<Board>,
    began: Instant,
    arrived: Notify,
    signals: broadcast::Sender<Signal>,
}

/// How many signals a slow reader may lag behind.
const SIGNALS: usize = 4_096;

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with(MemoryConfig::default())
    }
}

impl MemoryStore {
    /// Creates an empty store with these settings.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a capacity of zero.
    pub fn new(config: MemoryConfig) -> Result<Self, StoreError> {
        if config.capacity == 0 {
            return Err(StoreError::invalid("capacity", 0, "at least 1"));
        }
        Ok(Self::with(config))
    }

    fn with(config: MemoryConfig) -> Self {
        #[expect(clippy::disallowed_methods, reason = "anchors the records' times to the calendar, decides nothing")]
        let epoch = SystemTime::now();
        let board = Board::new(config.capacity, config.remember, config.age_after, epoch);
        let shared = Shared {
            board: Mutex::new(board),
            began: Instant::now(),
            arrived: Notify::new(),
            signals: broadcast::Sender::new(SIGNALS),
        };
        Self { shared: Arc::new(shared) }
    }

    fn now(&self) -> Age {
        self.shared.began.elapsed()
    }

    /// Does something under the lock, then tells whoever waits.
    fn change<T>(&self, work: impl FnOnce(&mut Board, Age) -> T) -> T {
        let (answer, news) = {
            let mut board = self.shared.board.lock();
            let answer = work(&mut board, self.now());
            (answer, board.news())
        };
        self.shared.arrived.notify_waiters();
        for id in news {
            self.tell(Signal::Ended(id));
        }
        answer
    }

    fn tell(&self, signal: Signal) {
        // Nobody listens: that is fine.
        drop(self.shared.signals.send(signal));
    }
}

#[async_trait]
impl JobStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::in_process("memory")
    }

    fn signals(&self) -> broadcast::Receiver<Signal> {
        self.shared.signals.subscribe()
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        validate::jobs(&jobs)?;
        self.change(|board, now| board.enqueue(now, jobs))
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        validate::claim(request)?;
        let until = Instant::now().checked_add(request.wait);
        loop {
            let arrived = self.shared.arrived.notified();
            let mut arrived = std::pin::pin!(arrived);
            arrived.as_mut().enable();
            let (claims, next, news) = {
                let mut board = self.shared.board.lock();
                let now = self.now();
                let claims = board.claim(now, request);
                (claims, board.next_due(now, request), board.news())
            };
            for id in news {
                self.tell(Signal::Ended(id));
            }
            if !claims.is_empty() || request.is_over(until) {
                return Ok(claims);
            }
            let next = next.and_then(|due| self.shared.began.checked_add(due));
            // The end of the wait and a job that is due are both reasons to look again.
            request.rest([until, next].into_iter().flatten().min(), arrived).await;
        }
    }

    async fn beat(&self, beat: &Beat) -> Result<Vec<LeaseState>, StoreError> {
        let (states, reported) = self.change(|board, now| {
            board.see(now, &beat.worker, beat.term.saturating_mul(3));
            let states = beat.leases.iter().map(|lease| board.extend(now, *lease, beat.term)).collect();
            let reported: Vec<TaskId> = beat
                .progress
                .iter()
                .filter(|(lease, progress)| board.report(*lease, progress))
                .map(|(lease, _)| lease.job)
                .collect();
            (states, reported)
        });
        for id in reported {
            self.tell(Signal::Progress(id));
        }
        Ok(states)
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>, StoreError> {
        let settle = |board: &mut Board, now| {
            ends.iter().map(|end| board.settle(now, end.lease, end.settlement.clone())).collect()
        };
        Ok(self.change(settle))
    }

    async fn job(&self, id: TaskId) -> Result<Option<JobRecord>, StoreError> {
        Ok(self.shared.board.lock().job(id))
    }
}

#[async_trait]
impl StoreControl for MemoryStore {
    async fn cancel(&self, id: TaskId, reason: &str) -> Result<JobState, StoreError> {
        let state = self.change(|board, now| board.cancel(now, id, reason))?;
        if state == JobState::Running {
            self.tell(Signal::Cancel(id));
        }
        Ok(state)
    }

    async fn find(&self, query: &JobQuery) -> Result<Vec<JobRecord>, StoreError> {
        Ok(self.shared.board.lock().find(query))
    }

    async fn replay(&self, ids: &[TaskId]) -> Result<u64, StoreError> {
        Ok(self.change(|board, now| board.replay(now, ids)))
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), StoreError> {
        self.change(|board, _| board.set_paused(queue, paused));
        Ok(())
    }

    async fn maintain(&self) -> Result<Maintained, StoreError> {
        Ok(self.change(Board::maintain))
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        Ok(self.change(Board::stats))
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        Ok(self.shared.board.lock().workers(self.now()))
    }
}
