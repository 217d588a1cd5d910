//! The locks and atomics of the store, in one place, so that a test can run it under a scheduler
//! which tries one interleaving after the other.

use parking_lot::lock_api;

use crate::biased::Biased;

pub(crate) type RwLock<T> = lock_api::RwLock<Biased, T>;
pub(crate) type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, Biased, T>;
pub(crate) type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, Biased, T>;

#[cfg(not(shuttle))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

    pub(crate) use parking_lot::RawRwLock as CommonLock;
}

#[cfg(shuttle)]
mod scheduled {
    #![expect(unsafe_code, reason = "a lock of the scheduler's atomics, for tests")]

    use parking_lot::lock_api::RawRwLock;
    pub(crate) use shuttle::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

    /// How many read; the greatest count while somebody writes.
    pub(crate) struct CommonLock(AtomicUsize);

    const WRITTEN: usize = usize::MAX;

    impl CommonLock {
        fn swap(&self, from: usize, to: usize) -> Option<()> {
            self.0.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).ok().map(|_| ())
        }

        fn until<T>(&self, attempt: impl Fn(&Self) -> Option<T>) -> T {
            loop {
                if let Some(done) = attempt(self) {
                    return done;
                }
                shuttle::thread::yield_now();
            }
        }
    }

    // SAFETY: Whoever writes has changed the count from zero, and nobody else changes it meanwhile.
    unsafe impl RawRwLock for CommonLock {
        const INIT: Self = Self(AtomicUsize::new(0));
        type SharedGuard = ();
        type ExclusiveGuard = ();

        fn lock_shared(&self) {
            self.until(Self::try_lock_shared);
        }

        fn try_lock_shared(&self) -> Option<()> {
            let readers = self.0.load(Ordering::SeqCst);
            if readers == WRITTEN { None } else { self.swap(readers, readers + 1) }
        }

        unsafe fn unlock_shared(&self, (): ()) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }

        fn lock_exclusive(&self) {
            self.until(Self::try_lock_exclusive);
        }

        fn try_lock_exclusive(&self) -> Option<()> {
            self.swap(0, WRITTEN)
        }

        unsafe fn unlock_exclusive(&self, (): ()) {
            self.0.store(0, Ordering::SeqCst);
        }

        fn is_locked(&self) -> bool {
            self.0.load(Ordering::SeqCst) != 0
        }

        fn is_locked_exclusive(&self) -> bool {
            self.0.load(Ordering::SeqCst) == WRITTEN
        }
    }
}

#[cfg(not(shuttle))]
pub(crate) use real::*;
#[cfg(shuttle)]
pub(crate) use scheduled::*;
