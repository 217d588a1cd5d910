use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};

use super::in_flight::InFlightBudget;
use super::throttle::{RetryThrottle, ThrottleConfig};
use super::tokens::{TokenBucket, TokenBudget};
use crate::class::ErrorClass;
use crate::config::ConfigError;

/// Which rule a [`RetryBudget`] follows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BudgetConfig {
    /// Tokens that retries cost and successes give back.
    Tokens(TokenBudget),
    /// A share of the calls in flight.
    InFlight(InFlightBudget),
    /// gRPC's throttle.
    Throttle(ThrottleConfig),
}

impl BudgetConfig {
    fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Tokens(config) => config.check(),
            Self::InFlight(config) => config.check(),
            Self::Throttle(config) => config.check(),
        }
    }
}

/// A shared bound on the extra load of retries and hedges; clones are handles to the same one.
///
/// One budget stands for one callee. Give clones of it to every [`Retry`](crate::Retry) and hedge that calls it: they
/// then draw on the same tokens. A first attempt that succeeds costs two loads and no lock while the budget is full.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use bedplate_recovery::{Pipeline, Retry, RetryBudget};
///
/// # fn main() -> Result<(), bedplate_recovery::ConfigError> {
/// let budget = RetryBudget::aws();
/// let search = Pipeline::builder("search").retry(Retry::exponential(Duration::from_millis(50)).budget(&budget)).build()?;
/// let detail = Pipeline::builder("detail").retry(Retry::exponential(Duration::from_millis(50)).budget(&budget)).build()?;
/// # drop((search, detail)); Ok(()) }
/// ```
#[derive(Clone)]
pub struct RetryBudget {
    shared: Arc<Shared>,
}

struct Shared {
    config: RwLock<BudgetConfig>,
    state: State,
    granted: AtomicU64,
    exhausted: AtomicU64,
}

enum State {
    Tokens {
        bucket: Mutex<TokenBucket>,
        /// Set while a refund would change nothing, so that a success need not lock.
        full: AtomicBool,
        /// Set when first attempts cost something, which is rare.
        charges_first: AtomicBool,
    },
    InFlight {
        all: AtomicU32,
        extra: AtomicU32,
    },
    Throttle {
        throttle: Mutex<RetryThrottle>,
        full: AtomicBool,
    },
}

/// A budget could not pay for another attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the retry budget is exhausted")]
#[non_exhaustive]
pub struct BudgetExhausted {
    /// When it could, if nothing but time is needed.
    pub retry_after: Option<Duration>,
}

/// What a budget granted so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct BudgetStats {
    /// Extra attempts that were paid for.
    pub granted: u64,
    /// Extra attempts that were refused.
    pub exhausted: u64,
    /// What is left: whole tokens, or for a share of the calls in flight how many extra attempts may start now.
    pub available: u32,
}

impl RetryBudget {
    /// Creates a budget.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting that cannot be used.
    pub fn new(config: BudgetConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self::unchecked(config))
    }

    /// Creates the budget of the AWS SDKs' standard retry mode 2.1: 500 tokens, 14 a retry, 5 after throttling.
    #[must_use]
    pub fn aws() -> Self {
        Self::unchecked(BudgetConfig::Tokens(TokenBudget::aws()))
    }

    /// Creates a budget of 20 % of the attempts in flight, and at least three.
    #[must_use]
    pub fn in_flight() -> Self {
        Self::unchecked(BudgetConfig::InFlight(InFlightBudget::default()))
    }

    fn unchecked(config: BudgetConfig) -> Self {
        let state = match config {
            BudgetConfig::Tokens(tokens) => State::Tokens {
                bucket: Mutex::new(TokenBucket::new(tokens)),
                full: AtomicBool::new(true),
                charges_first: AtomicBool::new(tokens.first_cost > 0),
            },
            BudgetConfig::InFlight(_) => State::InFlight { all: AtomicU32::new(0), extra: AtomicU32::new(0) },
            BudgetConfig::Throttle(throttle) => {
                State::Throttle { throttle: Mutex::new(RetryThrottle::new(throttle)), full: AtomicBool::new(true) }
            }
        };
        let shared =
            Shared { config: RwLock::new(config), state, granted: AtomicU64::new(0), exhausted: AtomicU64::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// Takes other settings of the same rule, and keeps the share of the budget that is left.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] and changes nothing if a setting cannot be used or the rule is another one.
    pub fn reconfigure(&self, now: Instant, config: BudgetConfig) -> Result<(), ConfigError> {
        config.check()?;
        let mut current = self.shared.config.write();
        match (&self.shared.state, config) {
            (State::Tokens { bucket, full, charges_first }, BudgetConfig::Tokens(config)) => {
                let mut bucket = bucket.lock();
                bucket.reconfigure(now, config);
                full.store(bucket.is_full(), Ordering::Relaxed);
                charges_first.store(config.first_cost > 0, Ordering::Relaxed);
            }
            (State::Throttle { throttle, full }, BudgetConfig::Throttle(config)) => {
                let mut throttle = throttle.lock();
                throttle.reconfigure(config);
                full.store(throttle.is_full(), Ordering::Relaxed);
            }
            (State::InFlight { .. }, BudgetConfig::InFlight(_)) => {}
            _ => return Err(ConfigError::new("budget", "another rule", "the rule that the budget was created with")),
        }
        *current = config;
        Ok(())
    }

    /// Returns the settings in effect.
    #[must_use]
    pub fn config(&self) -> BudgetConfig {
        *self.shared.config.read()
    }

    /// Returns what was granted and what is left.
    #[must_use]
    pub fn stats(&self) -> BudgetStats {
        let available = match &self.shared.state {
            State::Tokens { bucket, .. } => bucket.lock().available(),
            State::Throttle { throttle, .. } => throttle.lock().milli_tokens() / 1_000,
            State::InFlight { all, extra } => {
                let (all, extra) = (all.load(Ordering::Relaxed), extra.load(Ordering::Relaxed));
                let BudgetConfig::InFlight(config) = self.config() else { return BudgetStats::default() };
                (extra..extra.saturating_add(all).saturating_add(config.min_concurrency))
                    .take_while(|extra| config.allows(all, *extra))
                    .fold(0, |sum, _| sum + 1)
            }
        };
        BudgetStats {
            granted: self.shared.granted.load(Ordering::Relaxed),
            exhausted: self.shared.exhausted.load(Ordering::Relaxed),
            available,
        }
    }

    /// Begins a call: what it then withdraws and gives back is settled by the guard.
    #[must_use = "a call that is dropped at once is no call"]
    pub fn enter(&self) -> BudgetedCall<'_> {
        if let State::InFlight { all, .. } = &self.shared.state {
            all.fetch_add(1, Ordering::Relaxed);
        }
        BudgetedCall { budget: self, last_cost: None, extra: 0 }
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget").field("config", &self.config()).field("stats", &self.stats()).finish()
    }
}

/// One call under a [`RetryBudget`]; dropped, it is no longer in flight.
#[derive(Debug)]
pub struct BudgetedCall<'a> {
    budget: &'a RetryBudget,
    last_cost: Option<u32>,
    /// Extra attempts of this call in flight, for the rule that counts those.
    extra: u32,
}

impl BudgetedCall<'_> {
    /// Pays for the first attempt, where it costs anything; the answer is how long to wait before it.
    ///
    /// # Errors
    /// Returns [`BudgetExhausted`] if the first attempt must not be made.
    pub fn first(&self, now: impl FnOnce() -> Instant) -> Result<Duration, BudgetExhausted> {
        match (&self.budget.shared.state, self.budget.config_if_first_is_charged()) {
            (State::Tokens { bucket, full, .. }, Some(config)) => {
                let mut bucket = bucket.lock();
                let taken = bucket.take(now(), config.first_cost);
                full.store(bucket.is_full(), Ordering::Relaxed);
                taken.map_err(|retry_after| self.refuse(retry_after))
            }
            _ => Ok(Duration::ZERO),
        }
    }

    /// Counts a failed attempt; only gRPC's throttle cares.
    pub fn failed(&self) {
        if let State::Throttle { throttle, full } = &self.budget.shared.state {
            throttle.lock().failed();
            full.store(false, Ordering::Relaxed);
        }
    }

    /// Pays for an extra attempt after a failure of `class`; the answer is how long to wait for the tokens.
    ///
    /// # Errors
    /// Returns [`BudgetExhausted`] if the attempt must not be made.
    pub fn withdraw(&mut self, now: Instant, class: ErrorClass) -> Result<Duration, BudgetExhausted> {
        let shared = &*self.budget.shared;
        let granted = match &shared.state {
            State::Tokens { bucket, full, .. } => {
                let BudgetConfig::Tokens(config) = self.budget.config() else {
                    return Ok(Duration::ZERO);
                };
                let cost = config.cost(class);
                let mut bucket = bucket.lock();
                let taken = bucket.take(now, cost);
                if taken.is_ok() {
                    full.store(bucket.is_full(), Ordering::Relaxed);
                    self.last_cost = Some(cost);
                }
                taken
            }
            State::Throttle { throttle, .. } => {
                if throttle.lock().allows() {
                    self.last_cost = Some(0);
                    Ok(Duration::ZERO)
                } else {
                    Err(None)
                }
            }
            State::InFlight { all, extra } => {
                let BudgetConfig::InFlight(config) = self.budget.config() else {
                    return Ok(Duration::ZERO);
                };
                let started = extra.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |extra| {
                    config.allows(all.load(Ordering::Relaxed), extra).then(|| extra.saturating_add(1))
                });
                match started {
                    Ok(_) => {
                        all.fetch_add(1, Ordering::Relaxed);
                        self.extra = self.extra.saturating_add(1);
                        Ok(Duration::ZERO)
                    }
                    Err(_) => Err(None),
                }
            }
        };
        match granted {
            Ok(wait) => {
                shared.granted.fetch_add(1, Ordering::Relaxed);
                Ok(wait)
            }
            Err(retry_after) => Err(self.refuse(retry_after)),
        }
    }

    /// Takes the last withdrawal back: its attempt is not made after all.
    pub fn undo(&mut self, now: Instant) {
        if let (State::Tokens { bucket, full, .. }, Some(cost)) = (&self.budget.shared.state, self.last_cost.take()) {
            let mut bucket = bucket.lock();
            bucket.give(now, cost);
            full.store(bucket.is_full(), Ordering::Relaxed);
        }
        self.budget.shared.granted.fetch_sub(1, Ordering::Relaxed);
        self.release();
    }

    /// Says that an extra attempt is over, for the rule that counts those in flight.
    pub fn release(&mut self) {
        if let (State::InFlight { all, extra }, 1..) = (&self.budget.shared.state, self.extra) {
            self.extra -= 1;
            extra.fetch_sub(1, Ordering::Relaxed);
            all.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Gives back what a success is worth; `now` is read only if there is anything to give back.
    pub fn succeeded(&mut self, now: impl FnOnce() -> Instant) {
        match &self.budget.shared.state {
            State::Tokens { bucket, full, .. } => {
                if full.load(Ordering::Relaxed) {
                    return;
                }
                let BudgetConfig::Tokens(config) = self.budget.config() else { return };
                let mut bucket = bucket.lock();
                bucket.give(now(), self.last_cost.take().unwrap_or(config.first_refund));
                full.store(bucket.is_full(), Ordering::Relaxed);
            }
            State::Throttle { throttle, full } => {
                if full.load(Ordering::Relaxed) {
                    return;
                }
                let mut throttle = throttle.lock();
                throttle.succeeded();
                full.store(throttle.is_full(), Ordering::Relaxed);
            }
            State::InFlight { .. } => {}
        }
    }

    fn refuse(&self, retry_after: Option<Duration>) -> BudgetExhausted {
        self.budget.shared.exhausted.fetch_add(1, Ordering::Relaxed);
        BudgetExhausted { retry_after }
    }
}

impl RetryBudget {
    /// Tells this budget from others as long as it lives.
    #[inline]
    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.shared).addr()
    }

    fn config_if_first_is_charged(&self) -> Option<TokenBudget> {
        match &self.shared.state {
            State::Tokens { charges_first, .. } if charges_first.load(Ordering::Relaxed) => match self.config() {
                BudgetConfig::Tokens(config) => Some(config),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Drop for BudgetedCall<'_> {
    fn drop(&mut self) {
        if let State::InFlight { all, extra } = &self.budget.shared.state {
            extra.fetch_sub(self.extra, Ordering::Relaxed);
            all.fetch_sub(self.extra.saturating_add(1), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_retried_success_gives_back_its_last_retry_and_no_more() {
        let budget = RetryBudget::aws();
        let now = start();
        let mut call = budget.enter();
        assert!(call.withdraw(now, ErrorClass::Transient).is_ok());
        assert!(call.withdraw(now, ErrorClass::Throttled { after: None }).is_ok());
        assert_eq!(budget.stats().available, 481);
        call.succeeded(|| now);
        assert_eq!(budget.stats().available, 486);
        drop(call);
        let mut other = budget.enter();
        other.succeeded(|| now);
        assert_eq!(budget.stats().available, 487);
    }

    #[test]
    fn a_dropped_call_is_no_longer_in_flight() {
        let budget = RetryBudget::in_flight();
        let mut call = budget.enter();
        for _ in 0..3 {
            assert!(call.withdraw(start(), ErrorClass::Timeout).is_ok());
        }
        assert!(call.withdraw(start(), ErrorClass::Timeout).is_err());
        drop(call);
        let stats = budget.stats();
        assert_eq!((stats.granted, stats.exhausted, stats.available), (3, 1, 3));
    }

    #[test]
    fn another_rule_is_refused_and_the_old_one_stays() {
        let budget = RetryBudget::aws();
        let error = budget.reconfigure(start(), BudgetConfig::InFlight(InFlightBudget::default())).unwrap_err();
        assert_eq!(error.field, "budget");
        assert_eq!(budget.config(), BudgetConfig::Tokens(TokenBudget::aws()));
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let budget = RetryBudget::new(BudgetConfig::Tokens(TokenBudget {
            capacity: 1_000,
            retry_cost: 1,
            ..TokenBudget::default()
        }))
        .unwrap();
        let now = start();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let _decided = budget.enter().withdraw(now, ErrorClass::Transient);
                    }
                });
            }
        });
        let stats = budget.stats();
        assert_eq!((stats.granted, stats.exhausted, stats.available), (1_000, 1_000, 0));
    }
}
