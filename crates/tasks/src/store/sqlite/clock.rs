use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::Connection;

/// Milliseconds since 1970 by the store's clock.
pub(super) type Millis = i64;

/// The clock that all processes of a host share, but that it does not go back: one that was set back goes on from the
/// latest time that any of them has seen.
pub(super) struct Clock {
    system: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    ahead: Millis,
}

/// How far the clock may run ahead of what is written of it.
const STEP: Millis = 1_000;

impl Clock {
    pub(super) fn new(system: Arc<dyn Fn() -> SystemTime + Send + Sync>) -> Self {
        Self { system, ahead: 0 }
    }

    /// Returns the time within a transaction, and takes care that it never goes back.
    pub(super) fn now(&mut self, connection: &Connection) -> rusqlite::Result<Millis> {
        let system = from_system((self.system)());
        let latest: Millis =
            connection.prepare_cached("select latest from clock where one = 1")?.query_row([], |row| row.get(0))?;
        if system + self.ahead < latest {
            self.ahead = latest - system;
        } else if self.ahead > 0 && system >= latest {
            self.ahead = 0;
        }
        let now = system + self.ahead;
        // Rarely: each write of it is a page of the log.
        if now >= latest + STEP {
            connection.prepare_cached("update clock set latest = ?1 where one = 1")?.execute([now])?;
        }
        Ok(now)
    }
}

pub(super) fn from_system(time: SystemTime) -> Millis {
    millis(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn to_system(time: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(time).unwrap_or(0))
}

/// A span of time; the longest that fits stands for longer ones.
pub(super) fn millis(time: Duration) -> Millis {
    // Far enough from the largest number that two can be added.
    i64::try_from(time.as_millis()).unwrap_or(LONGEST).min(LONGEST)
}

pub(super) fn duration(time: Millis) -> Duration {
    Duration::from_millis(u64::try_from(time).unwrap_or(0))
}

const LONGEST: Millis = i64::MAX / 8;
