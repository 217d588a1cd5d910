use rusqlite::params;

use crate::id::TaskId;
use crate::store::claim::{Beat, End, Lease, LeaseState, Settled, Settlement};
use crate::store::error::StoreError;
use crate::store::record::{JobProgress, JobState};
use crate::store::signal::Signal;
use crate::store::sqlite::apply::Apply;
use crate::store::sqlite::clock::{Millis, millis};
use crate::store::sqlite::connection::NAME;
use crate::store::sqlite::enqueue::{take_key, twin};
use crate::store::sqlite::finish::{Finish, Held, by_seq, cancel_waiting, finish, free_key, held, json, schedule};
use crate::store::sqlite::row;
use crate::store::sqlite::sweep::rescue;

pub(super) fn settle(apply: &Apply<'_>, ends: &[End]) -> Result<Vec<Settled>, StoreError> {
    rescue(apply)?;
    ends.iter().map(|end| settle_one(apply, end)).collect()
}

fn settle_one(apply: &Apply<'_>, end: &End) -> Result<Settled, StoreError> {
    let Some(job) = holder(apply, end.lease)? else { return Ok(Settled::LeaseLost) };
    let asked = job.cancel.as_deref();
    match (&end.settlement, asked) {
        (Settlement::Completed(output), _) => finish(apply, &job, &Finish::Completed(output))?,
        (Settlement::Failed(failure), _) => finish(apply, &job, &Finish::Failed(failure))?,
        (Settlement::Retry { failure, .. }, None) if job.attempts >= job.max_attempts => {
            finish(apply, &job, &Finish::Failed(failure))?;
        }
        (Settlement::Cancelled(reason), asked) => finish(apply, &job, &Finish::Cancelled(asked.unwrap_or(reason)))?,
        // Whoever wants it cancelled does not want it tried again.
        (_, Some(asked)) => finish(apply, &job, &Finish::Cancelled(asked))?,
        (Settlement::Retry { failure, after }, None) => {
            apply.execute("update jobs set failure = ?1 where seq = ?2", params![json(failure)?, job.seq])?;
            again(apply, &job, apply.now + millis(*after), "attempts = attempts")?;
        }
        (Settlement::Snoozed(after), None) => {
            again(apply, &job, apply.now + millis(*after), "attempts = attempts - 1")?;
        }
        (Settlement::Returned, None) => again(apply, &job, job.due, "attempts = attempts - 1")?,
    }
    Ok(Settled::Accepted)
}

/// The job of a lease, if that is held.
fn holder(apply: &Apply<'_>, lease: Lease) -> Result<Option<Held>, StoreError> {
    const SQL: &str = "select seq, id, state, attempts, max_attempts, cancel, due, dependents, place, limit_key, \
        enqueued, unique_within, keep_ended, keep_failed from jobs where id = ?1 and place = 4 and fence = ?2";
    let fence = i64::try_from(lease.fence).unwrap_or(-1);
    apply.one(SQL, params![row::id(&lease.job), fence], held)
}

/// Lets a job that ran wait again.
pub(super) fn again(apply: &Apply<'_>, job: &Held, due: Millis, also: &'static str) -> Result<(), StoreError> {
    apply.execute("update jobs set state = 0, lease = null where seq = ?1", [job.seq])?;
    apply.moved(Some(JobState::Running), Some(JobState::Pending));
    schedule(apply, job.seq, due, also)?;
    free_key(apply, job)
}

pub(super) fn beat(apply: &Apply<'_>, beat: &Beat) -> Result<Vec<LeaseState>, StoreError> {
    rescue(apply)?;
    let info = serde_json::to_vec(&beat.worker).map_err(|error| StoreError::backend(NAME, false, error))?;
    let sql = "insert into workers (id, info, seen, until) values (?1, ?2, ?3, ?4) \
        on conflict (id) do update set info = excluded.info, seen = excluded.seen, until = excluded.until";
    let until = apply.now + millis(beat.term).saturating_mul(3);
    apply.execute(sql, params![beat.worker.id, info, apply.now, until])?;
    let states = beat.leases.iter().map(|lease| extend(apply, *lease, apply.now + millis(beat.term))).collect();
    for (lease, progress) in &beat.progress {
        report(apply, *lease, progress)?;
    }
    states
}

fn extend(apply: &Apply<'_>, lease: Lease, until: Millis) -> Result<LeaseState, StoreError> {
    let sql = "update jobs set lease = ?1 where id = ?2 and place = 4 and fence = ?3 returning cancel";
    let fence = i64::try_from(lease.fence).unwrap_or(-1);
    let held = apply.one(sql, params![until, row::id(&lease.job), fence], |row| row.get::<_, Option<String>>(0))?;
    Ok(match held {
        None => LeaseState::Lost,
        Some(None) => LeaseState::Held,
        Some(Some(reason)) => LeaseState::CancelRequested(reason),
    })
}

fn report(apply: &Apply<'_>, lease: Lease, progress: &JobProgress) -> Result<(), StoreError> {
    let sql = "update jobs set progress = ?1, progress_attempt = ?2, progress_number = ?3 \
        where id = ?4 and place = 4 and fence = ?5 and (progress_number is null or progress_number < ?3)";
    let fence = i64::try_from(lease.fence).unwrap_or(-1);
    let number = i64::try_from(progress.number).unwrap_or(i64::MAX);
    let params = params![progress.value, progress.attempt, number, row::id(&lease.job), fence];
    if apply.execute(sql, params)? > 0 {
        apply.signal(Signal::Progress(lease.job));
    }
    Ok(())
}

pub(super) fn cancel(apply: &Apply<'_>, id: TaskId, reason: &str) -> Result<JobState, StoreError> {
    rescue(apply)?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row::state(row.get(1)?)));
    let found = apply.one("select seq, state from jobs where id = ?1", [row::id(&id)], read)?;
    let (seq, state) = found.ok_or(StoreError::Unknown(id))?;
    match state {
        JobState::Pending => {
            cancel_waiting(apply, vec![seq], reason)?;
            Ok(JobState::Cancelled)
        }
        JobState::Running => {
            let sql = "update jobs set cancel = ?1 where seq = ?2 and cancel is null";
            apply.execute(sql, params![reason, seq])?;
            apply.signal(Signal::Cancel(id));
            Ok(JobState::Running)
        }
        ended => Ok(ended),
    }
}

pub(super) fn replay(apply: &Apply<'_>, ids: &[TaskId]) -> Result<u64, StoreError> {
    let mut replayed = 0;
    for id in ids {
        let sql = "select seq, spec, payload from jobs where id = ?1 and state in (3, 4)";
        let found = apply.one(sql, [row::id(id)], |row| Ok((row.get(0)?, row::job(row, 1)?)))?;
        let Some((seq, spec)) = found else { continue };
        let Some(job) = by_seq(apply, seq)? else { continue };
        // Another one may have taken its place meanwhile.
        if twin(apply, &spec)?.is_some_and(|twin| twin != *id) {
            continue;
        }
        take_key(apply, &spec, seq)?;
        // It is wanted again, whatever was said about its time.
        let sql = "update jobs set state = 0, waiting_for = 0, cancel = null, ended = null, expires = null, \
            worker = null, deadline = null where seq = ?1";
        apply.execute(sql, [job.seq])?;
        apply.moved(Some(job.state), Some(JobState::Pending));
        schedule(apply, job.seq, apply.now, "attempts = 0")?;
        replayed += 1;
    }
    Ok(replayed)
}
