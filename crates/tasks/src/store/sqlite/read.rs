//! What the thread that reads can be asked.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::id::TaskId;
use crate::store::control::{JobQuery, QueueDepth, StoreStats, WorkerInfo};
use crate::store::record::JobRecord;
use crate::store::sqlite::clock::{Millis, duration, to_system};
use crate::store::sqlite::row;

pub(super) fn job(connection: &Connection, id: TaskId) -> rusqlite::Result<Option<JobRecord>> {
    let sql = format!("select {} from jobs where id = ?1", row::RECORD);
    connection.prepare_cached(&sql)?.query_row([row::id(&id)], row::record).optional()
}

pub(super) fn find(connection: &Connection, query: &JobQuery) -> rusqlite::Result<Vec<JobRecord>> {
    let mut sql = format!("select {} from jobs where 1", row::RECORD);
    let mut values: Vec<Value> = Vec::new();
    let mut only = |condition: &str, value: Option<Value>| {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(" and ");
            sql.push_str(condition);
        }
    };
    only("state = ?", query.state.map(|state| row::number(state).into()));
    only("kind = ?", query.kind.clone().map(Into::into));
    only("queue = ?", query.queue.clone().map(Into::into));
    only("batch = ?", query.batch.map(|batch| batch.as_uuid().as_bytes().to_vec().into()));
    only("id > ?", query.after.map(|id| row::id(&id).to_vec().into()));
    sql.push_str(" order by id limit ?");
    values.push(i64::try_from(query.page()).unwrap_or(100).into());
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(values), row::record)?;
    rows.collect()
}

pub(super) fn stats(connection: &Connection, now: Millis) -> rusqlite::Result<StoreStats> {
    let count = |state: i64| -> rusqlite::Result<u64> {
        let number: i64 = connection
            .prepare_cached("select number from counts where state = ?1")?
            .query_row([state], |row| row.get(0))?;
        Ok(u64::try_from(number).unwrap_or(0))
    };
    let sql = "select queue, sum(ready), sum(scheduled), sum(running), min(oldest), max(paused) from ( \
        select queue, place = 0 or (place = 1 and wake <= ?1) as ready, place in (1, 2, 3) and not (place = 1 and wake <= ?1) \
        as scheduled, place = 4 as running, case when place = 0 then due end as oldest, 0 as paused \
        from jobs where place < 5 union all select queue, 0, 0, 0, null, 1 from paused) group by queue order by queue";
    let mut statement = connection.prepare_cached(sql)?;
    let number =
        |row: &rusqlite::Row<'_>, column| Ok::<u64, rusqlite::Error>(row.get::<_, i64>(column)?.unsigned_abs());
    let queues = statement.query_map([now], |row| {
        let mut depth = QueueDepth { queue: row.get(0)?, ..QueueDepth::default() };
        (depth.ready, depth.scheduled, depth.running) = (number(row, 1)?, number(row, 2)?, number(row, 3)?);
        depth.oldest = row.get::<_, Option<Millis>>(4)?.map(|due| duration(now - due));
        depth.paused = row.get(5)?;
        Ok(depth)
    })?;
    Ok(StoreStats {
        queues: queues.collect::<rusqlite::Result<_>>()?,
        completed: count(2)?,
        failed: count(3)?,
        cancelled: count(4)?,
    })
}

pub(super) fn workers(connection: &Connection, now: Millis) -> rusqlite::Result<Vec<WorkerInfo>> {
    let sql = "select info, seen from workers where until > ?1 order by id";
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![now], |row| {
        let info: Vec<u8> = row.get(0)?;
        Ok((serde_json::from_slice::<WorkerInfo>(&info).ok(), row.get::<_, Millis>(1)?))
    })?;
    let mut workers = Vec::new();
    for row in rows {
        if let (Some(info), seen) = row? {
            workers.push(WorkerInfo { seen_at: Some(to_system(seen)), ..info });
        }
    }
    Ok(workers)
}

/// Whether the file is whole.
pub(super) fn check(connection: &Connection) -> rusqlite::Result<bool> {
    let answer: String = connection.query_row("pragma integrity_check(1)", [], |row| row.get(0))?;
    Ok(answer == "ok")
}
