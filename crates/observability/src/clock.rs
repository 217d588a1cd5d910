//! The two places of this crate that read a clock.

use std::time::{Instant, SystemTime};

#[expect(
    clippy::disallowed_methods,
    reason = "a tracing layer measures without a runtime, so tokio's clock is out of reach"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "a log line carries the wall-clock time")]
pub(crate) fn wall_clock() -> SystemTime {
    SystemTime::now()
}
