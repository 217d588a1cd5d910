//! The text formats that Prometheus scrapes: its own 0.0.4 and OpenMetrics 1.0, by what the scraper accepts.

mod accept;
mod exposition;
mod text;

pub use accept::TextFormat;
pub(crate) use exposition::OWN;
#[cfg(feature = "otlp")]
pub(crate) use exposition::own;
pub use exposition::{DURATION_BOUNDS, Exposition};
