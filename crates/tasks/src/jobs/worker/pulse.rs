use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Weak};

use futures_util::FutureExt as _;
use tokio::runtime::Handle;

use crate::jobs::core::Core;
use crate::jobs::error::StartError;
use crate::store::{Beat, Lease};

/// Ends the thread when it is dropped.
#[derive(Debug)]
pub(crate) struct Pulse {
    _end: SyncSender<()>,
}

/// Gives signs of life from a thread of its own, beside the loop that does so on the application's runtime: jobs that
/// block every thread of that silence the loop, not this.
///
/// For stores in memory, which answer at once; the others have their loops on a thread anyway.
pub(crate) fn pulse(core: &Arc<Core>, runtime: Handle) -> Result<Pulse, StartError> {
    let (end, over) = sync_channel(0);
    let core = Arc::downgrade(core);
    std::thread::Builder::new()
        .name("bedplate-pulse".to_owned())
        .spawn(move || keep(&core, &runtime, &over))
        .map_err(StartError::Thread)?;
    Ok(Pulse { _end: end })
}

fn keep(core: &Weak<Core>, runtime: &Handle, over: &Receiver<()>) {
    // The time is the application's, which tests can stop.
    let _clock = runtime.enter();
    while let Some(core) = core.upgrade() {
        if core.stopped.is_cancelled() {
            return;
        }
        let leases: Vec<Lease> =
            core.runs.lock().values().filter(|run| !run.stuck).map(|run| run.state.lease).collect();
        if !leases.is_empty() {
            let message = Beat::new(core.worker(), core.config.lease).leases(leases);
            // What the store says of the leases the loop hears, as soon as there is a thread for it.
            drop(core.store.beat(&message).now_or_never());
        }
        let every = core.config.lease / 4;
        drop(core);
        if !matches!(over.recv_timeout(every), Err(RecvTimeoutError::Timeout)) {
            return;
        }
    }
}
