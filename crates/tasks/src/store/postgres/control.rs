use async_trait::async_trait;
use uuid::Uuid;

use crate::id::TaskId;
use crate::store::contract::StoreControl;
use crate::store::control::{JobQuery, Maintained, QueueDepth, StoreStats, WorkerInfo};
use crate::store::error::StoreError;
use crate::store::new_job::BatchId;
use crate::store::postgres::arrays::{duration, text, to_system};
use crate::store::postgres::failure::failed;
use crate::store::postgres::link::Link;
use crate::store::postgres::row::{self, RECORD, count, record};
use crate::store::postgres::store::PostgresStore;
use crate::store::record::{JobRecord, JobState};
use crate::store::signal::Signal;

#[async_trait]
impl StoreControl for PostgresStore {
    async fn cancel(&self, id: TaskId, reason: &str) -> Result<JobState, StoreError> {
        let (link, reason) = (self.shared.link.clone(), text(reason).into_owned());
        let work = async move {
            let sql = "select new_state, ended from @side@.cancel($1, $2, $3)";
            let call = |_| {
                sqlx::query_as(link.sql(sql)).bind(id.as_uuid()).bind(&reason).bind(&*link.me).fetch_one(&link.pool)
            };
            let (state, ended): (Option<i16>, Vec<Uuid>) = link.repeat(call).await?;
            let state = row::state(state.ok_or(StoreError::Unknown(id))?);
            if state == JobState::Running {
                link.tell(Signal::Cancel(id));
            }
            link.tell_ended(ended);
            link.wake();
            Ok(state)
        };
        self.shared.io.run(work).await
    }

    async fn find(&self, query: &JobQuery) -> Result<Vec<JobRecord>, StoreError> {
        let (link, query) = (self.shared.link.clone(), query.clone());
        let work = async move {
            let sql = format!(
                "{RECORD} where ($1::smallint is null or s.state = $1) and ($2::text is null or s.kind = $2) \
                 and ($3::text is null or s.queue = $3) and ($4::uuid is null or s.batch = $4) \
                 and ($5::uuid is null or s.id > $5) order by s.id limit $6"
            );
            let call = |_| {
                sqlx::query(link.sql(&sql))
                    // Each combination of conditions has a plan of its own.
                    .persistent(false)
                    .bind(query.state.map(row::number))
                    .bind(&query.kind)
                    .bind(&query.queue)
                    .bind(query.batch.map(BatchId::as_uuid))
                    .bind(query.after.map(TaskId::as_uuid))
                    .bind(i64::try_from(query.page()).unwrap_or(100))
                    .fetch_all(&link.pool)
            };
            link.repeat(call).await?.iter().map(record).collect::<Result<Vec<_>, _>>().map_err(failed)
        };
        self.shared.io.run(work).await
    }

    async fn replay(&self, ids: &[TaskId]) -> Result<u64, StoreError> {
        let (link, ids): (Link, Vec<Uuid>) = (self.shared.link.clone(), ids.iter().map(|id| id.as_uuid()).collect());
        let work = async move {
            let call = |_| {
                sqlx::query_as(link.sql("select @side@.replay($1, $2)"))
                    .bind(&ids)
                    .bind(link.age_after)
                    .fetch_one(&link.pool)
            };
            let (number,): (i64,) = link.repeat(call).await?;
            link.wake();
            Ok(number.unsigned_abs())
        };
        self.shared.io.run(work).await
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), StoreError> {
        let (link, queue) = (self.shared.link.clone(), text(queue).into_owned());
        let work = async move {
            let sql = if paused {
                "with told as (insert into @side@.paused values ($1) on conflict do nothing) select @side@.tell($2, 'x')"
            } else {
                "with told as (delete from @side@.paused where queue = $1) select @side@.tell($2, 'r')"
            };
            let call = |_| sqlx::query(link.sql(sql)).bind(&queue).bind(&*link.me).execute(&link.pool);
            link.repeat(call).await?;
            link.wake();
            Ok(())
        };
        self.shared.io.run(work).await
    }

    async fn maintain(&self) -> Result<Maintained, StoreError> {
        let mut all = Maintained::default();
        loop {
            let link = self.shared.link.clone();
            let (did, more) = self.shared.io.run(async move { sweep(&link).await }).await?;
            all.rescued += did.rescued;
            all.crashed += did.crashed;
            all.overdue += did.overdue;
            all.pruned += did.pruned;
            if !more {
                return Ok(all);
            }
        }
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let link = self.shared.link.clone();
        self.shared.io.run(async move { stats(&link).await }).await
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        let link = self.shared.link.clone();
        let work = async move {
            let sql = "select info, seen from @side@.workers where until > @side@.now_us() order by id";
            let rows: Vec<(String, i64)> = link.repeat(|_| sqlx::query_as(link.sql(sql)).fetch_all(&link.pool)).await?;
            let known = |(info, seen): (String, i64)| {
                let info = serde_json::from_str::<WorkerInfo>(&info).ok()?;
                Some(WorkerInfo { seen_at: Some(to_system(seen)), ..info })
            };
            Ok(rows.into_iter().filter_map(known).collect())
        };
        self.shared.io.run(work).await
    }
}

/// What it is, a job that ended, and how many were rescued, crashed, overdue and pruned; whether there is more to do.
type Swept = (i16, Option<Uuid>, i32, i32, i32, i32, bool);

/// One part of a sweep, and whether there is more to do.
async fn sweep(link: &Link) -> Result<(Maintained, bool), StoreError> {
    let call = |_| {
        sqlx::query_as(link.sql("select * from @side@.sweep($1, $2)")).bind(PART).bind(&*link.me).fetch_all(&link.pool)
    };
    let rows: Vec<Swept> = link.repeat(call).await?;
    let (mut did, mut more) = (Maintained::default(), false);
    for (what, id, rescued, crashed, overdue, pruned, rest) in rows {
        if what == 2 {
            link.tell_ended(id);
            continue;
        }
        let number = |number| u64::from(count(number));
        (did.rescued, did.crashed, did.overdue) = (number(rescued), number(crashed), number(overdue));
        (did.pruned, more) = (number(pruned), rest);
    }
    if did.rescued > 0 {
        link.wake();
    }
    Ok((did, more))
}

async fn stats(link: &Link) -> Result<StoreStats, StoreError> {
    let sql = "with told as materialized (select @side@.now_us() as now), one as ( \
        select queue, place = 0 or (place = 1 and wake <= now) as ready, place = 4 as running, due, false as paused, true as job, now \
        from @side@.jobs, told where place < 5 \
        union all select queue, false, false, null, true, false, now from @side@.paused, told) \
        select queue, count(*) filter (where ready), count(*) filter (where job and not ready and not running), \
        count(*) filter (where running), max(now - due) filter (where ready), bool_or(paused) from one group by queue order by queue";
    let rows: Vec<(String, i64, i64, i64, Option<i64>, bool)> =
        link.repeat(|_| sqlx::query_as(link.sql(sql)).fetch_all(&link.pool)).await?;
    let depth =
        |(queue, ready, scheduled, running, oldest, paused): (String, i64, i64, i64, Option<i64>, bool)| QueueDepth {
            queue,
            ready: ready.unsigned_abs(),
            scheduled: scheduled.unsigned_abs(),
            running: running.unsigned_abs(),
            oldest: oldest.map(duration),
            paused,
        };
    let sql = "select state, count(*) from @side@.jobs where place = 5 group by state";
    let ended: Vec<(i16, i64)> = link.repeat(|_| sqlx::query_as(link.sql(sql)).fetch_all(&link.pool)).await?;
    let number = |state: JobState| {
        ended.iter().find(|(number, _)| *number == row::number(state)).map_or(0, |(_, count)| count.unsigned_abs())
    };
    Ok(StoreStats {
        queues: rows.into_iter().map(depth).collect(),
        completed: number(JobState::Completed),
        failed: number(JobState::Failed),
        cancelled: number(JobState::Cancelled),
    })
}

/// At most so many are swept in one transaction: others want to write too.
const PART: i32 = 500;
