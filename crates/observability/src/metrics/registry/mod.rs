//! What counts: instruments with labels whose series are bounded, and metrics that other parts supply.
//!
//! An instrument is found by its labels once and kept as a handle; recording on a handle takes no lock and finds
//! nothing. A label whose values come from outside would grow without end, so each metric has a bound, and what is
//! beyond it is counted together under `_other`, told by a metric and one warning.

mod family;
mod handles;
mod metric;
mod store;

pub use handles::{Counter, CounterFamily, Gauge, GaugeFamily, Histogram, HistogramFamily};
pub(crate) use handles::{HistogramPoint, PointExemplar};
pub use metric::{Metric, MetricKind, Sample};
pub(crate) use metric::{legal_label, legal_name};
pub(crate) use store::{Points, Registry, View};
