//! A number for each thread, small and its own while it lives.
//!
//! What a thread alone writes needs no locked addition and is no line that others wait for: each
//! seat has such a place, in the counters and in the table of readers.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

thread_local! {
    // Constant and without `Drop`, so that reading it is one load.
    static SEAT: Cell<usize> = const { Cell::new(UNSEATED) };
    static RELEASE: Release = const { Release };
}

/// Gives the thread's seat back at its end.
struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        // What this thread does after here, in the `Drop` of other thread-locals, it does standing.
        let seat = SEAT.replace(STANDING);
        if seat < STANDING {
            SEATS.lock().free.push(seat);
        }
    }
}

/// The place of this thread among these, no other one's while it lives; none if there are too few.
#[inline]
pub(crate) fn own<T>(places: &[T]) -> Option<&T> {
    let seat = SEAT.get();
    let place = places.get(seat);
    if place.is_none() && seat == UNSEATED { places.get(take_seat()) } else { place }
}

/// How many seats were ever given out. A thread that is not counted yet has not used its seat.
#[inline]
pub(crate) fn seats() -> usize {
    GIVEN.load(Ordering::SeqCst)
}

/// Returns the number of this thread, given to no other one while it lives; beyond all others if it has none.
#[cold]
fn take_seat() -> usize {
    // If the end of the thread cannot be seen any more it gets no seat.
    let seat = RELEASE.try_with(|_| SEATS.lock().take()).unwrap_or(STANDING);
    SEAT.set(seat);
    seat
}

struct Seats {
    /// The lock orders the last use of the one who leaves before the first of the one who follows.
    free: Vec<usize>,
}

impl Seats {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| GIVEN.fetch_add(1, Ordering::SeqCst))
    }
}

static SEATS: Mutex<Seats> = Mutex::new(Seats { free: Vec::new() });
static GIVEN: AtomicUsize = AtomicUsize::new(0);
const UNSEATED: usize = usize::MAX;
const STANDING: usize = usize::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of this thread, told by its place among all.
    fn seat() -> usize {
        let places: Vec<usize> = (0..4096).collect();
        *own(&places).unwrap()
    }

    #[test]
    fn a_thread_keeps_its_seat_and_no_two_have_the_same() {
        let mine = seat();
        assert_eq!(seat(), mine);
        let other = std::thread::scope(|scope| scope.spawn(seat).join().unwrap());
        assert_ne!(other, mine);
        assert!(mine.max(other) < seats());
        assert_eq!(own::<usize>(&[]), None);
    }
}
