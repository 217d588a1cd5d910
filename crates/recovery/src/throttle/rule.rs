use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, rate};

/// The settings of the client-side throttle of "Site Reliability Engineering", chapter 21, "Handling Overload".
///
/// A callee in overload spends its strength on refusals. This rule refuses at the caller instead, with a probability that
/// follows from how many calls the callee answered lately, and lets enough through to notice that it is back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ThrottleRule {
    /// The share of successes at which nothing is refused; above 0.0 and at most 1.0, default 0.5 (the book's K = 2).
    pub success_rate: f64,
    /// The greatest share of refusals; above 0.0 and at most 1.0, default 0.9.
    pub max_rejection_rate: f64,
    /// With fewer calls in the window nothing is refused; default 20.
    pub minimum_calls: u32,
}

impl Default for ThrottleRule {
    fn default() -> Self {
        Self { success_rate: 0.5, max_rejection_rate: 0.9, minimum_calls: 20 }
    }
}

impl ThrottleRule {
    /// Checks the settings.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        rate("throttle.success_rate", self.success_rate)?;
        rate("throttle.max_rejection_rate", self.max_rejection_rate)
    }

    /// Returns the probability of a refusal, given how many calls were made in the window and how many succeeded.
    ///
    /// `max(0, (calls - successes / success_rate) / (calls + 1))`, capped.
    #[must_use]
    pub fn rejection_probability(&self, calls: f64, successes: f64) -> f64 {
        if calls < f64::from(self.minimum_calls) {
            return 0.0;
        }
        let excess = (calls - successes / self.success_rate).max(0.0);
        (excess / (calls + 1.0)).min(self.max_rejection_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_healthy_callee_is_never_throttled() {
        let rule = ThrottleRule::default();
        for (calls, successes) in [(100.0, 100.0), (100.0, 50.0), (19.0, 0.0)] {
            assert!(rule.rejection_probability(calls, successes) <= 0.0);
        }
        assert!((rule.rejection_probability(100.0, 0.0) - 0.9).abs() < 1e-9);
    }
}
