use std::cell::Cell;

use crate::logs::LineBuffer;
use crate::trace::record::Fields;

/// What a thread needs to look at one event, used again for the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) fields: Fields,
    pub(super) line: LineBuffer,
}

impl Scratch {
    /// Lends the thread's own. A field whose `Debug` logs comes here while it is lent, and gets a new one.
    pub(super) fn with(work: impl FnOnce(&mut Self)) {
        let mut scratch = OWN.try_with(Cell::take).ok().flatten().unwrap_or_default();
        work(&mut scratch);
        // A thread that ends keeps nothing.
        let _kept = OWN.try_with(|own| own.set(Some(scratch)));
    }
}

thread_local! {
    static OWN: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}
