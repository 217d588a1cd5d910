use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What a hub holds, and what it has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HubStats {
    /// Documents that are open.
    pub documents: usize,
    /// Sessions that have joined and not left.
    pub sessions: usize,
    /// Sessions that ever joined.
    pub joined: u64,
    /// Edits that changed a document.
    pub edits: u64,
    /// Updates of other replicas that changed a document.
    pub updates: u64,
    /// Updates of other replicas that held nothing new.
    pub known: u64,
    /// Joins, edits, updates and presences that were refused.
    pub refused: u64,
    /// Appends and snapshots that the store did not take.
    pub store_failures: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) joined: AtomicU64,
    pub(crate) edits: AtomicU64,
    pub(crate) updates: AtomicU64,
    pub(crate) known: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) store_failures: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self, documents: usize, sessions: usize) -> HubStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        HubStats {
            documents,
            sessions,
            joined: read(&self.joined),
            edits: read(&self.edits),
            updates: read(&self.updates),
            known: read(&self.known),
            refused: read(&self.refused),
            store_failures: read(&self.store_failures),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
