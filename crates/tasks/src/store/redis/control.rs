use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use redis::Value;

use crate::id::TaskId;
use crate::store::contract::StoreControl;
use crate::store::control::{JobQuery, Maintained, QueueDepth, StoreStats, WorkerInfo};
use crate::store::error::StoreError;
use crate::store::record::{JobRecord, JobState};
use crate::store::redis::failure::{BadReply, NAME};
use crate::store::redis::reply::{Row, bytes, list, text};
use crate::store::redis::store::RedisStore;
use crate::store::redis::wire::{queue_name, queue_of, record_of, state_of};

/// How many jobs one script sweeps or reads.
const PAGE: usize = 500;
/// How many scripts one sweep runs at most: the next goes on.
const ROUNDS: usize = 20;

#[async_trait]
impl StoreControl for RedisStore {
    async fn cancel(&self, id: TaskId, reason: &str) -> Result<JobState, StoreError> {
        let args = vec![id.to_string().into_bytes(), reason.as_bytes().to_vec()];
        let state = text(self.inner.io.run(&self.inner.scripts.cancel, args).await?);
        if state == "n" {
            return Err(StoreError::Unsupported { store: NAME, what: "tell a worker of BullMQ's to stop" });
        }
        state_of(&state).ok_or(StoreError::Unknown(id))
    }

    async fn find(&self, query: &JobQuery) -> Result<Vec<JobRecord>, StoreError> {
        let mut found = Vec::new();
        let mut after = query.after;
        loop {
            let ids = self.list(query, after).await?;
            let whole = ids.len();
            let Some(last) = ids.last().and_then(|id| id.parse().ok()) else { return Ok(found) };
            after = Some(last);
            for record in self.read(ids).await?.into_iter().filter(|record| matches(query, record)) {
                found.push(record);
                if found.len() >= query.page() {
                    return Ok(found);
                }
            }
            if whole < PAGE {
                return Ok(found);
            }
        }
    }

    async fn replay(&self, ids: &[TaskId]) -> Result<u64, StoreError> {
        let mut replayed = 0;
        for ids in ids.chunks(PAGE) {
            let args = ids.iter().map(|id| id.to_string().into_bytes()).collect();
            replayed += count(self.inner.io.run(&self.inner.scripts.replay, args).await?);
        }
        Ok(replayed)
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), StoreError> {
        let name = queue_name(queue).into_owned();
        // The engine's own pause, so that its workers everywhere heed it too.
        let pause = async move |queue: bullmq::Queue| if paused { queue.pause().await } else { queue.resume().await };
        self.inner.io.engine(name.clone(), pause).await?;
        self.inner.io.run(&self.inner.scripts.resumed, vec![name.into_bytes()]).await?;
        Ok(())
    }

    async fn maintain(&self) -> Result<Maintained, StoreError> {
        let mut did = Maintained::default();
        for _ in 0..ROUNDS {
            let args = vec![PAGE.to_string().into_bytes()];
            let mut row = Row::new(self.inner.io.run(&self.inner.scripts.maintain, args).await?)?;
            did.rescued += count(row.value());
            did.crashed += count(row.value());
            did.overdue += count(row.value());
            did.pruned += count(row.value());
            if count(row.value()) == 0 {
                break;
            }
        }
        Ok(did)
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let mut row = Row::new(self.inner.io.run(&self.inner.scripts.stats, Vec::new()).await?)?;
        let mut stats = StoreStats {
            completed: count(row.value()),
            failed: count(row.value()),
            cancelled: count(row.value()),
            ..StoreStats::default()
        };
        stats.queues = row.rest().map(depth).collect::<Result<_, BadReply>>()?;
        stats.queues.sort_unstable_by(|a, b| a.queue.cmp(&b.queue));
        Ok(stats)
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        let shared = self.inner.io.shared();
        let mut pipe = redis::pipe();
        pipe.cmd("TIME").cmd("ZRANGE").arg(shared.own("seen")).arg(0).arg(-1).arg("WITHSCORES");
        pipe.cmd("HGETALL").arg(shared.own("workers"));
        let mut replies = self.inner.io.pipe(pipe).await?.into_iter();
        let mut next = || replies.next().unwrap_or(Value::Nil);
        let now = Row::new(next())?.parse::<f64>().unwrap_or(0.0) * 1_000.0;
        let mut scores = flat(next())?.into_iter();
        let mut alive = Vec::new();
        while let (Some(worker), Some(until)) = (scores.next(), scores.next()) {
            if text(until).parse::<f64>().is_ok_and(|until| until > now) {
                alive.push(bytes(worker));
            }
        }
        let mut pairs = flat(next())?.into_iter();
        let mut workers = Vec::new();
        while let (Some(worker), Some(info)) = (pairs.next(), pairs.next()) {
            if alive.contains(&bytes(worker)) {
                workers.extend(worker_of(&text(info)));
            }
        }
        workers.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Ok(workers)
    }
}

impl RedisStore {
    /// The ids of the next page of what may fit the query.
    async fn list(&self, query: &JobQuery, after: Option<TaskId>) -> Result<Vec<String>, StoreError> {
        let mut args = vec![after.map(|id| id.to_string()).unwrap_or_default(), PAGE.to_string()];
        if let Some(batch) = query.batch {
            args.push(format!("batch:{batch}"));
        } else {
            let sets: &[&str] = match query.state {
                Some(JobState::Pending | JobState::Running) => &["live"],
                Some(JobState::Completed) => &["st:c"],
                Some(JobState::Failed) => &["st:f"],
                Some(JobState::Cancelled) => &["st:x"],
                None => &["live", "st:c", "st:f", "st:x"],
            };
            args.extend(sets.iter().map(|set| (*set).to_owned()));
        }
        let args = args.into_iter().map(String::into_bytes).collect();
        let reply = self.inner.io.run(&self.inner.scripts.list, args).await?;
        Ok(list(reply)?.into_iter().map(text).collect())
    }

    async fn read(&self, ids: Vec<String>) -> Result<Vec<JobRecord>, StoreError> {
        let args = ids.into_iter().map(String::into_bytes).collect();
        let reply = self.inner.io.run(&self.inner.scripts.read, args).await?;
        let mut records = Vec::new();
        for value in list(reply)? {
            records.extend(record_of(value)?);
        }
        Ok(records)
    }
}

fn matches(query: &JobQuery, record: &JobRecord) -> bool {
    query.state.is_none_or(|state| state == record.state)
        && query.kind.as_ref().is_none_or(|kind| *kind == record.job.kind)
        && query.queue.as_ref().is_none_or(|queue| *queue == record.job.queue)
        && query.batch.is_none_or(|batch| record.job.batch == Some(batch))
}

fn count(value: Value) -> u64 {
    text(value).parse().unwrap_or(0)
}

/// A reply of pairs, whichever way the protocol's version writes them.
fn flat(value: Value) -> Result<Vec<Value>, BadReply> {
    match value {
        Value::Map(pairs) => Ok(pairs.into_iter().flat_map(|(name, value)| [name, value]).collect()),
        other => list(other),
    }
}

fn depth(value: Value) -> Result<QueueDepth, BadReply> {
    let mut row = Row::new(value)?;
    Ok(QueueDepth {
        queue: queue_of(&row.text()),
        ready: count(row.value()),
        scheduled: count(row.value()),
        running: count(row.value()),
        oldest: row.parse::<u64>().map(Duration::from_micros),
        paused: row.text() == "1",
    })
}

fn worker_of(info: &str) -> Option<WorkerInfo> {
    let (seen, json) = info.split_once(' ')?;
    let mut worker: WorkerInfo = serde_json::from_str(json).ok()?;
    worker.seen_at = UNIX_EPOCH.checked_add(Duration::from_millis(seen.parse().ok()?));
    Some(worker)
}
