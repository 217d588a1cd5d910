//! A second attempt beside a slow first one.

mod plan;

pub use plan::{HedgeAnswer, HedgePlan, HedgeStep};
