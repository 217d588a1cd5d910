use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::latency::LatencySketch;
use super::plan::{HedgeAnswer, HedgePlan, HedgeStep};
use crate::budget::{BudgetedCall, RetryBudget};
use crate::class::ErrorClass;
use crate::clock::Clock;
use crate::config::{ConfigError, positive, rate};
use crate::failure::Failure;
use crate::lint::PolicyKind;
use crate::observer::{Observer, RecoveryEvent};
use crate::policy::{Cx, Env, Policy};

/// The settings of a [`Hedge`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct HedgeConfig {
    /// How many attempts may run beside each other, the first included; 2 to 10, default 2.
    pub max_attempts: u32,
    /// When the next one starts.
    pub delay: HedgeDelay,
    /// Whether it draws on the budget of a pipeline that is built from data; default not. In code, see
    /// [`Hedge::budget`].
    pub uses_budget: bool,
}

/// When another attempt starts beside those that run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HedgeDelay {
    /// After this long; zero starts all at once.
    Fixed(Duration),
    /// When the call takes longer than this share of the calls before it: at 0.95, five in a hundred are hedged, however
    /// fast or slow the callee is today ("The Tail at Scale", CACM 2013).
    Quantile {
        /// The share; above 0.0 and at most 1.0.
        quantile: f64,
        /// So many calls must have been seen before the first hedge.
        minimum_calls: u32,
        /// The delay is never shorter than this.
        least: Duration,
    },
}

impl HedgeDelay {
    /// At this share of the last thousand calls, once there were a hundred, and after a millisecond at least.
    #[must_use]
    pub const fn quantile(quantile: f64) -> Self {
        Self::Quantile { quantile, minimum_calls: 100, least: Duration::from_millis(1) }
    }
}

impl Default for HedgeConfig {
    fn default() -> Self {
        Self { max_attempts: 2, delay: HedgeDelay::quantile(0.95), uses_budget: false }
    }
}

/// Starts another attempt beside one that takes long, and takes the first answer.
///
/// Only for calls that may be made twice. The losers are dropped; a breaker inside sees them as abandoned. The first
/// attempt is part of the call's own future; only a hedge that really starts is boxed. An attempt knows from
/// [`Cx::hedge`] whether it is the first one, and can go elsewhere.
///
/// # Examples
/// ```
/// use bedplate_recovery::{Hedge, Pipeline, RetryBudget};
///
/// # fn main() -> Result<(), bedplate_recovery::ConfigError> {
/// let budget = RetryBudget::in_flight();
/// let read = Pipeline::builder("read").hedge(Hedge::at_quantile(0.95).budget(&budget)).build()?;
/// # drop(read); Ok(()) }
/// ```
pub struct Hedge {
    config: HedgeConfig,
    budget: Option<RetryBudget>,
    eligible: Option<Arc<dyn Fn(Cx) -> bool + Send + Sync>>,
    shared: Arc<Shared>,
}

struct Shared {
    latency: LatencySketch,
    /// The delay at the quantile in nanoseconds, computed anew every [`REFRESH`] calls.
    delay: AtomicU64,
    calls: AtomicU64,
    started: AtomicU64,
    won: AtomicU64,
    suppressed: AtomicU64,
}

const WINDOW: u32 = 1_000;
const REFRESH: u64 = 32;

/// What hedging did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct HedgeStats {
    /// Calls.
    pub calls: u64,
    /// Attempts that were started beside another.
    pub started: u64,
    /// Those of them that gave the answer.
    pub won: u64,
    /// Attempts that the budget did not allow.
    pub suppressed: u64,
    /// The delay that the next call would wait; `None` while there were too few calls to tell.
    pub delay: Option<Duration>,
}

impl Hedge {
    /// Starts the next attempt after `delay`.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self::from(HedgeConfig { delay: HedgeDelay::Fixed(delay), ..HedgeConfig::default() })
    }

    /// Starts the next attempt when the call takes longer than the share `quantile` of the calls before it.
    #[must_use]
    pub fn at_quantile(quantile: f64) -> Self {
        Self::from(HedgeConfig { delay: HedgeDelay::quantile(quantile), ..HedgeConfig::default() })
    }

    /// Sets how many attempts may run beside each other, the first included.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.config.max_attempts = attempts;
        self
    }

    /// Draws on `budget` for each hedge. An exhausted budget starts none; those that run go on.
    #[must_use]
    pub fn budget(mut self, budget: &RetryBudget) -> Self {
        self.budget = Some(budget.clone());
        self
    }

    /// Hedges only calls for which `eligible` holds.
    #[must_use]
    pub fn only_if(mut self, eligible: impl Fn(Cx) -> bool + Send + Sync + 'static) -> Self {
        self.eligible = Some(Arc::new(eligible));
        self
    }

    pub(crate) fn reconfigured(mut self, config: HedgeConfig) -> Self {
        if self.config.delay != config.delay {
            // Of another quantile; known again after the next few calls.
            self.shared.delay.store(0, Ordering::Relaxed);
        }
        self.config = config;
        self.budget = None;
        self
    }

    /// Returns what hedging did so far; clones share it.
    #[must_use]
    pub fn stats(&self) -> HedgeStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HedgeStats {
            calls: read(&self.shared.calls),
            started: read(&self.shared.started),
            won: read(&self.shared.won),
            suppressed: read(&self.shared.suppressed),
            delay: self.delay(),
        }
    }

    fn delay(&self) -> Option<Duration> {
        match self.config.delay {
            HedgeDelay::Fixed(delay) => Some(delay),
            HedgeDelay::Quantile { minimum_calls, least, .. } => {
                let known = self.shared.latency.count() >= u64::from(minimum_calls.max(1));
                let nanos = self.shared.delay.load(Ordering::Relaxed);
                (known && nanos > 0).then(|| Duration::from_nanos(nanos).max(least))
            }
        }
    }

    fn learn(&self, took: Duration) {
        let HedgeDelay::Quantile { quantile, minimum_calls, .. } = self.config.delay else { return };
        self.shared.latency.record(took);
        let count = self.shared.latency.count();
        if (count.is_multiple_of(REFRESH) || count == u64::from(minimum_calls))
            && let Some(delay) = self.shared.latency.quantile(quantile)
        {
            let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
            self.shared.delay.store(nanos, Ordering::Relaxed);
        }
    }
}

impl From<HedgeConfig> for Hedge {
    fn from(config: HedgeConfig) -> Self {
        let shared = Shared {
            latency: LatencySketch::new(WINDOW),
            delay: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            started: AtomicU64::new(0),
            won: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        };
        Self { config, budget: None, eligible: None, shared: Arc::new(shared) }
    }
}

impl Clone for Hedge {
    fn clone(&self) -> Self {
        Self {
            config: self.config,
            budget: self.budget.clone(),
            eligible: self.eligible.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Policy for Hedge {
    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        outline.push(PolicyKind::Hedge { max_attempts: self.config.max_attempts, budgeted: self.budget.is_some() });
    }

    fn validate(&self) -> Result<(), ConfigError> {
        if !(2..=10).contains(&self.config.max_attempts) {
            return Err(ConfigError::new("hedge.max_attempts", self.config.max_attempts, "2 to 10"));
        }
        match self.config.delay {
            HedgeDelay::Fixed(delay) if delay.is_zero() => Ok(()),
            HedgeDelay::Fixed(delay) => positive("hedge.delay", delay),
            HedgeDelay::Quantile { quantile, .. } => rate("hedge.delay.quantile", quantile),
        }
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
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
        let began = env.clock().now();
        let eligible = self.eligible.as_ref().is_none_or(|eligible| eligible(cx));
        let delay = if eligible { self.delay() } else { None };
        let plan = match delay {
            Some(delay) => HedgePlan::new(began, self.config.max_attempts, delay),
            None => HedgePlan::new(began, 1, Duration::ZERO),
        };
        // Entered by calls without a hedge too, whose number bounds the hedges; by a retry around this one before.
        let call = self.budget.as_ref().filter(|budget| !cx.is_counted_by(budget)).map(RetryBudget::enter);
        let tells_failures = call.is_some();
        let first = pin!(op(cx));
        let (first, others) = (Some(first), Vec::new());
        let mut race = Race { hedge: self, env, cx, op: &op, plan, first, others, made: 0, call, tells_failures };
        let mut timer = pin!(None);
        let mut armed = None;
        let (won, result) = poll_fn(|task| {
            loop {
                if let Poll::Ready(done) = race.poll(task) {
                    return Poll::Ready(done);
                }
                let Some(at) = race.plan.next_at() else { return Poll::Pending };
                if armed != Some(at) {
                    armed = Some(at);
                    timer.set(Some(env.clock().sleep_until(at)));
                }
                match timer.as_mut().as_pin_mut().map(|timer| timer.poll(task)) {
                    Some(Poll::Ready(())) => race.start(at),
                    _ => return Poll::Pending,
                }
            }
        })
        .await;
        let now = env.clock().now();
        if result.is_ok() {
            // Where a hedge won, the first attempt would have taken longer still: it counts as one of the slow ones.
            self.learn(now.saturating_duration_since(began));
            if won > 0 {
                self.shared.won.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(call) = &mut race.call {
                call.succeeded(|| now);
            }
        }
        result
    }
}

/// The attempts of one call that run beside each other.
struct Race<'a, 'b, C, O, Op, Fut> {
    hedge: &'a Hedge,
    env: Env<'a, C, O>,
    cx: Cx,
    op: &'b Op,
    plan: HedgePlan,
    first: Option<Pin<&'b mut Fut>>,
    others: Vec<(u32, Pin<Box<Fut>>)>,
    made: u32,
    call: Option<BudgetedCall<'a>>,
    /// Whether the budget hears of failed attempts from here, rather than from a retry around this.
    tells_failures: bool,
}

impl<C, O, T, E, Op, Fut> Race<'_, '_, C, O, Op, Fut>
where
    C: Clock,
    O: Observer,
    Op: Fn(Cx) -> Fut,
    Fut: Future<Output = Result<T, Failure<E>>>,
{
    /// Polls every attempt; ready with the answer that counts and the number of its attempt, 0 for the first.
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<(u32, Result<T, Failure<E>>)> {
        if let Some(first) = &mut self.first
            && let Poll::Ready(result) = first.as_mut().poll(task)
        {
            self.first = None;
            if self.counts(&result) {
                return Poll::Ready((0, result));
            }
        }
        let mut at = 0;
        while let Some((hedge, attempt)) = self.others.get_mut(at) {
            let hedge = *hedge;
            match attempt.as_mut().poll(task) {
                Poll::Pending => at += 1,
                Poll::Ready(result) => {
                    // Dropped before the answer is looked at: what it held is settled first.
                    drop(self.others.swap_remove(at));
                    if self.counts(&result) {
                        return Poll::Ready((hedge, result));
                    }
                }
            }
        }
        Poll::Pending
    }

    /// Says whether an answer is the call's.
    fn counts(&mut self, result: &Result<T, Failure<E>>) -> bool {
        let answer = match result {
            Ok(_) => HedgeAnswer::Success,
            // A refusal ends its own attempt only: another may be on its way.
            Err(failure) if failure.is_refusal() => HedgeAnswer::Refused,
            Err(failure) if !failure.is_transient() => HedgeAnswer::Fatal,
            Err(failure) => failure.retry_after().map_or(HedgeAnswer::NonFatal, HedgeAnswer::PushedBack),
        };
        if let (true, Some(call), HedgeAnswer::NonFatal | HedgeAnswer::PushedBack(_)) =
            (self.tells_failures, &self.call, answer)
        {
            call.failed();
        }
        self.plan.answered(self.env.clock().now(), answer) == HedgeStep::Finish
    }

    /// Starts the attempt that is due, if the budget allows it.
    fn start(&mut self, due: Instant) {
        if let Some(budget) = &self.hedge.budget {
            let now = self.env.clock().now();
            let call = self.call.get_or_insert_with(|| budget.enter());
            let paid = match call.withdraw(now, ErrorClass::Timeout) {
                Ok(Duration::ZERO) => true,
                Ok(_) => {
                    // A hedge that has to wait for its tokens comes too late to be of use.
                    call.undo(now);
                    false
                }
                Err(_) => false,
            };
            if !paid {
                self.hedge.shared.suppressed.fetch_add(1, Ordering::Relaxed);
                self.plan.stop();
                return;
            }
        }
        if !self.plan.start_due(due) {
            return;
        }
        self.made += 1;
        let hedge = self.made;
        self.hedge.shared.started.fetch_add(1, Ordering::Relaxed);
        self.env.observer().observe(&RecoveryEvent::Hedged { pipeline: self.env.name(), hedge });
        tracing::debug!(pipeline = self.env.name(), hedge, "hedged");
        self.others.push((hedge, Box::pin((self.op)(self.cx.with_hedge(hedge)))));
    }
}

impl fmt::Debug for Hedge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("config", &self.config)
            .field("budget", &self.budget)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
