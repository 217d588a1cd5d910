//! Counts of what readers do, exact and without contention.
//!
//! Readers share the lock of a shard, so a count in the shard would need a locked addition, and on
//! many cores its line would be what they wait for. Here each thread has a line of its own, which
//! only it writes: an addition is a load and a store. Threads beyond the number of lines share
//! one more and add with a lock.

#[cfg(not(shuttle))]
use crate::seat::own;
use crate::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct Counters {
    owned: Box<[Stripe]>,
    shared: Box<Stripe>,
}

/// As far from the next that no two are fetched together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    hits: AtomicU64,
    absent: AtomicU64,
}

/// What readers count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    Hits,
    Absent,
}

impl Stripe {
    #[inline]
    const fn of(&self, counter: Counter) -> &AtomicU64 {
        match counter {
            Counter::Hits => &self.hits,
            Counter::Absent => &self.absent,
        }
    }
}

impl Counters {
    pub(crate) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(8, |cores| cores.get().saturating_mul(4));
        Self::with_seats(threads.clamp(8, 256))
    }

    fn with_seats(seats: usize) -> Self {
        Self { owned: std::iter::repeat_with(Stripe::default).take(seats).collect(), shared: Box::default() }
    }

    #[inline]
    pub(crate) fn add(&self, counter: Counter) {
        match own(&self.owned) {
            Some(stripe) => {
                let count = stripe.of(counter);
                count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            }
            None => {
                self.shared.of(counter).fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn sum(&self, counter: Counter) -> u64 {
        let owned: u64 = self.owned.iter().map(|stripe| stripe.of(counter).load(Ordering::Relaxed)).sum();
        owned + self.shared.of(counter).load(Ordering::Relaxed)
    }
}

/// The place of this thread. The scheduler runs all of its threads on one of the system's.
#[cfg(shuttle)]
fn own(places: &[Stripe]) -> Option<&Stripe> {
    places.get(usize::from(shuttle::current::me()))
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn no_addition_is_lost_with_more_threads_than_seats_nor_with_threads_that_follow_one_another() {
        let counters = Counters::with_seats(2);
        let (threads, each) = if cfg!(miri) { (4, 50) } else { (8, 20_000) };
        for _ in 0..3 {
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| (0..each).for_each(|_| counters.add(Counter::Hits)));
                }
            });
        }
        assert_eq!((counters.sum(Counter::Hits), counters.sum(Counter::Absent)), (3 * threads * each, 0));
    }
}
