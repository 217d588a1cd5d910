use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use taskito_core::{Job, NewJob, SqliteStorage, Storage as _, StorageBackend, Worker, WorkerHandle, now_millis};
use tempfile::TempDir;

use crate::Fail;
use crate::gauge::{Gauge, ran};

struct Taskito {
    storage: Arc<StorageBackend>,
    worker: Mutex<Option<WorkerHandle>>,
    _folder: TempDir,
}

fn job(stamp: u64) -> NewJob {
    NewJob {
        queue: "default".to_owned(),
        task_name: "noop".to_owned(),
        payload: stamp.to_le_bytes().to_vec(),
        priority: 0,
        scheduled_at: now_millis(),
        max_retries: 3,
        timeout_ms: 30_000,
        unique_key: None,
        metadata: None,
        notes: None,
        depends_on: vec![],
        expires_at: None,
        result_ttl_ms: None,
        namespace: None,
    }
}

#[async_trait]
impl Gauge for Taskito {
    async fn put(&self, count: usize, stamp: u64) -> Result<(), Fail> {
        let storage = Arc::clone(&self.storage);
        // Its calls block, so that they are made where that is fine.
        let put = move || {
            if count == 1 {
                storage.enqueue(job(stamp)).map(drop)
            } else {
                storage.enqueue_batch((0..count).map(|_| job(stamp)).collect()).map(drop)
            }
        };
        tokio::task::spawn_blocking(put).await?.map_err(|error| error.to_string().into())
    }

    async fn start(&self) -> Result<(), Fail> {
        let worker = Worker::new(self.storage.as_ref().clone()).num_workers(20).register("noop", |job: &Job| {
            let stamp = job.payload.as_slice().try_into().map_or(0, u64::from_le_bytes);
            ran(stamp);
            Ok(None)
        });
        *self.worker.lock() = Some(worker.spawn().map_err(|error| error.to_string())?);
        Ok(())
    }

    async fn stop(&self) {
        let worker = self.worker.lock().take();
        let stop = move || worker.map(WorkerHandle::shutdown);
        drop(tokio::task::spawn_blocking(stop).await);
    }
}

pub(crate) fn sqlite() -> Result<Box<dyn Gauge>, Fail> {
    let folder = crate::gauge::folder()?;
    let path = folder.path().join("jobs.db");
    let path = path.to_str().ok_or("the path is no text")?;
    let storage = SqliteStorage::new(path).map_err(|error| error.to_string())?;
    let storage = Arc::new(StorageBackend::Sqlite(storage));
    Ok(Box::new(Taskito { storage, worker: Mutex::default(), _folder: folder }))
}
