use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::jobs::core::Core;
use crate::jobs::event::JobEvent;

/// Looks for jobs of workers that are gone, and for what has been kept long enough.
pub(crate) async fn sweep(core: Arc<Core>) {
    loop {
        // Processes that were started together do not sweep together.
        core.pause(core.config.sweep.mul_f64(0.9 + fastrand::f64() * 0.2)).await;
        if core.stopped.is_cancelled() {
            return;
        }
        let answer = core.store.maintain().await;
        core.note(&answer);
        match answer {
            Ok(did) if did.rescued + did.crashed > 0 => {
                core.counters.rescued.fetch_add(did.rescued + did.crashed, Ordering::Relaxed);
                tracing::warn!(
                    again = did.rescued,
                    failed = did.crashed,
                    "jobs were taken from workers that gave no sign of life"
                );
                core.tell(|| JobEvent::Rescued { again: did.rescued, failed: did.crashed });
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the store was not swept"),
        }
    }
}
