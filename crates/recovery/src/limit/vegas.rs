use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::algorithm::{Sample, bounds, share, whole};
use crate::config::{ConfigError, count};

/// The settings of the rule of TCP Vegas, as Netflix's concurrency-limits has it.
///
/// The share of a call's time beyond the least ever seen, times the limit, is the number of calls that wait in the
/// callee's queue. Few of them, and the limit grows; many, and it shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Vegas {
    /// The least limit; default 1.
    pub min: u32,
    /// The limit to begin with; default 20.
    pub initial: u32,
    /// The greatest limit; default 1,000.
    pub max: u32,
    /// With fewer than this in the queue the limit grows by a step; default three times the step.
    pub alpha: VegasRule,
    /// With more than this in the queue the limit shrinks; default six times the step. It is also what the limit grows
    /// by when the queue is empty.
    pub beta: VegasRule,
    /// What a decrease takes: a step, or half of the limit; default a step.
    pub halves: bool,
    /// How much of each change takes effect; above 0.0 and at most 1.0, default 1.0.
    pub smoothing: f64,
    /// After this many calls per unit of the limit, the least time is forgotten and learnt anew; 1 to 1,000,000,
    /// default 30. Without that, a callee that became slower for good would look overloaded for ever.
    pub probe_multiplier: u32,
}

/// A bound on the queue: fixed, or growing with the logarithm of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VegasRule {
    /// So many calls.
    Fixed(u32),
    /// So many times the step: the whole part of log₁₀ of the limit, at least one.
    Log10(u32),
}

impl VegasRule {
    fn at(self, limit: f64) -> f64 {
        match self {
            Self::Fixed(calls) => f64::from(calls),
            Self::Log10(times) => f64::from(times) * step(limit),
        }
    }
}

impl Default for Vegas {
    fn default() -> Self {
        Self {
            min: 1,
            initial: 20,
            max: 1_000,
            alpha: VegasRule::Log10(3),
            beta: VegasRule::Log10(6),
            halves: false,
            smoothing: 1.0,
            probe_multiplier: 30,
        }
    }
}

impl Vegas {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        bounds("limit.vegas", self.min, self.initial, self.max)?;
        count("limit.probe_multiplier", self.probe_multiplier, 1_000_000, "1 to 1,000,000")?;
        share("limit.smoothing", self.smoothing, 0.0)
    }
}

/// log₁₀ of the limit cut to a whole number, at least one.
fn step(limit: f64) -> f64 {
    limit.max(1.0).log10().floor().max(1.0)
}

#[derive(Debug, Clone)]
pub(super) struct VegasState {
    config: Vegas,
    limit: f64,
    least: Option<Duration>,
    calls: u32,
}

impl VegasState {
    pub(super) fn new(config: Vegas) -> Self {
        Self { config, limit: f64::from(config.initial), least: None, calls: 0 }
    }

    pub(super) const fn limit(&self) -> f64 {
        self.limit
    }

    pub(super) fn update(&mut self, sample: Sample, may_cut: bool) {
        self.calls = self.calls.saturating_add(1);
        if f64::from(self.calls) >= f64::from(self.config.probe_multiplier) * self.limit {
            self.calls = 0;
            self.least = Some(sample.rtt);
            return;
        }
        let Some(least) = self.least.filter(|least| sample.rtt >= *least) else {
            self.least = Some(sample.rtt);
            return;
        };
        let queue = (self.limit * (1.0 - least.as_secs_f64() / sample.rtt.as_secs_f64().max(1e-9))).ceil();
        let at = self.limit.trunc();
        let less = if self.config.halves { self.limit / 2.0 } else { self.limit - step(at) };
        let wanted = if sample.dropped {
            less
        } else if f64::from(sample.in_flight) * 2.0 < self.limit {
            return;
        } else if queue <= step(at) {
            self.limit + self.config.beta.at(at)
        } else if queue < self.config.alpha.at(at) {
            self.limit + step(at)
        } else if queue > self.config.beta.at(at) {
            less
        } else {
            return;
        };
        if wanted < self.limit && !may_cut {
            return;
        }
        let least_limit = f64::from(self.config.min.max(1));
        let wanted = wanted.min(f64::from(self.config.max)).max(least_limit);
        self.limit += self.config.smoothing * (wanted - self.limit);
        debug_assert!(whole(self.limit) > 0, "the minimum is at least one");
    }
}
