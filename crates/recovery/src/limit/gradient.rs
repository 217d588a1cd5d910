use serde::{Deserialize, Serialize};

use super::algorithm::{Sample, bounds, share};
use crate::config::{ConfigError, count};

/// The settings of the gradient rule, after Netflix's `Gradient2Limit`.
///
/// The limit follows the ratio of the usual time of a call (a slow average) to the present one: as long as calls take
/// what they usually take, it grows by the queue allowance; when they take longer, it shrinks in proportion.
///
/// Two guards are added. The usual time never rises above `max_baseline` times the least seen lately, so that a long
/// incident does not become the norm (failsafe-go #127); and the least is learnt anew every now and then, so that a callee
/// that became slower for good does.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Gradient2 {
    /// The least limit; default 4.
    pub min: u32,
    /// The limit to begin with; default 20.
    pub initial: u32,
    /// The greatest limit; default 1,000.
    pub max: u32,
    /// How many calls may wait in the callee's queue; the square root of the limit if that is more; default 4.
    pub queue: u32,
    /// How many times the usual time a call may take before the limit shrinks; 1.0 to 10.0, default 1.5.
    pub tolerance: f64,
    /// How much of each change takes effect; above 0.0 and at most 1.0, default 0.2.
    pub smoothing: f64,
    /// How many calls the slow average remembers; 1 to 1,000,000, default 600.
    pub long_window: u32,
    /// The usual time is at most this many times the least seen lately; 1.0 to 100.0, default 2.0.
    pub max_baseline: f64,
}

impl Default for Gradient2 {
    fn default() -> Self {
        Self {
            min: 4,
            initial: 20,
            max: 1_000,
            queue: 4,
            tolerance: 1.5,
            smoothing: 0.2,
            long_window: 600,
            max_baseline: 2.0,
        }
    }
}

impl Gradient2 {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        bounds("limit.gradient2", self.min, self.initial, self.max)?;
        count("limit.long_window", self.long_window, 1_000_000, "1 to 1,000,000")?;
        if !(1.0..=10.0).contains(&self.tolerance) {
            return Err(ConfigError::new("limit.tolerance", self.tolerance, "1.0 to 10.0"));
        }
        if !(1.0..=100.0).contains(&self.max_baseline) {
            return Err(ConfigError::new("limit.max_baseline", self.max_baseline, "1.0 to 100.0"));
        }
        share("limit.smoothing", self.smoothing, 0.0)
    }
}

#[derive(Debug, Clone)]
pub(super) struct GradientState {
    config: Gradient2,
    limit: f64,
    /// The slow average in seconds, and how many calls are in it.
    usual: f64,
    seen: u32,
    /// The least time in the present and the last epoch of `EPOCH` windows.
    least: [f64; 2],
    epoch: u32,
}

/// How many long windows the least time is remembered for, at least: twice that at most.
const EPOCH: u32 = 20;
/// So many calls make the plain mean that the slow average begins with.
const WARM_UP: u32 = 10;

impl GradientState {
    pub(super) fn new(config: Gradient2) -> Self {
        let limit = f64::from(config.initial);
        Self { config, limit, usual: 0.0, seen: 0, least: [f64::INFINITY; 2], epoch: 0 }
    }

    pub(super) const fn limit(&self) -> f64 {
        self.limit
    }

    pub(super) fn update(&mut self, sample: Sample, may_cut: bool) {
        let rtt = sample.rtt.as_secs_f64().max(1e-9);
        if !sample.dropped {
            self.learn(rtt);
        }
        let Gradient2 { min, max, queue, tolerance, smoothing, .. } = self.config;
        // An idle caller learns nothing about the edge.
        if !sample.dropped && f64::from(sample.in_flight) < self.limit / 2.0 {
            return;
        }
        let gradient = if sample.dropped { 0.5 } else { (tolerance * self.usual / rtt).clamp(0.5, 1.0) };
        let room = if sample.dropped { 0.0 } else { f64::from(queue).max(self.limit.sqrt()) };
        let wanted = self.limit * gradient + room;
        if wanted < self.limit && !may_cut {
            return;
        }
        let next = self.limit + smoothing * (wanted - self.limit);
        self.limit = next.min(f64::from(max)).max(f64::from(min.max(1)));
    }

    fn learn(&mut self, rtt: f64) {
        self.epoch = self.epoch.saturating_add(1);
        if self.epoch >= self.config.long_window.saturating_mul(EPOCH) {
            self.epoch = 0;
            self.least = [f64::INFINITY, self.least[0]];
        }
        self.least[0] = self.least[0].min(rtt);
        self.seen = self.seen.saturating_add(1);
        let weight = if self.seen <= WARM_UP {
            1.0 / f64::from(self.seen)
        } else {
            2.0 / (f64::from(self.config.long_window) + 1.0)
        };
        self.usual += weight * (rtt - self.usual);
        // Back to normal after a long incident: the average need not be waited for.
        if self.usual > 2.0 * rtt {
            self.usual *= 0.9;
        }
        self.usual = self.usual.min(self.config.max_baseline * self.least[0].min(self.least[1]));
    }
}
