//! When an entry ends, decided from a `now` alone.

use std::time::Duration;

/// A point of the cache's clock in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

impl Tick {
    pub(crate) const ORIGIN: Self = Self(0);
    /// The clock was not read.
    pub(crate) const UNKNOWN: Self = Self(u64::MAX);

    #[inline]
    pub(crate) fn from_duration(since_origin: Duration) -> Self {
        // One below the maximum, which stands for "never": 584 years after the origin time stops
        // rather than wraps.
        let seconds = since_origin.as_secs().saturating_mul(1_000_000_000);
        Self(seconds.saturating_add(u64::from(since_origin.subsec_nanos())).min(u64::MAX - 1))
    }

    /// Returns this point as one from which on something has ended.
    pub(crate) const fn deadline(self) -> Deadline {
        Deadline(self.0)
    }

    pub(crate) const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// The point from which on an entry is no longer served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline(u64);

impl Deadline {
    pub(crate) const NEVER: Self = Self(u64::MAX);

    pub(crate) fn after(now: Tick, ttl: Duration) -> Self {
        // A time to live that reaches past the end of the clock is none.
        Self(u64::try_from(ttl.as_nanos()).map_or(u64::MAX, |nanos| now.0.saturating_add(nanos)))
    }

    /// Returns the point this much later.
    #[must_use]
    pub(crate) fn plus(self, by: Duration) -> Self {
        Self(u64::try_from(by.as_nanos()).map_or(u64::MAX, |nanos| self.0.saturating_add(nanos)))
    }

    /// Returns the point at a share of the way from `born` to here; never, where either is not
    /// known.
    pub(crate) fn share_since(self, born: Tick, share: f64) -> Self {
        if self == Self::NEVER || born == Tick::UNKNOWN || born.0 >= self.0 {
            return self;
        }
        let way = Duration::from_nanos(self.0 - born.0).mul_f64(share);
        Self(self.0.min(Self::after(born, way).0))
    }

    /// An entry lives through `[stored, stored + ttl)`: at the deadline itself it has ended.
    #[inline]
    pub(crate) const fn has_passed(self, now: Tick) -> bool {
        now.0 >= self.0
    }
}

/// How long an entry is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Ttl {
    /// As the cache says.
    #[default]
    Inherit,
    After(Duration),
    Never,
}

impl Ttl {
    /// Resolves against the cache's own time to live.
    pub(crate) fn resolve(self, of_cache: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Inherit => of_cache,
            Self::After(ttl) => Some(ttl),
            Self::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_ends_at_its_deadline_and_not_before() {
        let stored = Tick::from_duration(Duration::from_secs(5));
        let deadline = Deadline::after(stored, Duration::from_secs(1));
        assert!(!deadline.has_passed(Tick::from_duration(Duration::from_nanos(5_999_999_999))));
        assert!(deadline.has_passed(Tick::from_duration(Duration::from_secs(6))));
    }

    #[test]
    fn never_is_after_every_tick() {
        let end = Tick::from_duration(Duration::MAX);
        assert!(!Deadline::NEVER.has_passed(end));
        assert_eq!(Deadline::after(end, Duration::MAX), Deadline::NEVER);
        assert_eq!(Deadline::after(end, Duration::from_secs(1)), Deadline::NEVER);
    }

    #[test]
    fn an_entry_overrides_its_cache() {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(Ttl::Inherit.resolve(Some(long)), Some(long));
        assert_eq!(Ttl::After(short).resolve(Some(long)), Some(short));
        assert_eq!(Ttl::Never.resolve(Some(long)), None);
        assert_eq!(Ttl::Inherit.resolve(None), None);
    }
}
