//! Which entry gives way.
//!
//! A policy owns the entries of one shard: it finds them, orders them and names the next victim. It
//! knows nothing of budgets, time, locks or loads, so that another order can take its place without
//! a change elsewhere. Keys come with their hash, computed once and outside of the lock.

mod keyed;
mod lru;

pub(crate) use keyed::Lookup;
pub(crate) use lru::Lru;

use std::borrow::Borrow;

use crate::entry::Entry;

/// The entries of one shard in the order of an eviction policy.
pub(crate) trait Policy<K: Eq, V>: Default {
    /// Finds an entry and counts the access.
    fn hit<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<&Entry<V>>
    where
        K: Borrow<Q>;

    /// Finds an entry without a trace.
    fn peek<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<&Entry<V>>
    where
        K: Borrow<Q>;

    /// Finds an entry to change its times, without a trace.
    fn peek_mut<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<&mut Entry<V>>
    where
        K: Borrow<Q>;

    /// Finds an entry with its stored key; whether that counts as an access is the policy's choice.
    fn pair<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<(&K, &Entry<V>)>
    where
        K: Borrow<Q>;

    /// Stores an entry and returns what it displaced under the same key.
    fn insert(&mut self, hash: u64, key: K, entry: Entry<V>) -> Option<(K, Entry<V>)>;

    /// Takes an entry out by its key.
    fn remove<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<(K, Entry<V>)>
    where
        K: Borrow<Q>;

    /// Takes out the entry that should go next; never the newest one while there is another.
    fn evict(&mut self) -> Option<(K, Entry<V>)>;

    /// Takes out every entry that fits, and leaves the order of the others alone.
    fn extract(&mut self, fits: impl FnMut(&K, &Entry<V>) -> bool, each: impl FnMut((K, Entry<V>)));

    /// Returns how many entries there are.
    fn len(&self) -> usize;
}
