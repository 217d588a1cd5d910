//! How much extra load retries and hedges may cause.
//!
//! Backoff spreads retries out; only a budget bounds how many there are. Three rules are offered, behind one handle:
//! tokens (the AWS SDKs' standard retry mode), a share of the calls in flight (Envoy, failsafe-go) and gRPC's throttle.

mod handle;
mod in_flight;
mod throttle;
mod tokens;

pub use handle::{BudgetConfig, BudgetExhausted, BudgetStats, BudgetedCall, RetryBudget};
pub use in_flight::InFlightBudget;
pub use throttle::{RetryThrottle, ThrottleConfig};
pub use tokens::{TokenBucket, TokenBudget, WhenEmpty};
