//! HTTP by OpenTelemetry's stable conventions (semantic conventions 1.44): a server layer for any tower service, and
//! client spans with injection.
//!
//! The span is named by method and route template, never by the raw path, so that names stay few. A 4xx is the
//! caller's fault and leaves a server's span unset, but is an error for the client that got it.

mod attributes;
#[cfg(feature = "tower")]
mod body;
mod client;
#[cfg(feature = "tower")]
mod layer;
#[cfg(feature = "tower")]
mod request;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "tower")]
mod service;

#[cfg(feature = "tower")]
pub use body::ServerBody;
pub use client::{ClientSpan, redact_url};
#[cfg(feature = "tower")]
pub use layer::ServerLayer;
#[cfg(feature = "reqwest")]
pub use reqwest::{RequestBuilderExt, TracedRequest};
#[cfg(feature = "tower")]
pub use service::{Server, ServerFuture};
