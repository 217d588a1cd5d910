use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::backoff::{Backoff, Delays, Jitter};
use crate::class::ErrorClass;
use crate::clock::Clock;
use crate::config::{ConfigError, count, positive};
use crate::failure::Failure;
use crate::observer::{Observer, RecoveryEvent};
use crate::policy::{Cx, Env, Policy};
use crate::random::{Random, SeededRandom};

/// Repeats a call that failed in a passing way.
///
/// Retried are the classes for which [`ErrorClass::is_transient`] holds. A refusal by a breaker inside is not
/// retried: the breaker has just said that calling is pointless. If it refuses a later attempt, because those before it
/// opened it, the failure of the attempt before is returned, which says more. When no further attempt fits before the
/// deadline, the last real failure is returned at once rather than a timeout later.
#[derive(Debug)]
pub struct Retry {
    config: RetryConfig,
    seed: Option<u64>,
    /// Gives each call its own sequence under a fixed seed.
    draws: AtomicU64,
}

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
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Backoff::default(),
            throttled_base: None,
            max_elapsed: None,
            max_server_delay: Duration::from_secs(30),
        }
    }
}

impl Retry {
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
        Self { config, seed: None, draws: AtomicU64::new(0) }
    }
}

impl Clone for Retry {
    fn clone(&self) -> Self {
        Self { config: self.config, seed: self.seed, draws: AtomicU64::new(self.draws.load(Ordering::Relaxed)) }
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
        }
    }
}

/// The decisions of one call's retries, pure: time and randomness are arguments.
#[derive(Debug, Clone)]
pub struct RetryPlan<R> {
    config: RetryConfig,
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
        Self { config, delays: config.backoff.delays(random), started }
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
        let own = self.delays.draw_from(base.unwrap_or(self.config.backoff.base));
        let asked = class.retry_after().unwrap_or_default();
        let after = own.max(asked.min(self.config.max_server_delay));
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
        config.backoff.check()
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
        let started = self.config.max_elapsed.map(|_| env.clock.now());
        let mut plan = None;
        let mut last = None;
        let mut cx = cx;
        loop {
            let failure = match op(cx).await {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let class = failure.class();
            let attempt = cx.attempt();
            let final_anyway =
                if failure.is_refusal() { Some(GiveUp::NotRetryable) } else { self.config.rules_out(attempt, class) };
            // The clock and the randomness cost more than all the rest: not for a failure that ends the call.
            if let Some(reason) = final_anyway {
                give_up(env, attempt, class, reason);
                return Err(if failure.is_refusal() { last.unwrap_or(failure) } else { failure });
            }
            let now = env.clock.now();
            let decision = plan.get_or_insert_with(|| RetryPlan::new(self.config, started, self.random())).decide(
                now,
                attempt,
                class,
                cx.deadline(),
            );
            match decision {
                RetryDecision::GiveUp(reason) => {
                    give_up(env, attempt, class, reason);
                    return Err(failure);
                }
                RetryDecision::Retry { after } => {
                    last = Some(failure);
                    will_retry(env, attempt, class, after);
                    if !after.is_zero() {
                        env.clock.sleep_until(now + after).await;
                    }
                    cx = cx.with_attempt(attempt.saturating_add(1));
                }
            }
        }
    }
}

fn give_up<C, O: Observer>(env: Env<'_, C, O>, attempts: u32, class: ErrorClass, reason: GiveUp) {
    tracing::debug!(pipeline = env.name, attempts, class = class.as_str(), reason = reason.as_str(), "gave up");
    env.observer.observe(&RecoveryEvent::GaveUp { pipeline: env.name, attempts, class, reason });
}

fn will_retry<C, O: Observer>(env: Env<'_, C, O>, attempt: u32, class: ErrorClass, retry_in: Duration) {
    tracing::debug!(pipeline = env.name, attempt, class = class.as_str(), ?retry_in, "attempt failed, will retry");
    env.observer.observe(&RecoveryEvent::AttemptFailed { pipeline: env.name, attempt, class, retry_in });
}
