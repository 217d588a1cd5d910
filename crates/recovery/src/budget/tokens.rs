use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::class::ErrorClass;
use crate::config::ConfigError;

/// The settings of a budget in tokens: retries cost some, successes give them back.
///
/// The defaults are those of the AWS SDKs' standard retry mode, version 2.1: as long as the callee is well the bucket is
/// full; when everything fails, 500 tokens pay for 35 retries, and from then on calls are made once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TokenBudget {
    /// How many tokens there are at most, and at the start; 0 to 1,000,000,000, default 500. Zero forbids all retries.
    pub capacity: u32,
    /// What a retry costs; default 14.
    pub retry_cost: u32,
    /// What a retry costs after [`Throttled`](ErrorClass::Throttled); default 5: the callee is alive and named its pace.
    pub throttled_cost: u32,
    /// What a retry costs after [`Timeout`](ErrorClass::Timeout); default 14.
    pub timeout_cost: u32,
    /// What the first attempt of a call costs; default 0.
    pub first_cost: u32,
    /// What a call gives back that succeeded at the first attempt; default 1. One that was retried gives back what its
    /// last retry cost.
    pub first_refund: u32,
    /// How many tokens come back per second without any success; default 0.
    pub refill_per_second: u32,
    /// What happens when there are too few.
    pub when_empty: WhenEmpty,
}

/// What a token budget does with a retry that it cannot pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WhenEmpty {
    /// Refuses it: the call ends with its last failure.
    #[default]
    Refuse,
    /// Lets it wait until the refill has paid for it; refuses it when nothing refills.
    Wait,
}

impl Default for TokenBudget {
    fn default() -> Self {
        Self {
            capacity: 500,
            retry_cost: 14,
            throttled_cost: 5,
            timeout_cost: 14,
            first_cost: 0,
            first_refund: 1,
            refill_per_second: 0,
            when_empty: WhenEmpty::Refuse,
        }
    }
}

impl TokenBudget {
    /// The rule of the AWS SDKs' standard retry mode, version 2.1.
    #[must_use]
    pub fn aws() -> Self {
        Self::default()
    }

    /// The rule of the AWS SDKs' standard retry mode, version 2.0: five tokens a retry, whatever failed.
    #[must_use]
    pub fn aws_legacy() -> Self {
        Self { retry_cost: 5, throttled_cost: 5, timeout_cost: 5, ..Self::default() }
    }

    /// Returns what a retry after a failure of `class` costs.
    #[must_use]
    pub const fn cost(&self, class: ErrorClass) -> u32 {
        match class {
            ErrorClass::Throttled { .. } => self.throttled_cost,
            ErrorClass::Timeout => self.timeout_cost,
            _ => self.retry_cost,
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        const MOST: u32 = 1_000_000_000;
        let fields = [
            ("budget.capacity", self.capacity),
            ("budget.retry_cost", self.retry_cost),
            ("budget.throttled_cost", self.throttled_cost),
            ("budget.timeout_cost", self.timeout_cost),
            ("budget.first_cost", self.first_cost),
            ("budget.first_refund", self.first_refund),
            ("budget.refill_per_second", self.refill_per_second),
        ];
        fields
            .iter()
            .find(|(_, value)| *value > MOST)
            .map_or(Ok(()), |(field, value)| Err(ConfigError::new(field, value, "at most 1,000,000,000")))
    }
}

/// The tokens of a [`TokenBudget`], pure: time is an argument.
#[derive(Debug, Clone)]
pub struct TokenBucket {
    config: TokenBudget,
    /// In thousandths; below zero while retries wait for tokens that they have taken already.
    millis: i64,
    refilled: Option<Instant>,
}

impl TokenBucket {
    /// Creates a full bucket.
    #[must_use]
    pub fn new(config: TokenBudget) -> Self {
        Self { config, millis: milli(config.capacity), refilled: None }
    }

    /// Returns the whole tokens in the bucket; zero while retries wait for some.
    #[must_use]
    pub fn available(&self) -> u32 {
        u32::try_from(self.millis.max(0) / 1_000).unwrap_or(u32::MAX)
    }

    /// Says whether a refund would change nothing.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.millis >= milli(self.config.capacity)
    }

    /// Pays `cost` tokens; the wait until they are there is the answer, zero if they are.
    ///
    /// # Errors
    /// Returns how long until they would be there, if that is ever, when the rule is to refuse.
    pub fn take(&mut self, now: Instant, cost: u32) -> Result<Duration, Option<Duration>> {
        self.refill(now);
        let left = self.millis - milli(cost);
        if left >= 0 {
            self.millis = left;
            return Ok(Duration::ZERO);
        }
        let wait = self.time_for(left.unsigned_abs());
        match (self.config.when_empty, wait) {
            (WhenEmpty::Wait, Some(wait)) => {
                self.millis = left;
                Ok(wait)
            }
            _ => Err(wait),
        }
    }

    /// Gives tokens back; those above the capacity are lost.
    pub fn give(&mut self, now: Instant, tokens: u32) {
        self.refill(now);
        self.millis = (self.millis + milli(tokens)).min(milli(self.config.capacity));
    }

    /// Takes other settings and keeps the share of the capacity that is filled.
    pub fn reconfigure(&mut self, now: Instant, config: TokenBudget) {
        self.refill(now);
        let filled = i128::from(self.millis) * i128::from(config.capacity) / i128::from(self.config.capacity.max(1));
        self.millis = i64::try_from(filled).unwrap_or(i64::MAX).min(milli(config.capacity));
        self.config = config;
    }

    fn refill(&mut self, now: Instant) {
        if self.config.refill_per_second == 0 {
            return;
        }
        let last = *self.refilled.get_or_insert(now);
        // Whole thousandths of a token only; the rest of the time is kept for the next refill.
        let per_second = u128::from(self.config.refill_per_second) * 1_000;
        let gained = now.saturating_duration_since(last).as_nanos() * per_second / 1_000_000_000;
        if gained == 0 {
            return;
        }
        let spent = gained * 1_000_000_000 / per_second;
        self.refilled = last.checked_add(Duration::from_nanos(u64::try_from(spent).unwrap_or(u64::MAX)));
        let gained = i64::try_from(gained).unwrap_or(i64::MAX);
        self.millis = self.millis.saturating_add(gained).min(milli(self.config.capacity));
    }

    fn time_for(&self, millis: u64) -> Option<Duration> {
        let per_second = u128::from(self.config.refill_per_second) * 1_000;
        (per_second > 0).then(|| {
            let nanos = (u128::from(millis) * 1_000_000_000).div_ceil(per_second);
            Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
        })
    }
}

fn milli(tokens: u32) -> i64 {
    i64::from(tokens) * 1_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn an_empty_bucket_says_when_it_can_pay() {
        let mut bucket = TokenBucket::new(TokenBudget { capacity: 10, refill_per_second: 4, ..TokenBudget::default() });
        let now = start();
        assert_eq!(bucket.take(now, 9), Ok(Duration::ZERO));
        assert_eq!(bucket.take(now, 3), Err(Some(Duration::from_millis(500))));
        assert_eq!(bucket.available(), 1);
        assert_eq!(bucket.take(now + Duration::from_millis(500), 3), Ok(Duration::ZERO));
    }

    #[test]
    fn those_who_wait_queue_up() {
        let config =
            TokenBudget { capacity: 2, refill_per_second: 1, when_empty: WhenEmpty::Wait, ..TokenBudget::default() };
        let mut bucket = TokenBucket::new(config);
        let now = start();
        let waits: Vec<_> = (0..4).map(|_| bucket.take(now, 1)).collect();
        assert_eq!(waits, [0, 0, 1, 2].map(|s| Ok(Duration::from_secs(s))));
        let never = TokenBudget { refill_per_second: 0, ..config };
        assert_eq!(TokenBucket::new(never).take(now, 3), Err(None), "nobody waits for what never comes");
    }

    #[test]
    fn a_slow_refill_loses_no_fraction() {
        let mut bucket = TokenBucket::new(TokenBudget { capacity: 10, refill_per_second: 3, ..TokenBudget::default() });
        let mut now = start();
        assert_eq!(bucket.take(now, 10), Ok(Duration::ZERO));
        for _ in 0..10 {
            now += Duration::from_millis(100);
            bucket.give(now, 0);
        }
        assert_eq!(bucket.available(), 3);
    }

    #[test]
    fn other_settings_keep_the_fill() {
        let now = start();
        let mut bucket = TokenBucket::new(TokenBudget { capacity: 100, ..TokenBudget::default() });
        assert!(bucket.take(now, 25).is_ok());
        bucket.reconfigure(now, TokenBudget { capacity: 400, ..TokenBudget::default() });
        assert_eq!(bucket.available(), 300);
    }

    proptest! {
        #[test]
        fn the_bucket_never_overflows_and_refusals_take_nothing(
            capacity in 0..1_000_u32, refill in 0..50_u32,
            steps in prop::collection::vec((0..40_u32, any::<bool>(), 0..2_000_u64), 0..60),
        ) {
            let mut bucket = TokenBucket::new(TokenBudget { capacity, refill_per_second: refill, ..TokenBudget::default() });
            let mut now = start();
            for (tokens, takes, wait) in steps {
                now += Duration::from_millis(wait);
                if takes {
                    bucket.give(now, 0);
                    let before = bucket.available();
                    let taken = bucket.take(now, tokens);
                    let expected = if taken.is_ok() { before - tokens } else { before };
                    prop_assert_eq!(bucket.available(), expected);
                } else {
                    bucket.give(now, tokens);
                }
                prop_assert!(bucket.available() <= capacity);
            }
        }
    }
}
