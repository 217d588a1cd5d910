use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use crate::job::RunState;
use crate::jobs::core::{Ack, Core, MOST_UNSETTLED, outage_delays};
use crate::jobs::event::AttemptEnd;
use crate::jobs::worker::execute::{Guard, execute};
use crate::jobs::worker::handler::Handlers;
use crate::store::{Claim, ClaimRequest, End, QueueClaim, Settlement};

/// What a worker begins jobs with.
pub(crate) struct Hands {
    pub(crate) handlers: Handlers,
    pub(crate) queues: Vec<QueueClaim>,
    /// Where the work runs.
    pub(crate) runtime: Handle,
}

impl Hands {
    pub(crate) fn request(&self, core: &Core, most: usize) -> ClaimRequest {
        let kinds = self.handlers.keys().map(|kind| Cow::Borrowed(*kind));
        ClaimRequest::new(Arc::clone(&core.worker.id), kinds, most, core.config.lease).queues(self.queues.clone())
    }
}

/// Claims as many jobs as hands are free, and begins them.
pub(crate) async fn fetch(core: Arc<Core>, hands: Hands) {
    let _ended = core.fetched.clone().drop_guard();
    let mut request = hands.request(&core, 0).wait(core.config.poll).stop(core.stopping.clone());
    let mut trouble = outage_delays();
    let mut last = None;
    loop {
        let Some(mut free) = free_slots(&core, last).await else { return };
        request.most = free.num_permits();
        let claimed = Instant::now();
        // Never dropped: a claim whose answer nobody hears costs its jobs an attempt.
        let answer = core.store.claim(&request).await;
        core.note(&answer);
        match answer {
            Ok(claims) => {
                trouble = outage_delays();
                last = Some(Last { at: Instant::now(), begun: claims.len(), asked: request.most });
                for claim in claims {
                    match free.split(1) {
                        Some(slot) => begin(&core, &hands, &claim, claimed, slot),
                        None => give_back(&core, &hands, &claim),
                    }
                }
            }
            Err(error) => {
                tracing::debug!(%error, "no jobs could be claimed");
                core.pause(trouble.next().unwrap_or(Duration::from_secs(1))).await;
            }
        }
    }
}

/// What the last claim gave.
#[derive(Debug, Clone, Copy)]
struct Last {
    at: Instant,
    begun: usize,
    asked: usize,
}

/// For so long it is worth waiting for hands that are about to come free.
const SOON: Duration = Duration::from_millis(1);

impl Last {
    /// How many hands to wait for: where there are more jobs than hands and the first is over as soon as it began, most
    /// of the others are about to be, and one claim for all of them costs a server no more than one for the first.
    fn about_to_end(self, core: &Core) -> u32 {
        if self.begun < self.asked || self.at.elapsed() > SOON || !core.store.capabilities().shared {
            return 0;
        }
        u32::try_from(self.begun - self.begun / 4).unwrap_or(0)
    }
}

/// Waits for a free hand and takes all there are; `None` once no job is to begin any more.
async fn free_slots(core: &Arc<Core>, last: Option<Last>) -> Option<OwnedSemaphorePermit> {
    loop {
        let settled = core.settled.notified();
        if core.unsettled.load(Ordering::Relaxed) < MOST_UNSETTLED {
            break;
        }
        // Counted before it rings, and looked at again now and then should a ring be missed.
        drop(timeout(Duration::from_millis(100), settled).await);
        if core.stopping.is_cancelled() {
            return None;
        }
    }
    let first = core.stopping.run_until_cancelled(Arc::clone(&core.slots).acquire_owned()).await?;
    let mut slots = first.ok()?;
    let others = last.map_or(0, |last| last.about_to_end(core)).saturating_sub(1);
    if others > 0
        && let Ok(Ok(others)) = timeout(SOON, Arc::clone(&core.slots).acquire_many_owned(others)).await
    {
        slots.merge(others);
    }
    let more = u32::try_from(core.slots.available_permits()).unwrap_or(0);
    if more > 0
        && let Ok(more) = Arc::clone(&core.slots).try_acquire_many_owned(more)
    {
        slots.merge(more);
    }
    Some(slots)
}

fn begin(core: &Arc<Core>, hands: &Hands, claim: &Claim, claimed: Instant, slot: OwnedSemaphorePermit) {
    let handler = hands.handlers.get(&*claim.job.kind).map(Arc::clone);
    let (Some(handler), false) = (handler, core.stopping.is_cancelled()) else {
        return give_back(core, hands, claim);
    };
    let run = RunState::new(claim, Arc::clone(&core.blocking), hands.runtime.clone());
    let guard = Guard::enter(core, handler, run, claimed, slot);
    // Detached on purpose: the guard ends it, also when the runtime drops it before it has begun.
    drop(hands.runtime.spawn(execute(guard, claim.waited)));
}

fn give_back(core: &Core, hands: &Hands, claim: &Claim) {
    let run = Arc::new(RunState::new(claim, Arc::clone(&core.blocking), hands.runtime.clone()));
    let end = End::new(claim.lease, Settlement::Returned);
    core.settle_only(Ack { run, end, outcome: AttemptEnd::Returned, ran: Duration::ZERO });
}
