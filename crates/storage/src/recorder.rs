//! Recording without waiting: a bounded queue, written in batches by one task.
//!
//! A request that waited for its own row would pay a commit each; a queue that grew without bound would trade that for
//! memory. So [`Recorder::record`] waits only while the queue is full, a batch is one transaction, a failed batch is
//! kept and tried again, and at the end [`Recorder::shutdown`] says what was written and what was not. Since records
//! are replaced by id, a batch whose outcome is unknown may be sent twice.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::{Interaction, StorageError, Store};

/// The settings of a [`Recorder`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RecorderConfig {
    /// How many interactions wait at most, 1 to 1,000,000, default 1,024. Each costs about 500 bytes; too few make
    /// requests wait for the disk, too many cost memory and time at shutdown.
    pub queue: usize,
    /// How many interactions one transaction takes at most, 1 to 10,000, default 256.
    pub batch: usize,
    /// How long a batch waits to fill, default 10 ms, at most 10 s. 0 writes each as it comes; too long delays what
    /// readers see.
    pub linger: Duration,
    /// How long after a failed batch it is tried again, default 100 ms, 1 ms to 60 s; doubled for each further failure, up
    /// to 5 s where it is not set longer.
    pub retry_delay: Duration,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self { queue: 1_024, batch: 256, linger: Duration::from_millis(10), retry_delay: Duration::from_millis(100) }
    }
}

impl RecorderConfig {
    fn validate(&self) -> Result<(), StorageError> {
        let invalid = |field, value: String, expected| Err(StorageError::Invalid { field, value, expected });
        if !(1..=1_000_000).contains(&self.queue) {
            return invalid("recorder.queue", self.queue.to_string(), "1 to 1000000 interactions");
        }
        if !(1..=10_000).contains(&self.batch) {
            return invalid("recorder.batch", self.batch.to_string(), "1 to 10000 interactions");
        }
        if self.linger > Duration::from_secs(10) {
            return invalid("recorder.linger", format!("{:?}", self.linger), "0 s to 10 s");
        }
        if !(Duration::from_millis(1)..=Duration::from_mins(1)).contains(&self.retry_delay) {
            return invalid("recorder.retry_delay", format!("{:?}", self.retry_delay), "1 ms to 60 s");
        }
        Ok(())
    }
}

/// What a [`Recorder`] did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecorderStats {
    /// Interactions taken from callers.
    pub accepted: u64,
    /// Interactions that are in the store.
    pub written: u64,
    /// Interactions the store refused for good, as for a value out of bounds.
    pub refused: u64,
    /// Batches that failed and were tried again.
    pub retries: u64,
}

/// How a [`Recorder`] ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RecorderReport {
    /// Interactions that are in the store.
    pub written: u64,
    /// Interactions that were accepted and are not in the store.
    pub lost: u64,
}

/// Writes interactions to a store in batches, from one task that this handle owns.
///
/// Dropping the recorder without [`shutdown`](Self::shutdown) ends its task at once: what it had not written is lost.
#[derive(Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Message>,
    capacity: usize,
    stats: Arc<Mutex<RecorderStats>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
enum Message {
    Record(Box<Interaction>),
    Flush(oneshot::Sender<()>),
    Close,
}

impl Recorder {
    /// Starts the writing task on the current tokio runtime.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for a setting out of bounds.
    ///
    /// # Panics
    /// If no tokio runtime with a timer is current.
    pub fn start(store: Arc<dyn Store>, config: RecorderConfig) -> Result<Self, StorageError> {
        config.validate()?;
        let capacity = config.queue;
        let (queue, messages) = mpsc::channel(capacity);
        let stats = Arc::<Mutex<RecorderStats>>::default();
        let writer =
            Writer { store, config, messages, stats: Arc::clone(&stats), batch: Vec::new(), flushes: Vec::new() };
        let task = tokio::spawn(writer.run());
        Ok(Self { queue, capacity, stats, task: Mutex::new(Some(task)) })
    }

    /// Queues an interaction, waiting while the queue is full.
    ///
    /// # Errors
    /// [`StorageError::Closed`] after [`shutdown`](Self::shutdown).
    ///
    /// # Cancel safety
    /// If the future is dropped before it is ready, the interaction was not queued.
    pub async fn record(&self, interaction: Interaction) -> Result<(), StorageError> {
        let slot = self.queue.reserve().await.map_err(|_| StorageError::Closed)?;
        self.stats.lock().accepted += 1;
        slot.send(Message::Record(Box::new(interaction)));
        Ok(())
    }

    /// Queues an interaction if there is room.
    ///
    /// # Errors
    /// [`StorageError::QueueFull`] without room, [`StorageError::Closed`] after [`shutdown`](Self::shutdown).
    pub fn try_record(&self, interaction: Interaction) -> Result<(), StorageError> {
        let slot = self.queue.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => StorageError::QueueFull { capacity: self.capacity },
            mpsc::error::TrySendError::Closed(()) => StorageError::Closed,
        })?;
        self.stats.lock().accepted += 1;
        slot.send(Message::Record(Box::new(interaction)));
        Ok(())
    }

    /// Waits until everything queued before this call is written or refused.
    ///
    /// # Errors
    /// [`StorageError::Closed`] after [`shutdown`](Self::shutdown).
    ///
    /// # Cancel safety
    /// The writing goes on if the future is dropped.
    pub async fn flush(&self) -> Result<(), StorageError> {
        let (done, written) = oneshot::channel();
        self.queue.send(Message::Flush(done)).await.map_err(|_| StorageError::Closed)?;
        written.await.map_err(|_| StorageError::Closed)
    }

    /// Returns what was done so far.
    #[must_use]
    pub fn stats(&self) -> RecorderStats {
        *self.stats.lock()
    }

    /// Takes no more, writes what is queued for at most `deadline`, and says what was lost. A second call reports the
    /// same and does nothing.
    ///
    /// # Cancel safety
    /// If the future is dropped, the writing task is ended; what it had not written is lost.
    pub async fn shutdown(&self, deadline: Duration) -> RecorderReport {
        let task = self.task.lock().take();
        if let Some(task) = task {
            let mut task = AbortOnDrop(task);
            let _in_time = timeout(deadline, async {
                if self.queue.send(Message::Close).await.is_ok() {
                    let _ended = (&mut task.0).await;
                }
            })
            .await;
        }
        let stats = self.stats();
        RecorderReport { written: stats.written, lost: stats.accepted - stats.written }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

struct Writer {
    store: Arc<dyn Store>,
    config: RecorderConfig,
    messages: mpsc::Receiver<Message>,
    stats: Arc<Mutex<RecorderStats>>,
    batch: Vec<Interaction>,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Writer {
    async fn run(mut self) {
        while let Some(first) = self.messages.recv().await {
            let mut closing = self.take(first);
            let full_at = Instant::now() + self.config.linger;
            while !closing && self.flushes.is_empty() && self.batch.len() < self.config.batch {
                match timeout_at(full_at, self.messages.recv()).await {
                    Ok(Some(message)) => closing = self.take(message),
                    Ok(None) | Err(_) => break,
                }
            }
            self.write().await;
            if closing {
                self.messages.close();
            }
        }
    }

    fn take(&mut self, message: Message) -> bool {
        match message {
            Message::Record(interaction) => self.batch.push(*interaction),
            Message::Flush(done) => self.flushes.push(done),
            Message::Close => return true,
        }
        false
    }

    /// Writes the batch, again and again while the store is out of reach; a row that no store takes is refused alone.
    async fn write(&mut self) {
        let mut delay = self.config.retry_delay;
        let mut rest = Vec::new();
        loop {
            if self.batch.is_empty() {
                self.batch = std::mem::take(&mut rest);
                if self.batch.is_empty() {
                    break;
                }
            }
            match self.store.record(&self.batch).await {
                Ok(()) => {
                    self.stats.lock().written += self.batch.len() as u64;
                    self.batch.clear();
                }
                Err(StorageError::Invalid { field, value, expected }) => {
                    tracing::warn!(field, value, expected, "an interaction was refused by the store");
                    let before = self.batch.len();
                    self.batch.retain(|one| one.validate().is_ok());
                    if self.batch.len() == before {
                        self.batch.clear();
                    }
                    self.stats.lock().refused += (before - self.batch.len()) as u64;
                }
                Err(StorageError::Closed) => {
                    tracing::error!(lost = self.batch.len(), "interactions cannot be written: the store is closed");
                    self.batch.clear();
                }
                Err(error) if !error.is_transient() => {
                    // One row is wrong, and nobody says which: the halves are tried by themselves.
                    if self.batch.len() == 1 {
                        tracing::error!(%error, "an interaction was refused by the database");
                        self.batch.clear();
                        self.stats.lock().refused += 1;
                    } else {
                        rest.extend(self.batch.split_off(self.batch.len() / 2));
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, waiting = self.batch.len(), "interactions could not be written yet");
                    self.stats.lock().retries += 1;
                    sleep(delay).await;
                    delay = (delay * 2).min(MAX_RETRY_DELAY).max(self.config.retry_delay);
                }
            }
        }
        for done in self.flushes.drain(..) {
            // Whoever asked may have gone.
            let _gone = done.send(());
        }
    }
}
