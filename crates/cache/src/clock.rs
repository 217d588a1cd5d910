//! The seam through which the cache learns what time it is.
//!
//! Every decision about expiry compares two points of one clock, so a clock hands out the time
//! since an origin of its own and never a calendar date. The cache asks only once an entry with a
//! time to live was stored: a cache without one never pays for reading a clock.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Tells the time since some fixed origin; never runs backwards.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Returns the time since the origin of this clock.
    fn now(&self) -> Duration;
}

/// The default clock: tokio's, which follows paused time in tests and works without a runtime.
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

/// A clock that ticks in milliseconds (one to ten, as the kernel is set) and costs far less to
/// read.
///
/// For caches whose entries expire and whose hits are so many that the 40 ns of an exact clock
/// show. An entry may be served for one tick longer than its time to live. It does not follow
/// tokio's paused time. Where the platform has no such clock, it is [`TokioClock`].
#[cfg(feature = "coarse-clock")]
#[derive(Debug, Clone)]
pub struct CoarseClock {
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    exact: TokioClock,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    origin: Duration,
}

#[cfg(feature = "coarse-clock")]
impl CoarseClock {
    /// Makes a clock whose origin is now.
    pub fn new() -> Self {
        Self {
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            exact: TokioClock::new(),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            origin: since_boot(),
        }
    }
}

#[cfg(feature = "coarse-clock")]
impl Default for CoarseClock {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "coarse-clock")]
impl Clock for CoarseClock {
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn now(&self) -> Duration {
        self.exact.now()
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[inline]
    fn now(&self) -> Duration {
        since_boot().saturating_sub(self.origin)
    }
}

#[cfg(all(feature = "coarse-clock", any(target_os = "linux", target_os = "android")))]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    // The kernel gives neither a negative time nor a full second of nanoseconds.
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
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
