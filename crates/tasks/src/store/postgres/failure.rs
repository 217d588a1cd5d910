use sqlx::error::DatabaseError;

use crate::store::error::StoreError;
use crate::store::postgres::NAME;

/// Says of a failure of the server what the caller is to know.
pub(super) fn failed(error: sqlx::Error) -> StoreError {
    if let sqlx::Error::Database(told) = &error
        && told.code().as_deref() == Some(UNKNOWN_DEPENDENCY)
    {
        return StoreError::invalid("depends_on", told.message(), "jobs that the store knows");
    }
    if matches!(error, sqlx::Error::PoolClosed) {
        return StoreError::Closed;
    }
    let transient = is_broken(&error) || is_conflict(&error) || is_busy(&error);
    StoreError::backend(NAME, transient, error)
}

/// Whether the connection is gone, so that nobody knows what became of the call.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        // An administrator, a crash, or a server that starts or stops.
        sqlx::Error::Database(told) => code(&**told, &["08", "57P"]),
        _ => false,
    }
}

/// Whether another call was in the way: the same one succeeds when it is repeated.
pub(super) fn is_conflict(error: &sqlx::Error) -> bool {
    // Also two calls that take in the same job at once.
    matches!(error, sqlx::Error::Database(told) if code(&**told, &["40001", "40P01", "23505"]))
}

/// Whether the server has too much to do, or is the wrong one for the moment.
fn is_busy(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut => true,
        // No memory, disk or connections; canceled; a lock that was not to be had; a standby that is not promoted yet.
        sqlx::Error::Database(told) => code(&**told, &["53", "57014", "55P03", "25006"]),
        _ => false,
    }
}

fn code(told: &dyn DatabaseError, prefixes: &[&str]) -> bool {
    told.code().is_some_and(|code| prefixes.iter().any(|prefix| code.starts_with(prefix)))
}

/// Raised by the function that takes jobs in.
const UNKNOWN_DEPENDENCY: &str = "BT001";
