use serde::{Deserialize, Serialize};

use crate::config::{ConfigError, rate};

/// The settings of a budget that bounds retries and hedges to a share of the calls in flight.
///
/// The rule of Envoy's retry budgets and failsafe-go's budget: it needs no memory, recovers the moment load falls, and
/// scales with traffic by itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct InFlightBudget {
    /// The share of all attempts in flight beyond which no further extra one starts; above 0.0 and at most 1.0, default
    /// 0.2.
    pub max_rate: f64,
    /// So many extra attempts may be in flight whatever the share; default 3. Without it, a service with few calls could
    /// never retry.
    pub min_concurrency: u32,
}

impl Default for InFlightBudget {
    fn default() -> Self {
        Self { max_rate: 0.2, min_concurrency: 3 }
    }
}

impl InFlightBudget {
    /// Says whether one more extra attempt may start beside `extra` of `all` attempts in flight.
    #[must_use]
    pub fn allows(&self, all: u32, extra: u32) -> bool {
        extra < self.min_concurrency || f64::from(extra) <= self.max_rate * f64::from(all)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        rate("budget.max_rate", self.max_rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_holds_when_nothing_else_is_in_flight() {
        let budget = InFlightBudget::default();
        assert!(budget.allows(1, 2));
        assert!(!budget.allows(1, 3));
        assert!(budget.allows(20, 4));
        assert!(!budget.allows(20, 5));
    }
}
