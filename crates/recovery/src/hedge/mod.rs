//! A second attempt beside a slow first one.

mod latency;
mod plan;
mod policy;

pub use latency::LatencySketch;
pub use plan::{HedgeAnswer, HedgePlan, HedgeStep};
pub use policy::{Hedge, HedgeConfig, HedgeDelay, HedgeStats};
