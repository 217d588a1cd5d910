//! What the server's and the engine's errors are to callers.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::store::error::StoreError;

pub(super) const NAME: &str = "redis";

/// A reply that is not what the script sends.
#[derive(Debug, thiserror::Error)]
#[error("unexpected reply: {0}")]
pub(super) struct BadReply(pub(super) &'static str);

/// No answer in time.
#[derive(Debug, thiserror::Error)]
#[error("no answer in time")]
pub(super) struct Late;

impl From<BadReply> for StoreError {
    fn from(bad: BadReply) -> Self {
        Self::backend(NAME, false, bad)
    }
}

impl From<Late> for StoreError {
    fn from(late: Late) -> Self {
        Self::backend(NAME, true, late)
    }
}

pub(super) fn of_redis(error: RedisError) -> StoreError {
    let transient = is_transient(&error);
    StoreError::backend(NAME, transient, error)
}

pub(super) fn of_engine(error: bullmq::Error) -> StoreError {
    match error {
        bullmq::Error::Redis(error) => of_redis(error),
        other => StoreError::backend(NAME, false, other),
    }
}

pub(super) fn is_transient(error: &RedisError) -> bool {
    let away =
        error.is_io_error() || error.is_timeout() || error.is_connection_dropped() || error.is_connection_refusal();
    // A server that is full, loads its file, or changes its role says so and will not always.
    let busy = matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
        )
    );
    away || busy || matches!(error.code(), Some("OOM" | "BUSY" | "MISCONF" | "NOREPLICAS"))
}
