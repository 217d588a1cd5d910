use std::sync::OnceLock;

use async_trait::async_trait;
use bedplate_tasks::store::{Durability, MemoryConfig, MemoryStore, PostgresStore, RedisStore, SqliteStore};
use bedplate_tasks::{Drain, Job, JobContext, JobOptions, Jobs, JobsBuilder, Task, TaskPool};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::Fail;
use crate::gauge::{Gauge, ran};

#[derive(Serialize, Deserialize)]
struct Noop {
    ts: u64,
}

impl Job for Noop {
    const KIND: &'static str = "noop";
    type Output = ();
    type Error = String;
    type Progress = ();
    type State = ();

    fn options() -> JobOptions {
        JobOptions::new().max_attempts(3)
    }

    async fn run(self, _: JobContext<Self>) -> Result<(), String> {
        ran(self.ts);
        Ok(())
    }
}

/// Typed jobs on some store: one runtime submits, another works.
struct Typed {
    submits: Jobs,
    works: OnceLock<Jobs>,
    folder: Option<TempDir>,
    schemas: Vec<String>,
}

impl Typed {
    fn new(submits: Jobs, folder: Option<TempDir>) -> Self {
        Self { submits, works: OnceLock::new(), folder, schemas: Vec::new() }
    }

    fn worker(&self) -> JobsBuilder {
        Jobs::with_store(std::sync::Arc::clone(self.submits.store())).workers(20).register::<Noop>()
    }
}

#[async_trait]
impl Gauge for Typed {
    async fn put(&self, count: usize, stamp: u64) -> Result<(), Fail> {
        if count == 1 {
            self.submits.submit(Noop { ts: stamp }).await?;
        } else {
            self.submits.submit_many((0..count).map(|_| Noop { ts: stamp })).await?;
        }
        Ok(())
    }

    async fn start(&self) -> Result<(), Fail> {
        self.works.set(self.worker().start()?).map_err(|_| "started twice")?;
        Ok(())
    }

    async fn stop(&self) {
        if let Some(works) = self.works.get() {
            works.shutdown(Drain::default()).await;
        }
        self.submits.shutdown(Drain::default()).await;
        // The folder goes with the subject.
        let _ = &self.folder;
        if !self.schemas.is_empty() {
            crate::drop_schemas(&self.schemas.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

pub(crate) fn memory() -> Result<Box<dyn Gauge>, Fail> {
    let store = MemoryStore::new(MemoryConfig::default().capacity(1_000_000).remember(1_000_000))?;
    Ok(Box::new(Typed::new(Jobs::builder(store).workers(0).start()?, None)))
}

pub(crate) async fn sqlite_full() -> Result<Box<dyn Gauge>, Fail> {
    sqlite(Durability::Full).await
}

pub(crate) async fn sqlite_normal() -> Result<Box<dyn Gauge>, Fail> {
    sqlite(Durability::Normal).await
}

async fn sqlite(durability: Durability) -> Result<Box<dyn Gauge>, Fail> {
    let folder = crate::gauge::folder()?;
    let store = SqliteStore::builder(folder.path().join("jobs.db")).durability(durability).open().await?;
    Ok(Box::new(Typed::new(Jobs::builder(store).workers(0).start()?, Some(folder))))
}

pub(crate) async fn redis() -> Result<Box<dyn Gauge>, Fail> {
    let prefix = format!("bench_{}_{}", std::process::id(), crate::gauge::stamp());
    let store = RedisStore::builder(crate::redis_url()?).prefix(prefix).connect().await?;
    Ok(Box::new(Typed::new(Jobs::builder(store).workers(0).start()?, None)))
}

pub(crate) async fn postgres() -> Result<Box<dyn Gauge>, Fail> {
    let schema = crate::schema("ours");
    let engine = format!("{schema}_engine");
    let store = PostgresStore::builder(crate::postgres_url()?).schema(&schema).engine_schema(&engine).connect().await?;
    let mut typed = Typed::new(Jobs::builder(store).workers(0).start()?, None);
    typed.schemas = vec![schema, engine];
    Ok(Box::new(typed))
}

/// Closures on the pool: they wait at a gate until the workers are to start.
struct Pool {
    pool: TaskPool,
    gate: std::sync::Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    open: std::sync::atomic::AtomicBool,
    opened: Notify,
}

impl Gate {
    async fn pass(&self) {
        while !self.open.load(std::sync::atomic::Ordering::Acquire) {
            let opened = self.opened.notified();
            if !self.open.load(std::sync::atomic::Ordering::Acquire) {
                opened.await;
            }
        }
    }
}

#[async_trait]
impl Gauge for Pool {
    async fn put(&self, count: usize, stamp: u64) -> Result<(), Fail> {
        for _ in 0..count {
            let gate = std::sync::Arc::clone(&self.gate);
            let task = Task::new("noop", move |_| async move {
                gate.pass().await;
                ran(stamp);
                Ok::<(), String>(())
            });
            drop(self.pool.try_submit(task).map_err(|error| error.to_string())?);
        }
        Ok(())
    }

    async fn start(&self) -> Result<(), Fail> {
        self.gate.open.store(true, std::sync::atomic::Ordering::Release);
        self.gate.opened.notify_waiters();
        Ok(())
    }

    async fn stop(&self) {
        self.pool.shutdown(std::time::Duration::from_secs(5)).await;
    }
}

pub(crate) fn pool() -> Result<Box<dyn Gauge>, Fail> {
    let pool = TaskPool::builder("bench").workers(20).queue(1_000_000).build()?;
    Ok(Box::new(Pool { pool, gate: std::sync::Arc::default() }))
}
