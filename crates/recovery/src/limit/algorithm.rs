use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::aimd::{Aimd, AimdState};
use super::gradient::{Gradient2, GradientState};
use super::vegas::{Vegas, VegasState};
use crate::config::ConfigError;

/// Which rule finds the limit, with its settings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LimitConfig {
    /// One more for each success, a share less for each failure: needs failures to find the edge.
    Aimd(Aimd),
    /// Finds the edge by the time that calls spend in the callee's queue.
    Vegas(Vegas),
    /// Follows the ratio of the usual to the present time of a call; the default.
    Gradient2(Gradient2),
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self::Gradient2(Gradient2::default())
    }
}

impl LimitConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Aimd(config) => config.check(),
            Self::Vegas(config) => config.check(),
            Self::Gradient2(config) => config.check(),
        }
    }
}

/// What one finished call told about the callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// How long the call took, above zero.
    pub rtt: Duration,
    /// How many calls were in flight when it began, itself included.
    pub in_flight: u32,
    /// Whether it failed for want of capacity: a time-out, a refusal, an overload.
    pub dropped: bool,
}

impl Sample {
    /// A call that was answered.
    #[must_use]
    pub const fn answered(rtt: Duration, in_flight: u32) -> Self {
        Self { rtt, in_flight, dropped: false }
    }

    /// A call that was not.
    #[must_use]
    pub const fn dropped(rtt: Duration, in_flight: u32) -> Self {
        Self { rtt, in_flight, dropped: true }
    }
}

/// The limit and what it was learnt from, pure: time is an argument.
///
/// A cancelled call and one that was refused before it was sent say nothing about the callee and are no samples.
#[derive(Debug, Clone)]
pub struct Limit {
    rule: Rule,
    /// After a decrease the calls already in flight still tell of the old limit; until they are back nothing more is cut.
    settled_at: Option<Instant>,
}

#[derive(Debug, Clone)]
enum Rule {
    Aimd(AimdState),
    Vegas(VegasState),
    Gradient2(GradientState),
}

impl Limit {
    /// Creates the limit at its start.
    #[must_use]
    pub fn new(config: LimitConfig) -> Self {
        let rule = match config {
            LimitConfig::Aimd(config) => Rule::Aimd(AimdState::new(config)),
            LimitConfig::Vegas(config) => Rule::Vegas(VegasState::new(config)),
            LimitConfig::Gradient2(config) => Rule::Gradient2(GradientState::new(config)),
        };
        Self { rule, settled_at: None }
    }

    /// Returns how many calls may run at once.
    #[must_use]
    pub fn get(&self) -> u32 {
        whole(self.estimate())
    }

    /// Learns from a call that ended at `now`, and returns the limit.
    ///
    /// A call counts towards a decrease only if it began after the last one took effect: one burst of failures is one
    /// decrease, not as many as there were calls in flight.
    pub fn update(&mut self, now: Instant, sample: Sample) -> u32 {
        let began = now.checked_sub(sample.rtt).unwrap_or(now);
        let may_cut = self.settled_at.is_none_or(|at| began >= at);
        let before = self.estimate();
        match &mut self.rule {
            Rule::Aimd(state) => state.update(sample, may_cut),
            Rule::Vegas(state) => state.update(sample, may_cut),
            Rule::Gradient2(state) => state.update(sample),
        }
        if self.estimate() < before {
            self.settled_at = Some(now);
        }
        self.get()
    }

    fn estimate(&self) -> f64 {
        match &self.rule {
            Rule::Aimd(state) => state.limit(),
            Rule::Vegas(state) => state.limit(),
            Rule::Gradient2(state) => state.limit(),
        }
    }
}

pub(super) fn whole(limit: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and no rule goes below its minimum"
    )]
    let whole = limit as u32;
    whole
}

pub(super) fn bounds(field: &'static str, min: u32, initial: u32, max: u32) -> Result<(), ConfigError> {
    // Some callers' tables begin below the minimum; the first sample corrects that.
    if max == 0 || min > max || initial == 0 || initial > max {
        let given = format_args!("min {min}, initial {initial}, max {max}").to_string();
        return Err(ConfigError::new(field, given, "min and initial of at most max, initial and max above zero"));
    }
    Ok(())
}

pub(super) fn share(field: &'static str, value: f64, low: f64) -> Result<(), ConfigError> {
    if value >= low && value <= 1.0 && value > 0.0 {
        return Ok(());
    }
    Err(ConfigError::new(field, value, "a share at or above the least allowed and at most 1.0"))
}
