use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::store::error::StoreError;
use crate::store::sqlite::store::SqliteStore;

/// What survives when the power fails. Whatever a process was told survives its own death in both cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// The last commits may be lost with the power; the file stays whole. No call waits for the disk.
    Normal,
    /// What a call was answered to is on the disk (`synchronous=FULL`): jobs taken in, and ends of jobs. Claims are not,
    /// since a lost claim is a job that waits again.
    #[default]
    Full,
}

/// Sets up a [`SqliteStore`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `open`"]
pub struct SqliteBuilder {
    pub(super) path: PathBuf,
    pub(super) durability: Durability,
    pub(super) age_after: Duration,
    pub(super) capacity: u64,
    pub(super) clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl SqliteBuilder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            durability: Durability::default(),
            age_after: Duration::from_secs(30),
            capacity: 10_000_000,
            clock: Arc::new(wall_clock),
        }
    }

    /// Sets what survives when the power fails; default everything.
    pub const fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how long a job waits until that is worth one priority; default 30 s, zero means that priorities are strict.
    /// All processes must agree.
    pub const fn age_after(mut self, time: Duration) -> Self {
        self.age_after = time;
        self
    }

    /// Sets how many jobs may wait; at least 1, default 10 million.
    pub const fn capacity(mut self, jobs: u64) -> Self {
        self.capacity = jobs;
        self
    }

    /// Tells the store the time by this instead of the system's clock.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Opens the file, making it if it is not there, readable by its owner alone.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if it is no file of this store, of a newer version, on a file system that cannot share
    /// memory, or if a setting cannot be; [`StoreError::Backend`] if it cannot be opened or is no database.
    pub async fn open(self) -> Result<SqliteStore, StoreError> {
        if self.capacity == 0 {
            return Err(StoreError::invalid("capacity", 0, "at least 1"));
        }
        if self.path.as_os_str().is_empty() || self.path.to_str() == Some(":memory:") {
            return Err(StoreError::invalid("path", self.path.display(), "a file; MemoryStore is for memory"));
        }
        let open = tokio::task::spawn_blocking(move || SqliteStore::open_blocking(self));
        open.await.unwrap_or(Err(StoreError::Closed))
    }
}

fn wall_clock() -> SystemTime {
    #[expect(clippy::disallowed_methods, reason = "the clock that all processes of a host share")]
    SystemTime::now()
}

impl std::fmt::Debug for SqliteBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteBuilder")
            .field("path", &self.path)
            .field("durability", &self.durability)
            .field("age_after", &self.age_after)
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
