//! One independently locked part of the cache.
//!
//! Entries and the loads under way share a lock, so that "is it here, is somebody fetching it, then
//! I will" is one step: no second load can slip in between the end of a load and the arrival of its
//! value.

use std::borrow::Borrow;

use crate::budget::Budget;
use crate::entry::{Entry, Judge, View};
use crate::expiry::Tick;
use crate::held::Held;
use crate::load::FlightTable;
use crate::observer::MissCause;
use crate::outgoing::{Outgoing, Why};
use crate::policy::{Entries, EvictionPolicy, Lookup, Policy as _, Shared, Victim};
use crate::stats::CacheStats;
use crate::sync::{AtomicU64, Ordering, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Aligned so that two shards never share a cache line, nor a pair of lines that is fetched
/// together.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Shard<K: Eq, V> {
    core: RwLock<Core<K, V>>,
    /// The weight of the entries, written under the lock and read without it to find the fullest
    /// shard.
    bytes: AtomicU64,
}

/// What the lock guards.
#[derive(Debug)]
pub(crate) struct Core<K: Eq, V> {
    pub(crate) entries: Entries<K, V>,
    pub(crate) flights: FlightTable<K, V>,
    /// What is counted under the lock; plain hits and absent keys are mostly counted by readers.
    pub(crate) counts: CacheStats,
}

/// What a lookup found.
#[derive(Debug)]
pub(crate) enum Found<K, V> {
    Live(Held<V>),
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

/// What a look under the shared lock came to.
#[derive(Debug)]
pub(crate) enum Glance<T> {
    Took(T),
    Absent,
    /// There is more to it, or this policy moves an entry for each access: look under the lock
    /// alone.
    Unsure,
}

impl<K: Eq, V> Shard<K, V> {
    pub(crate) fn new(policy: EvictionPolicy, share: u64) -> Self {
        let core = Core {
            entries: Entries::new(policy, share),
            flights: FlightTable::default(),
            counts: CacheStats::default(),
        };
        Self { core: RwLock::new(core), bytes: AtomicU64::new(0) }
    }

    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_, K, V> {
        Locked { core: self.core.write(), bytes: &self.bytes }
    }

    #[inline]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Core<K, V>> {
        self.core.read()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns the counts with what is held now.
    pub(crate) fn stats(&self) -> CacheStats {
        let core = self.core.read();
        let mut stats = core.counts;
        stats.entries = u64::try_from(core.entries.len()).unwrap_or(u64::MAX);
        stats.bytes = self.bytes();
        stats
    }

    /// Counts the access to an entry and takes from it what is asked for, without the lock alone.
    #[inline]
    pub(crate) fn glance<Q, T>(
        &self,
        lookup: &Lookup<'_, Q>,
        take: impl FnOnce(&K, View<'_, V>) -> Option<T>,
    ) -> Glance<T>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let core = self.core.read();
        match core.entries.hit_shared(lookup) {
            Shared::Found(key, entry) => take(key, entry).map_or(Glance::Unsure, Glance::Took),
            Shared::Absent => Glance::Absent,
            Shared::NeedsTheLock => Glance::Unsure,
        }
    }
}

/// A shard while it is locked: each step keeps entries, weights and counts in accord.
#[derive(Debug)]
pub(crate) struct Locked<'a, K: Eq, V> {
    pub(crate) core: RwLockWriteGuard<'a, Core<K, V>>,
    bytes: &'a AtomicU64,
}

impl<K: Eq, V> Locked<'_, K, V> {
    /// Looks an entry up, counting the access and a miss that has a cause; what can never be served
    /// again is taken out.
    pub(crate) fn look_up<Q>(&mut self, budget: &Budget, judge: &Judge<'_, K>, lookup: &Lookup<'_, Q>) -> Found<K, V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
        V: Clone,
    {
        match self.core.entries.hit(lookup) {
            Some(entry) if entry.is_up_to_date(judge.generations) && entry.is_fresh(judge.now) => {
                if let Some(held) = entry.held() {
                    entry.touch(judge.now);
                    return Found::Live(held);
                }
            }
            Some(_) => {}
            None => return Found::Absent,
        }
        if let Some(buried) = self.bury(budget, judge, lookup) {
            self.core.counts.miss(buried.0.cause());
            return Found::Gone(buried);
        }
        let core = &mut *self.core;
        let Some((entry, held)) = core.entries.peek(lookup).and_then(|entry| Some((entry, entry.held()?))) else {
            return Found::Absent;
        };
        entry.touch(judge.now);
        if entry.hot.fresh.has_passed(judge.now) {
            core.counts.miss(MissCause::Expired);
            return Found::Stale;
        }
        Found::Live(held)
    }

    /// Takes an entry out that can never be served again: invalidated, or past its keeping.
    pub(crate) fn bury<Q>(
        &mut self,
        budget: &Budget,
        judge: &Judge<'_, K>,
        lookup: &Lookup<'_, Q>,
    ) -> Option<Buried<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        // Read before the entry is compared: what is invalidated in between is newer than this.
        let suspected = judge.generations.suspected();
        let look = |key: &K, entry: View<'_, V>| (entry.end(judge, key), entry.is_doubtful(judge.generations));
        let (end, is_doubtful) = self.core.entries.examine(lookup, look)?;
        if end.is_none() && is_doubtful {
            return self.doubt(budget, judge, lookup, suspected);
        }
        let why = end?;
        self.core.counts.gone(why, 1);
        self.take(budget, lookup).map(|gone| Box::new((why, gone)))
    }

    /// Makes an entry stale that is no longer to be trusted, and takes it out if none may be served
    /// stale.
    #[cold]
    fn doubt<Q>(
        &mut self,
        budget: &Budget,
        judge: &Judge<'_, K>,
        lookup: &Lookup<'_, Q>,
        suspected: u64,
    ) -> Option<Buried<K, V>>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let mut entry = self.core.entries.peek_mut(lookup)?;
        if entry.doubt(judge, suspected) {
            return None;
        }
        self.core.counts.gone(Why::Invalidated, 1);
        self.take(budget, lookup).map(|gone| Box::new((Why::Invalidated, gone)))
    }

    /// Stores an entry, and lets others of this shard give way while the budget is exceeded and the
    /// shard is not a small one.
    ///
    /// Room is made before the weight is counted: where as much goes as comes, the count that all
    /// shards share is only read.
    #[inline]
    pub(crate) fn put(
        &mut self,
        budget: &Budget,
        hash: u64,
        key: K,
        entry: Entry<V>,
        now: Tick,
        out: &mut Outgoing<K, V>,
    ) -> Option<(K, Entry<V>)> {
        let weight = entry.weight();
        let displaced = self.core.entries.insert(hash, key, entry);
        self.core.counts.inserts += 1;
        let mut freed = displaced.as_ref().map_or(0, |(_, old)| old.weight());
        let before = self.weight();
        let mut gave_way = false;
        while budget.would_exceed(weight, freed) && before.saturating_sub(freed) > budget.floor() {
            let Some(gone) = self.evict_one(now) else { break };
            gave_way = true;
            freed += gone.1.weight();
            out.push(Why::Evicted, gone);
        }
        self.bytes.store(before + weight - freed, Ordering::Relaxed);
        budget.exchange(weight, freed);
        // Another shard may have stored meanwhile. What is still too much comes from the fullest.
        while budget.is_exceeded() && self.weight().saturating_sub(weight) > budget.floor() {
            if !self.evict_older(budget, now, out) {
                break;
            }
        }
        if !gave_way {
            self.core.entries.settle_in();
        }
        displaced
    }

    /// Lets one entry give way, but never the last: that is the newest. Leaves weights to the
    /// caller.
    #[inline]
    fn evict_one(&mut self, now: Tick) -> Option<Victim<K, V>> {
        if self.core.entries.len() < 2 {
            return None;
        }
        let gone = self.core.entries.evict(now)?;
        self.core.counts.evictions += 1;
        Some(gone)
    }

    /// Lets one entry give way, but never the last. Tells whether one did.
    pub(crate) fn evict_older(&mut self, budget: &Budget, now: Tick, out: &mut Outgoing<K, V>) -> bool {
        self.core.entries.len() > 1 && self.evict(budget, now, out)
    }

    /// Lets one entry give way. Tells whether there was one.
    pub(crate) fn evict(&mut self, budget: &Budget, now: Tick, out: &mut Outgoing<K, V>) -> bool {
        let Some(gone) = self.core.entries.evict(now) else {
            return false;
        };
        self.shrink(budget, gone.1.weight());
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
        self.shrink(budget, gone.1.weight());
        Some(gone)
    }

    /// Takes out every entry that can never be served again, of a part of so many that begins at
    /// `from`. Returns where to go on, if there is more.
    pub(crate) fn sweep(
        &mut self,
        budget: &Budget,
        judge: &Judge<'_, K>,
        from: usize,
        most: usize,
        out: &mut Outgoing<K, V>,
    ) -> Option<usize> {
        let core = &mut *self.core;
        let (mut weight, mut expired, mut invalidated) = (0, 0, 0);
        let next = core.entries.extract(
            from,
            most,
            |key, entry| entry.end(judge, key).is_some(),
            |gone| {
                weight += gone.1.weight();
                // Most that are past their keeping were not invalidated as well; and if so, either
                // is true of them.
                let why = if gone.1.view().is_past_keeping(judge) { Why::Expired } else { Why::Invalidated };
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
        next
    }

    /// Takes out everything, the loads under way included: what they bring will not be stored.
    pub(crate) fn empty(&mut self, budget: &Budget, empty: Entries<K, V>) -> Entries<K, V> {
        let weight = self.weight();
        self.shrink(budget, weight);
        self.core.flights.detach_all();
        std::mem::replace(&mut self.core.entries, empty)
    }

    fn weight(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    // The lock is held, so a load and a store are one step.
    fn shrink(&self, budget: &Budget, weight: u64) {
        self.bytes.store(self.weight() - weight, Ordering::Relaxed);
        budget.give_back(weight);
    }
}

/// What a node costs besides its key and value: deadline, stamps, generation, weight, hash and links
/// (64 bytes), its place in a table that is about two thirds full, its fingerprint once it is gone,
/// and room to grow. The bench `memory_u64` measures 81 bytes; with tables that have just doubled it
/// is 87.
pub(crate) const NODE_BYTES: u64 = 88;
