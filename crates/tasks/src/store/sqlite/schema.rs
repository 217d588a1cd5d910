use rusqlite::Connection;

use crate::store::error::StoreError;
use crate::store::sqlite::connection::failed;

/// The version of the tables that this code reads and writes, kept in `user_version`.
const VERSION: i64 = 1;

/// Where a job is, in the column `place`.
pub(super) const READY: i64 = 0;
pub(super) const SCHEDULED: i64 = 1;
pub(super) const HELD: i64 = 2;
pub(super) const DEPENDENT: i64 = 3;
pub(super) const RUNNING: i64 = 4;
pub(super) const ENDED: i64 = 5;

/// Times are milliseconds since 1970 by the store's clock. Each index holds only the rows of its place, so that what a
/// claim costs does not depend on how many jobs have ended.
const TABLES: &str = "
    create table jobs (
        seq integer primary key autoincrement,
        id blob not null unique,
        kind text not null,
        queue text not null,
        state integer not null,
        place integer not null,
        score integer not null,
        due integer not null,
        wake integer not null,
        attempts integer not null default 0,
        max_attempts integer not null,
        fence integer not null default 0,
        lease integer,
        worker text,
        cancel text,
        waiting_for integer not null default 0,
        dependents integer not null default 0,
        deadline integer,
        unique_within integer,
        limit_key text,
        paced integer not null default 0,
        batch blob,
        keep_ended integer not null,
        keep_failed integer not null,
        enqueued integer not null,
        started integer,
        ended integer,
        expires integer,
        spec blob not null,
        payload blob not null,
        progress blob,
        progress_attempt integer,
        progress_number integer,
        output blob,
        failure blob
    ) strict;
    create index jobs_ready on jobs (queue, kind, score, seq) where place = 0;
    create index jobs_scheduled on jobs (wake) where place = 1;
    create index jobs_held on jobs (limit_key, paced, queue, kind, score, seq) where place = 2;
    create index jobs_leases on jobs (lease) where place = 4;
    create index jobs_running_queue on jobs (queue) where place = 4;
    create index jobs_running_key on jobs (limit_key) where place = 4 and limit_key is not null;
    create index jobs_expires on jobs (expires) where place = 5;
    create index jobs_deadlines on jobs (deadline) where place < 4 and deadline is not null;
    create index jobs_batch on jobs (batch) where batch is not null;
    create table uniques (key text primary key, job integer not null) strict, without rowid;
    create table needs (needed integer, dependent integer, primary key (needed, dependent)) strict, without rowid;
    create table windows (name text primary key, ends integer not null, starts integer not null) strict, without rowid;
    create table opens (at integer not null, key text not null, primary key (at, key)) strict, without rowid;
    create table paused (queue text primary key) strict, without rowid;
    create table workers (id text primary key, info blob not null, seen integer not null, until integer not null)
        strict, without rowid;
    create table counts (state integer primary key, number integer not null) strict;
    insert into counts values (0, 0), (1, 0), (2, 0), (3, 0), (4, 0);
    create table clock (one integer primary key check (one = 1), latest integer not null) strict;
    insert into clock values (1, 0);
";

/// Makes the tables if there are none.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(|e| failed(&e))?;
    let version: i64 =
        transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(|e| failed(&e))?;
    match version {
        VERSION => return Ok(()),
        0 => {}
        newer => return Err(StoreError::invalid("schema version", newer, "at most 1, or a newer bedplate-tasks")),
    }
    let tables: i64 = transaction
        .query_row("select count(*) from sqlite_master where type = 'table'", [], |row| row.get(0))
        .map_err(|e| failed(&e))?;
    if tables > 0 {
        return Err(StoreError::invalid("database", "one with other tables", "a new file, or one of bedplate-tasks"));
    }
    transaction.execute_batch(TABLES).map_err(|e| failed(&e))?;
    transaction.pragma_update(None, "user_version", VERSION).map_err(|e| failed(&e))?;
    transaction.commit().map_err(|e| failed(&e))
}
