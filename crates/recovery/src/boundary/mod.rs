//! Where errors end: each gets an id, is recorded once, and is told to the caller in a form that gives nothing away.

mod caught;
mod handle;
#[cfg(feature = "http")]
mod problem;
mod sink;

pub use caught::{Caught, ErrorId};
pub use handle::ErrorBoundary;
#[cfg(feature = "http")]
pub use problem::ProblemDetails;
pub use sink::{ErrorReport, ErrorSink, TracingSink};
