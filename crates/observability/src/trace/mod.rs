//! Traces: records of open spans, the buffers in which they come together, the decision to keep, and the recorder.

mod active;
pub(crate) mod buffer;
mod config;
mod decision;
mod engine;
mod export;
pub(crate) mod finished;
pub(crate) mod lane;
mod limits;
mod otlp_json;
mod query;
pub(crate) mod record;
mod ring;
mod segment;
pub(crate) mod value;

pub use active::{ActiveTrace, ActiveTraces, OpenSpan};
#[cfg(feature = "otlp")]
pub(crate) use buffer::Rows;
pub use config::Traces;
pub use decision::{KeepReason, SamplingThreshold};
pub(crate) use engine::Engine;
pub use engine::TraceStats;
pub(crate) use export::ExportQueue;
pub use export::{ExportBatch, ExportError, ExportReport, Exporter, Signal};
pub use finished::{AttributeValue, FinishedSpan, FinishedTrace, Resource, SpanEvent, SpanKind, SpanStatus};
pub use query::{Query, Recorder};

/// The version of OpenTelemetry's conventions that names of attributes and metrics follow.
pub(crate) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
