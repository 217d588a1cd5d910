//! What a thread has of its own, so that the end of a trace waits for nobody.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::trace::segment::Segment;

/// The counts of a thread, and the segment that it fills. Where there are more threads than lanes, some share one.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) segment: Segment,
    pub(crate) spans: u64,
    pub(crate) dropped_spans: u64,
    pub(crate) kept: u64,
    pub(crate) not_kept: u64,
    pub(crate) forgotten: u64,
}

impl Lane {
    /// Counts what ended, and what had to go for it.
    pub(crate) const fn count(&mut self, spans: u64, dropped_spans: u64, forgotten: u64) {
        self.spans += spans;
        self.dropped_spans += dropped_spans;
        self.forgotten += forgotten;
    }
}

#[derive(Debug, Default)]
pub(crate) struct Lanes {
    first: Mutex<Lane>,
    rest: [Mutex<Lane>; LANES - 1],
}

impl Lanes {
    pub(crate) const COUNT: usize = LANES;

    /// The lane of this thread.
    pub(crate) fn own(&self) -> MutexGuard<'_, Lane> {
        // A thread that ends has no number any more.
        let number = NUMBER.try_with(|number| {
            if number.get() == usize::MAX {
                number.set(NEXT.fetch_add(1, Ordering::Relaxed) % LANES);
            }
            number.get()
        });
        number.ok().and_then(|number| self.rest.get(number)).unwrap_or(&self.first).lock()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = MutexGuard<'_, Lane>> {
        std::iter::once(&self.first).chain(&self.rest).map(Mutex::lock)
    }
}

const LANES: usize = 16;
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
}
