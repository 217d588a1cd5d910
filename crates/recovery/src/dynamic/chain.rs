use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;

use super::config::{PipelineConfig, PolicyConfig};
use crate::breaker::CircuitBreaker;
use crate::budget::{BudgetConfig, RetryBudget};
use crate::bulkhead::Bulkhead;
use crate::chaos::Chaos;
use crate::clock::Clock;
use crate::config::ConfigError;
use crate::failure::Failure;
use crate::hedge::Hedge;
use crate::lint::PolicyKind;
use crate::observer::Observer;
use crate::policy::{Cx, Env, Policy};
use crate::rate::RateLimiter;
use crate::retry::Retry;
use crate::throttle::ClientThrottle;
use crate::timeout::Timeout;

/// A chain of policies that is data, and can be given other settings while it runs.
pub struct PolicyChain {
    name: Arc<str>,
    parts: RwLock<Arc<Parts>>,
}

struct Parts {
    config: PipelineConfig,
    budget: Option<RetryBudget>,
    policies: Vec<Part>,
}

enum Part {
    Timeout(Timeout),
    Retry(Retry),
    Breaker(CircuitBreaker),
    Bulkhead(Bulkhead),
    RateLimit(RateLimiter),
    Throttle(ClientThrottle),
    Hedge(Hedge),
    Chaos(Chaos),
}

impl PolicyChain {
    /// Builds the policies of `config`; `name` is that of the breakers and limiters among them.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used.
    pub fn new(name: impl Into<Arc<str>>, config: &PipelineConfig) -> Result<Self, ConfigError> {
        let name = name.into();
        let budget = config.budget.map(RetryBudget::new).transpose()?;
        let policies =
            config.policies.iter().map(|part| Part::new(&name, part, budget.as_ref())).collect::<Result<_, _>>()?;
        let parts = Parts { config: config.clone(), budget, policies };
        Ok(Self { name, parts: RwLock::new(Arc::new(parts)) })
    }

    /// Returns the settings in effect.
    #[must_use]
    pub fn config(&self) -> PipelineConfig {
        self.parts.read().config.clone()
    }

    /// Takes other settings. Calls that run go on under the old ones.
    ///
    /// The first breaker of the new settings takes the place of the first of the old ones and keeps its state and window,
    /// and so with the second, and with limiters, bulkheads, throttles, hedges and the budget. All of it is checked
    /// before anything is changed.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used; the old settings then stay.
    pub fn reload(&self, now: Instant, config: &PipelineConfig) -> Result<(), ConfigError> {
        // Built anew first: whatever cannot be used is found before anything is changed.
        drop(Self::new(Arc::clone(&self.name), config)?);
        // One reload at a time, so that two never mix.
        let mut parts = self.parts.write();
        let budget = renew_budget(now, parts.budget.as_ref(), config.budget)?;
        let mut old: Vec<Option<&Part>> = parts.policies.iter().map(Some).collect();
        let policies = config.policies.iter().map(|part| {
            let kept = old.iter_mut().find(|old| old.is_some_and(|old| old.is(part))).and_then(Option::take);
            match kept {
                Some(kept) => kept.renewed(now, part, budget.as_ref()),
                None => Part::new(&self.name, part, budget.as_ref()),
            }
        });
        let policies = policies.collect::<Result<_, _>>()?;
        *parts = Arc::new(Parts { config: config.clone(), budget, policies });
        Ok(())
    }
}

fn renew_budget(
    now: Instant,
    old: Option<&RetryBudget>,
    config: Option<BudgetConfig>,
) -> Result<Option<RetryBudget>, ConfigError> {
    match (old, config) {
        (Some(old), Some(config)) if old.reconfigure(now, config).is_ok() => Ok(Some(old.clone())),
        (_, config) => config.map(RetryBudget::new).transpose(),
    }
}

impl Part {
    fn new(name: &Arc<str>, config: &PolicyConfig, budget: Option<&RetryBudget>) -> Result<Self, ConfigError> {
        let name = Arc::clone(name);
        let part = match config {
            PolicyConfig::Timeout(config) => Self::Timeout(Timeout::from(*config)),
            PolicyConfig::Retry(config) => {
                Self::Retry(budgeted(Retry::from(*config), config.uses_budget, budget, Retry::budget)?)
            }
            PolicyConfig::Breaker(config) => Self::Breaker(CircuitBreaker::new(name, *config)?),
            PolicyConfig::Bulkhead(config) => Self::Bulkhead(Bulkhead::new(name, *config)?),
            PolicyConfig::RateLimit(config) => {
                Self::RateLimit(RateLimiter::new(name, config.quota)?.patience(config.patience))
            }
            PolicyConfig::Throttle(config) => Self::Throttle(ClientThrottle::new(name, *config)?),
            PolicyConfig::Hedge(config) => {
                Self::Hedge(budgeted(Hedge::from(*config), config.uses_budget, budget, Hedge::budget)?)
            }
            PolicyConfig::Chaos(config) => Self::Chaos(Chaos::new(name, *config)?),
        };
        part.check()?;
        Ok(part)
    }

    fn is(&self, config: &PolicyConfig) -> bool {
        matches!(
            (self, config),
            (Self::Timeout(_), PolicyConfig::Timeout(_))
                | (Self::Retry(_), PolicyConfig::Retry(_))
                | (Self::Breaker(_), PolicyConfig::Breaker(_))
                | (Self::Bulkhead(_), PolicyConfig::Bulkhead(_))
                | (Self::RateLimit(_), PolicyConfig::RateLimit(_))
                | (Self::Throttle(_), PolicyConfig::Throttle(_))
                | (Self::Hedge(_), PolicyConfig::Hedge(_))
                | (Self::Chaos(_), PolicyConfig::Chaos(_))
        )
    }

    /// Returns the same part under other settings, with what it has learnt.
    fn renewed(&self, now: Instant, config: &PolicyConfig, budget: Option<&RetryBudget>) -> Result<Self, ConfigError> {
        Ok(match (self, config) {
            (Self::Breaker(breaker), PolicyConfig::Breaker(config)) => {
                breaker.reconfigure(*config)?;
                Self::Breaker(breaker.clone())
            }
            (Self::Bulkhead(bulkhead), PolicyConfig::Bulkhead(config)) => {
                bulkhead.reconfigure(now, *config)?;
                Self::Bulkhead(bulkhead.clone())
            }
            (Self::RateLimit(limiter), PolicyConfig::RateLimit(config)) => {
                limiter.set_quota(config.quota)?;
                Self::RateLimit(limiter.clone().patience(config.patience))
            }
            (Self::Throttle(throttle), PolicyConfig::Throttle(config)) => {
                throttle.reconfigure(*config)?;
                Self::Throttle(throttle.clone())
            }
            (Self::Hedge(hedge), PolicyConfig::Hedge(config)) => {
                let hedge = hedge.clone().reconfigured(*config);
                Self::Hedge(budgeted(hedge, config.uses_budget, budget, Hedge::budget)?)
            }
            (Self::Chaos(chaos), PolicyConfig::Chaos(config)) => {
                chaos.reconfigure(*config)?;
                Self::Chaos(chaos.clone())
            }
            // A timeout and a retry have learnt nothing.
            (_, config) => Self::new(&Arc::from(""), config, budget)?,
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Timeout(policy) => policy.validate(),
            Self::Retry(policy) => policy.validate(),
            Self::Breaker(policy) => policy.validate(),
            Self::Bulkhead(policy) => policy.validate(),
            Self::RateLimit(policy) => policy.validate(),
            Self::Throttle(policy) => policy.validate(),
            Self::Hedge(policy) => policy.validate(),
            Self::Chaos(policy) => policy.validate(),
        }
    }

    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        match self {
            Self::Timeout(policy) => policy.outline(outline),
            Self::Retry(policy) => policy.outline(outline),
            Self::Breaker(policy) => policy.outline(outline),
            Self::Bulkhead(policy) => policy.outline(outline),
            Self::RateLimit(policy) => policy.outline(outline),
            Self::Throttle(policy) => policy.outline(outline),
            Self::Hedge(policy) => policy.outline(outline),
            Self::Chaos(policy) => policy.outline(outline),
        }
    }
}

fn budgeted<P>(
    policy: P,
    uses_budget: bool,
    budget: Option<&RetryBudget>,
    attach: fn(P, &RetryBudget) -> P,
) -> Result<P, ConfigError> {
    match (uses_budget, budget) {
        (false, _) => Ok(policy),
        (true, Some(budget)) => Ok(attach(policy, budget)),
        (true, None) => Err(ConfigError::new("uses_budget", true, "a budget of the pipeline to use, which is not set")),
    }
}

type Boxed<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, Failure<E>>> + Send + 'a>>;
type Op<'a, T, E> = dyn Fn(Cx) -> Boxed<'a, T, E> + Send + Sync + 'a;

/// Runs the first of `parts` round the others.
fn run_from<'a, C, O, T, E>(parts: &'a [Part], env: Env<'a, C, O>, cx: Cx, op: &'a Op<'a, T, E>) -> Boxed<'a, T, E>
where
    C: Clock,
    O: Observer,
    T: Send + 'a,
    E: Send + 'a,
{
    let Some((first, rest)) = parts.split_first() else { return op(cx) };
    let inner = move |cx| run_from(rest, env, cx, op);
    match first {
        Part::Timeout(policy) => Box::pin(policy.run(env, cx, inner)),
        Part::Retry(policy) => Box::pin(policy.run(env, cx, inner)),
        Part::Breaker(policy) => Box::pin(policy.run(env, cx, inner)),
        Part::Bulkhead(policy) => Box::pin(policy.run(env, cx, inner)),
        Part::RateLimit(policy) => Box::pin(policy.run(env, cx, inner)),
        Part::Throttle(policy) => Box::pin(policy.run(env, cx, inner)),
        Part::Hedge(policy) => Box::pin(policy.run(env, cx, inner)),
        Part::Chaos(policy) => Box::pin(policy.run(env, cx, inner)),
    }
}

impl Policy for PolicyChain {
    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        for part in &self.parts.read().policies {
            part.outline(outline);
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
        let parts = Arc::clone(&self.parts.read());
        let op = |cx| -> Boxed<'_, T, E> { Box::pin(op(cx)) };
        run_from(&parts.policies, env, cx, &op).await
    }
}

impl fmt::Debug for PolicyChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyChain").field("name", &self.name).field("config", &self.config()).finish_non_exhaustive()
    }
}
