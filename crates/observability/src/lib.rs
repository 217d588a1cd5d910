#![cfg_attr(feature = "macros", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "macros"),
    doc = "One call to structured logs, traces and request metrics; the overview needs the feature `macros`."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod anomaly;
mod builder;
mod clock;
mod context;
pub mod database;
mod doctor;
mod environment;
mod error;
mod error_type;
mod housekeeping;
#[cfg(feature = "http")]
#[cfg_attr(docsrs, doc(cfg(feature = "http")))]
pub mod http;
mod ids;
mod layer;
mod logs;
pub mod messaging;
mod metrics;
mod observability;
mod off_thread;
#[cfg(feature = "otlp")]
pub mod otel;
#[cfg(feature = "otlp")]
#[cfg_attr(docsrs, doc(cfg(feature = "otlp")))]
pub mod otlp;
pub mod propagation;
mod redact;
#[cfg(feature = "tokio")]
mod runtime;
mod span_context;
#[cfg(feature = "testing")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod trace;
#[cfg(feature = "macros")]
mod traced;

#[cfg(all(feature = "macros", feature = "testing"))]
pub use bedplate_observability_macros::test;
#[cfg(feature = "macros")]
pub use bedplate_observability_macros::{ErrorType, trace_function};
pub use builder::ObservabilityBuilder;
pub use context::{RequestContext, current_trace_id};
#[cfg(feature = "tokio")]
pub use context::{spawn_linked, spawn_traced};
pub use doctor::{Doctor, Finding, Setting, Source};
pub use error::{ConfigError, InstallError};
pub use error_type::ErrorType;
pub use ids::{ParseIdError, SpanId, TraceFlags, TraceId};
pub use layer::TelemetryLayer;
pub use logs::{LogReport, LogStats, Logs};
pub use metrics::{
    Aggregate, Counter, CounterFamily, DURATION_BOUNDS, DurationHistogram, Exemplar, Exposition, Gauge, GaugeFamily,
    Histogram, HistogramBucket, HistogramFamily, Metric, MetricKind, Metrics, Operations, Sample, TextFormat,
};
pub use observability::{Observability, Report};
pub use redact::Redact;
pub use span_context::{SpanContext, SpanExt, current_span_context};
pub use trace::{
    ActiveTrace, ActiveTraces, AttributeValue, ExportBatch, ExportError, ExportReport, Exporter, FinishedSpan,
    FinishedTrace, KeepReason, OpenSpan, Query, Recorder, Resource, SamplingThreshold, Signal, SpanEvent, SpanKind,
    SpanStatus, TraceStats, Traces,
};

/// What [`trace_function`] expands to; no part of the public interface.
#[cfg(feature = "macros")]
#[doc(hidden)]
pub mod __private {
    pub use tracing;

    pub use crate::traced::{
        ByDebug, ByName, ByTrait, FailsByDebug, FailsByName, FailsByTrait, Guard, Of, Returned, Succeeds,
    };
}

#[cfg(all(
    doctest,
    feature = "axum",
    feature = "macros",
    feature = "otlp",
    feature = "reqwest",
    feature = "testing",
    feature = "tokio"
))]
#[doc = include_str!("../../../docs/src/guides/observability.md")]
struct Guide;
