//! The engine below our PostgreSQL store, and apalis on PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use apalis::prelude::*;
use apalis_postgres::{Config, PgPool, PostgresStorage};
use async_trait::async_trait;
use graphile_worker::{
    IntoTaskHandlerResult, JobSpec, LocalQueueConfig, RawJobSpec, TaskHandler, Worker as Engine,
    WorkerContext as Context, WorkerOptions, WorkerUtils,
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::Fail;
use crate::gauge::{Gauge, ran, told};

#[derive(Debug, Serialize, Deserialize)]
struct Noop {
    ts: u64,
}

impl TaskHandler for Noop {
    const IDENTIFIER: &'static str = "noop";

    async fn run(self, _: Context) -> impl IntoTaskHandlerResult {
        ran(self.ts);
        Ok::<(), String>(())
    }
}

struct Graphile {
    worker: Arc<Engine>,
    utils: WorkerUtils,
    schema: String,
    running: Mutex<Option<JoinHandle<()>>>,
}

#[async_trait]
impl Gauge for Graphile {
    async fn put(&self, count: usize, stamp: u64) -> Result<(), Fail> {
        if count == 1 {
            self.utils.add_job(Noop { ts: stamp }, JobSpec::default()).await?;
            return Ok(());
        }
        let job = |_| RawJobSpec {
            identifier: "noop".into(),
            payload: serde_json::json!({ "ts": stamp }),
            spec: JobSpec::default(),
        };
        self.utils.add_raw_jobs(&(0..count).map(job).collect::<Vec<_>>()).await?;
        Ok(())
    }

    async fn start(&self) -> Result<(), Fail> {
        let worker = Arc::clone(&self.worker);
        *self.running.lock() = Some(tokio::spawn(async move { told("graphile", worker.run().await) }));
        Ok(())
    }

    async fn stop(&self) {
        self.worker.request_shutdown();
        let running = self.running.lock().take();
        if let Some(running) = running {
            drop(tokio::time::timeout(Duration::from_secs(5), running).await);
        }
        crate::drop_schemas(&[&self.schema]);
    }
}

/// As its documentation advises for throughput; without a local queue it runs 20 jobs per second here.
pub(crate) async fn graphile() -> Result<Box<dyn Gauge>, Fail> {
    graphile_ahead(500).await
}

/// With no more jobs in hand than can run, as ours: what a process takes ahead waits for it, and is lost to the others
/// until its recovery when it dies.
pub(crate) async fn graphile_20() -> Result<Box<dyn Gauge>, Fail> {
    graphile_ahead(20).await
}

/// With a local queue of so many jobs.
async fn graphile_ahead(jobs: usize) -> Result<Box<dyn Gauge>, Fail> {
    let schema = crate::schema("graphile");
    let options = WorkerOptions::default()
        .database_url(&crate::postgres_url()?)
        .schema(&schema)
        .concurrency(20)
        .local_queue(LocalQueueConfig::default().with_size(jobs))
        .complete_job_batch_delay(Duration::from_millis(5))
        .define_job::<Noop>();
    let worker = Arc::new(options.init().await?);
    let utils = worker.create_utils();
    Ok(Box::new(Graphile { worker, utils, schema, running: Mutex::default() }))
}

struct Apalis {
    pool: PgPool,
    queue: String,
    worker: Mutex<Option<JoinHandle<()>>>,
}

async fn noop(stamp: u64) -> Result<(), BoxDynError> {
    ran(stamp);
    Ok(())
}

impl Apalis {
    /// The settings that were fastest of those tried.
    fn storage(&self) -> PostgresStorage<u64> {
        PostgresStorage::new(&self.pool).with_config(Config::default().queue(&self.queue).batch_size(200))
    }
}

#[async_trait]
impl Gauge for Apalis {
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
        let storage = self.storage();
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
        self.pool.close().await;
        crate::drop_schemas(&["apalis"]);
    }
}

pub(crate) async fn apalis() -> Result<Box<dyn Gauge>, Fail> {
    let pool = PgPool::connect(&crate::postgres_url()?).await?;
    PostgresStorage::setup(&pool).await?;
    Ok(Box::new(Apalis { pool, queue: crate::schema("apalis"), worker: Mutex::default() }))
}
