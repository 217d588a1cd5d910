//! The lock of what is shared in memory: that of `parking_lot`, or one whose interleavings `shuttle` tries.

#[cfg(not(shuttle))]
pub(crate) use parking_lot::Mutex;

#[cfg(shuttle)]
pub(crate) use watched::Mutex;

/// Where another thread may come between a look and a wait; nothing but a mark outside of the tests.
#[cfg(not(shuttle))]
pub(crate) const fn between() {}

#[cfg(shuttle)]
pub(crate) fn between() {
    shuttle::thread::yield_now();
}

#[cfg(shuttle)]
mod watched {
    use shuttle::sync::MutexGuard;

    /// The part of parking_lot's interface that is used here.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(shuttle::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            // A thread that panicked has failed its test already.
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }
}
