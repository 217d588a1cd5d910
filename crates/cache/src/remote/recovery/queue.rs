//! The queue.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::remote::{Change, Sealed, Stamp};

/// How much is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryConfig {
    /// Items; default 10 000, at least 1. Too few, and an outage ends with everything suspect.
    pub max_items: usize,
    /// Bytes of keys and envelopes; default 64 MiB, at least 4 KiB. They are taken beside the budget of the cache.
    pub max_bytes: usize,
}

impl RecoveryConfig {
    /// Room for the word that all is suspect, whatever the setting.
    pub(crate) const LEAST_BYTES: usize = 4096;
}

impl Default for RecoveryConfig {
    fn default() -> Self {
        Self { max_items: 10_000, max_bytes: 64 << 20 }
    }
}

/// A write that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingWrite {
    /// The key in the tier.
    pub key: Bytes,
    /// What is written there.
    pub envelope: Sealed,
    /// Until when it is kept there, in milliseconds since 1970; `None` for ever. When that is over before it
    /// was written, a tombstone is written in its place: what the tier holds is older yet.
    pub until: Option<u64>,
}

impl PendingWrite {
    /// Puts a write together.
    pub const fn new(key: Bytes, envelope: Sealed, until: Option<u64>) -> Self {
        Self { key, envelope, until }
    }
}

/// A change that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pending {
    /// When it began to be true.
    pub stamp: Stamp,
    /// What the others are told.
    pub change: Change,
    /// What is written first, where something is.
    pub write: Option<PendingWrite>,
}

impl Pending {
    /// Puts a change together.
    pub const fn new(stamp: Stamp, change: Change, write: Option<PendingWrite>) -> Self {
        Self { stamp, change, write }
    }

    fn bytes(&self) -> usize {
        let written = self.write.as_ref().map_or(0, |write| write.key.len() + write.envelope.bytes().len());
        self.change.parts().1.len() + written
    }

    fn slot(&self) -> Slot {
        let (kind, text) = self.change.parts();
        // The three words on a key replace each other.
        (if kind < 3 { 0 } else { kind }, text.to_vec())
    }
}

type Slot = (u8, Vec<u8>);

/// What became of an item that was queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pushed {
    /// It waits.
    Queued,
    /// It waits in the place of an older word on the same key.
    Replaced,
    /// A newer word on the same key waits already; this one is not needed.
    Outdated,
    /// It waits, and the oldest item had to go: all is suspect.
    Overflowed,
}

/// Names a step, so that its end is not taken for the end of a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepId(u64, bool);

impl StepId {
    /// The publishing of the same item: done, the item is.
    pub(crate) const fn published(self) -> Self {
        Self(self.0, true)
    }
}

/// What is to be done next.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Write this.
    Store {
        /// The step.
        id: StepId,
        /// What is written.
        write: PendingWrite,
    },
    /// Tell the others this.
    Publish {
        /// The step.
        id: StepId,
        /// When it began to be true.
        stamp: Stamp,
        /// What they are told.
        change: Change,
    },
}

/// The queue: pure.
#[derive(Debug)]
pub struct RecoveryQueue {
    config: RecoveryConfig,
    items: BTreeMap<u64, Item>,
    slots: HashMap<Slot, u64>,
    next: u64,
    bytes: usize,
    lost: u64,
    suspect: bool,
}

#[derive(Debug)]
struct Item {
    pending: Pending,
    written: bool,
}

impl RecoveryQueue {
    /// Makes an empty queue.
    pub fn new(config: RecoveryConfig) -> Self {
        Self { config, items: BTreeMap::new(), slots: HashMap::new(), next: 0, bytes: 0, lost: 0, suspect: false }
    }

    /// Returns how many items wait.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Tells whether none waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Returns the bytes of what waits.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns how many items had to go since the queue was made.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Tells whether items went that the others do not know of, and takes that note: who asks answers
    /// for telling them, by a [`Change::Suspect`] that was made after.
    pub const fn take_suspicion(&mut self) -> bool {
        std::mem::replace(&mut self.suspect, false)
    }

    /// Returns the stamp of what waits to be written to a key of the tier.
    pub fn newest_on(&self, key: &Bytes) -> Option<Stamp> {
        let (kind, text) = key.split_first()?;
        let kind = match kind {
            b'=' => 0,
            b'#' => 3,
            _ => return None,
        };
        let id = self.slots.get(&(kind, text.to_vec()))?;
        self.items.get(id).map(|item| item.pending.stamp)
    }

    /// Queues a change.
    pub fn push(&mut self, pending: Pending) -> Pushed {
        let slot = pending.slot();
        let mut pushed = Pushed::Queued;
        if let Some(&id) = self.slots.get(&slot) {
            if self.items.get(&id).is_some_and(|item| item.pending.stamp > pending.stamp) {
                return Pushed::Outdated;
            }
            self.remove(id);
            pushed = Pushed::Replaced;
        }
        // It goes to the end: what it replaced may be under way at the front.
        let id = self.next;
        self.next += 1;
        self.bytes += pending.bytes();
        self.slots.insert(slot, id);
        self.items.insert(id, Item { pending, written: false });
        while self.items.len() > self.config.max_items.max(1)
            || self.bytes > self.config.max_bytes.max(RecoveryConfig::LEAST_BYTES)
        {
            let Some(oldest) = self.items.keys().next().copied() else { break };
            self.remove(oldest);
            self.lost += 1;
            self.suspect = true;
            pushed = Pushed::Overflowed;
        }
        pushed
    }

    /// Returns what is to be done next, without taking it: it waits until it is [`done`](Self::done).
    pub fn peek(&self) -> Option<Step> {
        let (&id, item) = self.items.iter().next()?;
        match &item.pending.write {
            Some(write) if !item.written => Some(Step::Store { id: StepId(id, false), write: write.clone() }),
            _ => {
                let Pending { stamp, change, .. } = &item.pending;
                Some(Step::Publish { id: StepId(id, true), stamp: *stamp, change: change.clone() })
            }
        }
    }

    /// Reports a step that succeeded. One whose item was replaced meanwhile is none of its business.
    pub fn done(&mut self, step: StepId) {
        let StepId(id, published) = step;
        if published {
            self.remove(id);
        } else if let Some(item) = self.items.get_mut(&id) {
            item.written = true;
        }
    }

    fn remove(&mut self, id: u64) {
        if let Some(item) = self.items.remove(&id) {
            self.bytes -= item.pending.bytes();
            self.slots.remove(&item.pending.slot());
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
