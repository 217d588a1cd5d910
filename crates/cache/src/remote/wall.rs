//! The calendar: what nodes with different origins of time can compare.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

/// Tells the wall-clock time in milliseconds since 1970.
///
/// Unlike [`Clock`](crate::Clock) it may jump, both ways: whatever is computed from it goes through a
/// [`StampClock`](super::StampClock), or is compared with a tolerance.
pub trait WallClock: fmt::Debug + Send + Sync + 'static {
    /// Returns the milliseconds since 1970-01-01T00:00:00Z.
    fn millis(&self) -> u64;
}

impl<W: WallClock + ?Sized> WallClock for Arc<W> {
    fn millis(&self) -> u64 {
        (**self).millis()
    }
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemWallClock;

impl SystemWallClock {
    /// Makes one.
    pub const fn new() -> Self {
        Self
    }
}

impl WallClock for SystemWallClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the calendar enters")]
    fn millis(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A calendar that stands still until it is set, for tests.
#[derive(Debug, Default)]
pub struct ManualWallClock {
    millis: AtomicU64,
}

impl ManualWallClock {
    /// Makes a calendar that stands at this time.
    pub const fn at(millis: u64) -> Self {
        Self { millis: AtomicU64::new(millis) }
    }

    /// Sets the time; backwards is allowed, as it is for the real one.
    pub fn set(&self, millis: u64) {
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// Moves the time forward.
    pub fn advance(&self, millis: u64) {
        self.millis.fetch_add(millis, Ordering::Relaxed);
    }
}

impl WallClock for ManualWallClock {
    fn millis(&self) -> u64 {
        self.millis.load(Ordering::Relaxed)
    }
}
