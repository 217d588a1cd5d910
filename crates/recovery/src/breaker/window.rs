use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::breaker::config::{BreakerConfig, TripRule, WindowKind};
use crate::breaker::state::Outcome;

/// The results that a breaker judges, in fixed memory, and the judgment.
///
/// It is public so that the rule can be tried, shown and tested without a breaker around it.
#[derive(Debug, Clone)]
pub struct OutcomeWindow {
    ring: Ring,
    counts: WindowCounts,
    consecutive: u32,
    trip: TripRule,
    minimum: u32,
    slow_rate: Option<f64>,
    must_exceed: bool,
    keeps_durations: bool,
}

/// How a window can be told of successes later than they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delay {
    /// Not at all.
    No,
    /// By their number.
    Untimed,
    /// By their number in each of these steps.
    InSteps { from: Instant, length: Duration },
}

/// How many results are in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct WindowCounts {
    /// All results.
    pub calls: u32,
    /// The failures among them.
    pub failures: u32,
    /// The slow calls among them, failed or not.
    pub slow: u32,
    /// The slow calls among the failures.
    pub slow_failures: u32,
    /// How long all of them took together; zero unless the breaker keeps durations.
    pub total: Duration,
}

impl WindowCounts {
    fn of(failed: bool, slow: bool, total: Duration) -> Self {
        Self {
            calls: 1,
            failures: u32::from(failed),
            slow: u32::from(slow),
            slow_failures: u32::from(failed && slow),
            total,
        }
    }

    /// Returns how long a call took on average; `None` without calls.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.total.checked_div(self.calls)
    }

    fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failures = self.failures.saturating_add(other.failures);
        self.slow = self.slow.saturating_add(other.slow);
        self.slow_failures = self.slow_failures.saturating_add(other.slow_failures);
        self.total = self.total.saturating_add(other.total);
    }

    fn subtract(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.failures = self.failures.saturating_sub(other.failures);
        self.slow = self.slow.saturating_sub(other.slow);
        self.slow_failures = self.slow_failures.saturating_sub(other.slow_failures);
        self.total = self.total.saturating_sub(other.total);
    }
}

#[derive(Debug, Clone)]
enum Ring {
    /// Two bits per call: failed, slow; and its duration if those are kept.
    Calls { bits: Vec<u64>, took: Vec<Duration>, size: u32, next: u32 },
    Time {
        buckets: VecDeque<Bucket>,
        most: usize,
        length: Duration,
        period: Duration,
        lazy: bool,
        origin: Option<Instant>,
    },
    /// A rule of consecutive failures needs no results kept.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    start: Duration,
    counts: WindowCounts,
}

impl OutcomeWindow {
    /// Creates the empty window that `config` asks for.
    #[must_use]
    pub fn new(config: &BreakerConfig) -> Self {
        let ring = match (config.trip, config.window) {
            (TripRule::Consecutive(_), _) if config.slow_call_rate.is_none() && !config.keep_durations => Ring::Nothing,
            (_, WindowKind::Count(size)) => Ring::of_calls(size, config.keep_durations),
            (_, WindowKind::Time { period, buckets }) => {
                let most = usize::try_from(buckets).unwrap_or(1).max(1);
                Ring::Time {
                    buckets: VecDeque::with_capacity(most),
                    most,
                    length: period / buckets.max(1),
                    period,
                    lazy: config.semantics.opens_buckets_lazily(),
                    origin: None,
                }
            }
        };
        Self {
            ring,
            counts: WindowCounts::default(),
            consecutive: 0,
            trip: config.trip,
            minimum: config.minimum_calls.max(1),
            slow_rate: config.slow_call_rate,
            must_exceed: config.semantics.must_exceed(),
            keeps_durations: config.keep_durations,
        }
    }

    /// Judges by other settings from now on; the results are kept, unless the kind or size of the window changes.
    pub(super) fn retune(&mut self, old: &BreakerConfig, new: &BreakerConfig) {
        let fresh = Self::new(new);
        let same_ring = old.window == new.window
            && old.keep_durations == new.keep_durations
            && matches!(self.ring, Ring::Nothing) == matches!(fresh.ring, Ring::Nothing)
            && old.semantics.opens_buckets_lazily() == new.semantics.opens_buckets_lazily();
        if same_ring {
            let kept = std::mem::replace(self, fresh);
            self.ring = kept.ring;
            self.counts = kept.counts;
            self.consecutive = kept.consecutive;
        } else {
            let consecutive = self.consecutive;
            *self = fresh;
            self.consecutive = consecutive;
        }
    }

    /// Creates the window of the half-open probes: `permits` calls, judged once `minimum` of them are in.
    pub(super) fn of_probes(config: &BreakerConfig, permits: u32, minimum: u32) -> Self {
        let mut window = Self::new(config);
        window.ring = Ring::of_calls(permits, config.keep_durations);
        window.minimum = minimum.max(1);
        window
    }

    /// Adds a result; an ignored one changes nothing.
    pub fn record(&mut self, now: Instant, outcome: Outcome, slow: bool) {
        self.record_timed(now, outcome, slow, Duration::ZERO);
    }

    /// Adds a result with the time it took, which counts only if the breaker keeps durations.
    pub fn record_timed(&mut self, now: Instant, outcome: Outcome, slow: bool, took: Duration) {
        let failed = match outcome {
            Outcome::Success => false,
            Outcome::Failure => true,
            Outcome::Ignored => return,
        };
        self.consecutive = if failed { self.consecutive.saturating_add(1) } else { 0 };
        self.ring.make_room(now, &mut self.counts);
        let result = WindowCounts::of(failed, slow, if self.keeps_durations { took } else { Duration::ZERO });
        self.ring.add(result);
        self.counts.add(result);
    }

    /// Adds `count` successes at once that were not slow.
    pub(super) fn record_successes(&mut self, at: Instant, count: u32) {
        self.consecutive = 0;
        self.ring.add_successes(at, count, &mut self.counts);
    }

    /// Says how successes can be told to the window later.
    pub(super) const fn delay(&self) -> Delay {
        match &self.ring {
            Ring::Calls { took, .. } if took.is_empty() => Delay::Untimed,
            Ring::Time { length, lazy: false, origin: Some(origin), .. } if !self.keeps_durations => {
                Delay::InSteps { from: *origin, length: *length }
            }
            Ring::Calls { .. } | Ring::Time { .. } | Ring::Nothing => Delay::No,
        }
    }

    /// Says whether failures were seen since the last success.
    pub(super) const fn in_a_row(&self) -> bool {
        self.consecutive > 0
    }

    /// Forgets what is out of the window at `now`.
    pub fn expire(&mut self, now: Instant) {
        self.ring.expire(now, &mut self.counts);
    }

    /// Says whether the results call for opening the circuit.
    #[must_use]
    pub fn trips(&self) -> bool {
        let by_failures = match self.trip {
            TripRule::Consecutive(most) => self.consecutive >= most,
            TripRule::Failures(most) => self.counts.failures >= most,
            TripRule::FailureRate(most) => self.failure_rate().is_some_and(|r| self.over(r, most)),
        };
        by_failures || self.slow_rate.zip(self.slow_share()).is_some_and(|(most, r)| self.over(r, most))
    }

    /// Returns how many results are in the window.
    #[must_use]
    pub const fn counts(&self) -> WindowCounts {
        self.counts
    }

    /// Returns the share of failures, `None` below the minimum of calls.
    #[must_use]
    pub fn failure_rate(&self) -> Option<f64> {
        self.share(self.counts.failures)
    }

    /// Returns the share of slow calls, `None` below the minimum of calls.
    #[must_use]
    pub fn slow_share(&self) -> Option<f64> {
        self.share(self.counts.slow)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts = WindowCounts::default();
        self.consecutive = 0;
        self.ring.clear();
    }

    /// Says whether a success changes nothing, so that it needs no lock: the run of failures is empty.
    pub(super) const fn success_is_no_news(&self) -> bool {
        matches!(self.ring, Ring::Nothing) && self.consecutive == 0
    }

    fn share(&self, part: u32) -> Option<f64> {
        (self.counts.calls >= self.minimum).then(|| f64::from(part) / f64::from(self.counts.calls))
    }

    fn over(&self, share: f64, most: f64) -> bool {
        if self.must_exceed { share > most } else { share >= most }
    }
}

impl Ring {
    fn of_calls(size: u32, keep_durations: bool) -> Self {
        let words = usize::try_from(size.div_ceil(32)).unwrap_or(1).max(1);
        let durations = if keep_durations { usize::try_from(size).unwrap_or(0) } else { 0 };
        Self::Calls { bits: vec![0; words], took: vec![Duration::ZERO; durations], size: size.max(1), next: 0 }
    }

    /// Makes the place for one more result, which pushes the oldest out of a full window.
    fn make_room(&mut self, now: Instant, counts: &mut WindowCounts) {
        self.expire(now, counts);
        match self {
            Self::Calls { bits, took, size, next } => {
                if counts.calls >= *size {
                    let old = bits.get(word(*next)).map_or(0, |w| w >> shift(*next));
                    let took = took.get(place(*next)).copied().unwrap_or_default();
                    counts.subtract(WindowCounts::of(old & 1 == 1, old & 2 == 2, took));
                }
            }
            Self::Time { buckets, most, length, lazy, origin, .. } => {
                let at = now.saturating_duration_since(*origin.get_or_insert(now));
                let start = if *lazy { at } else { floor(at, *length) };
                let fresh = buckets.back().is_none_or(|last| start.saturating_sub(last.start) >= *length);
                if fresh {
                    if buckets.len() >= *most
                        && let Some(old) = buckets.pop_front()
                    {
                        counts.subtract(old.counts);
                    }
                    buckets.push_back(Bucket { start, counts: WindowCounts::default() });
                }
            }
            Self::Nothing => {}
        }
    }

    fn add(&mut self, result: WindowCounts) {
        match self {
            Self::Calls { bits, took, size, next } => {
                if let Some(took) = took.get_mut(place(*next)) {
                    *took = result.total;
                }
                if let Some(word) = bits.get_mut(word(*next)) {
                    let value = u64::from(result.failures) | u64::from(result.slow) << 1;
                    *word = *word & !(3 << shift(*next)) | value << shift(*next);
                }
                *next = (*next + 1) % *size;
            }
            Self::Time { buckets, .. } => {
                if let Some(last) = buckets.back_mut() {
                    last.counts.add(result);
                }
            }
            Self::Nothing => {}
        }
    }

    fn add_successes(&mut self, at: Instant, count: u32, counts: &mut WindowCounts) {
        let success = WindowCounts::of(false, false, Duration::ZERO);
        match self {
            Self::Calls { size, .. } => {
                // More than fill the window push one another out.
                for _ in 0..count.min(*size) {
                    self.make_room(at, counts);
                    self.add(success);
                    counts.add(success);
                }
            }
            Self::Time { .. } => {
                let all = WindowCounts { calls: count, ..WindowCounts::default() };
                self.make_room(at, counts);
                self.add(all);
                counts.add(all);
            }
            Self::Nothing => {}
        }
    }

    fn expire(&mut self, now: Instant, counts: &mut WindowCounts) {
        let Self::Time { buckets, period, origin: Some(origin), .. } = self else {
            return;
        };
        let at = now.saturating_duration_since(*origin);
        while let Some(first) = buckets.front()
            && at.saturating_sub(first.start) >= *period
        {
            counts.subtract(first.counts);
            buckets.pop_front();
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Calls { next, .. } => *next = 0,
            Self::Time { buckets, origin, .. } => {
                buckets.clear();
                *origin = None;
            }
            Self::Nothing => {}
        }
    }
}

fn place(slot: u32) -> usize {
    usize::try_from(slot).unwrap_or(usize::MAX)
}

fn word(slot: u32) -> usize {
    usize::try_from(slot / 32).unwrap_or(usize::MAX)
}

fn shift(slot: u32) -> u32 {
    slot % 32 * 2
}

/// Rounds `at` down to a whole number of `length`s.
fn floor(at: Duration, length: Duration) -> Duration {
    let rest = at.as_nanos() % length.as_nanos().max(1);
    at.saturating_sub(Duration::from_nanos(u64::try_from(rest).unwrap_or(0)))
}
