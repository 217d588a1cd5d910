use std::fmt;
use std::time::Instant;

use super::handle::{Bulkhead, sample};
use crate::class::ErrorClass;
use crate::clock::{Clock as _, TokioClock};

/// A place of a [`Bulkhead`], given back when it is dropped.
#[must_use = "a place that is dropped at once is given back at once"]
pub struct BulkheadPermit<'a> {
    bulkhead: &'a Bulkhead,
    began: Instant,
    running: u32,
    held: bool,
}

impl<'a> BulkheadPermit<'a> {
    pub(super) const fn new(bulkhead: &'a Bulkhead, began: Instant, running: u32) -> Self {
        Self { bulkhead, began, running, held: true }
    }

    /// Gives the place back and tells a limit that is learnt how the call ended: `None` with a value, else with a failure
    /// of this class. A permit that is only dropped tells nothing.
    pub fn finish(self, now: Instant, failed: Option<ErrorClass>) {
        if let Some(sample) = sample(failed, now.saturating_duration_since(self.began), self.running) {
            self.bulkhead.shared.learn(now, sample);
        }
    }

    /// Keeps the place, which is now the caller's to give back, and returns how many ran when it was taken.
    pub(super) fn into_running(mut self) -> u32 {
        self.held = false;
        self.running
    }
}

impl Drop for BulkheadPermit<'_> {
    fn drop(&mut self) {
        if self.held {
            self.bulkhead.shared.give_back(|| TokioClock.now());
        }
    }
}

impl fmt::Debug for BulkheadPermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadPermit").field("bulkhead", &self.bulkhead.name()).finish_non_exhaustive()
    }
}
