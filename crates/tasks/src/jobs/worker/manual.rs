use std::sync::Arc;

use tokio::time::Instant;

use crate::job::RunState;
use crate::jobs::core::Core;
use crate::jobs::worker::execute::{Guard, execute};
use crate::jobs::worker::settle::settle_now;

/// Runs what is due, one job after another, until nothing is; returns how many attempts that were.
///
/// Called by a job that it runs, it does nothing: that job's submissions come after it.
pub(crate) async fn run_due(core: &Arc<Core>) -> usize {
    let Some(manual) = &core.manual else { return 0 };
    let Ok(mut hands) = manual.hands.try_lock() else { return 0 };
    let (hands, acks) = &mut *hands;
    let mut ran = 0;
    loop {
        core.note(&core.store.maintain().await);
        let answer = core.store.claim(&hands.request(core, 1)).await;
        core.note(&answer);
        let Some(claim) = answer.ok().and_then(|mut claims| claims.pop()) else { return ran };
        let Some(handler) = hands.handlers.get(&*claim.job.kind).map(Arc::clone) else { return ran };
        let Ok(slot) = Arc::clone(&core.slots).acquire_owned().await else { return ran };
        let run = RunState::new(&claim, Arc::clone(&core.blocking), hands.runtime.clone());
        execute(Guard::enter(core, handler, run, Instant::now(), slot), claim.waited).await;
        settle_now(core, acks).await;
        ran += 1;
    }
}
