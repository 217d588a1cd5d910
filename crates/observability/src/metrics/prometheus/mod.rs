//! The text formats that Prometheus scrapes: its own 0.0.4 and OpenMetrics 1.0, by what the scraper accepts.

mod accept;
mod exposition;
mod text;

pub use accept::TextFormat;
#[cfg(feature = "otlp")]
pub(crate) use exposition::own;
pub(crate) use exposition::{DURATION, OWN};
pub use exposition::{DURATION_BOUNDS, Exposition};
