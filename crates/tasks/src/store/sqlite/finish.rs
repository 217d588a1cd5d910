//! Ends of jobs, and what follows from them.

use rusqlite::params;

use crate::store::error::StoreError;
use crate::store::record::{Failure, JobState};
use crate::store::sqlite::apply::Apply;
use crate::store::sqlite::clock::Millis;
use crate::store::sqlite::connection::NAME;
use crate::store::sqlite::row;
use crate::store::sqlite::schema::{ENDED, READY, RUNNING, SCHEDULED};

pub(super) const DEPENDENCY: &str = "a job that it depends on did not complete";

/// How a job ends.
pub(super) enum Finish<'a> {
    Completed(&'a [u8]),
    Failed(&'a Failure),
    Cancelled(&'a str),
}

impl Finish<'_> {
    const fn state(&self) -> JobState {
        match self {
            Self::Completed(_) => JobState::Completed,
            Self::Failed(_) => JobState::Failed,
            Self::Cancelled(_) => JobState::Cancelled,
        }
    }
}

/// What is to be known of a job before it changes.
pub(super) struct Held {
    pub(super) seq: i64,
    id: [u8; 16],
    pub(super) state: JobState,
    pub(super) attempts: u32,
    pub(super) max_attempts: u32,
    pub(super) cancel: Option<String>,
    pub(super) due: Millis,
    dependents: i64,
    place: i64,
    limit_key: Option<String>,
    enqueued: Millis,
    unique_within: Option<Millis>,
    keep_ended: Millis,
    keep_failed: Millis,
}

pub(super) fn held(row: &rusqlite::Row<'_>) -> rusqlite::Result<Held> {
    Ok(Held {
        seq: row.get(0)?,
        id: row.get(1)?,
        state: row::state(row.get(2)?),
        attempts: row.get(3)?,
        max_attempts: row.get(4)?,
        cancel: row.get(5)?,
        due: row.get(6)?,
        dependents: row.get(7)?,
        place: row.get(8)?,
        limit_key: row.get(9)?,
        enqueued: row.get(10)?,
        unique_within: row.get(11)?,
        keep_ended: row.get(12)?,
        keep_failed: row.get(13)?,
    })
}

pub(super) fn by_seq(apply: &Apply<'_>, seq: i64) -> Result<Option<Held>, StoreError> {
    // Spelled out, so that the statement is found again.
    const SQL: &str = "select seq, id, state, attempts, max_attempts, cancel, due, dependents, place, limit_key, \
        enqueued, unique_within, keep_ended, keep_failed from jobs where seq = ?1";
    apply.one(SQL, [seq], held)
}

/// Ends a job, wherever it is, and tells those that wait for it.
pub(super) fn finish(apply: &Apply<'_>, job: &Held, how: &Finish<'_>) -> Result<(), StoreError> {
    end(apply, job, how)?;
    if job.dependents > 0 {
        let doomed = release(apply, job.seq, how.state())?;
        cancel_waiting(apply, doomed, DEPENDENCY)?;
    }
    Ok(())
}

fn end(apply: &Apply<'_>, job: &Held, how: &Finish<'_>) -> Result<(), StoreError> {
    let state = how.state();
    let keep = if state == JobState::Failed { job.keep_failed } else { job.keep_ended };
    // As long as its unique key matters, the job is remembered for it.
    let window = job.unique_within.map_or(apply.now, |window| job.enqueued + window);
    let expires = (apply.now + keep).max(window);
    let number = row::number(state);
    match how {
        Finish::Completed(output) => {
            let sql = "update jobs set state = ?1, place = 5, lease = null, ended = ?2, expires = ?3, output = ?4 \
                where seq = ?5";
            apply.execute(sql, params![number, apply.now, expires, output, job.seq])?;
        }
        Finish::Failed(failure) => {
            let sql = "update jobs set state = ?1, place = 5, lease = null, ended = ?2, expires = ?3, failure = ?4 \
                where seq = ?5";
            apply.execute(sql, params![number, apply.now, expires, json(failure)?, job.seq])?;
        }
        Finish::Cancelled(reason) => {
            let sql = "update jobs set state = ?1, place = 5, lease = null, ended = ?2, expires = ?3, cancel = ?4 \
                where seq = ?5";
            apply.execute(sql, params![number, apply.now, expires, reason, job.seq])?;
        }
    }
    debug_assert_eq!(ENDED, 5, "the statements above say so");
    apply.moved(Some(job.state), Some(state));
    apply.ended(row::task_id(job.id));
    // One that was to begin next lets the next one of its key try, too.
    if matches!(job.place, READY | SCHEDULED | RUNNING) {
        free_key(apply, job)?;
    }
    Ok(())
}

pub(super) fn json(failure: &Failure) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(failure).map_err(|error| StoreError::backend(NAME, false, error))
}

/// Lets the first of each lane of the job's key try.
pub(super) fn free_key(apply: &Apply<'_>, job: &Held) -> Result<(), StoreError> {
    job.limit_key.as_ref().map_or(Ok(()), |key| let_next(apply, key))
}

/// Lets the first of each lane of a key try, since nobody knows which of them the next worker can take. Those that wait
/// for a window have lanes of their own: they are not to stand behind what waits for a place.
pub(super) fn let_next(apply: &Apply<'_>, key: &str) -> Result<(), StoreError> {
    let (mut paced, mut queue, mut kind) = (0, String::new(), String::new());
    loop {
        let sql = "select paced, queue, kind, seq from jobs where place = 2 and limit_key = ?1 \
            and (paced, queue, kind) > (?2, ?3, ?4) order by paced, queue, kind, score, seq limit 1";
        let read =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get::<_, i64>(3)?));
        let Some(next) = apply.one(sql, params![key, paced, queue, kind], read)? else { return Ok(()) };
        let seq;
        (paced, queue, kind, seq) = next;
        apply.execute("update jobs set place = ?1 where seq = ?2", [READY, seq])?;
        apply.made_ready();
    }
}

/// Tells those that wait for a job that it ended so; returns those that can never begin.
fn release(apply: &Apply<'_>, seq: i64, state: JobState) -> Result<Vec<i64>, StoreError> {
    let dependents: Vec<i64> = apply.all("select dependent from needs where needed = ?1", [seq], |row| row.get(0))?;
    apply.execute("delete from needs where needed = ?1", [seq])?;
    apply.execute("update jobs set dependents = 0 where seq = ?1", [seq])?;
    let mut doomed = Vec::new();
    for dependent in dependents {
        // One that was cancelled and taken up again does not wait for anybody any more.
        let sql = "select waiting_for, due, json_extract(spec, '$.on_dependency_failure') from jobs \
            where seq = ?1 and place = 3";
        let read =
            |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Millis>(1)?, row.get::<_, String>(2)?));
        let Some((waiting_for, due, policy)) = apply.one(sql, [dependent], read)? else { continue };
        if state != JobState::Completed && policy == "cancel" {
            doomed.push(dependent);
            continue;
        }
        let left = waiting_for - 1;
        if left > 0 {
            apply.execute("update jobs set waiting_for = ?1 where seq = ?2", [left, dependent])?;
            continue;
        }
        schedule(apply, dependent, due.max(apply.now), "waiting_for = 0")?;
    }
    Ok(doomed)
}

/// Lets a waiting job begin at `due`, and sets what else is to be.
pub(super) fn schedule(apply: &Apply<'_>, seq: i64, due: Millis, also: &'static str) -> Result<(), StoreError> {
    let place = if due > apply.now { SCHEDULED } else { READY };
    // The score moves along with the time at which it is due.
    let sql =
        format!("update jobs set score = score + (?1 - due), due = ?1, wake = ?1, place = ?2, {also} where seq = ?3");
    apply.execute(&sql, [due, place, seq])?;
    apply.made_ready();
    Ok(())
}

/// Cancels waiting jobs and all that depend on them.
pub(super) fn cancel_waiting(apply: &Apply<'_>, mut doomed: Vec<i64>, reason: &str) -> Result<(), StoreError> {
    while let Some(seq) = doomed.pop() {
        let Some(job) = by_seq(apply, seq)?.filter(|job| job.state == JobState::Pending) else { continue };
        end(apply, &job, &Finish::Cancelled(reason))?;
        if job.dependents > 0 {
            doomed.extend(release(apply, seq, JobState::Cancelled)?);
        }
    }
    Ok(())
}
