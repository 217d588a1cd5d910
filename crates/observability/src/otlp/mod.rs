//! Kept traces, log records and metrics over OTLP: gRPC, HTTP with protobuf, HTTP with JSON.
//!
//! All of it happens on one thread with a runtime of its own and no subscriber: an exporter on the application's runtime
//! waits for itself when that has one thread, and one that is traced exports its own exports. What leaves is made from our
//! own records with the types of `opentelemetry-proto`. The exporters of `opentelemetry-otlp` were rejected: the SDK's
//! metrics cannot be filled from outside and have no exemplars, they read the environment whenever they are built, and
//! what a collector refused of a batch they do not tell. Any exporter of the SDK for spans is taken by [`SdkExporter`].

mod config;
mod convert;
#[cfg(feature = "interop")]
mod interop;
mod lane;
mod payload;
mod pipeline;
mod retry_info;
mod sdk;
mod target;
mod transport;
mod variables;

pub use config::Otlp;
pub(crate) use convert::LogRow;
pub(crate) use pipeline::{Pipeline, Source};
pub use sdk::SdkExporter;
pub use target::{Compression, Protocol};
