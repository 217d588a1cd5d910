//! One byte budget for all shards.
//!
//! A budget that is split evenly refuses an entry heavier than one shard's share, and the more
//! cores a machine has the lighter the heaviest entry becomes. Here the shards draw on one count: a
//! shard may grow past its share as long as the sum holds. The count changes only under the lock of
//! the shard whose entries change, so at rest it is the exact sum.

use crate::sync::{AtomicU64, Ordering};

#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicU64,
    max: u64,
    max_entry: u64,
    /// A shard below this keeps its entries and lets the fullest one give way: half of an even
    /// share, or nothing if there is one shard only.
    floor: u64,
    share: u64,
}

impl Budget {
    pub(crate) const fn new(max: u64, max_entry: u64, shards: u64) -> Self {
        let floor = if shards > 1 { max / shards / 2 } else { 0 };
        Self { used: AtomicU64::new(0), max, max_entry, floor, share: max / shards }
    }

    pub(crate) const fn max(&self) -> u64 {
        self.max
    }

    #[inline]
    pub(crate) const fn max_entry(&self) -> u64 {
        self.max_entry
    }

    /// Returns what each shard may hold when all are equally full.
    pub(crate) const fn share(&self) -> u64 {
        self.share
    }

    #[inline]
    pub(crate) const fn floor(&self) -> u64 {
        self.floor
    }

    #[inline]
    pub(crate) fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    #[inline]
    pub(crate) fn is_exceeded(&self) -> bool {
        self.used() > self.max
    }

    /// Tells whether the budget would be exceeded once this much came and that much went.
    #[inline]
    pub(crate) fn would_exceed(&self, coming: u64, going: u64) -> bool {
        (self.used() + coming).saturating_sub(going) > self.max
    }

    /// Counts what came and what went. Nothing is written where both are the same.
    #[inline]
    pub(crate) fn exchange(&self, came: u64, went: u64) {
        // Of two shards that grow past the budget at once, the one that is counted later is sure to
        // see the weight of the other, which is written before this.
        if came > went {
            self.used.fetch_add(came - went, Ordering::AcqRel);
        } else if went > came {
            self.give_back(went - came);
        }
    }

    #[inline]
    pub(crate) fn give_back(&self, weight: u64) {
        self.used.fetch_sub(weight, Ordering::AcqRel);
    }
}
