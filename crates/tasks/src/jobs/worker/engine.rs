use std::future::Future;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::jobs::error::StartError;
use crate::jobs::worker::pulse::Pulse;

/// Where the loops run that talk to the store.
///
/// For durable stores that is a thread of its own: jobs that block every thread of the application's runtime must not
/// silence the signs of life. In memory it is the application's runtime, whose clock tests can stop, and a [`Pulse`].
#[derive(Debug)]
pub(crate) struct Engine {
    runtime: Handle,
    tracker: TaskTracker,
    end: CancellationToken,
    thread: Option<JoinHandle<()>>,
    /// Signs of life beside the loops.
    pub(crate) pulse: Option<Pulse>,
}

/// How long the loops of a runtime that was dropped may take to their end.
const LAST: Duration = Duration::from_mins(2);

impl Engine {
    /// Uses the application's runtime.
    pub(crate) fn ambient(runtime: Handle) -> Self {
        Self { runtime, tracker: TaskTracker::new(), end: CancellationToken::new(), thread: None, pulse: None }
    }

    /// Starts a thread with a runtime.
    pub(crate) fn thread() -> Result<Self, StartError> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(StartError::Thread)?;
        let (handle, end) = (runtime.handle().clone(), CancellationToken::new());
        let tracker = TaskTracker::new();
        let (over, loops) = (end.clone(), tracker.clone());
        let thread = std::thread::Builder::new()
            .name("bedplate-jobs".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    over.cancelled().await;
                    loops.close();
                    // They end by themselves, but for one whose store hangs.
                    drop(timeout(LAST, loops.wait()).await);
                });
            })
            .map_err(StartError::Thread)?;
        Ok(Self { runtime: handle, tracker, end, thread: Some(thread), pulse: None })
    }

    /// Runs a loop; whatever it logs belongs to the subscriber of whoever started it.
    pub(crate) fn run(&self, work: impl Future<Output = ()> + Send + 'static) {
        use tracing::instrument::WithSubscriber as _;
        self.tracker.spawn_on(work.with_current_subscriber(), &self.runtime);
    }

    /// Waits until all loops have ended.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end.cancel();
        // The thread ends by itself; a join could wait for a store that hangs.
        drop(self.thread.take());
    }
}
