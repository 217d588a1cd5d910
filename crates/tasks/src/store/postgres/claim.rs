use std::sync::Arc;
use std::time::Duration;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::id::TaskId;
use crate::store::claim::{Claim, ClaimRequest, Lease};
use crate::store::error::StoreError;
use crate::store::postgres::arrays::{duration, micros, text};
use crate::store::postgres::link::Link;
use crate::store::postgres::row::{About, count};

/// What a claim gave.
#[derive(Debug, Default)]
pub(super) struct Claimed {
    pub(super) claims: Vec<Claim>,
    /// When there may be more without anybody telling.
    pub(super) next: Option<Duration>,
    /// Others took what there was while it was looked at: there may be more at once.
    pub(super) contended: bool,
}

/// A request column by column.
#[derive(Debug)]
pub(super) struct Asked {
    worker: String,
    queues: Vec<String>,
    mosts: Vec<Option<i64>>,
    starts: Vec<Option<i64>>,
    pers: Vec<Option<i64>>,
    kinds: Vec<String>,
    most: i32,
    term: i64,
}

impl Asked {
    pub(super) fn new(request: &ClaimRequest) -> Self {
        let queues = &request.queues;
        Self {
            worker: text(&request.worker).into_owned(),
            queues: queues.iter().map(|queue| queue.queue.clone().into_owned()).collect(),
            mosts: queues.iter().map(|queue| queue.concurrency.map(i64::from)).collect(),
            starts: queues.iter().map(|queue| queue.rate.map(|rate| i64::from(rate.starts))).collect(),
            pers: queues.iter().map(|queue| queue.rate.map(|rate| micros(rate.per))).collect(),
            kinds: request.kinds.iter().map(|kind| text(kind).into_owned()).collect(),
            most: i32::try_from(request.most).unwrap_or(MOST).min(MOST),
            term: micros(request.term),
        }
    }

    pub(super) async fn claim(&self, link: &Link) -> Result<Claimed, StoreError> {
        let sql = "select what, o_id, o_fence, o_attempt, o_waited, o_kind, o_level, o_max, o_spec, o_payload, o_raw \
            from @side@.claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let rows = link
            .repeat(|_| {
                sqlx::query(link.sql(sql))
                    .bind(&self.worker)
                    .bind(&self.queues)
                    .bind(&self.mosts)
                    .bind(&self.starts)
                    .bind(&self.pers)
                    .bind(&self.kinds)
                    .bind(self.most)
                    .bind(self.term)
                    .bind(link.age_after)
                    .bind(&*link.me)
                    .fetch_all(&link.pool)
            })
            .await?;
        let mut claimed = Claimed::default();
        for row in &rows {
            read(link, row, &mut claimed).map_err(super::failure::failed)?;
        }
        Ok(claimed)
    }
}

/// By position: a name would be looked up in each row.
fn read(link: &Link, row: &PgRow, claimed: &mut Claimed) -> Result<(), sqlx::Error> {
    match row.try_get::<i16, _>(0)? {
        1 => {
            let id: Uuid = row.try_get(1)?;
            let about = About {
                id,
                spec: row.try_get(8)?,
                payload: row.try_get(9)?,
                raw: row.try_get(10)?,
                kind: row.try_get(5)?,
                level: row.try_get(6)?,
                max_attempts: row.try_get(7)?,
            };
            let fence: i64 = row.try_get(2)?;
            let lease = Lease::new(TaskId::from_uuid(id), fence.unsigned_abs());
            let waited = duration(row.try_get(4)?);
            claimed.claims.push(Claim::new(Arc::new(about.job()?), lease, count(row.try_get(3)?), waited));
        }
        2 => link.tell_ended([row.try_get(1)?]),
        _ => {
            claimed.next = row.try_get::<Option<i64>, _>(2)?.map(|next| duration(next.max(1_000)));
            claimed.contended = row.try_get::<i32, _>(3)? > 0;
        }
    }
    Ok(())
}

/// The most jobs that one claim gives.
const MOST: i32 = 1_000;
