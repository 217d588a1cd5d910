//! Successes that the window has not been told of yet.
//!
//! While a circuit is closed, a success that is not slow cannot open it: it only thins out the failures. So it need not
//! take the lock. Each thread counts its successes on a cache line of its own, together with the time step and the
//! generation that they belong to; whoever takes the lock next (with a failure, or to look at the figures) first hands
//! them all to the window, oldest first, at the times at which they were counted. On one thread the window then holds
//! exactly what it would have been told one by one.

use crate::stripes::Striped;
use crate::sync::{AtomicU64, Ordering};

/// A word: 8 bits of the generation, 32 of the time step (49 days of milliseconds), 24 of the count. Zero holds nothing.
///
/// Eight bits tell generations apart, since each change of state empties all lines: only the one before can be left.
#[derive(Debug, Default)]
pub(super) struct Pending(Striped<AtomicU64>);

const COUNT: u64 = (1 << 24) - 1;
const STEP: u64 = (1 << 32) - 1;

/// Successes of one time step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Batch {
    /// The time step, cut to 32 bits.
    pub(super) step: u64,
    pub(super) successes: u32,
}

impl Pending {
    /// Counts a success; false if this thread's line holds something else, or no more: then it is to be told under the
    /// lock, which empties the line.
    #[inline]
    pub(super) fn count(&self, generation: u64, step: u64) -> bool {
        let line = self.0.own();
        let tag = tag(generation, step);
        let mut word = line.load(Ordering::Relaxed);
        loop {
            let next = if word == 0 { tag | 1 } else { word + 1 };
            if word != 0 && (word & !COUNT != tag || word & COUNT == COUNT) {
                return false;
            }
            match line.compare_exchange_weak(word, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => word = seen,
            }
        }
    }

    /// Takes out everything of `generation`, oldest first; what belongs to another is dropped.
    pub(super) fn drain(&self, generation: u64, mut each: impl FnMut(Batch)) {
        let mut batches = [None; crate::stripes::STRIPES];
        for (line, place) in self.0.iter().zip(&mut batches) {
            // A look first: lines that are empty stay with the threads that own them.
            if line.load(Ordering::Acquire) != 0 {
                let word = line.swap(0, Ordering::AcqRel);
                if word & !(COUNT | STEP << 24) == tag(generation, 0) {
                    let successes = u32::try_from(word & COUNT).unwrap_or(0);
                    *place = Some(Batch { step: word >> 24 & STEP, successes });
                }
            }
        }
        batches.sort_unstable();
        batches.into_iter().flatten().for_each(&mut each);
    }
}

/// What a word of this generation and step begins with; never zero together with a count.
const fn tag(generation: u64, step: u64) -> u64 {
    (generation & 0xFF) << 56 | (step & STEP) << 24
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn drained(pending: &Pending, generation: u64) -> Vec<Batch> {
        let mut batches = Vec::new();
        pending.drain(generation, |batch| batches.push(batch));
        batches
    }

    #[test]
    fn successes_keep_their_step_and_are_told_once() {
        let pending = Pending::default();
        assert!(pending.count(3, 7) && pending.count(3, 7));
        assert!(!pending.count(3, 8), "of another step");
        assert!(!pending.count(4, 7), "of another generation");
        assert_eq!(drained(&pending, 3), [Batch { step: 7, successes: 2 }]);
        assert_eq!(drained(&pending, 3), []);
    }

    #[test]
    fn those_of_a_generation_that_is_over_are_dropped() {
        let pending = Pending::default();
        assert!(pending.count(3, 0));
        assert_eq!(drained(&pending, 4), []);
        assert!(pending.count(4, 0), "and their place is free");
    }

    #[test]
    fn threads_lose_none() {
        let pending = Pending::default();
        let told = AtomicU64::new(0);
        let take = || {
            pending.drain(1, |batch| {
                told.fetch_add(batch.successes.into(), Ordering::Relaxed);
            });
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..5_000 {
                        if !pending.count(1, n / 100) {
                            told.fetch_add(1, Ordering::Relaxed);
                            take();
                        }
                    }
                });
            }
        });
        take();
        assert_eq!(told.into_inner(), 20_000);
    }
}
