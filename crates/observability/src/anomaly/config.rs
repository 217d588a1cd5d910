use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// When an operation counts as anomalous.
///
/// # Examples
/// ```
/// use bedplate_observability::anomaly::AnomalyConfig;
/// let config = AnomalyConfig::default().min_samples(50).objective(0.999);
/// assert!(config.validate().is_ok());
/// assert_eq!(AnomalyConfig::default().objective(1.0).validate().unwrap_err().field, "anomaly.objective");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[must_use]
pub struct AnomalyConfig {
    pub(super) operations: usize,
    pub(super) min_samples: u64,
    pub(super) warm_up: u32,
    pub(super) enter: f64,
    pub(super) leave: f64,
    pub(super) min_latency_ratio: f64,
    pub(super) objective: f64,
    pub(super) cool_down: u32,
    pub(super) adopt_after: u32,
}

impl Default for AnomalyConfig {
    fn default() -> Self {
        Self {
            operations: 200,
            min_samples: 20,
            warm_up: 30,
            enter: 4.5,
            leave: 2.0,
            min_latency_ratio: 1.25,
            objective: 0.99,
            cool_down: 6,
            adopt_after: 60,
        }
    }
}

impl AnomalyConfig {
    /// Bounds the operations that are watched, 1 to 10,000, default 200; each costs up to 40 KiB. Those beyond are not
    /// watched, and counted.
    pub const fn operations(mut self, count: usize) -> Self {
        self.operations = count;
        self
    }

    /// Judges latency and errors by buckets of at least this many requests, 5 to 100,000, default 20. Fewer say more
    /// often what chance says; with more, a quiet operation is never judged.
    pub const fn min_samples(mut self, count: u64) -> Self {
        self.min_samples = count;
        self
    }

    /// Learns from this many buckets of 10 s before the first verdict, 6 to 8,640, default 30. Fewer make a baseline of
    /// whatever happened to be; more leave a fresh process unwatched.
    pub const fn warm_up(mut self, buckets: u32) -> Self {
        self.warm_up = buckets;
        self
    }

    /// Enters at this score in two buckets with none below the score of leaving between, 3 to 100, default 4.5: so many usual deviations, or as improbable as
    /// that. A lower one raises false alarms, a higher one misses what is small.
    pub const fn enter(mut self, score: f64) -> Self {
        self.enter = score;
        self
    }

    /// Leaves below this score in two buckets with none that enters between, 0 to the score of entering, default 2. One near the entering score
    /// flaps.
    pub const fn leave(mut self, score: f64) -> Self {
        self.leave = score;
        self
    }

    /// Ignores latencies less than this times the usual, 1 to 10, default 1.25: what is statistically sure may still
    /// bother nobody.
    pub const fn min_latency_ratio(mut self, ratio: f64) -> Self {
        self.min_latency_ratio = ratio;
        self
    }

    /// Burns the budget of this share of requests that shall succeed, above 0.5 and below 1, default 0.99. At 14.4 times
    /// the budget over 5 minutes and 1 hour, or 6 times over 30 minutes and 6 hours, there is an anomaly however usual
    /// the errors are.
    pub const fn objective(mut self, share: f64) -> Self {
        self.objective = share;
        self
    }

    /// Tells no new anomaly of the same kind of an operation within this many buckets after one ended, 0 to 8,640,
    /// default 6.
    pub const fn cool_down(mut self, buckets: u32) -> Self {
        self.cool_down = buckets;
        self
    }

    /// Takes a level that held for this many buckets for the new normal, 6 to 8,640, default 60. Too few, and a long
    /// fault is forgotten; too many, and a release that is slower for good alarms all day.
    pub const fn adopt_after(mut self, buckets: u32) -> Self {
        self.adopt_after = buckets;
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] names the first setting that cannot be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |fits, field, value: &dyn ToString, expected| {
            if fits { Ok(()) } else { Err(ConfigError { field, value: value.to_string(), expected }) }
        };
        let within = |value: f64, low, high| (low..=high).contains(&value);
        let buckets = 6..=8_640;
        check((1..=10_000).contains(&self.operations), "anomaly.operations", &self.operations, "1 to 10000")?;
        check((5..=100_000).contains(&self.min_samples), "anomaly.min_samples", &self.min_samples, "5 to 100000")?;
        check(buckets.contains(&self.warm_up), "anomaly.warm_up", &self.warm_up, "6 to 8640 buckets")?;
        check(within(self.enter, 3.0, 100.0), "anomaly.enter", &self.enter, "3 to 100")?;
        check(within(self.leave, 0.0, self.enter), "anomaly.leave", &self.leave, "0 to the score of entering")?;
        let ratio = self.min_latency_ratio;
        check(within(ratio, 1.0, 10.0), "anomaly.min_latency_ratio", &ratio, "1 to 10")?;
        let objective = self.objective;
        check(objective > 0.5 && objective < 1.0, "anomaly.objective", &objective, "above 0.5 and below 1")?;
        check(self.cool_down <= 8_640, "anomaly.cool_down", &self.cool_down, "0 to 8640 buckets")?;
        check(buckets.contains(&self.adopt_after), "anomaly.adopt_after", &self.adopt_after, "6 to 8640 buckets")
    }
}
