//! Telemetry for tests: scoped, so that tests run in parallel, and with assertions on spans, log lines and metrics.
//!
//! An assertion that does not hold panics with what was there instead.

mod logs;
mod narrowed;
mod spans;
mod telemetry;

pub use logs::LogAssertion;
pub use spans::SpanAssertion;
pub use telemetry::{MetricAssertion, OperationAssertion, TestTelemetry};
