use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The name of one task: a UUID of version 7, which sorts by the time of its making.
///
/// Ids of one process rise strictly. Order across hosts is only as good as their clocks: it is no queue order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(Uuid);

impl TaskId {
    /// Makes a new id.
    ///
    /// The twelve bits after the milliseconds count within them (RFC 9562, 6.2, method 1), the remaining 62 are
    /// random. They do not come from the operating system, whose call would cost more than a task: an id is
    /// unique, not secret.
    #[must_use]
    pub fn generate() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let clock = unix_millis() << COUNTER_BITS;
        // Runs into the next millisecond rather than repeat when 4,096 ids of one millisecond are used up.
        let next = |last: u64| Some(clock.max(last.wrapping_add(1)));
        let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(clock);
        let tick = clock.max(last.wrapping_add(1));
        let (millis, counter) = (tick >> COUNTER_BITS, tick & ((1 << COUNTER_BITS) - 1));
        let high = (millis << 16) | 0x7000 | counter;
        let low = (fastrand::u64(..) >> 2) | (1 << 63);
        Self(Uuid::from_u64_pair(high, low))
    }

    /// Takes over an id from elsewhere.
    #[must_use]
    pub const fn from_uuid(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the UUID.
    #[must_use]
    pub const fn as_uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TaskId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl From<Uuid> for TaskId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

const COUNTER_BITS: u32 = 12;

fn unix_millis() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "an id carries the wall clock by its definition and decides nothing")]
    let now = SystemTime::now();
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_and_rise_strictly_across_threads() {
        let mut all: Vec<TaskId> = std::thread::scope(|scope| {
            let made: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..10_000).map(|_| TaskId::generate()).collect::<Vec<_>>())).collect();
            made.into_iter()
                .flat_map(|thread| {
                    let ids = thread.join().unwrap();
                    assert!(ids.is_sorted_by(|a, b| a < b));
                    ids
                })
                .collect()
        });
        assert_eq!(all.first().unwrap().as_uuid().get_version_num(), 7);
        assert_eq!(all.first().unwrap().as_uuid().get_variant(), uuid::Variant::RFC4122);
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 40_000);
        let text = all[0].to_string();
        assert_eq!(text.parse::<TaskId>().unwrap(), all[0]);
    }
}
