//! The locks and atomics of the store, in one place, so that a test can run it under a scheduler
//! which tries one interleaving after the other.

#[cfg(not(shuttle))]
mod real {
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

    use parking_lot::lock_api;

    use crate::biased::Biased;

    pub(crate) type RwLock<T> = lock_api::RwLock<Biased, T>;
    pub(crate) type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, Biased, T>;
    pub(crate) type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, Biased, T>;
}

#[cfg(shuttle)]
mod scheduled {
    pub(crate) use shuttle::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
    pub(crate) use shuttle::sync::{RwLockReadGuard, RwLockWriteGuard};

    /// In the form of `parking_lot`, without poison.
    #[derive(Debug)]
    pub(crate) struct RwLock<T>(shuttle::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(shuttle::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().unwrap_or_else(std::sync::PoisonError::into_inner)
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }
}

#[cfg(not(shuttle))]
pub(crate) use real::*;
#[cfg(shuttle)]
pub(crate) use scheduled::*;
