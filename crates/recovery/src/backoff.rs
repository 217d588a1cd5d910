use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, positive};
use crate::random::Random;

/// How long to wait before each retry: a pure rule from which [`Backoff::delays`] draws.
///
/// All arithmetic saturates: no setting and no attempt number makes it wrap or panic.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use bedplate_recovery::{Backoff, Jitter, SeededRandom};
///
/// let rule = Backoff::exponential(Duration::from_millis(100)).max(Duration::from_millis(500)).jitter(Jitter::None);
/// let waits: Vec<u128> = rule.delays(SeededRandom::new(1)).take(4).map(|d| d.as_millis()).collect();
/// assert_eq!(waits, [100, 200, 400, 500]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Backoff {
    /// The shape of the curve; default exponential.
    pub kind: BackoffKind,
    /// The first delay; at most 366 days, default 50 ms, zero retries at once. Too small hammers a callee that
    /// is down, too large makes a blip visible.
    pub base: Duration,
    /// The growth from delay to delay of the exponential kind; above 0.0 and at most 100.0, default 2.0. Below
    /// 1.0 the delays shrink.
    pub factor: f64,
    /// No delay is longer; above zero, default 20 s.
    pub max: Duration,
    /// The randomness that keeps callers from retrying in step; default full.
    pub jitter: Jitter,
}

/// The shape of a backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BackoffKind {
    /// Always the base.
    Constant,
    /// The base, twice the base, three times the base.
    Linear,
    /// The base times a power of the factor.
    Exponential,
    /// A random delay between the base and three times the one before ("Exponential Backoff And Jitter", AWS
    /// Architecture Blog, 2015). It is its own jitter: the setting beside it is not applied.
    Decorrelated,
    /// Anything between the base and the maximum, each time. It is its own jitter too.
    Uniform,
    /// A random curve without clusters: Polly's "decorrelated jitter V2". It is its own jitter as well.
    DecorrelatedSmooth,
}

/// The randomness in a delay.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Jitter {
    /// None: callers that failed together retry together.
    None,
    /// Anything from zero to the delay: best against herds.
    Full,
    /// Half of the delay and anything up to the other half: never retries at once.
    Equal,
    /// The delay less a random part of up to this share; 0.0 to 1.0.
    Shave(f64),
    /// The delay give or take up to this share, before the maximum is applied; 0.0 to 1.0.
    Spread(f64),
    /// The delay give or take up to this long, before the maximum is applied.
    SpreadBy(Duration),
}

/// The endless sequence of delays of a [`Backoff`].
#[derive(Debug, Clone)]
pub struct Delays<R> {
    rule: Backoff,
    random: R,
    steps: u32,
    previous: f64,
}

impl Backoff {
    /// Waits `base` every time.
    #[must_use]
    pub fn constant(base: Duration) -> Self {
        Self::of(BackoffKind::Constant, base)
    }

    /// Waits `base`, twice `base`, three times `base`.
    #[must_use]
    pub fn linear(base: Duration) -> Self {
        Self::of(BackoffKind::Linear, base)
    }

    /// Waits `base`, twice that, four times that.
    #[must_use]
    pub fn exponential(base: Duration) -> Self {
        Self::of(BackoffKind::Exponential, base)
    }

    /// Waits a random time between `base` and three times the wait before.
    #[must_use]
    pub fn decorrelated(base: Duration) -> Self {
        Self::of(BackoffKind::Decorrelated, base)
    }

    /// Waits a random time between `least` and `most`, whatever came before.
    #[must_use]
    pub fn uniform(least: Duration, most: Duration) -> Self {
        Self::of(BackoffKind::Uniform, least).max(most)
    }

    fn of(kind: BackoffKind, base: Duration) -> Self {
        Self { kind, base, ..Self::default() }
    }

    /// Sets the shape.
    #[must_use]
    pub const fn kind(mut self, kind: BackoffKind) -> Self {
        self.kind = kind;
        self
    }

    /// Sets the growth of the exponential kind.
    #[must_use]
    pub const fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Sets the longest delay.
    #[must_use]
    pub const fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Sets the randomness.
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Draws the delays, the first one first.
    pub const fn delays<R: Random>(self, random: R) -> Delays<R> {
        Delays { rule: self, random, steps: 0, previous: 0.0 }
    }

    /// Draws the delay that follows `step` earlier ones, for rules that need no memory of them.
    ///
    /// The decorrelated kinds start afresh at `step`.
    pub fn delay(&self, step: u32, random: impl Random) -> Duration {
        let mut delays = self.delays(random);
        delays.steps = step;
        delays.draw()
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !self.base.is_zero() {
            positive("backoff.base", self.base)?;
        }
        positive("backoff.max", self.max)?;
        if !(self.factor > 0.0 && self.factor <= 100.0) {
            return Err(ConfigError::new("backoff.factor", self.factor, "above 0.0 and at most 100.0"));
        }
        if let Jitter::Shave(share) | Jitter::Spread(share) = self.jitter
            && !(0.0..=1.0).contains(&share)
        {
            return Err(ConfigError::new("backoff.jitter", share, "0.0 to 1.0"));
        }
        Ok(())
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            kind: BackoffKind::Exponential,
            base: Duration::from_millis(50),
            factor: 2.0,
            max: Duration::from_secs(20),
            jitter: Jitter::Full,
        }
    }
}

impl<R: Random> Delays<R> {
    /// Draws the next delay of the same curve over another base.
    pub(crate) fn draw_from(&mut self, base: Duration) -> Duration {
        self.rule.base = base;
        self.draw()
    }

    /// Begins the curve anew.
    pub(crate) const fn restart(&mut self) {
        self.steps = 0;
        self.previous = 0.0;
    }

    /// Draws the next delay.
    pub fn draw(&mut self) -> Duration {
        let rule = self.rule;
        let base = nanos(rule.base);
        let max = nanos(rule.max);
        let step = f64::from(self.steps);
        let drawn = match rule.kind {
            BackoffKind::Constant => self.spread(base.min(max)),
            BackoffKind::Linear => self.spread((base * (step + 1.0)).min(max)),
            BackoffKind::Exponential => self.spread((base * rule.factor.powf(step)).min(max)),
            BackoffKind::Decorrelated => {
                let ceiling = (self.previous.max(base) * 3.0).min(max.max(base));
                base + (ceiling - base) * self.random.unit()
            }
            BackoffKind::Uniform => base.min(max) + (max - base.min(max)) * self.random.unit(),
            BackoffKind::DecorrelatedSmooth => self.smooth(step) * base,
        };
        self.steps = self.steps.saturating_add(1);
        // Zero times infinity is the one way to a number that is none.
        let drawn = if drawn.is_nan() { 0.0 } else { drawn };
        let delay = drawn.min(max);
        if rule.kind == BackoffKind::Decorrelated {
            self.previous = delay;
        }
        duration(delay)
    }

    fn spread(&mut self, delay: f64) -> f64 {
        match self.rule.jitter {
            Jitter::None => delay,
            Jitter::Full => delay * self.random.unit(),
            Jitter::Equal => delay * 0.5 * (1.0 + self.random.unit()),
            Jitter::Shave(share) => delay * (1.0 - share * self.random.unit()),
            Jitter::Spread(share) => delay * (1.0 + share * (2.0 * self.random.unit() - 1.0)),
            Jitter::SpreadBy(by) => delay + nanos(by) * (2.0 * self.random.unit() - 1.0),
        }
    }

    /// Polly's formula: `(f(t) - f(before)) / 1.4` with `f(t) = 2^t * tanh(sqrt(4t))` and `t = step + random`.
    fn smooth(&mut self, step: f64) -> f64 {
        const SCALE: f64 = 1.0 / 1.4;
        let t = step + self.random.unit();
        let next = 2.0_f64.powf(t) * (4.0 * t).sqrt().tanh();
        let grown = next - self.previous;
        self.previous = next;
        if grown.is_nan() { f64::INFINITY } else { grown * SCALE }
    }
}

impl<R: Random> Iterator for Delays<R> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.draw())
    }
}

/// Nanoseconds hold every whole number of them up to 104 days without loss, which seconds in `f64` would not.
fn nanos(duration: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "beyond 104 days a nanosecond more or less is no matter")]
    let nanos = duration.as_nanos() as f64;
    nanos
}

fn duration(nanos: f64) -> Duration {
    if nanos >= nanos_max() {
        return Duration::MAX;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates at zero and the upper end was checked"
    )]
    let whole = nanos.round() as u128;
    let seconds = u64::try_from(whole / 1_000_000_000).unwrap_or(u64::MAX);
    let rest = u32::try_from(whole % 1_000_000_000).unwrap_or(0);
    Duration::new(seconds, rest)
}

fn nanos_max() -> f64 {
    nanos(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::SeededRandom;

    struct Fixed(f64);

    impl Random for Fixed {
        fn unit(&mut self) -> f64 {
            self.0
        }
    }

    fn rules() -> impl Strategy<Value = Backoff> {
        let kind = prop_oneof![
            Just(BackoffKind::Constant),
            Just(BackoffKind::Linear),
            Just(BackoffKind::Exponential),
            Just(BackoffKind::Decorrelated),
            Just(BackoffKind::DecorrelatedSmooth),
            Just(BackoffKind::Uniform),
        ];
        let jitter = prop_oneof![
            Just(Jitter::None),
            Just(Jitter::Full),
            Just(Jitter::Equal),
            (0.0..=1.0).prop_map(Jitter::Shave),
            (0.0..=1.0).prop_map(Jitter::Spread),
            (0..1_000_000_000_u64).prop_map(|ns| Jitter::SpreadBy(Duration::from_nanos(ns))),
        ];
        (kind, jitter, 0..u64::MAX, 1..u64::MAX, 1.0..100.0).prop_map(|(kind, jitter, base, max, factor)| {
            Backoff::default()
                .kind(kind)
                .jitter(jitter)
                .factor(factor)
                .max(Duration::from_nanos(max))
                .base(Duration::from_nanos(base))
        })
    }

    impl Backoff {
        const fn base(mut self, base: Duration) -> Self {
            self.base = base;
            self
        }
    }

    proptest! {
        #[test]
        fn no_delay_passes_the_maximum_and_nothing_overflows(rule in rules(), seed: u64, skip in 0..3_000_u32) {
            let mut random = SeededRandom::new(seed);
            // Beyond 2^53 nanoseconds the curve is exact to one part in 2^52 only.
            let most = rule.max + rule.max / 1_000_000_000;
            prop_assert!(rule.delay(skip, &mut random) <= most);
            for delay in rule.delays(random).take(70) {
                prop_assert!(delay <= most);
            }
        }

        #[test]
        fn the_same_seed_gives_the_same_delays(rule in rules(), seed: u64) {
            let draw = || rule.delays(SeededRandom::new(seed)).take(20).collect::<Vec<_>>();
            prop_assert_eq!(draw(), draw());
        }

        #[test]
        fn full_jitter_stays_below_the_curve_and_equal_above_its_half(seed: u64, step in 0..20_u32) {
            let curve = Backoff::exponential(Duration::from_millis(10)).jitter(Jitter::None);
            let top = curve.delay(step, Fixed(0.0));
            let mut random = SeededRandom::new(seed);
            prop_assert!(curve.jitter(Jitter::Full).delay(step, &mut random) <= top);
            let equal = curve.jitter(Jitter::Equal).delay(step, &mut random);
            prop_assert!(top / 2 <= equal && equal <= top);
        }

        #[test]
        fn a_decorrelated_delay_lies_between_the_base_and_three_times_the_one_before(seed: u64) {
            let base = Duration::from_millis(10);
            let mut before = base;
            for delay in Backoff::decorrelated(base).delays(SeededRandom::new(seed)).take(50) {
                prop_assert!(base <= delay && delay <= before * 3 + Duration::from_nanos(2));
                before = delay;
            }
        }
    }

    #[test]
    fn full_jitter_uses_its_whole_range() {
        let rule = Backoff::constant(Duration::from_secs(1)).jitter(Jitter::Full);
        let drawn: Vec<_> = rule.delays(SeededRandom::new(3)).take(1_000).collect();
        assert!(drawn.iter().any(|d| *d < Duration::from_millis(50)));
        assert!(drawn.iter().any(|d| *d > Duration::from_millis(950)));
    }
}
