use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::params;

use crate::store::claim::{Claim, ClaimRequest, Lease, QueueClaim};
use crate::store::error::StoreError;
use crate::store::limits::{KeyLimit, Rate};
use crate::store::new_job::NewJob;
use crate::store::record::{Failure, FailureKind, JobState};
use crate::store::sqlite::apply::Apply;
use crate::store::sqlite::clock::{Millis, duration, millis};
use crate::store::sqlite::finish::{Finish, by_seq, finish, let_next};
use crate::store::sqlite::row;
use crate::store::sqlite::schema::HELD;
use crate::store::sqlite::sweep::{promote, rescue};

/// What a claim gave, and when there may be more without anybody calling.
pub(super) struct Claimed {
    pub(super) claims: Vec<Claim>,
    pub(super) next: Option<Duration>,
}

pub(super) fn claim(apply: &Apply<'_>, request: &ClaimRequest) -> Result<Claimed, StoreError> {
    rescue(apply)?;
    promote(apply)?;
    let mut claims = Vec::new();
    let mut queues = open_queues(apply, request)?;
    let mut moved = 0;
    // Ends: each round gives a job out, moves one out of the way, or shuts a queue.
    while claims.len() < request.most && !queues.is_empty() && moved < MOST_MOVED {
        let found = candidates(apply, request, &queues, request.most - claims.len())?;
        if found.is_empty() {
            break;
        }
        for candidate in found {
            let Some(room) = queues.get_mut(&candidate.queue).filter(|room| room.left > 0) else { continue };
            if let Some(claim) = give_out(apply, request, &candidate, room.queue)? {
                room.left -= 1;
                claims.push(claim);
            } else {
                moved += 1;
            }
        }
        queues.retain(|_, room| room.left > 0);
    }
    let next = match claims.is_empty() {
        true if moved >= MOST_MOVED => Some(Duration::ZERO),
        true => next_due(apply, request)?,
        false => None,
    };
    Ok(Claimed { claims, next })
}

/// How many jobs one claim moves out of the way at most: others want to write too, so that it is asked again.
const MOST_MOVED: usize = 1_000;

/// A queue that may give something, and how many jobs.
struct Room<'a> {
    queue: &'a QueueClaim,
    left: i64,
}

fn open_queues<'a>(apply: &Apply<'_>, request: &'a ClaimRequest) -> Result<HashMap<usize, Room<'a>>, StoreError> {
    let mut open = HashMap::new();
    for (number, queue) in request.queues.iter().enumerate() {
        let name = &*queue.queue;
        // Of a queue that is named twice the first counts.
        if request.queues.iter().take(number).any(|before| before.queue == queue.queue) {
            continue;
        }
        if apply.one("select 1 from paused where queue = ?1", [name], |_| Ok(()))?.is_some() {
            continue;
        }
        let mut left = i64::try_from(request.most).unwrap_or(i64::MAX);
        if let Some(most) = queue.concurrency {
            let sql = "select count(*) from jobs where place = 4 and queue = ?1";
            let running: i64 = apply.one(sql, [name], |row| row.get(0))?.unwrap_or(0);
            left = left.min(i64::from(most) - running);
        }
        if let Some(rate) = queue.rate {
            left = left.min(starts_left(apply, &format!("q:{name}"), rate)?.0);
        }
        if left > 0 {
            open.insert(number, Room { queue, left });
        }
    }
    Ok(open)
}

struct Candidate {
    seq: i64,
    score: i64,
    queue: usize,
}

/// The first of the lanes of the open queues, in order.
fn candidates(
    apply: &Apply<'_>,
    request: &ClaimRequest,
    queues: &HashMap<usize, Room<'_>>,
    most: usize,
) -> Result<Vec<Candidate>, StoreError> {
    let mut found = Vec::new();
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    for (&number, room) in queues {
        for kind in &request.kinds {
            let sql = "select seq, score from jobs where place = 0 and queue = ?1 and kind = ?2 \
                order by score, seq limit ?3";
            let read = |row: &rusqlite::Row<'_>| Ok(Candidate { seq: row.get(0)?, score: row.get(1)?, queue: number });
            found.extend(apply.all(sql, params![room.queue.queue, kind, most.min(room.left)], read)?);
        }
    }
    found.sort_unstable_by_key(|candidate| (candidate.score, candidate.seq));
    found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    Ok(found)
}

/// Gives a job out, or moves it out of the way of others.
fn give_out(
    apply: &Apply<'_>,
    request: &ClaimRequest,
    candidate: &Candidate,
    queue: &QueueClaim,
) -> Result<Option<Claim>, StoreError> {
    let sql = "select spec, payload, due, attempts, fence, deadline from jobs where seq = ?1 and place = 0";
    let read = |row: &rusqlite::Row<'_>| {
        let numbers = (row.get::<_, Millis>(2)?, row.get::<_, u32>(3)?, row.get::<_, i64>(4)?);
        Ok((row::job(row, 0)?, numbers, row.get::<_, Option<Millis>>(5)?))
    };
    let Some((job, (due, attempts, fence), deadline)) = apply.one(sql, [candidate.seq], read)? else { return Ok(None) };
    if deadline.is_some_and(|deadline| deadline <= apply.now) {
        if let Some(held) = by_seq(apply, candidate.seq)? {
            finish(apply, &held, &Finish::Failed(&overdue()))?;
        }
        return Ok(None);
    }
    if must_wait(apply, &job, candidate.seq)? {
        return Ok(None);
    }
    if let Some(rate) = queue.rate {
        count_start(apply, &format!("q:{}", queue.queue), rate)?;
    }
    let fence = fence + 1;
    let sql = "update jobs set state = 1, place = 4, attempts = attempts + 1, fence = ?1, lease = ?2, worker = ?3, \
        started = ?4, progress = null, progress_attempt = null, progress_number = null where seq = ?5";
    apply.execute(sql, params![fence, apply.now + millis(request.term), request.worker, apply.now, candidate.seq])?;
    apply.moved(Some(JobState::Pending), Some(JobState::Running));
    let lease = Lease::new(job.id, fence.unsigned_abs());
    Ok(Some(Claim::new(Arc::new(job), lease, attempts + 1, duration(apply.now - due))))
}

/// Whether the key of a job lets it not begin; then it is moved out of the way. Else its start counts.
fn must_wait(apply: &Apply<'_>, job: &NewJob, seq: i64) -> Result<bool, StoreError> {
    let Some(limit) = &job.limit else { return Ok(false) };
    let mut is_last = false;
    if let Some(most) = limit.concurrency {
        let sql = "select count(*) from jobs where place = 4 and limit_key = ?1";
        let running: i64 = apply.one(sql, [&limit.key], |row| row.get(0))?.unwrap_or(0);
        if running >= i64::from(most) {
            hold(apply, limit, seq)?;
            return Ok(true);
        }
        is_last = running + 1 >= i64::from(most);
    }
    if let Some(rate) = limit.rate {
        let name = format!("k:{}", limit.key);
        let (left, ends) = starts_left(apply, &name, rate)?;
        if left <= 0 {
            hold(apply, limit, seq)?;
            apply.execute("insert or ignore into opens (at, key) values (?1, ?2)", params![ends, limit.key])?;
            return Ok(true);
        }
        count_start(apply, &name, rate)?;
    }
    // One after another until the window or all places are full, not all that wait at once. What has the last place lets
    // the next one try at its end.
    if !is_last {
        let_next(apply, &limit.key)?;
    }
    Ok(false)
}

fn hold(apply: &Apply<'_>, limit: &KeyLimit, seq: i64) -> Result<(), StoreError> {
    let sql = "update jobs set place = ?1, paced = ?2 where seq = ?3";
    apply.execute(sql, params![HELD, limit.rate.is_some(), seq]).map(drop)
}

/// How many starts the window has left, and when it ends.
fn starts_left(apply: &Apply<'_>, name: &str, rate: Rate) -> Result<(i64, Millis), StoreError> {
    let sql = "select ends, starts from windows where name = ?1 and ends > ?2";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, Millis>(0)?, row.get::<_, i64>(1)?));
    let most = i64::from(rate.starts);
    Ok(apply
        .one(sql, params![name, apply.now], read)?
        .map_or((most, apply.now), |(ends, starts)| (most - starts, ends)))
}

fn count_start(apply: &Apply<'_>, name: &str, rate: Rate) -> Result<(), StoreError> {
    let sql = "insert into windows (name, ends, starts) values (?1, ?2, 1) on conflict (name) do update set \
        starts = case when ends > ?3 then starts + 1 else 1 end, ends = case when ends > ?3 then ends else ?2 end";
    apply.execute(sql, params![name, apply.now + millis(rate.per), apply.now]).map(drop)
}

fn next_due(apply: &Apply<'_>, request: &ClaimRequest) -> Result<Option<Duration>, StoreError> {
    let sql = "select min(t) from (select min(wake) as t from jobs where place = 1 \
        union all select min(lease) from jobs where place = 4 union all select min(at) from opens)";
    let mut next: Option<Millis> = apply.one(sql, [], |row| row.get(0))?.flatten();
    for queue in &request.queues {
        let Some(rate) = queue.rate else { continue };
        let (left, ends) = starts_left(apply, &format!("q:{}", queue.queue), rate)?;
        if left <= 0 {
            next = Some(next.map_or(ends, |next| next.min(ends)));
        }
    }
    Ok(next.map(|next| duration((next - apply.now).max(1))))
}

pub(super) fn overdue() -> Failure {
    Failure::new(FailureKind::DeadlineExceeded, "the deadline was over before the work began")
}
