//! Counters that threads do not take from one another.
//!
//! Each thread writes to one of a few cache lines of its own; who reads adds them up. A count is exact, but threads beyond
//! the number of stripes share one.

use crate::sync::{AtomicU64, Ordering};

/// How many stripes there are; a power of two.
pub(crate) const STRIPES: usize = 8;

/// Fills two cache lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

/// One value for each stripe.
#[derive(Debug)]
pub(crate) struct Striped<T>(Box<[Padded<T>]>);

impl<T: Default> Default for Striped<T> {
    fn default() -> Self {
        Self(std::iter::repeat_with(Padded::default).take(STRIPES).collect())
    }
}

impl<T> Striped<T> {
    /// Returns this thread's stripe.
    #[inline]
    pub(crate) fn own(&self) -> &T {
        let index = thread_index() & (STRIPES - 1);
        #[expect(clippy::indexing_slicing, reason = "the mask keeps the index below the number of stripes")]
        &self.0[index].0
    }

    /// Goes through all stripes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }
}

#[cfg(not(shuttle))]
#[inline]
fn thread_index() -> usize {
    use std::sync::atomic::AtomicUsize;

    thread_local! {
        static INDEX: usize = {
            static NEXT: AtomicUsize = AtomicUsize::new(0);
            NEXT.fetch_add(1, Ordering::Relaxed)
        };
    }
    // A thread that is being torn down has no index any more; any stripe will do.
    INDEX.try_with(|index| *index).unwrap_or(0)
}

#[cfg(shuttle)]
fn thread_index() -> usize {
    usize::from(shuttle::current::me())
}

/// A count that threads add to without taking it from one another.
#[derive(Debug, Default)]
pub(crate) struct Counter(Striped<AtomicU64>);

impl Counter {
    #[inline]
    pub(crate) fn add(&self, amount: u64) {
        self.0.own().fetch_add(amount, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.iter().map(|stripe| stripe.load(Ordering::Relaxed)).fold(0, u64::wrapping_add)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn every_addition_counts_whatever_the_thread() {
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| (0..1_000).for_each(|_| counter.add(1)));
            }
        });
        assert_eq!(counter.get(), 20_000);
    }
}
