//! The crates of OpenTelemetry that this crate works with, of the versions that fit together; each follows its own 0.33
//! series.

#[cfg(feature = "interop")]
#[doc(no_inline)]
pub use tracing_opentelemetry;
#[doc(no_inline)]
pub use {opentelemetry, opentelemetry_proto, opentelemetry_sdk};
