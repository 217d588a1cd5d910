use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{broadcast, oneshot};
use tokio::time::{Instant, sleep};

use crate::id::TaskId;
use crate::store::capabilities::Capabilities;
use crate::store::claim::{Beat, Claim, ClaimRequest, End, LeaseState, Settled, Settlement};
use crate::store::contract::JobStore;
use crate::store::error::StoreError;
use crate::store::new_job::{Enqueued, NewJob};
use crate::store::postgres::NAME;
use crate::store::postgres::claim::{Asked, Claimed};
use crate::store::postgres::enqueue::Columns;
use crate::store::postgres::failure::failed;
use crate::store::postgres::intake::is_small;
use crate::store::postgres::row::{RECORD, record};
use crate::store::postgres::settle::{Ends, beat};
use crate::store::postgres::store::PostgresStore;
use crate::store::record::JobRecord;
use crate::store::signal::Signal;
use crate::store::validate;

#[async_trait]
impl JobStore for PostgresStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, shared: true, transactional: true, ..Capabilities::in_process(NAME) }
    }

    fn signals(&self) -> broadcast::Receiver<Signal> {
        self.shared.link.signals.subscribe()
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        validate::jobs(&jobs)?;
        let columns = Columns::new(jobs)?;
        if is_small(&columns) {
            return self.shared.intake.take_in(columns).await;
        }
        let link = self.shared.link.clone();
        self.shared.io.run(async move { columns.take_in(&link).await }).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        validate::claim(request)?;
        if request.most == 0 || request.queues.is_empty() {
            return Ok(Vec::new());
        }
        let until = Instant::now().checked_add(request.wait);
        let mut eager = EAGER;
        loop {
            let ready = self.shared.link.ready.notified();
            let mut ready = std::pin::pin!(ready);
            ready.as_mut().enable();
            let Claimed { claims, next, contended } = self.claim_once(request).await?;
            if !claims.is_empty() {
                return Ok(claims);
            }
            let over = request.is_over(until);
            if contended && (!over || eager > 0) {
                eager = eager.saturating_sub(1);
                sleep(Duration::from_millis(fastrand::u64(1..4))).await;
                continue;
            }
            if over {
                return Ok(claims);
            }
            let poll = self.shared.link.poll.min(next.unwrap_or(Duration::MAX));
            let again = Instant::now().checked_add(poll);
            // The end of the wait and a job that is due are both reasons to look again.
            request.rest([until, again].into_iter().flatten().min(), ready).await;
        }
    }

    async fn beat(&self, sign: &Beat) -> Result<Vec<LeaseState>, StoreError> {
        let (sign, link) = (sign.clone(), self.shared.link.clone());
        self.shared.io.run(async move { beat(&link, &sign).await }).await
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>, StoreError> {
        let (ends, link) = (Ends::new(ends)?, self.shared.link.clone());
        self.shared.io.run(async move { ends.settle(&link).await }).await
    }

    async fn job(&self, id: TaskId) -> Result<Option<JobRecord>, StoreError> {
        let link = self.shared.link.clone();
        let work = async move {
            let sql = format!("{RECORD} where s.id = $1");
            let read = |_| sqlx::query(link.sql(&sql)).bind(id.as_uuid()).fetch_optional(&link.pool);
            link.repeat(read).await?.map(|row| record(&row)).transpose().map_err(failed)
        };
        self.shared.io.run(work).await
    }
}

impl PostgresStore {
    /// Claims what there is now; what nobody waits for any more goes back.
    async fn claim_once(&self, request: &ClaimRequest) -> Result<Claimed, StoreError> {
        let (asked, link) = (Asked::new(request), self.shared.link.clone());
        let (tell, answer) = oneshot::channel();
        // An answer that was sent may still be dropped unread: only who has read it says so.
        let (read, heard) = oneshot::channel::<()>();
        let work = async move {
            let claimed = asked.claim(&link).await;
            let leases = claimed.iter().flat_map(|claimed| &claimed.claims).map(|claim| claim.lease);
            let back: Vec<End> = leases.map(|lease| End::new(lease, Settlement::Returned)).collect();
            // Whether it arrived is told by the other channel.
            drop(tell.send(claimed));
            if heard.await.is_err() && !back.is_empty() {
                // If this fails too, they come back by their leases.
                match Ends::new(&back) {
                    Ok(ends) => drop(ends.settle(&link).await),
                    Err(error) => tracing::warn!(%error, "claims that nobody waits for were not given back"),
                }
            }
        };
        self.shared.io.begin(work)?;
        let claimed = answer.await.map_err(|_| StoreError::Closed)?;
        // Nobody is left to hear it only if the thread has ended.
        let _told = read.send(());
        claimed
    }
}

/// How many times a claim that does not wait looks again since others were quicker.
const EAGER: u32 = 3;
