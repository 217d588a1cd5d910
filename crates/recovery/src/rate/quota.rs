use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, count, positive};

/// How many calls may start in a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Quota {
    /// How many calls may start per period; 1 to 1,000,000,000.
    pub permits: u32,
    /// The period; above zero and at most 366 days.
    pub period: Duration,
    /// How the permits are spread over the period.
    #[serde(default)]
    pub pace: Pace,
}

/// How the permits of a [`Quota`] are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Pace {
    /// One after the other at even distance, with up to a whole period's worth at once after a quiet time: the generic
    /// cell rate algorithm (ITU-T I.371, "GCRA").
    #[default]
    Gcra,
    /// As above, with another number at once.
    Burst(u32),
    /// One in each interval of period ÷ permits, and none is saved up.
    Smooth,
    /// All of a period's permits at once, renewed when the next period begins; what was taken in advance is owed by the
    /// periods that follow.
    Window,
}

impl Quota {
    /// Allows `permits` calls per second.
    #[must_use]
    pub const fn per_second(permits: u32) -> Self {
        Self::new(permits, Duration::from_secs(1))
    }

    /// Allows `permits` calls per minute.
    #[must_use]
    pub const fn per_minute(permits: u32) -> Self {
        Self::new(permits, Duration::from_mins(1))
    }

    /// Allows `permits` calls per `period`.
    #[must_use]
    pub const fn new(permits: u32, period: Duration) -> Self {
        Self { permits, period, pace: Pace::Gcra }
    }

    /// Sets how many may start at once after a quiet time.
    #[must_use]
    pub const fn burst(mut self, calls: u32) -> Self {
        self.pace = Pace::Burst(calls);
        self
    }

    /// Sets how the permits are spread.
    #[must_use]
    pub const fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        const MOST: u32 = 1_000_000_000;
        count("rate.permits", self.permits, MOST, "1 to 1,000,000,000")?;
        if let Pace::Burst(calls) = self.pace {
            count("rate.burst", calls, MOST, "1 to 1,000,000,000")?;
        }
        positive("rate.period", self.period)
    }

    /// Returns the time between two permits, at least a nanosecond.
    pub(crate) fn interval(&self) -> u64 {
        nanos(self.period / self.permits.max(1)).max(1)
    }

    /// Returns how far ahead of an even pace calls may run.
    pub(crate) fn tolerance(&self) -> u64 {
        let calls = match self.pace {
            Pace::Gcra => self.permits,
            Pace::Burst(calls) => calls,
            Pace::Smooth | Pace::Window => 1,
        };
        self.interval().saturating_mul(u64::from(calls.saturating_sub(1)))
    }
}

/// A rate limit refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rate limit is reached")]
#[non_exhaustive]
pub struct RateLimited {
    /// When the call would be in time; `None` if it asks for more than there can ever be.
    pub retry_after: Option<Duration>,
}

/// The decisions of a rate limit, pure and in 16 bytes: time is an argument.
///
/// For [`Pace::Window`] the state is the number of permits taken beyond those of the current period; for the others it
/// is the instant at which the next call would be exactly in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateMachine {
    origin: Instant,
    state: Paced,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paced {
    /// Nanoseconds since the origin at which the next call is in time.
    Next(u64),
    Window {
        period: u64,
        available: i64,
    },
}

impl RateMachine {
    /// Creates the machine of a limit nobody used yet.
    #[must_use]
    pub fn new(quota: &Quota, now: Instant) -> Self {
        let state = match quota.pace {
            Pace::Window => Paced::Window { period: 0, available: i64::from(quota.permits) },
            _ => Paced::Next(0),
        };
        Self { origin: now, state }
    }

    /// Takes `permits` and returns how long to wait until the last of them is in time.
    ///
    /// # Errors
    /// Takes nothing and returns [`RateLimited`] if that is longer than `patience`.
    pub fn reserve(
        &mut self,
        quota: &Quota,
        now: Instant,
        permits: u32,
        patience: Duration,
    ) -> Result<Duration, RateLimited> {
        let at = nanos(now.saturating_duration_since(self.origin));
        let (next, wait) = step(quota, self.state, at, permits);
        if wait > nanos(patience) {
            return Err(RateLimited { retry_after: Some(Duration::from_nanos(wait)) });
        }
        self.state = next;
        Ok(Duration::from_nanos(wait))
    }

    /// Says whether the limit is as if it had never been used.
    #[must_use]
    pub fn is_idle(&self, quota: &Quota, now: Instant) -> bool {
        let at = nanos(now.saturating_duration_since(self.origin));
        match self.state {
            Paced::Next(next) => next <= at,
            Paced::Window { .. } => match step(quota, self.state, at, 0).0 {
                Paced::Window { available, .. } => available >= i64::from(quota.permits),
                Paced::Next(_) => true,
            },
        }
    }

    /// Returns the permits left in this period, negative if those of later ones are taken; only for [`Pace::Window`].
    #[must_use]
    pub fn available(&self, quota: &Quota, now: Instant) -> Option<i64> {
        let at = nanos(now.saturating_duration_since(self.origin));
        match step(quota, self.state, at, 0).0 {
            Paced::Window { available, .. } => Some(available),
            Paced::Next(_) => None,
        }
    }
}

fn step(quota: &Quota, state: Paced, at: u64, permits: u32) -> (Paced, u64) {
    match (quota.pace, state) {
        (Pace::Window, state) => {
            let length = nanos(quota.period).max(1);
            let now = at / length;
            let most = i64::from(quota.permits);
            let (period, left) = match state {
                Paced::Window { period, available } => (period, available),
                // The settings changed to this pace: the new one starts full.
                Paced::Next(_) => (now, most),
            };
            let passed = i64::try_from(now.saturating_sub(period)).unwrap_or(i64::MAX);
            let available = left.saturating_add(passed.saturating_mul(most)).min(most) - i64::from(permits);
            let wait = if available >= 0 {
                0
            } else {
                let periods = available.unsigned_abs().div_ceil(u64::from(quota.permits.max(1)));
                now.saturating_add(periods).saturating_mul(length).saturating_sub(at)
            };
            (Paced::Window { period: now.max(period), available }, wait)
        }
        (_, state) => {
            let interval = quota.interval();
            let next = match state {
                Paced::Next(next) => next,
                Paced::Window { .. } => 0,
            };
            let (next, wait) = paced(quota, interval, next, at, permits);
            (Paced::Next(next), wait)
        }
    }
}

/// The step of the paces that need one number only, so that a shared limiter can take it with one exchange.
pub(super) fn paced(quota: &Quota, interval: u64, next: u64, at: u64, permits: u32) -> (u64, u64) {
    let span = interval.saturating_mul(u64::from(permits));
    if quota.pace == Pace::Smooth {
        // The intervals are fixed in time: one that has begun and is unused may be used at once.
        let first = next.max(at - at % interval);
        let end = first.saturating_add(span);
        return (end, end.saturating_sub(interval).saturating_sub(at));
    }
    let end = next.max(at).saturating_add(span);
    let in_time = end.saturating_sub(interval).saturating_sub(quota.tolerance());
    (end, in_time.saturating_sub(at))
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_burst_is_admitted_and_then_the_pace_holds() {
        let quota = Quota::per_second(10).burst(3);
        let now = start();
        let mut machine = RateMachine::new(&quota, now);
        let mut at_once = || machine.reserve(&quota, now, 1, Duration::ZERO);
        assert!(at_once().is_ok() && at_once().is_ok() && at_once().is_ok());
        assert_eq!(at_once(), Err(RateLimited { retry_after: Some(Duration::from_millis(100)) }));
        let later = now + Duration::from_millis(100);
        assert!(machine.reserve(&quota, later, 1, Duration::ZERO).is_ok());
        assert!(machine.reserve(&quota, later, 1, Duration::ZERO).is_err());
    }

    #[test]
    fn a_refusal_takes_nothing() {
        let quota = Quota::per_second(1);
        let now = start();
        let mut machine = RateMachine::new(&quota, now);
        assert!(machine.reserve(&quota, now, 1, Duration::ZERO).is_ok());
        let before = machine;
        assert!(machine.reserve(&quota, now, 5, Duration::from_secs(2)).is_err());
        assert_eq!(machine, before);
        assert!(machine.is_idle(&quota, now + Duration::from_secs(1)));
    }

    fn paces() -> impl Strategy<Value = Pace> {
        prop_oneof![Just(Pace::Gcra), (1..20_u32).prop_map(Pace::Burst), Just(Pace::Smooth), Just(Pace::Window)]
    }

    proptest! {
        /// Over any span, no more calls start than the quota and one burst allow.
        #[test]
        fn the_rate_holds_over_any_span(
            permits in 1..50_u32, pace in paces(), steps in prop::collection::vec((0..400_u64, 1..4_u32), 1..80),
        ) {
            let quota = Quota::new(permits, Duration::from_secs(1)).pace(pace);
            let origin = start();
            let mut machine = RateMachine::new(&quota, origin);
            let mut now = origin;
            let mut admitted = Vec::new();
            for (wait, wanted) in steps {
                now += Duration::from_millis(wait);
                if machine.reserve(&quota, now, wanted, Duration::ZERO).is_ok() {
                    admitted.push((now, wanted));
                }
            }
            let burst = match pace { Pace::Burst(calls) => calls, Pace::Smooth => 1, _ => permits };
            for (i, (from, _)) in admitted.iter().enumerate() {
                let mut sum = 0;
                for (to, wanted) in admitted.iter().skip(i) {
                    sum += wanted;
                    let span = to.duration_since(*from).as_secs_f64();
                    // Windows and intervals that are fixed in time add at most one more of theirs.
                    let slack = if matches!(pace, Pace::Window | Pace::Smooth) { burst } else { 0 };
                    let most = span * f64::from(permits) + f64::from(burst + slack) + 1e-6 * f64::from(permits) + 1.0;
                    prop_assert!(f64::from(sum) <= most, "{sum} in {span} s");
                }
            }
        }

        /// Who waits as told is in time: nobody is refused by a limit that he obeyed.
        #[test]
        fn the_time_told_is_the_time_needed(permits in 1..50_u32, pace in paces(), taken in 1..60_u32) {
            let quota = Quota::new(permits, Duration::from_secs(1)).pace(pace);
            let now = start();
            let mut machine = RateMachine::new(&quota, now);
            for _ in 0..taken {
                prop_assert!(machine.reserve(&quota, now, 1, Duration::MAX).is_ok());
            }
            if let Err(refused) = machine.reserve(&quota, now, 1, Duration::ZERO) {
                let wait = refused.retry_after.unwrap();
                let early = wait.saturating_sub(Duration::from_nanos(1));
                prop_assert!(machine.reserve(&quota, now + early, 1, Duration::ZERO).is_err());
                prop_assert!(machine.reserve(&quota, now + wait, 1, Duration::ZERO).is_ok());
            }
        }
    }
}
