//! Frees what can never be served again.

use std::hash::Hash;

use crate::inner::Inner;
use crate::invalidation::Scope;
use crate::observer::CacheEvent;
use crate::outgoing::Outgoing;
use crate::policy::{Entries, EvictionPolicy, Policy as _};

/// A round through all shards, one step each.
#[derive(Debug)]
pub(crate) struct Sweep {
    next_shard: usize,
    /// The generation in which the round began.
    generation: u64,
    /// The generation in which the oldest load under way began.
    oldest_load: u64,
    /// Whether every shard was seen to its end so far.
    is_whole: bool,
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn clear(&self) {
        // At once, for what is stored as for what is being loaded; the memory follows.
        let _crowded = self.generations().open(Scope::Everything);
        let mut entries = 0;
        for shard in self.shards() {
            let empty = Entries::new(self.config().policy, self.budget().share());
            let emptied = shard.lock().empty(self.budget(), empty);
            entries += u64::try_from(emptied.len()).unwrap_or(u64::MAX);
        }
        self.emit(CacheEvent::Cleared { entries });
    }

    /// Takes out every entry that can never be served again, and gives up the tombstones that
    /// nothing has to be compared with any more.
    pub(crate) fn sweep(&self) -> usize {
        let mut swept = 0;
        if let Some(mut sweep) = self.begin_sweep() {
            while let Some(part) = self.sweep_shard(&mut sweep) {
                swept += part;
            }
        }
        swept
    }

    /// Begins a round, if there can be anything to take out.
    pub(crate) fn begin_sweep(&self) -> Option<Sweep> {
        let is_due = self.is_timed() || self.generations().has_tombstones();
        let generation = self.generations().current();
        is_due.then_some(Sweep { next_shard: 0, generation, oldest_load: u64::MAX, is_whole: true })
    }

    /// Sweeps the next shard, and returns how much was in it to drop; `None` at the end of the
    /// round.
    pub(crate) fn sweep_shard(&self, sweep: &mut Sweep) -> Option<usize> {
        let Some(shard) = self.shards().get(sweep.next_shard) else {
            if std::mem::take(&mut sweep.is_whole) {
                self.generations().retire(sweep.generation, sweep.oldest_load);
            }
            return None;
        };
        sweep.next_shard += 1;
        let was_whole = std::mem::take(&mut sweep.is_whole);
        let now = self.now();
        let most = self.swept_at_once();
        let (mut swept, mut from) = (0, Some(0));
        while let Some(part) = from {
            let mut out = Outgoing::new();
            // Others have a chance at the lock between two parts.
            let mut shard = shard.lock();
            sweep.oldest_load = sweep.oldest_load.min(shard.core.flights.oldest());
            from = shard.sweep(self.budget(), &self.judge(now), part, most, &mut out);
            drop(shard);
            swept += out.len();
            self.release(out);
        }
        // Not reached if the user's `Drop` has panicked: then some may be left that a tombstone fits.
        sweep.is_whole = was_whole;
        Some(swept)
    }

    /// Returns how many entries are looked at before others may have the lock.
    ///
    /// Under LRU an entry moves up when one before it goes, so that between two parts one can slip
    /// by. That matters once tombstones are given up for it, so then the shard is swept at once.
    fn swept_at_once(&self) -> usize {
        match self.config().policy {
            EvictionPolicy::Lru if self.generations().has_tombstones() => usize::MAX,
            _ => SWEPT_AT_ONCE,
        }
    }
}

const SWEPT_AT_ONCE: usize = 1024;
