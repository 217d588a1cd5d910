use serde::{Deserialize, Serialize};

use crate::config::ConfigError;

/// The settings of gRPC's retry throttle (gRFC A6, "Throttling Retry Attempts and Hedged RPCs").
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ThrottleConfig {
    /// How many tokens there are at most and at the start; 1 to 1,000, default 10. A failure takes one, and with half of
    /// them or fewer nothing is retried.
    pub max_tokens: u32,
    /// What a success gives back; above zero, default 0.1. Only three decimal places count.
    pub token_ratio: f64,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self { max_tokens: 10, token_ratio: 0.1 }
    }
}

impl ThrottleConfig {
    /// Returns the ratio in thousandths, further places cut off as the specification asks.
    #[must_use]
    pub fn milli_ratio(&self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and cutting off is what is asked for"
        )]
        // Half a millionth for decimal fractions that the binary ones lie just below.
        let milli = (self.token_ratio * 1_000.0 + 5e-7) as u32;
        milli
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if self.max_tokens == 0 || self.max_tokens > 1_000 {
            return Err(ConfigError::new("budget.max_tokens", self.max_tokens, "1 to 1000"));
        }
        // Written so that NaN is refused.
        if self.token_ratio.is_finite() && self.milli_ratio() > 0 {
            return Ok(());
        }
        Err(ConfigError::new("budget.token_ratio", self.token_ratio, "at least 0.001"))
    }
}

/// The tokens of gRPC's throttle, pure.
#[derive(Debug, Clone)]
pub struct RetryThrottle {
    max_milli: u32,
    ratio_milli: u32,
    milli: u32,
}

impl RetryThrottle {
    /// Creates a full throttle.
    #[must_use]
    pub fn new(config: ThrottleConfig) -> Self {
        let max_milli = config.max_tokens.saturating_mul(1_000);
        Self { max_milli, ratio_milli: config.milli_ratio(), milli: max_milli }
    }

    /// Takes a token for a failure.
    pub fn failed(&mut self) {
        self.milli = self.milli.saturating_sub(1_000);
    }

    /// Gives the ratio back for a success.
    pub fn succeeded(&mut self) {
        self.milli = self.milli.saturating_add(self.ratio_milli).min(self.max_milli);
    }

    /// Says whether more than half of the tokens are there, so that retries may be made.
    #[must_use]
    pub const fn allows(&self) -> bool {
        self.milli > self.max_milli / 2
    }

    /// Returns the tokens in thousandths.
    #[must_use]
    pub const fn milli_tokens(&self) -> u32 {
        self.milli
    }

    /// Says whether a success would change nothing.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.milli >= self.max_milli
    }

    /// Takes other settings and keeps the share of the tokens that is left.
    pub fn reconfigure(&mut self, config: ThrottleConfig) {
        let max = config.max_tokens.saturating_mul(1_000);
        let kept = u64::from(self.milli) * u64::from(max) / u64::from(self.max_milli.max(1));
        self.milli = u32::try_from(kept).unwrap_or(max);
        self.max_milli = max;
        self.ratio_milli = config.milli_ratio();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_places_beyond_the_third_are_cut_off() {
        for (ratio, milli) in [(0.5466, 546), (0.1, 100), (0.001, 1), (1.6, 1_600), (0.0009, 0)] {
            assert_eq!(ThrottleConfig { token_ratio: ratio, ..ThrottleConfig::default() }.milli_ratio(), milli);
        }
    }
}
