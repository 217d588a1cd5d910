//! How many calls may run at once, learnt from how the callee answers.

mod aimd;
mod algorithm;
mod gradient;
mod vegas;

pub use aimd::Aimd;
pub use algorithm::{Limit, LimitConfig, Sample};
pub use gradient::Gradient2;
pub use vegas::{Vegas, VegasRule};
