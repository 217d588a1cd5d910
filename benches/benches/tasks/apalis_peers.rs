use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::*;
use apalis_core::backend::memory::{MemorySink, MemoryStorageError};
use apalis_sqlite::{Config, SqlitePool, SqliteStorage};
use async_trait::async_trait;
use futures_channel::mpsc::UnboundedReceiver;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::Fail;
use crate::gauge::{Gauge, ran, told};

async fn noop(stamp: u64) -> Result<(), BoxDynError> {
    ran(stamp);
    Ok(())
}

/// One end takes in, the other gives to the worker.
struct Memory {
    storage: tokio::sync::Mutex<MemoryStorage<u64>>,
    other: Mutex<Option<MemoryStorage<u64>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
    /// The worker's storage asks its own sink whether it is ready, and ends if nobody could receive.
    _unused: UnboundedReceiver<Task<u64>>,
}

#[async_trait]
impl Gauge for Memory {
    async fn put(&self, count: usize, stamp: u64) -> Result<(), Fail> {
        let mut storage = self.storage.lock().await;
        if count == 1 {
            storage.push(stamp).await.map_err(|error| error.to_string())?;
        } else {
            storage.push_bulk(vec![stamp; count]).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn start(&self) -> Result<(), Fail> {
        let storage = self.other.lock().take().ok_or("started twice")?;
        *self.worker.lock() = Some(tokio::spawn(async move {
            let worker = WorkerBuilder::new("bench").backend(storage).concurrency(20).build(noop);
            told("apalis", worker.run().await);
        }));
        Ok(())
    }

    async fn stop(&self) {
        if let Some(worker) = self.worker.lock().take() {
            worker.abort();
        }
    }
}

pub(crate) fn memory() -> Box<dyn Gauge> {
    let (sender, receiver) = futures_channel::mpsc::unbounded();
    let sink = sender.sink_map_err(MemoryStorageError::from);
    let sink = MemorySink::new(Arc::new(futures_util::lock::Mutex::new(Box::new(sink) as Box<_>)));
    let storage = MemoryStorage::new_with(sink, stream::empty().boxed());
    // A sink of its own: a worker that shares the submitter's waits for its lock and misses the wake-up.
    let (own, unused) = futures_channel::mpsc::unbounded();
    let own = own.sink_map_err(MemoryStorageError::from);
    let own = MemorySink::new(Arc::new(futures_util::lock::Mutex::new(Box::new(own) as Box<_>)));
    let other = MemoryStorage::new_with(own, receiver.boxed());
    Box::new(Memory {
        storage: tokio::sync::Mutex::new(storage),
        other: Mutex::new(Some(other)),
        worker: Mutex::default(),
        _unused: unused,
    })
}

struct Sqlite {
    pool: SqlitePool,
    worker: Mutex<Option<JoinHandle<()>>>,
    _folder: TempDir,
}

impl Sqlite {
    /// The settings that were fastest of those tried: large batches, a short poll.
    fn storage(&self) -> SqliteStorage<u64> {
        SqliteStorage::new(&self.pool).with_config(Config::default().queue("bench").batch_size(200))
    }
}

#[async_trait]
impl Gauge for Sqlite {
    async fn put(&self, count: usize, stamp: u64) -> Result<(), Fail> {
        let mut storage = self.storage();
        if count == 1 {
            storage.push(stamp).await.map_err(|error| error.to_string())?;
        } else {
            storage.push_bulk(vec![stamp; count]).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn start(&self) -> Result<(), Fail> {
        let poll = Strategy::new().interval(Duration::from_millis(50));
        let storage = self.storage().poll_with_strategy(poll);
        *self.worker.lock() = Some(tokio::spawn(async move {
            let worker = WorkerBuilder::new("bench").backend(storage).concurrency(20).build(noop);
            told("apalis", worker.run().await);
        }));
        Ok(())
    }

    async fn stop(&self) {
        if let Some(worker) = self.worker.lock().take() {
            worker.abort();
        }
    }
}

pub(crate) async fn sqlite() -> Result<Box<dyn Gauge>, Fail> {
    let folder = crate::gauge::folder()?;
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("jobs.db").display());
    let pool = SqlitePool::connect(&url).await?;
    SqliteStorage::setup(&pool).await?;
    Ok(Box::new(Sqlite { pool, worker: Mutex::default(), _folder: folder }))
}
