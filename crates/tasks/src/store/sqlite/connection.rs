use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::error::StoreError;
use crate::store::sqlite::config::Durability;

pub(super) const NAME: &str = "sqlite";

/// How long SQLite itself waits for another process's write; whoever has to wait longer asks again.
const BUSY: Duration = Duration::from_secs(1);

/// Wraps a failure of SQLite: a busy file and a full or failing disk may be better later.
pub(super) fn failed(error: &rusqlite::Error) -> StoreError {
    let transient = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted
                | ErrorCode::CannotOpen
        )
    );
    StoreError::backend(NAME, transient, error.to_string())
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Opens the connection that writes.
pub(super) fn writer(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = open(path, flags)?;
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(|error| failed(&error))?;
    if mode != "wal" {
        return Err(StoreError::invalid("journal_mode", mode, "wal: the file system must allow shared memory"));
    }
    set_synchronous(&connection, durability)?;
    // Checkpoints are the sweep's work, off the path of callers; this bounds the log should it not come to it.
    set(&connection, "wal_autocheckpoint", 8_000)?;
    set(&connection, "journal_size_limit", 64 << 20)?;
    set(&connection, "temp_store", 2)?;
    set(&connection, "cache_size", -32_768)?;
    set(&connection, "foreign_keys", 0)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Opens the connection that reads.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    set(&connection, "query_only", 1)?;
    set(&connection, "cache_size", -16_384)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Writes what it can of the log back into the file, without waiting for anybody.
pub(super) fn checkpoint(path: &Path, kept: &Mutex<Option<Connection>>) -> Result<(), StoreError> {
    let Some(mut kept) = kept.try_lock() else { return Ok(()) };
    let connection = match kept.take() {
        Some(connection) => connection,
        None => open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?,
    };
    let done = connection.query_row("pragma wal_checkpoint(passive)", [], |_| Ok(())).map_err(|error| failed(&error));
    *kept = Some(connection);
    done
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(&error))?;
    connection.busy_timeout(BUSY).map_err(|error| failed(&error))?;
    Ok(connection)
}

/// Sets how far a commit goes, and looks whether that holds: a setting that is silently another one loses jobs.
pub(super) fn set_synchronous(connection: &Connection, durability: Durability) -> Result<(), StoreError> {
    set(
        connection,
        "synchronous",
        match durability {
            Durability::Normal => 1,
            Durability::Full => 2,
        },
    )
}

fn set(connection: &Connection, name: &'static str, value: i64) -> Result<(), StoreError> {
    connection.pragma_update(None, name, value).map_err(|error| failed(&error))?;
    let found: i64 = connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|error| failed(&error))?;
    if found == value {
        return Ok(());
    }
    Err(StoreError::invalid(name, found, "to take the value that it was given"))
}
