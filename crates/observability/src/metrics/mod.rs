//! Counts and latencies of operations, and the Prometheus text of these and of other parts' figures.

mod aggregate;
mod operations;
mod prometheus;

pub use aggregate::{Aggregate, Metrics};
pub use operations::Operations;
pub(crate) use prometheus::Registry;
pub use prometheus::{Metric, MetricKind, Sample};
