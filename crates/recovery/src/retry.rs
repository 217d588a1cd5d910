use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::backoff::{Backoff, Delays, Jitter};
use crate::budget::{BudgetExhausted, RetryBudget};
use crate::class::ErrorClass;
use crate::clock::Clock;
use crate::config::{ConfigError, LONGEST, count, positive};
use crate::failure::{Failure, Rejection};
use crate::lint::PolicyKind;
use crate::observer::{Observer, RecoveryEvent};
use crate::policy::{Cx, Env, Policy};
use crate::random::{Random, SeededRandom};
use crate::timeout::outdate;

/// Repeats a call that failed in a passing way.
///
/// Retried are the classes for which [`ErrorClass::is_transient`] holds. A refusal by a breaker inside is not
/// retried: the breaker has just said that calling is pointless. If it refuses a later attempt, because those before it
/// opened it, the failure of the attempt before is returned, which says more. When no further attempt fits before the
/// deadline, the last real failure is returned at once rather than a timeout later.
pub struct Retry {
    config: RetryConfig,
    budget: Option<RetryBudget>,
    delay: Option<Arc<DelayFn>>,
    seed: Option<u64>,
    /// Gives each call its own sequence under a fixed seed.
    draws: AtomicU64,
}

/// Computes the delay after the failure of attempt number `.0`, or leaves it to the backoff.
type DelayFn = dyn Fn(u32, ErrorClass) -> Option<Duration> + Send + Sync;

/// The settings of [`Retry`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct RetryConfig {
    /// How many attempts are made in all; 1 to 1,000, default 3. One means no retry. Each attempt multiplies the
    /// load on a callee in trouble.
    pub max_attempts: u32,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// The base of the backoff after a failure that was [`Throttled`](ErrorClass::Throttled); default the backoff's own.
    /// A callee that asks for fewer calls is not helped by the pace for a dropped packet.
    pub throttled_base: Option<Duration>,
    /// No attempt starts later than this after the first; above zero, default none.
    pub max_elapsed: Option<Duration>,
    /// The longest delay that the other side may ask for; above zero, default 30 s. A longer wish is cut to it.
    pub max_server_delay: Duration,
    /// How far beyond its own delay a retry may be asked to wait; above zero, default as far as `max_server_delay` allows.
    /// The AWS SDKs allow 5 s.
    pub max_server_overshoot: Option<Duration>,
    /// What a delay that the other side asks for does to our own.
    pub server_delay: ServerDelay,
    /// Waits the delay even when the budget then forbids the retry, before the failure is returned; default not. Right
    /// for a caller that polls in a loop, which would otherwise spin.
    pub waits_when_exhausted: bool,
    /// Whether it draws on the budget of a pipeline that is built from data; default not. In code, see
    /// [`Retry::budget`].
    pub uses_budget: bool,
}

/// What a delay that the other side asks for does to our own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ServerDelay {
    /// The longer of the two is waited.
    #[default]
    AtLeast,
    /// It takes the place of our own, and the backoff begins anew: gRPC's rule.
    Exact,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Backoff::default(),
            throttled_base: None,
            max_elapsed: None,
            max_server_delay: Duration::from_secs(30),
            max_server_overshoot: None,
            server_delay: ServerDelay::AtLeast,
            waits_when_exhausted: false,
            uses_budget: false,
        }
    }
}

impl Retry {
    /// Retries as the AWS SDKs' standard mode 2.1: three attempts, 50 ms doubling up to 20 s with full jitter, one second
    /// after throttling, the server's wish between that and 5 s more. Share `budget` between all calls to one service.
    #[must_use]
    pub fn aws(budget: &RetryBudget) -> Self {
        Self::from(RetryConfig {
            throttled_base: Some(Duration::from_secs(1)),
            max_server_overshoot: Some(Duration::from_secs(5)),
            max_server_delay: LONGEST,
            ..RetryConfig::default()
        })
        .budget(budget)
    }

    /// Waits by `backoff`; three attempts in all unless set otherwise.
    #[must_use]
    pub fn new(backoff: Backoff) -> Self {
        Self::from(RetryConfig { backoff, ..RetryConfig::default() })
    }

    /// Waits `base`, twice that and so on, with full jitter.
    #[must_use]
    pub fn exponential(base: Duration) -> Self {
        Self::new(Backoff::exponential(base))
    }

    /// Waits `delay` each time, without jitter.
    #[must_use]
    pub fn constant(delay: Duration) -> Self {
        Self::new(Backoff::constant(delay).jitter(Jitter::None))
    }

    /// Returns the settings.
    #[must_use]
    pub const fn config(&self) -> &RetryConfig {
        &self.config
    }

    /// Sets how many attempts are made in all.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.config.max_attempts = attempts;
        self
    }

    /// Begins the backoff at `base` after a failure by throttling.
    #[must_use]
    pub fn throttled_base(mut self, base: Duration) -> Self {
        self.config.throttled_base = Some(base);
        self
    }

    /// Starts no attempt later than this after the first.
    #[must_use]
    pub fn max_elapsed(mut self, elapsed: Duration) -> Self {
        self.config.max_elapsed = Some(elapsed);
        self
    }

    /// Sets the longest delay that the other side may ask for.
    #[must_use]
    pub fn max_server_delay(mut self, delay: Duration) -> Self {
        self.config.max_server_delay = delay;
        self
    }

    /// Computes the delay after each failure from the number of the attempt (from 1) and the class of its failure; where
    /// `delay` returns `None` the backoff is asked, and moves on only then.
    #[must_use]
    pub fn delay_with(mut self, delay: impl Fn(u32, ErrorClass) -> Option<Duration> + Send + Sync + 'static) -> Self {
        self.delay = Some(Arc::new(delay));
        self
    }

    /// Waits these delays one after the other, and the last of them from then on; an empty list retries at once.
    #[must_use]
    pub fn delays(self, delays: impl Into<Vec<Duration>>) -> Self {
        let delays = delays.into();
        self.delay_with(move |attempt, _| {
            let place = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
            Some(delays.get(place).or_else(|| delays.last()).copied().unwrap_or_default())
        })
    }

    /// Draws on `budget` for each retry; when it is exhausted the call ends with its last failure.
    #[must_use]
    pub fn budget(mut self, budget: &RetryBudget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// Waits its delay even when the budget then forbids the retry: for callers that poll in a loop.
    #[must_use]
    pub fn wait_when_exhausted(mut self) -> Self {
        self.config.waits_when_exhausted = true;
        self
    }

    /// Draws the jitter from `seed`, so that a run can be repeated.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    fn random(&self) -> SeededRandom {
        match self.seed {
            None => SeededRandom::unpredictable(),
            Some(seed) => {
                let call = self.draws.fetch_add(1, Ordering::Relaxed);
                SeededRandom::new(seed.wrapping_add(call.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
            }
        }
    }
}

impl From<RetryConfig> for Retry {
    fn from(config: RetryConfig) -> Self {
        Self { config, budget: None, delay: None, seed: None, draws: AtomicU64::new(0) }
    }
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry").field("config", &self.config).field("budget", &self.budget).finish_non_exhaustive()
    }
}

impl<R> fmt::Debug for RetryPlan<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPlan").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Clone for Retry {
    fn clone(&self) -> Self {
        Self {
            config: self.config,
            budget: self.budget.clone(),
            delay: self.delay.clone(),
            seed: self.seed,
            draws: AtomicU64::new(self.draws.load(Ordering::Relaxed)),
        }
    }
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryDecision {
    /// Make another attempt.
    Retry {
        /// The wait before it.
        after: Duration,
    },
    /// Return the failure.
    GiveUp(GiveUp),
}

/// Why no further attempt is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GiveUp {
    /// Repeating the call cannot help.
    NotRetryable,
    /// All attempts were made.
    Attempts,
    /// The time for attempts is over.
    Elapsed,
    /// No attempt fits before the deadline.
    Deadline,
    /// The budget for retries is exhausted.
    Budget,
}

impl GiveUp {
    /// Names the reason with a fixed word, fit for a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotRetryable => "not_retryable",
            Self::Attempts => "attempts",
            Self::Elapsed => "elapsed",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
        }
    }
}

/// The decisions of one call's retries, pure: time and randomness are arguments.
#[derive(Clone)]
pub struct RetryPlan<R> {
    config: RetryConfig,
    delay: Option<Arc<DelayFn>>,
    delays: Delays<R>,
    started: Option<Instant>,
}

impl RetryConfig {
    /// Says why no attempt may follow, where that takes neither the time nor a delay.
    const fn rules_out(&self, attempt: u32, class: ErrorClass) -> Option<GiveUp> {
        if !class.is_transient() {
            return Some(GiveUp::NotRetryable);
        }
        if attempt >= self.max_attempts {
            return Some(GiveUp::Attempts);
        }
        None
    }
}

impl<R: Random> RetryPlan<R> {
    /// Plans the retries of a call whose first attempt began at `started`.
    pub fn new(config: RetryConfig, started: Option<Instant>, random: R) -> Self {
        Self { config, delay: None, delays: config.backoff.delays(random), started }
    }

    fn with_delay(mut self, delay: Option<Arc<DelayFn>>) -> Self {
        self.delay = delay;
        self
    }

    /// Decides what follows on the failure of attempt number `attempt`.
    pub fn decide(
        &mut self,
        now: Instant,
        attempt: u32,
        class: ErrorClass,
        deadline: Option<Instant>,
    ) -> RetryDecision {
        if let Some(reason) = self.config.rules_out(attempt, class) {
            return RetryDecision::GiveUp(reason);
        }
        let base = match class {
            ErrorClass::Throttled { .. } => self.config.throttled_base,
            _ => None,
        };
        let computed = self.delay.as_ref().and_then(|delay| delay(attempt, class)).map(|delay| delay.min(LONGEST));
        let own = computed.unwrap_or_else(|| self.delays.draw_from(base.unwrap_or(self.config.backoff.base)));
        let asked = class.retry_after().unwrap_or_default().min(self.config.max_server_delay);
        let most = self.config.max_server_overshoot.map_or(Duration::MAX, |over| own.saturating_add(over));
        let after = match (self.config.server_delay, class.retry_after()) {
            (ServerDelay::Exact, Some(_)) => {
                self.delays.restart();
                asked.min(most)
            }
            _ => own.max(asked.min(most)),
        };
        let Some(next) = now.checked_add(after) else {
            return RetryDecision::GiveUp(GiveUp::Elapsed);
        };
        if deadline.is_some_and(|deadline| next >= deadline) {
            return RetryDecision::GiveUp(GiveUp::Deadline);
        }
        let last = self.started.zip(self.config.max_elapsed).and_then(|(start, most)| start.checked_add(most));
        if last.is_some_and(|last| next > last) {
            return RetryDecision::GiveUp(GiveUp::Elapsed);
        }
        RetryDecision::Retry { after }
    }
}

impl Policy for Retry {
    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        outline.push(PolicyKind::Retry { max_attempts: self.config.max_attempts, budgeted: self.budget.is_some() });
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let config = &self.config;
        count("retry.max_attempts", config.max_attempts, 1_000, "1 to 1000")?;
        if let Some(elapsed) = config.max_elapsed {
            positive("retry.max_elapsed", elapsed)?;
        }
        if let Some(base) = config.throttled_base {
            positive("retry.throttled_base", base)?;
        }
        positive("retry.max_server_delay", config.max_server_delay)?;
        if let Some(over) = config.max_server_overshoot {
            positive("retry.max_server_overshoot", over)?;
        }
        config.backoff.check()
    }

    #[expect(clippy::manual_async_fn, reason = "an `async fn` would hold its arguments twice")]
    fn run<C, O, T, E, Op, Fut>(
        &self,
        env: Env<'_, C, O>,
        cx: Cx,
        op: Op,
    ) -> impl Future<Output = Result<T, Failure<E>>> + Send
    where
        C: Clock,
        O: Observer,
        T: Send,
        E: Send,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, Failure<E>>> + Send,
    {
        async move {
            let started = self.config.max_elapsed.map(|_| env.clock.now());
            let mut budgeted = self.budget.as_ref().map(RetryBudget::enter);
            let mut plan = None;
            let mut last = None;
            let mut cx = self.budget.as_ref().map_or(cx, |budget| cx.counted_by(budget));
            if let Some(call) = &budgeted {
                match call.first(|| env.clock.now()) {
                    Ok(Duration::ZERO) => {}
                    Ok(wait) => pause(env, env.clock.now(), wait).await,
                    Err(exhausted) => return Err(refused(env, exhausted)),
                }
            }
            loop {
                let failure = match op(cx).await {
                    Ok(value) => {
                        if let Some(call) = &mut budgeted {
                            call.succeeded(|| env.clock.now());
                        }
                        return Ok(value);
                    }
                    Err(failure) => failure,
                };
                let class = failure.class();
                let attempt = cx.attempt();
                if let Some(call) = &mut budgeted {
                    if class.is_transient() && !failure.is_refusal() {
                        call.failed();
                    }
                    call.release();
                }
                let final_anyway = if failure.is_refusal() {
                    Some(GiveUp::NotRetryable)
                } else {
                    self.config.rules_out(attempt, class)
                };
                // The clock and the randomness cost more than all the rest: not for a failure that ends the call.
                if let Some(reason) = final_anyway {
                    give_up(env, attempt, class, reason);
                    return Err(if failure.is_refusal() { last.unwrap_or(failure) } else { failure });
                }
                let now = env.clock.now();
                let decision = plan
                    .get_or_insert_with(|| {
                        RetryPlan::new(self.config, started, self.random()).with_delay(self.delay.clone())
                    })
                    .decide(now, attempt, class, cx.deadline());
                let after = match decision {
                    RetryDecision::Retry { after } => after,
                    RetryDecision::GiveUp(reason) => {
                        give_up(env, attempt, class, reason);
                        return Err(failure);
                    }
                };
                let granted = budgeted.as_mut().map_or(Ok(Duration::ZERO), |call| call.withdraw(now, class));
                let Ok(wait) = granted else {
                    give_up(env, attempt, class, GiveUp::Budget);
                    if self.config.waits_when_exhausted {
                        pause(env, now, after).await;
                    }
                    return Err(failure);
                };
                let after = after.max(wait);
                // The wait for the budget may reach past the deadline where the delay did not.
                if cx.deadline().is_some_and(|deadline| now.checked_add(after).is_none_or(|next| next >= deadline)) {
                    if let Some(call) = &mut budgeted {
                        call.undo(now);
                    }
                    give_up(env, attempt, class, GiveUp::Deadline);
                    return Err(failure);
                }
                last = Some(failure);
                will_retry(env, attempt, class, after);
                pause(env, now, after).await;
                cx = cx.with_attempt(attempt.saturating_add(1));
            }
        }
    }
}

async fn pause<C: Clock, O>(env: Env<'_, C, O>, now: Instant, wait: Duration) {
    if !wait.is_zero() {
        // The shortest way past an overflow of the clock is not to wait; the settings are bounded far below it.
        env.clock.sleep_until(now.checked_add(wait).unwrap_or(now)).await;
        outdate();
    }
}

fn refused<C, O: Observer, E>(env: Env<'_, C, O>, exhausted: BudgetExhausted) -> Failure<E> {
    let (reason, retry_after) = (Rejection::BudgetExhausted, exhausted.retry_after);
    env.observer.observe(&RecoveryEvent::Rejected { by: env.name, reason, retry_after });
    Failure::Rejected { by: env.name.into(), reason, retry_after }
}

fn give_up<C, O: Observer>(env: Env<'_, C, O>, attempts: u32, class: ErrorClass, reason: GiveUp) {
    tracing::debug!(pipeline = env.name, attempts, class = class.as_str(), reason = reason.as_str(), "gave up");
    env.observer.observe(&RecoveryEvent::GaveUp { pipeline: env.name, attempts, class, reason });
}

fn will_retry<C, O: Observer>(env: Env<'_, C, O>, attempt: u32, class: ErrorClass, retry_in: Duration) {
    tracing::debug!(pipeline = env.name, attempt, class = class.as_str(), ?retry_in, "attempt failed, will retry");
    env.observer.observe(&RecoveryEvent::AttemptFailed { pipeline: env.name, attempt, class, retry_in });
}
