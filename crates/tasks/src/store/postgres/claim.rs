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
        let sql = "select * from @side@.claim($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
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

fn read(link: &Link, row: &PgRow, claimed: &mut Claimed) -> Result<(), sqlx::Error> {
    match row.try_get::<i16, _>("what")? {
        1 => {
            let id: Uuid = row.try_get("o_id")?;
            let about = About {
                id,
                spec: row.try_get("o_spec")?,
                payload: row.try_get("o_payload")?,
                raw: row.try_get("o_raw")?,
                kind: row.try_get("o_kind")?,
                level: row.try_get("o_level")?,
                max_attempts: row.try_get("o_max")?,
            };
            let fence: i64 = row.try_get("o_fence")?;
            let lease = Lease::new(TaskId::from_uuid(id), fence.unsigned_abs());
            let waited = duration(row.try_get("o_waited")?);
            claimed.claims.push(Claim::new(Arc::new(about.job()?), lease, count(row.try_get("o_attempt")?), waited));
        }
        2 => link.tell_ended([row.try_get("o_id")?]),
        _ => {
            claimed.next = row.try_get::<Option<i64>, _>("o_fence")?.map(|next| duration(next.max(1_000)));
            claimed.contended = row.try_get::<i32, _>("o_attempt")? > 0;
        }
    }
    Ok(())
}

/// The most jobs that one claim gives.
const MOST: i32 = 1_000;
