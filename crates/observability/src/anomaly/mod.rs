//! What is not as it was: latency, errors and traffic of each operation against their own past.
//!
//! A fixed threshold is wrong for every operation but one, so each has a baseline of its own, learned from 10-second
//! buckets. Latency is judged by the median of its logarithm, since latencies are closer to log-normal than to normal
//! and one slow request must not move the judgment; errors by the binomial tail against the usual rate, and by burn
//! rates over two windows each (Google's SRE workbook, chapter 5); traffic by the Poisson tail, widened by how much the
//! traffic usually varies. A verdict needs two buckets with none against it between, and the baseline is frozen while there is one, so that a
//! fault does not become the new normal; after ten minutes a new level is taken for what it is.
//!
//! The alternative, a z score of the mean, was rejected: its false positives are set by the tail of the load.

mod config;
mod detector;
mod error_rate;
mod hub;
mod latency;
mod operation;
mod stat;
mod traffic;

pub use config::AnomalyConfig;
pub use detector::{Anomaly, AnomalyKind, AnomalyState, Detector, DetectorStats};
pub use hub::{Anomalies, AnomalyHealth};
