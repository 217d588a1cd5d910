//! Refusing at the caller what an overloaded callee would refuse anyway.

mod handle;
mod rule;

pub use handle::{ClientThrottle, ClientThrottleConfig, ThrottleStats};
pub use rule::ThrottleRule;
