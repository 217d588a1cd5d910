//! How many calls may start in a time: one limit for all, or one for each key.

mod adaptive;
mod keyed;
mod limiter;
mod quota;

pub use adaptive::{AdaptiveRate, AdaptiveRateConfig, Cubic};
pub use keyed::{KeyedRateLimiter, KeyedRateStats};
pub use limiter::{RateLimiter, RateStats};
pub use quota::{Pace, Quota, RateLimited, RateMachine};
