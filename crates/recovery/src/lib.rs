#![doc = include_str!("../README.md")]

mod answer;
mod backoff;
mod breaker;
mod class;
mod clock;
mod config;
mod failure;
mod fallback;
mod observer;
mod pipeline;
mod policy;
mod random;
mod retry;
mod timeout;

pub use answer::{Answer, Quality};
pub use backoff::{Backoff, BackoffKind, Delays, Jitter};
pub use breaker::{
    Abandoned, BreakerBuilder, BreakerConfig, BreakerMachine, BreakerState, BreakerStats, CircuitBreaker, HalfOpen,
    Outcome, OutcomeWindow, Permit, Refused, Semantics, Ticket, Transition, TripRule, WindowCounts, WindowKind,
};
pub use class::{Classify, ErrorClass};
pub use clock::{Clock, TokioClock};
pub use config::ConfigError;
pub use failure::{Failure, TimeoutScope};
pub use fallback::{Fallback, FallbackChain, Source};
pub use observer::{FnObserver, NoObserver, Observer, RecoveryEvent};
pub use pipeline::{Pipeline, PipelineBuilder, PipelineStats};
pub use policy::{Cx, Env, Identity, Policy, Stack};
pub use random::{Random, SeededRandom};
pub use retry::{GiveUp, Retry, RetryConfig, RetryDecision, RetryPlan};
pub use timeout::{Timeout, TimeoutConfig};

/// Compiles the blocks of the guide; a packaged crate has no such file, `cfg(doctest)` keeps it out.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guides/recovery.md")]
struct Guide;
