//! One byte budget for all shards.
//!
//! A budget that is split evenly refuses an entry heavier than one shard's share, and the more
//! cores a machine has the lighter the heaviest entry becomes. Here the shards draw on one count: a
//! shard may grow past its share as long as the sum holds. The count changes only under the lock of
//! the shard whose entries change, so at rest it is the exact sum.

use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    max: u64,
    max_entry: u64,
    /// A shard below this keeps its entries and lets the fullest one give way: half of an even
    /// share, or nothing if there is one shard only.
    floor: u64,
}

impl Budget {
    pub(crate) const fn new(max: u64, max_entry: u64, shards: u64) -> Self {
        let floor = if shards > 1 { max / shards / 2 } else { 0 };
        Self { used: AtomicU64::new(0), max, max_entry, floor }
    }

    pub(crate) const fn max(&self) -> u64 {
        self.max
    }

    pub(crate) const fn max_entry(&self) -> u64 {
        self.max_entry
    }

    pub(crate) const fn floor(&self) -> u64 {
        self.floor
    }

    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    pub(crate) fn is_exceeded(&self) -> bool {
        self.used() > self.max
    }

    pub(crate) fn take(&self, weight: u64) {
        // Of two shards that grow past the budget at once, the one that is counted later is sure to
        // see the weight of the other, which is written before this.
        self.used.fetch_add(weight, Ordering::AcqRel);
    }

    pub(crate) fn give_back(&self, weight: u64) {
        self.used.fetch_sub(weight, Ordering::AcqRel);
    }
}
