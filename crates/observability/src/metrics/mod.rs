//! Counts and latencies of operations, and the Prometheus text of these and of other parts' figures.

mod aggregate;
mod buckets;
mod operations;
mod prometheus;

pub use aggregate::{Aggregate, DurationHistogram, Exemplar, HistogramBucket, Metrics};
pub(crate) use buckets::Buckets;
pub use operations::Operations;
pub(crate) use operations::{Ended, Series};
pub(crate) use prometheus::Registry;
pub use prometheus::{Metric, MetricKind, Sample};
