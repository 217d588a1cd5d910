use std::sync::Arc;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::jobs::core::Core;
use crate::store::Signal;

/// Wakes whoever waits for what the store tells of.
pub(crate) async fn listen(core: Arc<Core>, mut signals: Receiver<Signal>) {
    loop {
        let Some(signal) = core.stopped.run_until_cancelled(signals.recv()).await else { return };
        match signal {
            Ok(Signal::Ended(id) | Signal::Progress(id)) => core.waiters.wake(id),
            Ok(Signal::Cancel(id)) => {
                if core.run_of(id) {
                    core.beat_now.notify_one();
                }
            }
            Ok(Signal::Changed | Signal::Reconnected) | Err(RecvError::Lagged(_)) => {
                core.waiters.wake_all();
                core.beat_now.notify_one();
            }
            Err(RecvError::Closed) => return,
        }
    }
}
