use crate::store::control::Maintained;
use crate::store::error::StoreError;
use crate::store::record::{Failure, FailureKind, JobState};
use crate::store::sqlite::apply::Apply;
use crate::store::sqlite::claim::overdue;
use crate::store::sqlite::finish::{Finish, by_seq, finish, json, let_next};
use crate::store::sqlite::row;
use crate::store::sqlite::schema::READY;
use crate::store::sqlite::settle::again;

/// At most so many are swept in one transaction: others want to write too.
const PART: i64 = 500;

/// Lets begin what is due.
pub(super) fn promote(apply: &Apply<'_>) -> Result<(), StoreError> {
    let sql = "update jobs set place = ?1 where place = 1 and wake <= ?2";
    if apply.execute(sql, [READY, apply.now])? > 0 {
        apply.made_ready();
    }
    // Those that are left come up at the next look.
    for _ in 0..PART {
        let sql = "select at, key from opens where at <= ?1 order by at limit 1";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?));
        let Some((at, key)) = apply.one(sql, [apply.now], read)? else { break };
        apply.execute("delete from opens where at = ?1 and key = ?2", rusqlite::params![at, key])?;
        let_next(apply, &key)?;
    }
    Ok(())
}

/// Takes back leases that are over.
pub(super) fn rescue(apply: &Apply<'_>) -> Result<(), StoreError> {
    loop {
        let sql = "select seq from jobs where place = 4 and lease <= ?1 limit 1";
        let Some(seq) = apply.one(sql, [apply.now], |row| row.get(0))? else { return Ok(()) };
        let Some(job) = by_seq(apply, seq)? else { return Ok(()) };
        let failure = Failure::new(FailureKind::Crashed, "the worker gave no sign of life within the lease");
        if let Some(reason) = &job.cancel {
            finish(apply, &job, &Finish::Cancelled(reason))?;
        } else if job.attempts >= job.max_attempts {
            apply.rescued(true);
            finish(apply, &job, &Finish::Failed(&failure))?;
        } else {
            apply.rescued(false);
            apply.execute("update jobs set failure = ?1 where seq = ?2", rusqlite::params![json(&failure)?, seq])?;
            // It keeps its place: it was due before all that came while it lay with the dead.
            again(apply, &job, job.due, "attempts = attempts")?;
        }
    }
}

/// One part of a sweep, and whether there is more to do.
pub(super) fn maintain(apply: &Apply<'_>) -> Result<(Maintained, bool), StoreError> {
    rescue(apply)?;
    promote(apply)?;
    let mut did = Maintained::default();
    let late: Vec<i64> = apply.all(
        "select seq from jobs where place < 4 and deadline is not null and deadline <= ?1 order by deadline, seq limit ?2",
        [apply.now, PART],
        |row| row.get(0),
    )?;
    for seq in &late {
        // The end of an earlier one may have ended it.
        if let Some(job) = by_seq(apply, *seq)?.filter(|job| job.state == JobState::Pending) {
            finish(apply, &job, &Finish::Failed(&overdue()))?;
            did.overdue += 1;
        }
    }
    let old: Vec<(i64, JobState)> = apply.all(
        "select seq, state from jobs where place = 5 and expires <= ?1 limit ?2",
        [apply.now, PART],
        |row| Ok((row.get(0)?, row::state(row.get(1)?))),
    )?;
    for (seq, state) in &old {
        let key: Option<String> = apply
            .one("select json_extract(spec, '$.unique.key') from jobs where seq = ?1", [*seq], |row| row.get(0))?
            .flatten();
        if let Some(key) = key {
            apply.execute("delete from uniques where key = ?1 and job = ?2", rusqlite::params![key, seq])?;
        }
        apply.execute("delete from jobs where seq = ?1", [*seq])?;
        apply.moved(Some(*state), None);
        did.pruned += 1;
    }
    apply.execute("delete from windows where ends <= ?1", [apply.now])?;
    apply.execute("delete from workers where until <= ?1", [apply.now])?;
    let part = usize::try_from(PART).unwrap_or(usize::MAX);
    Ok((did, late.len() == part || old.len() == part))
}
