//! effectum under the measurements of `benches/tasks`, which starts this program and reads the figures of one round from
//! its output.

#[path = "../../benches/tasks/gauge.rs"]
mod gauge;
#[path = "../../benches/tasks/measure.rs"]
#[expect(dead_code, reason = "the figures are compared where this program is started from")]
mod measure;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use effectum::{Job, JobRunner, Queue, RunningJob, Worker};
use gauge::{Gauge, ran};
use measure::{Scale, measure};
use tempfile::TempDir;
use tokio::sync::Mutex;

type Fail = Box<dyn Error + Send + Sync>;

struct Effectum {
    queue: Queue,
    worker: Mutex<Option<Worker>>,
    _folder: TempDir,
}

fn job(stamp: u64) -> Result<Job, Fail> {
    Ok(Job::builder("noop").json_payload(&stamp)?.build())
}

async fn noop(job: RunningJob, _: Arc<()>) -> Result<(), Fail> {
    ran(job.json_payload()?);
    Ok(())
}

#[async_trait]
impl Gauge for Effectum {
    async fn put(&self, count: usize, stamp: u64) -> Result<(), Fail> {
        if count == 1 {
            self.queue.add_job(job(stamp)?).await?;
        } else {
            self.queue.add_jobs((0..count).map(|_| job(stamp)).collect::<Result<_, _>>()?).await?;
        }
        Ok(())
    }

    async fn start(&self) -> Result<(), Fail> {
        let noop = JobRunner::builder("noop", noop).build();
        let worker = Worker::builder(&self.queue, Arc::new(())).max_concurrency(20).jobs([noop]).build().await?;
        *self.worker.lock().await = Some(worker);
        Ok(())
    }

    async fn stop(&self) {
        if let Some(worker) = self.worker.lock().await.take() {
            gauge::told("effectum", worker.unregister(Some(Duration::from_secs(5))).await);
        }
        gauge::told("effectum", self.queue.close(Duration::from_secs(5)).await);
    }
}

#[tokio::main]
async fn main() -> Result<(), Fail> {
    let folder = gauge::folder()?;
    let queue = Queue::new(&folder.path().join("jobs.db")).await?;
    let scale = Scale::disk(std::env::args().any(|arg| arg == "--smoke"));
    let measured = measure(Box::new(Effectum { queue, worker: Mutex::default(), _folder: folder }), &scale).await?;
    println!("{}", measured.all().map(|figure| figure.to_string()).join(" "));
    Ok(())
}
