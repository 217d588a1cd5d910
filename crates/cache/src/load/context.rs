//! What a loader can say about the value it brings.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::entry::EntryOptions;

/// Lets a loader say how its value is to be stored; the last word counts.
#[derive(Debug, Clone)]
pub struct LoadContext {
    directives: Arc<Mutex<Directives>>,
}

/// What was said.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directives {
    pub(crate) options: EntryOptions,
    pub(crate) storage: Storage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    Store,
    HandOutOnly,
}

impl LoadContext {
    pub(crate) fn new() -> Self {
        let directives = Directives { options: EntryOptions::new(), storage: Storage::Store };
        Self { directives: Arc::new(Mutex::new(directives)) }
    }

    pub(crate) fn directives(&self) -> Directives {
        *self.directives.lock()
    }

    /// Serves the value for this long after it was loaded, whatever the cache's time to live.
    pub fn ttl(&self, ttl: Duration) {
        self.options(EntryOptions::new().ttl(ttl));
    }

    /// Stores the value with these options.
    pub fn options(&self, options: EntryOptions) {
        self.directives.lock().options = options;
    }

    /// Hands the value to those who wait for it and does not store it: right for an answer that is
    /// degraded, partial or meant for one caller.
    pub fn do_not_store(&self) {
        self.directives.lock().storage = Storage::HandOutOnly;
    }
}
