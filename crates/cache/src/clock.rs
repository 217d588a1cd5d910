//! The seam through which the cache learns what time it is.
//!
//! Every decision about expiry compares two points of one clock, so a clock hands out the time
//! since an origin of its own and never a calendar date. The cache asks only once an entry with a
//! time to live was stored: a cache without one never pays for reading a clock.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::entry::Hot;
use crate::expiry::Tick;

/// Tells the time since some fixed origin; never runs backwards.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the time since the origin of this clock.
    fn now(&self) -> Duration;
}

/// Tokio's clock, exact to the nanosecond; it follows paused time and works without a runtime.
///
/// The default where time is paused when the cache is built, and where there is no
/// [`CoarseClock`]. Give it to the builder for a cache that is built before its test pauses time.
#[derive(Debug, Clone)]
pub struct TokioClock {
    origin: Instant,
}

impl TokioClock {
    /// Makes a clock whose origin is now.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}

/// The default clock: it ticks in milliseconds (one to ten, as the kernel is set) and costs far
/// less to read than an exact one.
///
/// An entry may be served for one tick longer than its time to live. It does not follow tokio's
/// paused time. Where the platform has no such clock (it is there on Linux and Android), it is
/// [`TokioClock`].
#[derive(Debug, Clone)]
pub struct CoarseClock {
    #[cfg(any(not(any(target_os = "linux", target_os = "android")), miri))]
    exact: TokioClock,
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
    origin: Duration,
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
    origin_nanos: u64,
}

impl CoarseClock {
    /// Makes a clock whose origin is now.
    #[cfg(any(not(any(target_os = "linux", target_os = "android")), miri))]
    pub fn new() -> Self {
        Self { exact: TokioClock::new() }
    }

    /// Makes a clock whose origin is now.
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
    pub fn new() -> Self {
        let origin = since_boot();
        Self { origin, origin_nanos: u64::try_from(origin.as_nanos()).unwrap_or(0) }
    }
}

impl Default for CoarseClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for CoarseClock {
    #[cfg(any(not(any(target_os = "linux", target_os = "android")), miri))]
    fn now(&self) -> Duration {
        self.exact.now()
    }

    #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
    #[inline]
    fn now(&self) -> Duration {
        since_boot().saturating_sub(self.origin)
    }
}

impl CoarseClock {
    #[cfg(any(not(any(target_os = "linux", target_os = "android")), miri))]
    pub(crate) fn tick(&self) -> Tick {
        Tick::from_duration(self.exact.now())
    }

    /// As [`Clock::now`], without a detour through seconds.
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
    #[inline]
    pub(crate) fn tick(&self) -> Tick {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        // The kernel gives no negative time, and none before the origin: every instruction less is one less
        // for each hit.
        let nanos = now.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec.cast_unsigned());
        Tick::from_nanos(nanos.wrapping_sub(self.origin_nanos))
    }
}

#[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    // The kernel gives neither a negative time nor a full second of nanoseconds.
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The clock of one cache. Its own is called directly, since every hit may read it.
#[derive(Debug)]
pub(crate) enum Timer {
    Coarse(CoarseClock),
    Given(Arc<dyn Clock>),
}

impl Timer {
    /// Returns the cache's own clock, if no other was given.
    pub(crate) const fn coarse(&self) -> Option<&CoarseClock> {
        match self {
            Self::Coarse(clock) => Some(clock),
            Self::Given(_) => None,
        }
    }

    /// Returns the given clock, or the default one.
    pub(crate) fn new(given: Option<Arc<dyn Clock>>) -> Self {
        match given {
            Some(clock) => Self::Given(clock),
            None if is_paused() => Self::Given(Arc::new(TokioClock::new())),
            None => Self::Coarse(CoarseClock::new()),
        }
    }

    #[inline]
    pub(crate) fn now(&self) -> Tick {
        match self {
            Self::Coarse(clock) => clock.tick(),
            Self::Given(clock) => Tick::from_duration(clock.now()),
        }
    }
}

/// The time of a look at one entry, read no sooner than it is needed.
///
/// The cache's own clock is read under the lock, and only for an entry that ends: in a cache that has
/// both kinds, a hit on the others costs no clock. A given clock is the user's code: it is read
/// before.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Moment<'a> {
    Read(Tick),
    Coarse(&'a CoarseClock),
}

impl<'a> Moment<'a> {
    #[inline]
    pub(crate) fn of(timer: &'a Timer, timed: &AtomicBool) -> Self {
        match timer {
            Timer::Coarse(clock) => Self::Coarse(clock),
            Timer::Given(_) if timed.load(Ordering::Relaxed) => Self::Read(timer.now()),
            Timer::Given(_) => Self::Read(Tick::ORIGIN),
        }
    }

    /// Returns the time by which this entry is judged; the origin, if it has no end.
    #[inline]
    pub(crate) fn for_entry<V>(self, entry: &Hot<V>) -> Tick {
        match self {
            Self::Read(now) => now,
            Self::Coarse(clock) if entry.can_end() => clock.tick(),
            Self::Coarse(_) => Tick::ORIGIN,
        }
    }
}

/// Tells whether tokio's time stands still, as in a test that paused it. Tokio does not say; but
/// its clock moves between a thousand looks at it, and usually between two, unless it was stopped.
fn is_paused() -> bool {
    let start = Instant::now();
    tokio::runtime::Handle::try_current().is_ok() && (0..1000).all(|_| Instant::now() == start)
}

/// A clock that stands still until it is moved, for tests without a runtime.
///
/// # Examples
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use bedplate_cache::{Cache, ManualClock};
///
/// let clock = Arc::new(ManualClock::new());
/// let cache: Cache<u64, u64> = Cache::builder("tokens").ttl(Duration::from_secs(10)).clock(clock.clone()).build()?;
/// cache.insert(1, 7);
/// clock.advance(Duration::from_secs(10));
/// assert_eq!(cache.get(&1), None);
/// # Ok::<(), bedplate_cache::ConfigError>(())
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    nanos: AtomicU64,
}

impl ManualClock {
    /// Makes a clock that stands at its origin.
    pub const fn new() -> Self {
        Self { nanos: AtomicU64::new(0) }
    }

    /// Moves the clock forward; it stops at about 584 years.
    pub fn advance(&self, by: Duration) {
        let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        let moved =
            self.nanos.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |nanos| Some(nanos.saturating_add(by)));
        debug_assert!(moved.is_ok(), "the closure never refuses");
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}
