use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::rule::ThrottleRule;
use crate::breaker::{BreakerConfig, Outcome, OutcomeWindow, WindowKind};
use crate::class::ErrorClass;
use crate::clock::Clock;
use crate::config::{ConfigError, positive};
use crate::failure::{Failure, Rejection};
use crate::lint::PolicyKind;
use crate::observer::{Observer, RecoveryEvent};
use crate::policy::{Cx, Env, Policy};
use crate::random::{Random as _, SeededRandom};

/// The settings of a [`ClientThrottle`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct ClientThrottleConfig {
    /// The rule of the refusals.
    pub rule: ThrottleRule,
    /// How far back calls are counted, in ten steps; above zero, default 30 s (the book: two minutes). Long, and the
    /// throttle outlasts the overload.
    pub window: Duration,
}

impl Default for ClientThrottleConfig {
    fn default() -> Self {
        Self { rule: ThrottleRule::default(), window: Duration::from_secs(30) }
    }
}

/// A shared throttle at the caller; clones are handles to the same one.
///
/// Unlike a breaker it is never quite closed nor quite open: as the callee answers less, a growing share of the calls is
/// refused here, and what is let through shows when it is back. A refused call costs the callee nothing.
///
/// # Examples
/// ```
/// use bedplate_recovery::{ClientThrottle, ClientThrottleConfig, Pipeline};
///
/// # fn main() -> Result<(), bedplate_recovery::ConfigError> {
/// let throttle = ClientThrottle::new("search", ClientThrottleConfig::default())?;
/// let search = Pipeline::builder("search").throttle(throttle).build()?;
/// # drop(search); Ok(()) }
/// ```
#[derive(Clone)]
pub struct ClientThrottle {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    state: Mutex<State>,
    admitted: AtomicU64,
    refused: AtomicU64,
}

struct State {
    config: ClientThrottleConfig,
    /// A refused call counts as a failure: the rule asks how many were wanted, not how many were sent.
    window: OutcomeWindow,
    random: SeededRandom,
}

/// What a throttle decided so far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct ThrottleStats {
    /// Calls that were let through.
    pub admitted: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// The probability with which the next call is refused, 0.0 to 1.0, as of the last call.
    pub rejection_probability: f64,
}

impl ClientThrottle {
    /// Creates a throttle; the name appears in failures and events.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting that cannot be used.
    pub fn new(name: impl Into<Arc<str>>, config: ClientThrottleConfig) -> Result<Self, ConfigError> {
        Self::with_random(name, config, SeededRandom::unpredictable())
    }

    /// Creates a throttle that draws from `random`, so that a run can be repeated.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting that cannot be used.
    pub fn with_random(
        name: impl Into<Arc<str>>,
        config: ClientThrottleConfig,
        random: SeededRandom,
    ) -> Result<Self, ConfigError> {
        check(&config)?;
        let state = Mutex::new(State { config, window: window(&config), random });
        let (admitted, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { shared: Arc::new(Shared { name: name.into(), state, admitted, refused }) })
    }

    /// Takes other settings; what was counted is kept unless the window changes.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] and keeps the old settings if the new ones cannot be used.
    pub fn reconfigure(&self, config: ClientThrottleConfig) -> Result<(), ConfigError> {
        check(&config)?;
        let mut state = self.shared.state.lock();
        if state.config.window != config.window {
            state.window = window(&config);
        }
        state.config = config;
        Ok(())
    }

    /// Decides about one call at `now`. Whoever is let through owes the throttle a [`record`](Self::record).
    #[must_use]
    pub fn admits(&self, now: Instant) -> bool {
        let mut state = self.shared.state.lock();
        state.window.expire(now);
        let refuse = state.probability();
        let admitted = refuse <= 0.0 || state.random.unit() >= refuse;
        if !admitted {
            state.window.record(now, Outcome::Failure, false);
        }
        drop(state);
        let counter = if admitted { &self.shared.admitted } else { &self.shared.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        admitted
    }

    /// Records how a call ended that was let through: whether the callee took it on. An error that is an answer (a wrong
    /// request, say) shows a callee that is well.
    pub fn record(&self, now: Instant, accepted: bool) {
        let outcome = if accepted { Outcome::Success } else { Outcome::Failure };
        self.shared.state.lock().window.record(now, outcome, false);
    }

    /// Returns what was decided so far.
    #[must_use]
    pub fn stats(&self) -> ThrottleStats {
        ThrottleStats {
            admitted: self.shared.admitted.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
            rejection_probability: self.shared.state.lock().probability(),
        }
    }
}

impl State {
    fn probability(&self) -> f64 {
        let counts = self.window.counts();
        let successes = counts.calls.saturating_sub(counts.failures);
        self.config.rule.rejection_probability(f64::from(counts.calls), f64::from(successes))
    }
}

fn check(config: &ClientThrottleConfig) -> Result<(), ConfigError> {
    config.rule.check()?;
    positive("throttle.window", config.window)
}

fn window(config: &ClientThrottleConfig) -> OutcomeWindow {
    OutcomeWindow::new(&BreakerConfig {
        window: WindowKind::Time { period: config.window, buckets: 10 },
        ..BreakerConfig::default()
    })
}

/// Says whether the callee took the call on, or nothing if that is unknown.
const fn accepted(class: ErrorClass) -> Option<bool> {
    match class {
        ErrorClass::Cancelled => None,
        ErrorClass::CallerFault | ErrorClass::Permanent => Some(true),
        _ => Some(false),
    }
}

impl Policy for ClientThrottle {
    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        outline.push(PolicyKind::Throttle);
    }

    async fn run<C, O, T, E, Op, Fut>(&self, env: Env<'_, C, O>, cx: Cx, op: Op) -> Result<T, Failure<E>>
    where
        C: Clock,
        O: Observer,
        T: Send,
        E: Send,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, Failure<E>>> + Send,
    {
        if !self.admits(env.clock().now()) {
            let (by, reason) = (&self.shared.name, Rejection::Throttled);
            env.observer().observe(&RecoveryEvent::Rejected { by, reason, retry_after: None });
            return Err(Failure::Rejected { by: Arc::clone(by), reason, retry_after: None });
        }
        let result = op(cx).await;
        if let Some(accepted) = result.as_ref().err().map_or(Some(true), |failure| accepted(failure.class())) {
            self.record(env.clock().now(), accepted);
        }
        result
    }
}

impl fmt::Debug for ClientThrottle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientThrottle")
            .field("name", &self.shared.name)
            .field("config", &self.shared.state.lock().config)
            .finish_non_exhaustive()
    }
}
