use std::collections::HashMap;

use rusqlite::params;

use crate::id::TaskId;
use crate::store::error::StoreError;
use crate::store::limits::{Unique, UniqueScope};
use crate::store::new_job::{Enqueued, NewJob, OnDependencyFailure, Start};
use crate::store::record::JobState;
use crate::store::sqlite::apply::Apply;
use crate::store::sqlite::clock::{Millis, from_system, millis};
use crate::store::sqlite::finish::{DEPENDENCY, cancel_waiting};
use crate::store::sqlite::row;
use crate::store::sqlite::schema::{DEPENDENT, READY, SCHEDULED};

/// Takes jobs in; the caller undoes all of it if one cannot be.
pub(super) fn enqueue(apply: &Apply<'_>, jobs: &[NewJob]) -> Result<Vec<Enqueued>, StoreError> {
    let room = apply.capacity.saturating_sub(apply.count(JobState::Pending)?);
    let mut new = 0;
    // For which jobs of this call others stand.
    let mut twins: HashMap<TaskId, TaskId> = HashMap::new();
    let mut answers = Vec::with_capacity(jobs.len());
    for job in jobs {
        if let Some(known) = find(apply, job)? {
            twins.insert(job.id, known);
            answers.push(Enqueued::Duplicate(known));
            continue;
        }
        new += 1;
        if new > room {
            return Err(StoreError::Full { capacity: usize::try_from(apply.capacity).unwrap_or(usize::MAX) });
        }
        insert(apply, job, &twins)?;
        answers.push(Enqueued::New(job.id));
    }
    Ok(answers)
}

/// The known job of which this one is a duplicate.
fn find(apply: &Apply<'_>, job: &NewJob) -> Result<Option<TaskId>, StoreError> {
    let id = row::id(&job.id);
    if apply.one("select 1 from jobs where id = ?1", [&id], |_| Ok(()))?.is_some() {
        return Ok(Some(job.id));
    }
    twin(apply, job)
}

/// The known job that makes this one a duplicate by its unique key.
pub(super) fn twin(apply: &Apply<'_>, job: &NewJob) -> Result<Option<TaskId>, StoreError> {
    let Some(Unique { key, within, scope }) = &job.unique else { return Ok(None) };
    let sql = "select jobs.id, state, enqueued from uniques join jobs on jobs.seq = uniques.job where key = ?1";
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row::state(row.get(1)?), row.get::<_, Millis>(2)?));
    let Some((first, state, enqueued)) = apply.one(sql, [key], read)? else { return Ok(None) };
    let in_window = within.is_none_or(|window| apply.now - enqueued < millis(window));
    let in_scope = match scope {
        UniqueScope::Pending => state == JobState::Pending,
        UniqueScope::Unfinished => !state.is_final(),
        UniqueScope::NotFailed => !matches!(state, JobState::Failed | JobState::Cancelled),
        UniqueScope::Any => true,
    };
    Ok((in_window && in_scope).then(|| row::task_id(first)))
}

fn insert(apply: &Apply<'_>, job: &NewJob, twins: &HashMap<TaskId, TaskId>) -> Result<(), StoreError> {
    let due = match job.start {
        Start::Now => apply.now,
        Start::In(delay) => apply.now + millis(delay),
        Start::At(time) => from_system(time).max(apply.now),
    };
    let needs = needs(apply, job, twins)?;
    let waiting_for = needs.iter().filter(|(_, state)| !state.is_final()).count();
    let broken = |(_, state): &(i64, JobState)| matches!(state, JobState::Failed | JobState::Cancelled);
    let doomed = job.on_dependency_failure == OnDependencyFailure::Cancel && needs.iter().any(broken);
    let place = match (waiting_for, due > apply.now) {
        (1.., _) => DEPENDENT,
        (0, true) => SCHEDULED,
        (0, false) => READY,
    };
    let sql = "insert into jobs (id, kind, queue, state, place, score, due, wake, max_attempts, waiting_for, deadline, \
        unique_within, limit_key, batch, keep_ended, keep_failed, enqueued, spec, payload) \
        values (?1, ?2, ?3, 0, ?4, ?5, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)";
    apply.execute(
        sql,
        params![
            row::id(&job.id),
            job.kind,
            job.queue,
            place,
            score(due, job, apply.age_after),
            due,
            job.max_attempts,
            i64::try_from(waiting_for).unwrap_or(i64::MAX),
            job.deadline.map(from_system),
            job.unique.as_ref().and_then(|unique| unique.within).map(millis),
            job.limit.as_ref().map(|limit| &limit.key),
            job.batch.map(|batch| *batch.as_uuid().as_bytes()),
            millis(job.retention.ended),
            millis(job.retention.failed),
            apply.now,
            row::spec(job)?,
            job.payload,
        ],
    )?;
    let seq = apply.connection.last_insert_rowid();
    apply.moved(None, Some(JobState::Pending));
    take_key(apply, job, seq)?;
    for (needed, _) in needs.iter().filter(|(_, state)| !state.is_final()) {
        apply.execute("insert into needs (needed, dependent) values (?1, ?2)", [*needed, seq])?;
        apply.execute("update jobs set dependents = dependents + 1 where seq = ?1", [*needed])?;
    }
    if doomed {
        cancel_waiting(apply, vec![seq], DEPENDENCY)?;
    } else if place == READY || place == SCHEDULED {
        apply.made_ready();
    }
    Ok(())
}

/// Lets later ones be duplicates of this one.
pub(super) fn take_key(apply: &Apply<'_>, job: &NewJob, seq: i64) -> Result<(), StoreError> {
    if let Some(unique) = &job.unique {
        let sql = "insert into uniques (key, job) values (?1, ?2) on conflict (key) do update set job = excluded.job";
        apply.execute(sql, params![unique.key, seq])?;
    }
    Ok(())
}

/// The rows and states of what a job depends on.
fn needs(apply: &Apply<'_>, job: &NewJob, twins: &HashMap<TaskId, TaskId>) -> Result<Vec<(i64, JobState)>, StoreError> {
    let mut needs = Vec::with_capacity(job.depends_on.len());
    for id in &job.depends_on {
        let id = twins.get(id).unwrap_or(id);
        let sql = "select seq, state from jobs where id = ?1";
        let found = apply.one(sql, [row::id(id)], |row| Ok((row.get(0)?, row::state(row.get(1)?))))?;
        needs.push(found.ok_or_else(|| StoreError::invalid("depends_on", id, "jobs that the store knows"))?);
    }
    // Two of them may be the same one's duplicates.
    needs.sort_unstable_by_key(|(seq, _)| *seq);
    needs.dedup_by_key(|(seq, _)| *seq);
    Ok(needs)
}

/// A job's place among those that wait: the smallest is next. With ageing a priority is a head start; without, it is
/// worth more than any time.
pub(super) fn score(due: Millis, job: &NewJob, age_after: Millis) -> i64 {
    let level = i64::from(job.priority as u8);
    if age_after == 0 { due.saturating_sub(level << 60) } else { due.saturating_sub(level.saturating_mul(age_after)) }
}
