#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod anomaly;
mod clock;
mod context;
mod error;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
mod ids;
mod layer;
mod logs;
pub mod messaging;
mod metrics;
mod observability;
pub mod propagation;
#[cfg(feature = "tokio")]
mod runtime;
mod span_context;

#[cfg(feature = "macros")]
pub use bedplate_observability_macros::trace_function;
pub use context::{RequestContext, current_trace_id};
pub use error::{ConfigError, InstallError};
pub use ids::{ParseIdError, SpanId, TraceFlags, TraceId};
pub use layer::TelemetryLayer;
pub use logs::{LogReport, LogStats, Logs};
pub use metrics::{Aggregate, Metrics, Operations};
pub use metrics::{
    Counter, CounterFamily, DURATION_BOUNDS, Exposition, Gauge, GaugeFamily, Histogram, HistogramFamily, Metric,
    MetricKind, Sample, TextFormat,
};
pub use observability::{Observability, ObservabilityBuilder};
pub use span_context::{SpanContext, SpanExt, current_span_context};

/// What [`trace_function`] expands to; no part of the public interface.
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod __private {
    pub use tracing;
}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guides/observability.md")]
struct Guide;
