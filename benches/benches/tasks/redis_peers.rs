//! The engine below our Redis store, and apalis on Redis.

use std::sync::Arc;

use apalis::prelude::*;
use apalis_redis::{Config, RedisStorage};
use async_trait::async_trait;
use bullmq::worker::{CancellationToken, ProcessorFn};
use bullmq::{BulkJob, Job, Queue, QueueOptions, Worker as Engine, WorkerOptions};
use parking_lot::Mutex;
use tokio::task::JoinHandle;

use crate::Fail;
use crate::gauge::{Gauge, ran, told};

/// Where jobs are whose names nobody else uses.
fn name(what: &str) -> String {
    format!("bench_{what}_{}_{}", std::process::id(), crate::gauge::stamp())
}

struct Bullmq {
    url: String,
    name: String,
    queue: Queue,
    worker: tokio::sync::Mutex<Option<Engine>>,
}

#[async_trait]
impl Gauge for Bullmq {
    async fn put(&self, count: usize, stamp: u64) -> Result<(), Fail> {
        let data = serde_json::json!({ "ts": stamp });
        if count == 1 {
            self.queue.add("noop", data).await?;
        } else {
            self.queue.add_bulk((0..count).map(|_| BulkJob::new("noop", data.clone())).collect()).await?;
        }
        Ok(())
    }

    async fn start(&self) -> Result<(), Fail> {
        let processor: ProcessorFn = Arc::new(|job: Job, _: CancellationToken| {
            Box::pin(async move {
                ran(job.data().get("ts").and_then(serde_json::Value::as_u64).unwrap_or(0));
                Ok(serde_json::Value::Null)
            })
        });
        let mut options = WorkerOptions { concurrency: 20, ..WorkerOptions::default() };
        options.connection.url.clone_from(&self.url);
        *self.worker.lock().await = Some(Engine::with_options(&self.name, processor, options).await?);
        Ok(())
    }

    async fn stop(&self) {
        if let Some(worker) = self.worker.lock().await.take() {
            drop(worker.close(2_000).await);
        }
        drop(self.queue.obliterate(true, 1_000_000).await);
    }
}

pub(crate) async fn bullmq() -> Result<Box<dyn Gauge>, Fail> {
    let (url, name) = (crate::redis_url()?, name("bullmq"));
    let mut options = QueueOptions::default();
    options.connection.url.clone_from(&url);
    let queue = Queue::with_options(&name, options).await?;
    Ok(Box::new(Bullmq { url, name, queue, worker: tokio::sync::Mutex::default() }))
}

struct Apalis {
    storage: RedisStorage<u64>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

async fn noop(stamp: u64) -> Result<(), BoxDynError> {
    ran(stamp);
    Ok(())
}

#[async_trait]
impl Gauge for Apalis {
    async fn put(&self, count: usize, stamp: u64) -> Result<(), Fail> {
        let mut storage = self.storage.clone();
        if count == 1 {
            storage.push(stamp).await.map_err(|error| error.to_string())?;
        } else {
            storage.push_bulk(vec![stamp; count]).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn start(&self) -> Result<(), Fail> {
        let storage = self.storage.clone();
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

pub(crate) async fn apalis() -> Result<Box<dyn Gauge>, Fail> {
    let connection = apalis_redis::connect(crate::redis_url()?).await?;
    let config = Config::default().queue(name("apalis")).batch_size(200);
    Ok(Box::new(Apalis { storage: RedisStorage::new(connection).with_config(config), worker: Mutex::default() }))
}
