#![doc = include_str!("../README.md")]

mod answer;
mod backoff;
mod blocking;
mod boundary;
mod breaker;
mod budget;
mod bulkhead;
mod chaos;
mod class;
mod clock;
mod config;
mod dynamic;
mod failure;
mod fallback;
mod grpc;
#[cfg(doctest)]
mod guides;
mod hedge;
#[cfg(all(test, shuttle))]
mod interleavings;
mod limit;
mod lint;
mod observer;
mod pipeline;
mod policy;
mod random;
mod rate;
mod retry;
mod stripes;
mod sync;
mod throttle;
mod timeout;
#[cfg(feature = "tower")]
pub mod tower;

pub use answer::{Answer, Quality};
pub use backoff::{Backoff, BackoffKind, Delays, Jitter};
pub use blocking::BlockingPipeline;
#[cfg(feature = "http")]
pub use boundary::ProblemDetails;
pub use boundary::{Caught, ErrorBoundary, ErrorId, ErrorReport, ErrorSink, TracingSink};
pub use breaker::{
    Abandoned, BreakerBuilder, BreakerConfig, BreakerMachine, BreakerState, BreakerStats, CircuitBreaker, HalfOpen,
    Outcome, OutcomeWindow, Permit, Refused, Semantics, Ticket, Transition, TripRule, WindowCounts, WindowKind,
};
pub use budget::{
    BudgetConfig, BudgetExhausted, BudgetStats, BudgetedCall, InFlightBudget, RetryBudget, RetryThrottle,
    ThrottleConfig, TokenBucket, TokenBudget, WhenEmpty,
};
pub use bulkhead::{Bulkhead, BulkheadConfig, BulkheadPermit, BulkheadStats, Discipline, Places};
pub use chaos::{Chaos, ChaosConfig};
pub use class::{Classify, ErrorClass};
pub use clock::{Clock, TokioClock};
pub use config::ConfigError;
pub use dynamic::{
    DynPipeline, PipelineConfig, PolicyChain, PolicyConfig, RateLimitConfig, Registry, RegistryConfig, RegistryStats,
};
pub use failure::{Failure, Rejection, TimeoutScope};
pub use fallback::{Fallback, FallbackChain, Source};
pub use grpc::{GrpcHedgingPolicy, GrpcRetryPolicy, GrpcRetryThrottling, GrpcStatus, Pushback};
pub use hedge::{Hedge, HedgeAnswer, HedgeConfig, HedgeDelay, HedgePlan, HedgeStats, HedgeStep, LatencySketch};
pub use limit::{Aimd, Gradient2, Limit, LimitConfig, Sample, Vegas, VegasRule};
pub use lint::{PolicyKind, Warning};
pub use observer::{FnObserver, NoObserver, Observer, RecoveryEvent};
pub use pipeline::{Pipeline, PipelineBuilder, PipelineStats};
pub use policy::{Cx, Env, Identity, Policy, Priority, Stack};
pub use random::{Random, SeededRandom};
pub use rate::{
    AdaptiveRate, AdaptiveRateConfig, Cubic, KeyedRateLimiter, KeyedRateStats, Pace, Quota, RateLimited, RateLimiter,
    RateMachine, RateStats,
};
pub use retry::{GiveUp, Retry, RetryConfig, RetryDecision, RetryPlan, ServerDelay};
pub use throttle::{ClientThrottle, ClientThrottleConfig, ThrottleRule, ThrottleStats};
pub use timeout::{Timeout, TimeoutConfig};
