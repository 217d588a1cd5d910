//! Counts and latencies of operations, and the Prometheus text of these and of other parts' figures.

mod aggregate;
mod buckets;
mod operations;
mod prometheus;
mod registry;

pub use aggregate::{Aggregate, DurationHistogram, Exemplar, HistogramBucket, Metrics};
pub(crate) use buckets::Buckets;
pub use operations::Operations;
pub(crate) use operations::{Ended, Series};
#[cfg(feature = "otlp")]
pub(crate) use prometheus::own;
pub use prometheus::{DURATION_BOUNDS, Exposition, TextFormat};
pub(crate) use registry::Registry;
pub use registry::{
    Counter, CounterFamily, Gauge, GaugeFamily, Histogram, HistogramFamily, Metric, MetricKind, Sample,
};
#[cfg(feature = "otlp")]
pub(crate) use registry::{HistogramPoint, PointExemplar, Points, View};
