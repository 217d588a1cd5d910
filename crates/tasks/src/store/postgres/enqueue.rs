use sqlx::PgConnection;
use uuid::Uuid;

use crate::id::TaskId;
use crate::store::books;
use crate::store::error::StoreError;
use crate::store::limits::UniqueScope;
use crate::store::new_job::{BatchId, Enqueued, NewJob, OnDependencyFailure, Start};
use crate::store::postgres::NAME;
use crate::store::postgres::arrays::{from_system, micros};
use crate::store::postgres::link::Link;

/// The longest name of a kind, in characters: the engine's own limit.
const LONGEST_KIND: usize = 128;

/// Jobs column by column, as one statement takes them.
#[derive(Debug, Default)]
pub(super) struct Columns {
    ids: Vec<Uuid>,
    kinds: Vec<String>,
    queues: Vec<String>,
    levels: Vec<i16>,
    delays: Vec<Option<i64>>,
    ats: Vec<Option<i64>>,
    most_attempts: Vec<i64>,
    deadlines: Vec<Option<i64>>,
    unique_keys: Vec<Option<String>>,
    unique_withins: Vec<Option<i64>>,
    unique_scopes: Vec<Option<i16>>,
    limit_keys: Vec<Option<String>>,
    limit_mosts: Vec<Option<i64>>,
    rates_starts: Vec<Option<i64>>,
    rates_per: Vec<Option<i64>>,
    batches: Vec<Option<Uuid>>,
    anyways: Vec<bool>,
    keeps_ended: Vec<i64>,
    keeps_failed: Vec<i64>,
    specs: Vec<String>,
    payloads: Vec<Option<String>>,
    raws: Vec<Option<Vec<u8>>>,
    needing: Vec<i32>,
    needed: Vec<Uuid>,
    /// Some begin later, or share something with others.
    special: bool,
}

impl Columns {
    pub(super) fn new(jobs: Vec<NewJob>) -> Result<Self, StoreError> {
        let mut columns = Self::default();
        for job in jobs {
            columns.push(job)?;
        }
        Ok(columns)
    }

    fn push(&mut self, mut job: NewJob) -> Result<(), StoreError> {
        if job.kind.chars().count() > LONGEST_KIND {
            let shown: String = job.kind.chars().take(32).collect();
            return Err(StoreError::invalid("kind", format_args!("{shown:?}…"), "at most 128 characters"));
        }
        // The engine keeps what is JSON, so that others can read it, character by character.
        let payload = String::from_utf8(std::mem::take(&mut job.payload));
        let (json, raw) = match payload {
            Ok(text) if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() => (Some(text), None),
            Ok(text) => (None, Some(text.into_bytes())),
            Err(other) => (None, Some(other.into_bytes())),
        };
        self.specs.push(books::write(&job).map_err(|error| StoreError::backend(NAME, false, error))?);
        self.special |= job.start != Start::Now
            || job.deadline.is_some()
            || job.unique.is_some()
            || job.limit.is_some()
            || job.batch.is_some()
            || !job.depends_on.is_empty();
        self.payloads.push(json);
        self.raws.push(raw);
        self.ids.push(job.id.as_uuid());
        self.levels.push(i16::from(job.priority as u8));
        let (delay, at) = match job.start {
            Start::Now => (None, None),
            Start::In(delay) => (Some(micros(delay)), None),
            Start::At(time) => (None, Some(from_system(time))),
        };
        self.delays.push(delay);
        self.ats.push(at);
        self.most_attempts.push(i64::from(job.max_attempts));
        self.deadlines.push(job.deadline.map(from_system));
        self.unique_withins.push(job.unique.as_ref().and_then(|unique| unique.within).map(micros));
        self.unique_scopes.push(job.unique.as_ref().map(|unique| match unique.scope {
            UniqueScope::Pending => 0,
            UniqueScope::Unfinished => 1,
            UniqueScope::NotFailed => 2,
            UniqueScope::Any => 3,
        }));
        self.unique_keys.push(job.unique.map(|unique| unique.key));
        let rate = job.limit.as_ref().and_then(|limit| limit.rate);
        self.rates_starts.push(rate.map(|rate| i64::from(rate.starts)));
        self.rates_per.push(rate.map(|rate| micros(rate.per)));
        self.limit_mosts.push(job.limit.as_ref().and_then(|limit| limit.concurrency).map(i64::from));
        self.limit_keys.push(job.limit.map(|limit| limit.key));
        self.batches.push(job.batch.map(BatchId::as_uuid));
        self.anyways.push(job.on_dependency_failure == OnDependencyFailure::Run);
        self.keeps_ended.push(micros(job.retention.ended));
        self.keeps_failed.push(micros(job.retention.failed));
        self.kinds.push(job.kind.into_owned());
        self.queues.push(job.queue.into_owned());
        let number = i32::try_from(self.ids.len()).unwrap_or(i32::MAX);
        for id in job.depends_on {
            self.needing.push(number);
            self.needed.push(id.as_uuid());
        }
        Ok(())
    }

    pub(super) const fn len(&self) -> usize {
        self.ids.len()
    }

    /// About how much goes to the server.
    pub(super) fn bytes(&self) -> usize {
        let texts = self.payloads.iter().flatten().chain(&self.specs).map(String::len);
        texts.chain(self.raws.iter().flatten().map(Vec::len)).sum()
    }

    /// Whether all begin as soon as somebody is free and share nothing with others.
    pub(super) const fn is_plain(&self) -> bool {
        !self.special
    }

    /// Adds plain jobs of another call.
    pub(super) fn append(&mut self, more: &Self) {
        debug_assert!(self.is_plain() && more.is_plain(), "what is special goes by itself");
        self.ids.extend(&more.ids);
        self.kinds.extend_from_slice(&more.kinds);
        self.queues.extend_from_slice(&more.queues);
        self.levels.extend(&more.levels);
        self.most_attempts.extend(&more.most_attempts);
        self.keeps_ended.extend(&more.keeps_ended);
        self.keeps_failed.extend(&more.keeps_failed);
        self.specs.extend_from_slice(&more.specs);
        self.payloads.extend_from_slice(&more.payloads);
        self.raws.extend_from_slice(&more.raws);
    }

    /// Takes plain jobs in by the short way.
    async fn enqueue_plain(&self, link: &Link, connection: &mut PgConnection) -> Result<Vec<Enqueued>, sqlx::Error> {
        let sql = link.sql("select * from @side@.enqueue_plain($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)");
        let known: Vec<(i32,)> = sqlx::query_as(sql)
            .bind(&self.ids)
            .bind(&self.kinds)
            .bind(&self.queues)
            .bind(&self.levels)
            .bind(&self.most_attempts)
            .bind(&self.keeps_ended)
            .bind(&self.keeps_failed)
            .bind(&self.specs)
            .bind(&self.payloads)
            .bind(&self.raws)
            .bind(link.age_after)
            .fetch_all(connection)
            .await?;
        let mut answers: Vec<Enqueued> = self.ids.iter().map(|id| Enqueued::New(TaskId::from_uuid(*id))).collect();
        for (number,) in known {
            let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
            if let Some(answer) = at.and_then(|at| answers.get_mut(at)) {
                *answer = Enqueued::Duplicate(answer.id());
            }
        }
        Ok(answers)
    }

    /// Takes them in on this connection, in whose transaction it stands.
    pub(super) async fn enqueue(
        &self,
        link: &Link,
        connection: &mut PgConnection,
    ) -> Result<Vec<Enqueued>, sqlx::Error> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        if self.is_plain() {
            return self.enqueue_plain(link, connection).await;
        }
        let sql = link.sql(
            "select o_ord, o_new, o_id from @side@.enqueue($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, \
             $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26) order by o_ord",
        );
        let plain = self.needing.is_empty() && self.unique_keys.iter().all(Option::is_none);
        let rows: Vec<(i32, bool, Uuid)> = sqlx::query_as(sql)
            .bind(&self.ids)
            .bind(&self.kinds)
            .bind(&self.queues)
            .bind(&self.levels)
            .bind(&self.delays)
            .bind(&self.ats)
            .bind(&self.most_attempts)
            .bind(&self.deadlines)
            .bind(&self.unique_keys)
            .bind(&self.unique_withins)
            .bind(&self.unique_scopes)
            .bind(&self.limit_keys)
            .bind(&self.limit_mosts)
            .bind(&self.rates_starts)
            .bind(&self.rates_per)
            .bind(&self.batches)
            .bind(&self.anyways)
            .bind(&self.keeps_ended)
            .bind(&self.keeps_failed)
            .bind(&self.specs)
            .bind(&self.payloads)
            .bind(&self.raws)
            .bind(&self.needing)
            .bind(&self.needed)
            .bind(link.age_after)
            .bind(plain)
            .fetch_all(connection)
            .await?;
        let answer = |(_, new, id): (i32, bool, Uuid)| {
            let id = TaskId::from_uuid(id);
            if new { Enqueued::New(id) } else { Enqueued::Duplicate(id) }
        };
        Ok(rows.into_iter().map(answer).collect())
    }

    /// Takes them in, again if a connection was lost or another call came between.
    pub(super) async fn take_in(&self, link: &Link) -> Result<Vec<Enqueued>, StoreError> {
        let mut unsure = false;
        let answers = link
            .repeat(|broken| {
                unsure = broken;
                async move { self.enqueue(link, &mut *link.pool.acquire().await?).await }
            })
            .await?;
        // Else the engine's own notification does it.
        if !link.pushes() {
            link.wake();
        }
        Ok(if unsure { self.own(answers) } else { answers })
    }

    /// What was taken in by a call whose answer was lost is new, not its own duplicate.
    fn own(&self, answers: Vec<Enqueued>) -> Vec<Enqueued> {
        let own = |(answer, id): (Enqueued, &Uuid)| match answer {
            Enqueued::Duplicate(known) if known.as_uuid() == *id => Enqueued::New(known),
            other => other,
        };
        answers.into_iter().zip(&self.ids).map(own).collect()
    }
}
