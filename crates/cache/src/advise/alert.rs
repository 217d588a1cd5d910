//! A hit ratio that fell below its target, told once.

use crate::ConfigError;

/// When a fallen hit ratio is told.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct AlertConfig {
    /// The hit ratio that should be held; default 0.9, above 0 and at most 1.
    pub target: f64,
    /// How far above the target it must rise to be well again; default 0.02. Too small, and a ratio at
    /// its target is told again and again; too large, and it is never well again.
    pub hysteresis: f64,
    /// Requests that one observation needs; default 1000, at least 1. Fewer wait for the next one.
    pub min_requests: u64,
}

impl Default for AlertConfig {
    fn default() -> Self {
        Self { target: 0.9, hysteresis: 0.02, min_requests: 1000 }
    }
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum RatioChange {
    /// It fell below the target.
    #[non_exhaustive]
    Fell {
        /// To this.
        hit_ratio: f64,
    },
    /// It is well above the target again.
    #[non_exhaustive]
    Recovered {
        /// At this.
        hit_ratio: f64,
    },
}

/// Watches counts that only rise: pure, observed as often as the owner likes.
#[derive(Debug, Clone)]
pub struct RatioAlert {
    config: AlertConfig,
    hits: u64,
    requests: u64,
    low: bool,
}

impl RatioAlert {
    /// Makes one that takes the ratio for well.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if a setting is out of its bounds.
    pub fn new(config: AlertConfig) -> Result<Self, ConfigError> {
        if !(config.target > 0.0 && config.target <= 1.0) {
            return Err(ConfigError::new("target", config.target, "above 0 and at most 1"));
        }
        if !(0.0..1.0).contains(&config.hysteresis) {
            return Err(ConfigError::new("hysteresis", config.hysteresis, "0 to below 1"));
        }
        Ok(Self { config, hits: 0, requests: 0, low: false })
    }

    /// Tells whether the ratio is low.
    pub const fn is_low(&self) -> bool {
        self.low
    }

    /// Takes the hits and requests since the cache was made; the ratio is that since the last observation
    /// that had enough requests.
    pub fn observe(&mut self, hits: u64, requests: u64) -> Option<RatioChange> {
        let (new_hits, new_requests) = (hits.saturating_sub(self.hits), requests.saturating_sub(self.requests));
        if new_requests < self.config.min_requests.max(1) {
            return None;
        }
        (self.hits, self.requests) = (hits, requests);
        let hit_ratio = ratio(new_hits, new_requests);
        // A target near 1 must be able to be well again.
        let well = (self.config.target + self.config.hysteresis).min(1.0);
        if !self.low && hit_ratio < self.config.target {
            self.low = true;
            return Some(RatioChange::Fell { hit_ratio });
        }
        if self.low && hit_ratio >= well {
            self.low = false;
            return Some(RatioChange::Recovered { hit_ratio });
        }
        None
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio of counts below 2^53")]
fn ratio(hits: u64, requests: u64) -> f64 {
    hits as f64 / requests as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_tells_the_fall_once_and_the_rise_once() {
        let mut alert = RatioAlert::new(AlertConfig::default()).unwrap();
        let (mut hits, mut requests) = (0, 0);
        let mut told = Vec::new();
        for of_thousand in [950, 905, 899, 850, 910, 899, 919, 921, 915, 880] {
            hits += of_thousand;
            requests += 1000;
            told.push(alert.observe(hits, requests));
        }
        let fell = |hit_ratio| Some(RatioChange::Fell { hit_ratio });
        let rose = Some(RatioChange::Recovered { hit_ratio: 0.921 });
        assert_eq!(told, [None, None, fell(0.899), None, None, None, None, rose, None, fell(0.88)]);
    }

    #[test]
    fn few_requests_wait() {
        let mut alert = RatioAlert::new(AlertConfig::default()).unwrap();
        assert_eq!(alert.observe(0, 999), None);
        assert_eq!(alert.observe(0, 1000), Some(RatioChange::Fell { hit_ratio: 0.0 }));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for target in [0.0, 1.1, f64::NAN] {
            let config = AlertConfig { target, ..AlertConfig::default() };
            assert_eq!(RatioAlert::new(config).unwrap_err().field(), "target");
        }
    }
}
