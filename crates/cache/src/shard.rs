//! One independently locked part of the cache.
//!
//! Entries and the loads under way share a lock, so that "is it here, is somebody fetching it, then
//! I will" is one step: no second load can slip in between the end of a load and the arrival of its
//! value.

use std::borrow::Borrow;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::budget::Budget;
use crate::entry::Entry;
use crate::expiry::Tick;
use crate::invalidation::Generations;
use crate::load::FlightTable;
use crate::outgoing::{Outgoing, Why};
use crate::policy::{Lookup, Lru, Policy as _};
use crate::stats::CacheStats;

/// Aligned so that two shards never share a cache line, nor a pair of lines that is fetched
/// together.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard<K: Eq, V> {
    core: Mutex<Core<K, V>>,
    /// The weight of the entries, written under the lock and read without it to find the fullest
    /// shard.
    bytes: AtomicU64,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Core<K: Eq, V> {
    pub(crate) entries: Lru<K, V>,
    pub(crate) flights: FlightTable<K, V>,
    pub(crate) counts: CacheStats,
}

/// What a lookup found.
#[derive(Debug)]
pub(crate) enum Found<K, V> {
    Live(V),
    /// Nothing, or the knowledge that there is no value.
    Absent,
    /// A value whose time to live is over; it stays.
    Stale,
    /// The entry is out of the shard now, to be dropped after the lock. Boxed, so that a hit need
    /// not make room for it.
    Gone(Buried<K, V>),
}

/// An entry that was taken out, and why.
pub(crate) type Buried<K, V> = Box<(Why, (K, Entry<V>))>;

impl<K: Eq, V> Shard<K, V> {
    pub(crate) fn new() -> Self {
        let core = Core { entries: Lru::default(), flights: FlightTable::default(), counts: CacheStats::default() };
        Self { core: Mutex::new(core), bytes: AtomicU64::new(0) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, K, V> {
        Locked { core: self.core.lock(), bytes: &self.bytes }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

/// A shard while it is locked: each step keeps entries, weights and counts in accord.
#[derive(Debug)]
pub(crate) struct Locked<'a, K: Eq, V> {
    pub(crate) core: MutexGuard<'a, Core<K, V>>,
    bytes: &'a AtomicU64,
}

impl<K: Eq, V> Locked<'_, K, V> {
    /// Looks an entry up, counts the hit or miss and takes out what can never be served again.
    #[inline]
    pub(crate) fn look_up<Q>(
        &mut self,
        budget: &Budget,
        generations: &Generations<K>,
        lookup: &Lookup<'_, Q>,
        now: Tick,
    ) -> Found<K, V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
        V: Clone,
    {
        let core = &mut *self.core;
        match core.entries.hit(lookup) {
            Some(Entry { value: Some(value), fresh, seq, .. })
                if *seq >= generations.newest() && !fresh.has_passed(now) =>
            {
                let value = value.clone();
                core.counts.hits += 1;
                Found::Live(value)
            }
            Some(_) => self.examine(budget, generations, lookup, now),
            None => {
                core.counts.misses_absent += 1;
                Found::Absent
            }
        }
    }

    /// Looks closer at an entry that is not plainly good.
    #[cold]
    fn examine<Q>(
        &mut self,
        budget: &Budget,
        generations: &Generations<K>,
        lookup: &Lookup<'_, Q>,
        now: Tick,
    ) -> Found<K, V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
        V: Clone,
    {
        if let Some(buried) = self.bury(budget, generations, lookup, now) {
            self.core.counts.miss(buried.0.cause());
            return Found::Gone(buried);
        }
        let core = &mut *self.core;
        match core.entries.peek(lookup) {
            Some(entry) if entry.fresh.has_passed(now) && entry.value.is_some() => {
                core.counts.misses_expired += 1;
                Found::Stale
            }
            Some(Entry { value: Some(value), .. }) => {
                let value = value.clone();
                core.counts.hits += 1;
                Found::Live(value)
            }
            _ => {
                core.counts.misses_absent += 1;
                Found::Absent
            }
        }
    }

    /// Takes an entry out that can never be served again: invalidated, or past its keeping.
    pub(crate) fn bury<Q>(
        &mut self,
        budget: &Budget,
        generations: &Generations<K>,
        lookup: &Lookup<'_, Q>,
        now: Tick,
    ) -> Option<Buried<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let (key, entry) = self.core.entries.pair(lookup)?;
        let why = entry.end(generations, key, now)?;
        self.core.counts.gone(why, 1);
        self.take(budget, lookup).map(|gone| Box::new((why, gone)))
    }

    /// Stores an entry, and lets others of this shard give way while the budget is exceeded and the
    /// shard is not a small one.
    pub(crate) fn put(
        &mut self,
        budget: &Budget,
        hash: u64,
        key: K,
        entry: Entry<V>,
        out: &mut Outgoing<K, V>,
    ) -> Option<(K, Entry<V>)> {
        let weight = entry.weight;
        let displaced = self.core.entries.insert(hash, key, entry);
        self.core.counts.inserts += 1;
        self.grow(budget, weight);
        if let Some((_, old)) = &displaced {
            self.shrink(budget, old.weight);
        }
        while budget.is_exceeded() && self.weight().saturating_sub(weight) > budget.floor() {
            if !self.evict_older(budget, out) {
                break;
            }
        }
        displaced
    }

    /// Lets one entry give way, but never the last: that is the newest. Tells whether one did.
    pub(crate) fn evict_older(&mut self, budget: &Budget, out: &mut Outgoing<K, V>) -> bool {
        self.core.entries.len() > 1 && self.evict(budget, out)
    }

    /// Lets one entry give way. Tells whether there was one.
    pub(crate) fn evict(&mut self, budget: &Budget, out: &mut Outgoing<K, V>) -> bool {
        let Some(gone) = self.core.entries.evict() else {
            return false;
        };
        self.shrink(budget, gone.1.weight);
        self.core.counts.evictions += 1;
        out.push(Why::Evicted, gone);
        true
    }

    /// Takes an entry out by its key, without a count.
    pub(crate) fn take<Q>(&mut self, budget: &Budget, lookup: &Lookup<'_, Q>) -> Option<(K, Entry<V>)>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let gone = self.core.entries.remove(lookup)?;
        self.shrink(budget, gone.1.weight);
        Some(gone)
    }

    /// Takes out every entry that can never be served again.
    pub(crate) fn sweep(&mut self, budget: &Budget, generations: &Generations<K>, now: Tick, out: &mut Outgoing<K, V>) {
        let core = &mut *self.core;
        let (mut weight, mut expired, mut invalidated) = (0, 0, 0);
        core.entries.extract(
            |key, entry| entry.end(generations, key, now).is_some(),
            |gone| {
                weight += gone.1.weight;
                // Most that are past their keeping were not invalidated as well; and if so, either
                // is true of them.
                let why = if gone.1.keep.has_passed(now) { Why::Expired } else { Why::Invalidated };
                match why {
                    Why::Expired => expired += 1,
                    _ => invalidated += 1,
                }
                out.push(why, gone);
            },
        );
        core.counts.gone(Why::Expired, expired);
        core.counts.gone(Why::Invalidated, invalidated);
        self.shrink(budget, weight);
    }

    /// Takes out everything, the loads under way included: what they bring will not be stored.
    pub(crate) fn empty(&mut self, budget: &Budget) -> (Lru<K, V>, FlightTable<K, V>) {
        let weight = self.weight();
        self.shrink(budget, weight);
        (std::mem::take(&mut self.core.entries), std::mem::take(&mut self.core.flights))
    }

    /// Returns the counts with what is held now.
    pub(crate) fn stats(&self) -> CacheStats {
        let mut stats = self.core.counts;
        stats.entries = u64::try_from(self.core.entries.len()).unwrap_or(u64::MAX);
        stats.bytes = self.weight();
        stats
    }

    fn weight(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    // The lock is held, so a load and a store are one step; the total is changed by many shards and
    // needs a real addition.
    fn grow(&self, budget: &Budget, weight: u64) {
        self.bytes.store(self.weight() + weight, Ordering::Relaxed);
        budget.take(weight);
    }

    fn shrink(&self, budget: &Budget, weight: u64) {
        self.bytes.store(self.weight() - weight, Ordering::Relaxed);
        budget.give_back(weight);
    }
}

/// What a node costs besides its key and value: hash, number, weight, deadline and links (48
/// bytes), the allocator's header and rounding, and its slot in a table that is about two thirds
/// full.
pub(crate) const NODE_BYTES: u64 = 80;
