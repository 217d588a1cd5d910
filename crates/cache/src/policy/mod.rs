//! Which entry gives way.
//!
//! A policy owns the entries of one shard: it finds them, orders them and names the next victim. It
//! knows nothing of budgets, locks or loads, so that another order can take its place without a
//! change elsewhere. Keys come with their hash, computed once and outside of the lock.

mod ghosts;
mod keyed;
mod lru;
mod s3fifo;
mod slab;

pub(crate) use keyed::Lookup;

use std::borrow::Borrow;

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, Hot, Remains, View, ViewMut};
use crate::expiry::Tick;
use lru::Lru;
use s3fifo::S3Fifo;

/// By what rule entries give way when the budget asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EvictionPolicy {
    /// New entries prove themselves in a small queue before they displace what is in use (SOSP
    /// 2023). Withstands scans and loops, and readers share a lock. The default.
    #[default]
    S3Fifo,
    /// The entry not used for longest goes first, exactly, per shard. For work that is pure recency
    /// and for tests that reckon with an order; each read takes the lock of its shard alone.
    Lru,
}

/// A key with what is left of its entry, on its way out.
pub(crate) type Victim<K, V> = (K, Remains<V>);

/// The entries of one shard in the order of an eviction policy.
pub(crate) trait Policy<K: Eq, V> {
    /// Finds an entry and counts the access.
    fn hit<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<View<'_, V>>
    where
        K: Borrow<Q>;

    /// Finds an entry without a trace.
    fn peek<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<View<'_, V>>
    where
        K: Borrow<Q>;

    /// Finds an entry to change its times, without a trace.
    fn peek_mut<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<ViewMut<'_, V>>
    where
        K: Borrow<Q>;

    /// Looks at an entry with its stored key, without a trace.
    fn examine<Q: Eq + ?Sized, T>(&self, lookup: &Lookup<'_, Q>, look: impl Fn(&K, View<'_, V>) -> T) -> Option<T>
    where
        K: Borrow<Q>;

    /// Stores an entry and returns what it displaced under the same key.
    fn insert(&mut self, hash: u64, key: K, entry: Entry<V>) -> Option<(K, Entry<V>)>;

    /// Orders the entries after an insert that needed no room.
    fn settle_in(&mut self) {}

    /// Takes an entry out by its key.
    fn remove<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<(K, Entry<V>)>
    where
        K: Borrow<Q>;

    /// Takes out the entry that should go next, one whose time is over before others; never the
    /// newest one while there is another.
    fn evict(&mut self, now: Tick) -> Option<Victim<K, V>>;

    /// Takes out every entry that fits, of at most so many places from a place on, and leaves the
    /// order of the others alone. Returns where to go on, if there is more.
    fn extract(
        &mut self,
        from: usize,
        most: usize,
        fits: impl FnMut(&K, View<'_, V>) -> bool,
        each: impl FnMut((K, Entry<V>)),
    ) -> Option<usize>;

    /// Shows every entry without a trace, the one that would stay longest first.
    #[cfg(feature = "snapshot")]
    fn each(&self, show: impl FnMut(&K, View<'_, V>));

    /// Returns how many entries there are.
    fn len(&self) -> usize;
}

/// The entries of one shard under the policy that the cache was given.
#[derive(Debug)]
pub(crate) enum Entries<K, V> {
    S3Fifo(S3Fifo<K, V>),
    Lru(Lru<K, V>),
}

impl<K: Eq, V> Entries<K, V> {
    /// Makes an empty store; `share` is what a shard may weigh when all are equally full.
    pub(crate) fn new(policy: EvictionPolicy, share: u64) -> Self {
        match policy {
            EvictionPolicy::S3Fifo => Self::S3Fifo(S3Fifo::new(share)),
            EvictionPolicy::Lru => Self::Lru(Lru::default()),
        }
    }

    /// Finds what hits read of an entry, without a trace; asked only of a policy that need not move the entry for a
    /// hit.
    #[inline]
    pub(crate) fn find<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<&Hot<V>>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::S3Fifo(entries) => entries.find(lookup).map(|(_, node)| &node.hot),
            Self::Lru(_) => {
                debug_assert!(false, "a hit moves the entry");
                None
            }
        }
    }

    /// Finds an entry and counts the access under a shared lock, if this policy need not move the
    /// entry for it.
    #[inline]
    pub(crate) fn hit_shared<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Shared<'_, K, V>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::S3Fifo(entries) => {
                entries.hit_shared(lookup).map_or(Shared::Absent, |(key, entry)| Shared::Found(key, entry))
            }
            Self::Lru(_) => Shared::NeedsTheLock,
        }
    }
}

/// What a lookup under a shared lock came to.
#[derive(Debug)]
pub(crate) enum Shared<'a, K, V> {
    Found(&'a K, View<'a, V>),
    Absent,
    NeedsTheLock,
}

macro_rules! of_policy {
    ($self:ident, $entries:ident => $call:expr) => {
        match $self {
            Self::S3Fifo($entries) => $call,
            Self::Lru($entries) => $call,
        }
    };
}

impl<K: Eq, V> Policy<K, V> for Entries<K, V> {
    #[inline]
    fn hit<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<View<'_, V>>
    where
        K: Borrow<Q>,
    {
        of_policy!(self, entries => entries.hit(lookup))
    }

    #[inline]
    fn peek<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<View<'_, V>>
    where
        K: Borrow<Q>,
    {
        of_policy!(self, entries => entries.peek(lookup))
    }

    fn peek_mut<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<ViewMut<'_, V>>
    where
        K: Borrow<Q>,
    {
        of_policy!(self, entries => entries.peek_mut(lookup))
    }

    fn examine<Q: Eq + ?Sized, T>(&self, lookup: &Lookup<'_, Q>, look: impl Fn(&K, View<'_, V>) -> T) -> Option<T>
    where
        K: Borrow<Q>,
    {
        of_policy!(self, entries => entries.examine(lookup, look))
    }

    #[inline]
    fn insert(&mut self, hash: u64, key: K, entry: Entry<V>) -> Option<(K, Entry<V>)> {
        of_policy!(self, entries => entries.insert(hash, key, entry))
    }

    #[inline]
    fn settle_in(&mut self) {
        of_policy!(self, entries => entries.settle_in());
    }

    fn remove<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<(K, Entry<V>)>
    where
        K: Borrow<Q>,
    {
        of_policy!(self, entries => entries.remove(lookup))
    }

    #[inline]
    fn evict(&mut self, now: Tick) -> Option<Victim<K, V>> {
        of_policy!(self, entries => entries.evict(now))
    }

    fn extract(
        &mut self,
        from: usize,
        most: usize,
        fits: impl FnMut(&K, View<'_, V>) -> bool,
        each: impl FnMut((K, Entry<V>)),
    ) -> Option<usize> {
        of_policy!(self, entries => entries.extract(from, most, fits, each))
    }

    #[cfg(feature = "snapshot")]
    fn each(&self, show: impl FnMut(&K, View<'_, V>)) {
        of_policy!(self, entries => entries.each(show));
    }

    fn len(&self) -> usize {
        of_policy!(self, entries => entries.len())
    }
}

#[cfg(test)]
mod testing {
    use super::*;
    use crate::expiry::{Deadline, Idle, Life};
    use crate::held::{Held, Keeping};

    pub(super) fn entry(value: u32) -> Entry<u32> {
        timed(value, 1, Deadline::NEVER)
    }

    pub(super) fn timed(value: u32, weight: u64, fresh: Deadline) -> Entry<u32> {
        let idle = Idle::new(Tick::ORIGIN, None);
        Entry::new(Some(Held::new(value, Keeping::InPlace)), weight, fresh, idle, Life::UNKNOWN, None)
    }
}
