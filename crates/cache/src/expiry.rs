//! When an entry ends, decided from a `now` alone.

use std::time::Duration;

use crate::sync::{AtomicU8, AtomicU32, Ordering};

/// A point of the cache's clock in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u64);

impl Tick {
    pub(crate) const ORIGIN: Self = Self(0);

    /// The greatest count, which no machine lives to see, stands for "never".
    #[cfg(all(any(target_os = "linux", target_os = "android"), not(miri)))]
    #[inline]
    pub(crate) const fn from_nanos(since_origin: u64) -> Self {
        Self(since_origin)
    }

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

    /// Returns the time in the steps of [`Idle`], around the end of their count.
    #[expect(clippy::cast_possible_truncation, reason = "the count goes round")]
    const fn steps(self) -> u32 {
        (self.0 >> STEP_BITS) as u32
    }

    /// Returns something that differs from one tick to the next.
    pub(crate) const fn noise(self) -> u64 {
        self.0
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

    #[inline]
    pub(crate) fn after(now: Tick, ttl: Duration) -> Self {
        Self::after_nanos(now, nanos(ttl))
    }

    /// A time to live that reaches past the end of the clock is none.
    #[inline]
    pub(crate) const fn after_nanos(now: Tick, ttl: u64) -> Self {
        Self(now.0.saturating_add(ttl))
    }

    /// Returns the point this much later.
    #[must_use]
    #[inline]
    pub(crate) fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }

    /// Returns how long it is until this point; `None` for never.
    #[cfg(feature = "snapshot")]
    pub(crate) fn left(self, now: Tick) -> Option<Duration> {
        (self != Self::NEVER).then(|| Duration::from_nanos(self.0.saturating_sub(now.0)))
    }

    /// Returns the point at a share of the way from `born` to here.
    pub(crate) fn share_since(self, born: Tick, share: f64) -> Self {
        let way = Duration::from_nanos(self.0.saturating_sub(born.0)).mul_f64(share);
        self.min(Self::after(born, way))
    }

    /// An entry lives through `[stored, stored + ttl)`: at the deadline itself it has ended.
    #[inline]
    pub(crate) const fn has_passed(self, now: Tick) -> bool {
        now.0 >= self.0
    }
}

/// For how long an entry is fresh at all, by which its end tells its beginning.
///
/// In four bytes, since every entry carries it. As a float it is exact for whole seconds up to half
/// a year, and for others to less than a ten-millionth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Life(f32);

impl Life {
    /// Of an entry without an end; the clock was not read for it.
    pub(crate) const UNKNOWN: Self = Self(f32::INFINITY);

    pub(crate) fn new(life: Duration) -> Self {
        Self(life.as_secs_f32())
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "the nearest float is what is meant"
    )]
    #[inline]
    pub(crate) const fn of_nanos(life: u64) -> Self {
        Self((life as f64 / 1e9) as f32)
    }

    /// Returns the beginning of a life with this end, if there is one.
    #[inline]
    pub(crate) fn beginning(self, end: Deadline) -> Option<Tick> {
        let life = Duration::try_from_secs_f32(self.0).ok()?;
        let nanos = u64::try_from(life.as_nanos()).ok()?;
        (end != Deadline::NEVER).then(|| Tick(end.0.saturating_sub(nanos)))
    }
}

/// How long an entry is kept while nobody asks for it, and when somebody last did.
///
/// In seven bytes, since every entry carries it: time is counted in steps of 4 ms, and the
/// difference is taken around the end of the count. So a limit may be no longer than half of it; an
/// entry that nobody has asked for in 104 days, and that was not swept either, looks new again.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Written by readers, which share the lock.
    touched: AtomicU32,
    limit: IdleLimit,
}

/// What S3-FIFO notes of an entry: its queue, and its hits since it came there, up to three; and
/// whether there is a limit to its idle time, so that who asks need not look where that lies.
#[derive(Debug)]
pub(crate) struct Mark(AtomicU8);

/// A queue of S3-FIFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Small,
    Main,
}

impl Mark {
    pub(crate) const MOST_HITS: u8 = 3;
    const MAIN: u8 = 4;

    const LIMITED: u8 = 8;

    /// Of an entry that is about to come.
    #[inline]
    pub(crate) fn of(idle: &Idle) -> Self {
        Self(AtomicU8::new(if idle.is_limited() { Self::LIMITED } else { 0 }))
    }

    /// Puts the entry into a queue, with so many hits; the lock is held alone.
    #[inline]
    pub(crate) fn put(&self, queue: Which, hits: u8) {
        let queue = if matches!(queue, Which::Main) { Self::MAIN } else { 0 };
        let limited = self.0.load(Ordering::Relaxed) & Self::LIMITED;
        self.0.store(limited | queue | hits.min(Self::MOST_HITS), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_limited(&self) -> bool {
        self.0.load(Ordering::Relaxed) & Self::LIMITED != 0
    }

    /// Counts a hit. Two readers that add at once may lose one of the two, which is worth less than
    /// a locked addition; who changes the queue holds the lock alone.
    #[inline]
    pub(crate) fn hit(&self) {
        let mark = self.0.load(Ordering::Relaxed);
        if mark & Self::MOST_HITS < Self::MOST_HITS {
            self.0.store(mark + 1, Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn hits(&self) -> u8 {
        self.0.load(Ordering::Relaxed) & Self::MOST_HITS
    }

    #[inline]
    pub(crate) fn queue(&self) -> Which {
        if self.0.load(Ordering::Relaxed) & Self::MAIN == 0 { Which::Small } else { Which::Main }
    }
}

/// A number of steps as nineteen bits and an exponent: exact up to half an hour, and from there on
/// longer than asked for by less than four millionths. Zero for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct IdleLimit([u8; 3]);

impl IdleLimit {
    const NONE: Self = Self([0; 3]);

    fn new(limit: Duration) -> Self {
        // At least one, or a limit of zero would be none.
        let steps = limit.as_nanos().div_ceil(1 << STEP_BITS).max(1);
        // Too long a limit is none.
        let Some(steps) = u32::try_from(steps).ok().filter(|steps| *steps <= LONGEST_LIMIT) else {
            return Self::NONE;
        };
        let exponent = (u32::BITS - steps.leading_zeros()).saturating_sub(LIMIT_BITS);
        // Rounded up it may have one bit more.
        let rounded = steps.div_ceil(1 << exponent);
        let carry = rounded >> LIMIT_BITS;
        let [low, middle, high, _] = ((exponent + carry) << LIMIT_BITS | rounded >> carry).to_le_bytes();
        Self([low, middle, high])
    }

    #[inline]
    const fn steps(self) -> u32 {
        let [low, middle, high] = self.0;
        let packed = u32::from_le_bytes([low, middle, high, 0]);
        (packed & ((1 << LIMIT_BITS) - 1)) << (packed >> LIMIT_BITS)
    }
}

impl Default for Idle {
    fn default() -> Self {
        Self { touched: AtomicU32::new(0), limit: IdleLimit::NONE }
    }
}

impl Default for Life {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Idle {
    #[inline]
    pub(crate) fn new(now: Tick, limit: Option<Duration>) -> Self {
        let limit = limit.map_or(IdleLimit::NONE, IdleLimit::new);
        Self { touched: AtomicU32::new(now.steps()), limit }
    }

    /// Tells whether there is a limit.
    #[inline]
    fn is_limited(&self) -> bool {
        self.limit != IdleLimit::NONE
    }

    /// Tells whether the limit is over. Rather a step late than early.
    #[inline]
    pub(crate) fn has_passed(&self, now: Tick) -> bool {
        if !self.is_limited() {
            return false;
        }
        let idle = now.steps().wrapping_sub(self.touched.load(Ordering::Relaxed));
        // In the upper half somebody with a later clock was faster.
        idle > self.limit.steps() && idle <= LONGEST_LIMIT
    }

    #[inline]
    pub(crate) fn touch(&self, now: Tick) {
        if self.is_limited() {
            self.touched.store(now.steps(), Ordering::Relaxed);
        }
    }
}

/// The longest time to idle that can be kept: 90 days.
pub(crate) const LONGEST_IDLE: Duration = Duration::from_hours(90 * 24);
const STEP_BITS: u32 = 22;
const LONGEST_LIMIT: u32 = u32::MAX / 2;
const LIMIT_BITS: u32 = 19;

/// Shortens times to live by a random part, so that what was stored together does not expire
/// together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Jitter {
    percent: u8,
}

impl Jitter {
    pub(crate) const fn new(percent: u8) -> Self {
        Self { percent }
    }

    /// Shortens a time to live, in nanoseconds, by up to so many percent, as `noise` says; short ones
    /// stay as they are.
    #[inline]
    pub(crate) fn shorten(self, ttl: u64, noise: u64) -> u64 {
        if self.percent == 0 || ttl <= JITTERED_FROM || ttl == u64::MAX {
            return ttl;
        }
        // The finisher of splitmix64, and of its result 32 bits.
        let mixed = (noise ^ (noise >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = (mixed >> 32) * u64::from(self.percent);
        let cut = (u128::from(ttl / 100) * u128::from(part)) >> 32;
        ttl.saturating_sub(u64::try_from(cut).unwrap_or(u64::MAX))
    }
}

/// Times to live up to this are left alone: few entries live so briefly and share their start.
const JITTERED_FROM: u64 = 10_000_000_000;

/// Returns a length of time in nanoseconds; the greatest count for one beyond 584 years.
#[inline]
pub(crate) fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
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
    #[inline]
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
    fn the_end_tells_the_beginning() {
        let born = Tick::from_duration(Duration::from_millis(1500));
        let end_of = |life| Deadline::after(born, life);
        for life in [Duration::ZERO, Duration::from_mins(1), Duration::from_hours(24 * 90)] {
            for kept in [Life::new(life), Life::of_nanos(nanos(life))] {
                assert_eq!(kept.beginning(end_of(life)), Some(born));
            }
        }
        let odd = Duration::from_nanos(57_123_456_789);
        for kept in [Life::new(odd), Life::of_nanos(nanos(odd))] {
            let off = kept.beginning(end_of(odd)).map(|found| found.0.abs_diff(born.0));
            assert!(off.is_some_and(|off| off < 5712), "{off:?}");
        }
        assert_eq!(Life::UNKNOWN.beginning(end_of(odd)), None);
        assert_eq!(Life::new(odd).beginning(Deadline::NEVER), None);
        assert_eq!(Life::new(Duration::MAX).beginning(end_of(odd)), None);
    }

    #[test]
    fn an_entry_overrides_its_cache() {
        let (short, long) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(Ttl::Inherit.resolve(Some(long)), Some(long));
        assert_eq!(Ttl::After(short).resolve(Some(long)), Some(short));
        assert_eq!(Ttl::Never.resolve(Some(long)), None);
        assert_eq!(Ttl::Inherit.resolve(None), None);
    }

    #[test]
    fn a_touch_starts_the_idle_time_anew() {
        let at = |millis| Tick::from_duration(Duration::from_millis(millis));
        let idle = Idle::new(at(1000), Some(Duration::from_millis(500)));
        assert!(!idle.has_passed(at(1500)) && idle.has_passed(at(1510)));
        idle.touch(at(1400));
        assert!(!idle.has_passed(at(1900)) && idle.has_passed(at(1910)));
        assert!(!idle.has_passed(at(1300)), "a clock read before the touch");
        assert!(!Idle::new(at(0), None).has_passed(at(u64::MAX)));
        assert!(Idle::new(at(0), Some(Duration::ZERO)).has_passed(at(10)));
        assert!(!Idle::new(at(0), Some(Duration::MAX)).has_passed(at(u64::MAX)));
    }

    #[test]
    fn the_count_of_idle_steps_goes_round() {
        let start = Tick((u64::from(u32::MAX) << STEP_BITS) + 1);
        let idle = Idle::new(start, Some(LONGEST_IDLE));
        let after = |by: Duration| Tick(start.0 + u64::try_from(by.as_nanos()).unwrap());
        assert!(!idle.has_passed(after(LONGEST_IDLE)));
        assert!(idle.has_passed(after(LONGEST_IDLE + LONGEST_IDLE / 250_000)));
    }

    #[test]
    fn a_limit_is_never_shorter_than_asked_for_and_hardly_longer() {
        let step = 1u64 << STEP_BITS;
        for asked in (0..31).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits, (1 << bits) + 1]).chain([2_000_000_001]) {
            let kept = u64::from(IdleLimit::new(Duration::from_nanos(asked * step)).steps());
            let most = asked.max(1) + asked / 250_000;
            assert!((asked.max(1)..=most).contains(&kept), "{kept} of {asked}");
        }
        assert_eq!(IdleLimit::new(Duration::from_nanos((1 << 31) * step)), IdleLimit::NONE);
        assert_eq!(IdleLimit::new(Duration::from_nanos(1)).steps(), 1);
    }

    #[test]
    fn a_mark_counts_to_three_and_keeps_its_queue() {
        for queue in [Which::Small, Which::Main] {
            for limit in [None, Some(Duration::from_secs(1))] {
                let mark = Mark::of(&Idle::new(Tick::ORIGIN, limit));
                mark.put(queue, 0);
                let counted: Vec<u8> = (0..5).map(|_| (mark.hits(), mark.hit()).0).collect();
                assert_eq!((counted, mark.queue()), (vec![0, 1, 2, 3, 3], queue));
                mark.put(queue, 9);
                assert_eq!((mark.hits(), mark.is_limited()), (3, limit.is_some()));
            }
        }
    }

    #[test]
    fn jitter_shortens_by_up_to_its_percentage_and_uses_all_of_it() {
        let (jitter, ttl) = (Jitter::new(5), Duration::from_secs(1000));
        let cuts: Vec<Duration> = (0..1000)
            .map(|noise| ttl.saturating_sub(Duration::from_nanos(jitter.shorten(nanos(ttl), noise))))
            .collect();
        assert!(cuts.iter().all(|cut| *cut < Duration::from_secs(50)));
        for quarter in 0..4u64 {
            let range = Duration::from_millis(quarter * 12_500)..Duration::from_millis((quarter + 1) * 12_500);
            let inside = cuts.iter().filter(|cut| range.contains(cut)).count();
            assert!((190..310).contains(&inside), "{inside} of 1000 in quarter {quarter}");
        }
        assert_eq!(jitter.shorten(JITTERED_FROM, 7), JITTERED_FROM);
        assert_eq!(Jitter::new(0).shorten(nanos(ttl), 7), nanos(ttl));
        assert!(jitter.shorten(u64::MAX - 1, u64::MAX) < u64::MAX - 1);
        assert_eq!(jitter.shorten(nanos(Duration::MAX), u64::MAX), u64::MAX, "what never ends is not shortened");
    }
}
