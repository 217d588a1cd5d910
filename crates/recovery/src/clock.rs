use std::future::Future;
use std::time::Instant;

/// Where the shells read the time and how they wait.
///
/// The decisions themselves take `now` as an argument; only the thin shells around them hold a clock.
pub trait Clock: Send + Sync {
    /// Returns the present instant. It never goes backwards.
    fn now(&self) -> Instant;

    /// Waits until `at`, or returns at once if it is over.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the wait and has no other effect.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send;
}

/// Tokio's clock: it obeys `tokio::time::pause`, so that a test runs in virtual time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its own constructor")]
pub struct TokioClock;

impl Clock for TokioClock {
    #[inline]
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[inline]
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        tokio::time::sleep_until(tokio::time::Instant::from_std(at))
    }
}
