use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::breaker::BreakerConfig;
use crate::budget::BudgetConfig;
use crate::bulkhead::BulkheadConfig;
use crate::chaos::ChaosConfig;
use crate::config::ConfigError;
use crate::hedge::HedgeConfig;
use crate::pipeline::Pipeline;
use crate::rate::Quota;
use crate::retry::RetryConfig;
use crate::throttle::ClientThrottleConfig;
use crate::timeout::TimeoutConfig;

use super::DynPipeline;
use super::chain::PolicyChain;

/// A pipeline as data: its policies, the outermost first.
///
/// # Examples
/// ```
/// use bedplate_recovery::PipelineConfig;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let config: PipelineConfig = serde_json::from_str(
///     r#"{
///         "budget": { "tokens": { "capacity": 100 } },
///         "policies": [
///             { "timeout": { "limit": { "secs": 3, "nanos": 0 } } },
///             { "retry": { "max_attempts": 4, "uses_budget": true } },
///             { "breaker": { "minimum_calls": 10 } }
///         ]
///     }"#,
/// )?;
/// let pipeline = config.build("search")?;
/// assert!(pipeline.lint().is_empty());
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct PipelineConfig {
    /// The budget that the retries and hedges share which say so.
    pub budget: Option<BudgetConfig>,
    /// The policies, the outermost first.
    pub policies: Vec<PolicyConfig>,
}

/// One policy as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PolicyConfig {
    /// A [`Timeout`](crate::Timeout).
    Timeout(TimeoutConfig),
    /// A [`Retry`](crate::Retry).
    Retry(RetryConfig),
    /// A [`CircuitBreaker`](crate::CircuitBreaker).
    Breaker(BreakerConfig),
    /// A [`Bulkhead`](crate::Bulkhead).
    Bulkhead(BulkheadConfig),
    /// A [`RateLimiter`](crate::RateLimiter).
    RateLimit(RateLimitConfig),
    /// A [`ClientThrottle`](crate::ClientThrottle).
    Throttle(ClientThrottleConfig),
    /// A [`Hedge`](crate::Hedge).
    Hedge(HedgeConfig),
    /// A [`Chaos`](crate::Chaos).
    Chaos(ChaosConfig),
}

/// The settings of a rate limit in a pipeline that is data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RateLimitConfig {
    /// How many calls may start in a time.
    pub quota: Quota,
    /// How long a call may wait until it is in time; default not at all.
    #[serde(default)]
    pub patience: Duration,
}

impl PipelineConfig {
    /// Builds the pipeline; its name is also that of its breakers and limiters.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used.
    pub fn build(&self, name: impl Into<Arc<str>>) -> Result<DynPipeline, ConfigError> {
        let name = name.into();
        let chain = PolicyChain::new(Arc::clone(&name), self)?;
        Pipeline::builder(name).chain(chain).build()
    }
}
