use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::algorithm::{Sample, bounds};
use crate::config::{ConfigError, positive};

/// The settings of "additive increase, multiplicative decrease": TCP's rule, as Netflix's concurrency-limits has it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Aimd {
    /// The least limit; default 1.
    pub min: u32,
    /// The limit to begin with; default 20.
    pub initial: u32,
    /// The greatest limit; default 200.
    pub max: u32,
    /// What is left of the limit after a failure; 0.5 up to but not including 1.0, default 0.9.
    pub backoff_ratio: f64,
    /// A call that takes longer than this counts as dropped; above zero, default 5 s.
    pub timeout: Duration,
}

impl Default for Aimd {
    fn default() -> Self {
        Self { min: 1, initial: 20, max: 200, backoff_ratio: 0.9, timeout: Duration::from_secs(5) }
    }
}

impl Aimd {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        bounds("limit.aimd", self.min, self.initial, self.max)?;
        if !(0.5..1.0).contains(&self.backoff_ratio) {
            return Err(ConfigError::new("limit.backoff_ratio", self.backoff_ratio, "0.5 up to below 1.0"));
        }
        positive("limit.timeout", self.timeout)
    }
}

#[derive(Debug, Clone)]
pub(super) struct AimdState {
    config: Aimd,
    limit: u32,
}

impl AimdState {
    pub(super) const fn new(config: Aimd) -> Self {
        Self { config, limit: config.initial }
    }

    pub(super) fn limit(&self) -> f64 {
        f64::from(self.limit)
    }

    pub(super) fn update(&mut self, sample: Sample, may_cut: bool) {
        let Aimd { min, max, backoff_ratio, timeout, .. } = self.config;
        if sample.dropped || sample.rtt > timeout {
            if may_cut {
                let cut = super::algorithm::whole(f64::from(self.limit) * backoff_ratio);
                self.limit = cut.clamp(min.max(1).min(max), max);
            }
        } else if sample.in_flight.saturating_mul(2) >= self.limit {
            // Less than half in use says nothing about the edge: the limit must not drift up while idle.
            self.limit = self.limit.saturating_add(1).clamp(min.min(max), max);
        }
    }
}
