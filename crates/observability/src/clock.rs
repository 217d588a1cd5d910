//! The places of this crate that read a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

#[expect(
    clippy::disallowed_methods,
    reason = "a tracing layer measures without a runtime, so tokio's clock is out of reach"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a log line carries the wall-clock time")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}

/// Nanoseconds since the Unix epoch; zero for a clock that stands before it.
pub(crate) fn unix_nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn from_unix_nanos(nanos: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
}

/// Nanoseconds that only grow, and where they stand on the wall clock.
///
/// A span reads the monotonic clock alone, once at each end; the wall clock is read now and then, so that a clock that is
/// set does not bend the spans of a trace against one another.
#[derive(Debug)]
pub(crate) struct Clock {
    base: Instant,
    anchor: AtomicU64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { base: now(), anchor: AtomicU64::new(unix_nanos(wall_clock())) }
    }

    /// Nanoseconds since the clock was made.
    pub(crate) fn nanos(&self) -> u64 {
        let since = now().saturating_duration_since(self.base);
        since.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(since.subsec_nanos()))
    }

    /// The instant that many nanoseconds after the clock was made.
    pub(crate) fn instant(&self, nanos: u64) -> Instant {
        self.base + Duration::from_nanos(nanos)
    }

    /// What to add to [`nanos`](Self::nanos) for nanoseconds since the Unix epoch.
    pub(crate) fn anchor(&self) -> u64 {
        self.anchor.load(Ordering::Relaxed)
    }

    /// Follows a wall clock that was set.
    pub(crate) fn refresh(&self) {
        self.anchor.store(unix_nanos(wall_clock()).saturating_sub(self.nanos()), Ordering::Relaxed);
    }
}
