use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The constants of the AWS SDKs' adaptive retry mode.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct AdaptiveRateConfig {
    /// What is left of the rate after a throttling response; default 0.7.
    pub beta: f64,
    /// How steeply the rate climbs back; default 0.4.
    pub scale: f64,
    /// The weight of the newest measurement of the rate; default 0.8.
    pub smoothing: f64,
    /// The time over which the rate is measured; default 0.5 s.
    pub bucket: Duration,
    /// The least rate per second; default 0.5.
    pub min_rate: f64,
    /// The least number of calls that may be saved up; default 1.0.
    pub min_capacity: f64,
}

impl Default for AdaptiveRateConfig {
    fn default() -> Self {
        Self {
            beta: 0.7,
            scale: 0.4,
            smoothing: 0.8,
            bucket: Duration::from_millis(500),
            min_rate: 0.5,
            min_capacity: 1.0,
        }
    }
}

/// The curve by which a rate recovers after throttling, pure: flat near the rate that was too much, steep far from it.
///
/// The rule is that of the CUBIC congestion control (RFC 9438), as the AWS SDKs' adaptive mode uses it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cubic {
    beta: f64,
    scale: f64,
    max_rate: f64,
    throttled_at: f64,
}

impl Cubic {
    /// Creates the curve after throttling at `throttled_at` (since any origin) at `max_rate` calls per second.
    #[must_use]
    pub fn new(config: &AdaptiveRateConfig, max_rate: f64, throttled_at: Duration) -> Self {
        Self { beta: config.beta, scale: config.scale, max_rate, throttled_at: throttled_at.as_secs_f64() }
    }

    /// Returns the rate per second at `at` on the way up.
    #[must_use]
    pub fn rate(&self, at: Duration) -> f64 {
        let back = (self.max_rate * (1.0 - self.beta) / self.scale).cbrt();
        self.scale * (at.as_secs_f64() - self.throttled_at - back).powi(3) + self.max_rate
    }

    /// Notes throttling at `at` while `rate` calls per second were made, and returns the rate to fall to.
    pub fn throttled(&mut self, at: Duration, rate: f64) -> f64 {
        self.max_rate = rate;
        self.throttled_at = at.as_secs_f64();
        rate * self.beta
    }
}

/// A rate limit that finds the callee's by its throttling responses, pure: the AWS SDKs' adaptive retry mode.
///
/// Until the first throttling response nothing waits. All times are since one origin.
#[derive(Debug, Clone)]
pub struct AdaptiveRate {
    config: AdaptiveRateConfig,
    cubic: Cubic,
    enabled: bool,
    fill_rate: f64,
    max_capacity: f64,
    capacity: f64,
    filled_at: Option<f64>,
    measured: f64,
    counted: u32,
    bucket_start: f64,
}

impl AdaptiveRate {
    /// Creates a limit that knows nothing yet.
    #[must_use]
    pub fn new(config: AdaptiveRateConfig) -> Self {
        Self {
            config,
            cubic: Cubic::new(&config, 0.0, Duration::ZERO),
            enabled: false,
            fill_rate: 0.0,
            max_capacity: 0.0,
            capacity: 0.0,
            filled_at: None,
            measured: 0.0,
            counted: 0,
            bucket_start: 0.0,
        }
    }

    /// Takes leave for one call at `at`, and returns how long to wait before it.
    pub fn acquire(&mut self, at: Duration) -> Duration {
        if !self.enabled {
            return Duration::ZERO;
        }
        self.refill(at.as_secs_f64());
        // Taken in advance, so that those who wait do so one behind the other.
        self.capacity -= 1.0;
        if self.capacity >= 0.0 || self.fill_rate <= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-self.capacity / self.fill_rate).unwrap_or(Duration::MAX)
    }

    /// Learns from a response at `at`: whether it was a throttling one.
    pub fn update(&mut self, at: Duration, throttled: bool) {
        self.measure(at.as_secs_f64());
        let wanted = if throttled {
            let rate = if self.enabled { self.measured.min(self.fill_rate) } else { self.measured };
            self.enabled = true;
            self.cubic.throttled(at, rate)
        } else {
            self.cubic.rate(at)
        };
        let rate = wanted.min(2.0 * self.measured);
        self.refill(at.as_secs_f64());
        self.fill_rate = rate.max(self.config.min_rate);
        self.max_capacity = rate.max(self.config.min_capacity);
        self.capacity = self.capacity.min(self.max_capacity);
    }

    /// Returns the rate per second at which calls are admitted; `None` until throttling was seen.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        self.enabled.then_some(self.fill_rate)
    }

    /// Returns the rate per second that is or would be in force.
    #[must_use]
    pub const fn fill_rate(&self) -> f64 {
        self.fill_rate
    }

    /// Returns the rate per second at which responses came lately.
    #[must_use]
    pub const fn measured_rate(&self) -> f64 {
        self.measured
    }

    fn measure(&mut self, at: f64) {
        self.counted = self.counted.saturating_add(1);
        let length = self.config.bucket.as_secs_f64().max(1e-3);
        let passed = ((at - self.bucket_start) / length).floor();
        if passed >= 1.0 {
            let rate = f64::from(self.counted) / (passed * length);
            self.measured += self.config.smoothing * (rate - self.measured);
            self.bucket_start += passed * length;
            self.counted = 0;
        }
    }

    fn refill(&mut self, at: f64) {
        let since = self.filled_at.map_or(0.0, |last| (at - last).max(0.0));
        self.filled_at = Some(at);
        self.capacity = (self.capacity + since * self.fill_rate).min(self.max_capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_waits_before_the_first_throttling_and_then_the_rate_holds() {
        let mut limit = AdaptiveRate::new(AdaptiveRateConfig::default());
        let ms = Duration::from_millis;
        for call in 0..100_u32 {
            assert_eq!(limit.acquire(ms(10) * call), Duration::ZERO);
            limit.update(ms(10) * call, false);
        }
        limit.update(ms(1_000), true);
        let rate = limit.rate().unwrap();
        assert!(rate < 100.0, "{rate}");
        let first = limit.acquire(ms(1_000));
        let second = limit.acquire(ms(1_000));
        assert!(
            (second.as_secs_f64() - first.as_secs_f64()) * rate > 0.99,
            "those who wait do so one behind the other"
        );
    }
}
