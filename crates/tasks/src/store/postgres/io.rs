use std::future::Future;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::store::error::StoreError;
use crate::store::postgres::NAME;

/// A thread of the store's own that speaks with the server, so that whoever blocks the caller's runtime cannot starve
/// heartbeats.
#[derive(Debug)]
pub(super) struct Io {
    handle: Handle,
    /// What was asked for and is still done when the store goes.
    tracker: TaskTracker,
    /// Dropped or told, it ends the thread.
    stop: Mutex<Option<oneshot::Sender<()>>>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Io {
    pub(super) fn start() -> Result<Self, StoreError> {
        let failed = |error: std::io::Error| StoreError::backend(NAME, false, error);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (handle, tracker) = (runtime.handle().clone(), TaskTracker::new());
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel();
        let rest = tracker.clone();
        let work = move || {
            runtime.block_on(async {
                drop(stopped.await);
                rest.close();
                drop(timeout(REST, rest.wait()).await);
            });
            drop(end);
        };
        // It ends by itself when the store does; a join could wait for a server that hangs.
        std::thread::Builder::new().name("bedplate-jobs-pg".to_owned()).spawn(work).map(drop).map_err(failed)?;
        Ok(Self { handle, tracker, stop: Mutex::new(Some(stop)), ended: Mutex::new(Some(ended)) })
    }

    /// Does something on the thread; it goes on there if the caller goes away.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.tracker.is_closed() {
            return Err(StoreError::Closed);
        }
        self.tracker.spawn_on(work, &self.handle).await.map_err(|_| StoreError::Closed)?
    }

    /// Starts something on the thread, which goes on whatever becomes of the caller.
    pub(super) fn begin(&self, work: impl Future<Output = ()> + Send + 'static) -> Result<(), StoreError> {
        if self.tracker.is_closed() {
            return Err(StoreError::Closed);
        }
        drop(self.tracker.spawn_on(work, &self.handle));
        Ok(())
    }

    /// Starts what runs as long as the thread does.
    pub(super) fn background(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(work));
    }

    /// Ends the thread after what was asked for, and waits for that.
    pub(super) async fn close(&self) {
        self.tracker.close();
        drop(self.stop.lock().take());
        let ended = self.ended.lock().take();
        if let Some(ended) = ended {
            // It says nothing, it only ends.
            drop(ended.await);
        }
    }
}

/// How long what was asked for may take once the store is gone.
const REST: Duration = Duration::from_secs(5);
