//! Processor time of the current thread, and wall time.

use std::time::{Duration, Instant};

/// Returns the processor time that the current thread has used, or `None` where the platform does
/// not tell.
#[cfg(unix)]
pub(crate) fn thread_time() -> Option<Duration> {
    spent(rustix::time::ClockId::ThreadCPUTime)
}

/// Returns the processor time that all threads of the process have used.
#[cfg(unix)]
pub(crate) fn process_time() -> Option<Duration> {
    spent(rustix::time::ClockId::ProcessCPUTime)
}

#[cfg(unix)]
fn spent(clock: rustix::time::ClockId) -> Option<Duration> {
    let spent = rustix::time::clock_gettime(clock);
    Some(Duration::new(u64::try_from(spent.tv_sec).ok()?, u32::try_from(spent.tv_nsec).ok()?))
}

/// Returns `None`: this platform's thread times tick too coarsely to tell samples apart.
#[cfg(not(unix))]
pub(crate) fn thread_time() -> Option<Duration> {
    None
}

/// Returns `None`, as above.
#[cfg(not(unix))]
pub(crate) fn process_time() -> Option<Duration> {
    None
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time; no test pauses it")]
pub(crate) fn wall_time() -> Instant {
    Instant::now()
}
