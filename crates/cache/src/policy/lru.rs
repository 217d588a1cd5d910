//! Exact least recently used, on the `lru` crate.

use std::borrow::Borrow;
use std::cell::Cell;
use std::fmt;

use lru::LruCache;

use super::keyed::{BuildFinished, HashedKey, Keyed, Lookup, NodeRef, Numbered, Visit, Visited};
use super::{Policy, Victim};
use crate::entry::{Entry, View, ViewMut};
use crate::expiry::Tick;

/// The entry that was not used for longest goes first.
pub(crate) struct Lru<K, V> {
    /// Without a bound of its own: the budget counts bytes, not entries.
    map: LruCache<Keyed<K>, Entry<V>, BuildFinished>,
    nodes: u64,
}

impl<K, V> fmt::Debug for Lru<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lru").finish_non_exhaustive()
    }
}

impl<K: Eq, V> Default for Lru<K, V> {
    fn default() -> Self {
        Self { map: LruCache::unbounded_with_hasher(BuildFinished::default()), nodes: 0 }
    }
}

impl<K: Eq, V> Lru<K, V> {
    /// Looks among those that are next to go for one whose time is over; not at the newest.
    fn stale(&self, now: Tick) -> Option<NodeRef> {
        let looked_at = LOOKED_AT.min(self.map.len().saturating_sub(1));
        let mut oldest = self.map.iter().rev().take(looked_at);
        oldest.find(|(_, entry)| !entry.view().is_fresh(now)).map(|(keyed, _)| keyed.number())
    }
}

impl<K: Eq, V> Policy<K, V> for Lru<K, V> {
    #[inline]
    fn hit<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<View<'_, V>>
    where
        K: Borrow<Q>,
    {
        self.map.get::<dyn HashedKey<Q> + '_>(lookup).map(Entry::view)
    }

    fn peek<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<View<'_, V>>
    where
        K: Borrow<Q>,
    {
        self.map.peek::<dyn HashedKey<Q> + '_>(lookup).map(Entry::view)
    }

    fn peek_mut<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<ViewMut<'_, V>>
    where
        K: Borrow<Q>,
    {
        self.map.peek_mut::<dyn HashedKey<Q> + '_>(lookup).map(Entry::view_mut)
    }

    fn examine<Q: Eq + ?Sized, T>(&self, lookup: &Lookup<'_, Q>, look: impl Fn(&K, View<'_, V>) -> T) -> Option<T>
    where
        K: Borrow<Q>,
    {
        // The map gives the stored key only to who counts the access.
        let entry = self.peek(lookup)?;
        let seen = Cell::new(None);
        let visit = Visit::new(lookup, |key: &K| seen.set(Some(look(key, entry))));
        self.map.peek::<dyn Visited<K, Q> + '_>(&visit);
        seen.into_inner()
    }

    fn insert(&mut self, hash: u64, key: K, entry: Entry<V>) -> Option<(K, Entry<V>)> {
        self.nodes = self.nodes.wrapping_add(1);
        let displaced = self.map.push(Keyed { hash, node: self.nodes, key }, entry);
        displaced.map(|(keyed, entry)| (keyed.key, entry))
    }

    fn remove<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<(K, Entry<V>)>
    where
        K: Borrow<Q>,
    {
        self.map.pop_entry::<dyn HashedKey<Q> + '_>(lookup).map(|(keyed, entry)| (keyed.key, entry))
    }

    fn evict(&mut self, now: Tick) -> Option<Victim<K, V>> {
        if now > Tick::ORIGIN
            && let Some(node) = self.stale(now)
        {
            return self.map.pop_entry::<dyn Numbered + '_>(&node).map(|(keyed, entry)| (keyed.key, entry.into()));
        }
        self.map.pop_lru().map(|(keyed, entry)| (keyed.key, entry.into()))
    }

    fn extract(
        &mut self,
        from: usize,
        most: usize,
        mut fits: impl FnMut(&K, View<'_, V>) -> bool,
        mut each: impl FnMut((K, Entry<V>)),
    ) -> Option<usize> {
        // `LruCache::retain` would drop keys and values here and now, under the lock.
        let part = self.map.iter().skip(from).take(most);
        let leaving: Vec<NodeRef> =
            part.filter(|(keyed, entry)| fits(&keyed.key, entry.view())).map(|(keyed, _)| keyed.number()).collect();
        let length = self.map.len();
        let end = from.saturating_add(most);
        let more = end < length;
        let gone = leaving.len();
        for node in leaving {
            if let Some((keyed, entry)) = self.map.pop_entry::<dyn Numbered + '_>(&node) {
                each((keyed.key, entry));
            }
        }
        // Those behind have moved up.
        more.then_some(end.saturating_sub(gone))
    }

    #[cfg(feature = "snapshot")]
    fn each(&self, mut show: impl FnMut(&K, View<'_, V>)) {
        for (keyed, entry) in &self.map {
            show(&keyed.key, entry.view());
        }
    }

    fn len(&self) -> usize {
        self.map.len()
    }
}

/// How many nodes an eviction looks at for one whose time is over.
const LOOKED_AT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::entry;

    fn filled() -> Lru<String, u32> {
        let mut lru = Lru::default();
        for (hash, value) in [(1, 10), (1, 20), (2, 30)] {
            assert!(lru.insert(hash, format!("key {value}"), entry(value)).is_none());
        }
        lru
    }

    #[test]
    fn keys_of_one_hash_are_told_apart() {
        let mut lru = filled();
        assert_eq!(lru.hit(&Lookup::new(1, "key 20")).map(|entry| *entry.value()), Some(20));
        assert_eq!(lru.hit(&Lookup::new(1, "key 10")).map(|entry| *entry.value()), Some(10));
        assert!(lru.hit(&Lookup::new(1, "key 30")).is_none(), "found by hash alone");
    }

    #[test]
    fn a_hit_moves_to_the_front_and_a_peek_does_not() {
        let mut lru = filled();
        assert!(lru.hit(&Lookup::new(1, "key 10")).is_some());
        assert!(lru.peek(&Lookup::new(1, "key 20")).is_some());
        let order: Vec<u32> = std::iter::from_fn(|| lru.evict(Tick::ORIGIN)).map(|(_, entry)| *entry.value()).collect();
        assert_eq!(order, [20, 30, 10]);
    }

    #[test]
    fn to_examine_an_entry_is_no_use_of_it() {
        let mut lru = filled();
        let seen = lru.examine(&Lookup::new(1, "key 10"), |key, entry| (key.clone(), *entry.value()));
        assert_eq!(seen, Some(("key 10".to_owned(), 10)));
        assert!(lru.examine(&Lookup::new(2, "key 10"), |_, _| ()).is_none());
        let order: Vec<u32> = std::iter::from_fn(|| lru.evict(Tick::ORIGIN)).map(|(_, entry)| *entry.value()).collect();
        assert_eq!(order, [10, 20, 30]);
    }

    #[test]
    fn extracting_keeps_the_order_of_the_others() {
        let mut lru = filled();
        let mut gone = Vec::new();
        assert_eq!(lru.extract(0, 2, |_, entry| *entry.value() == 20, |(key, _)| gone.push(key)), Some(1));
        assert_eq!(gone, ["key 20"]);
        let order: Vec<u32> = std::iter::from_fn(|| lru.evict(Tick::ORIGIN)).map(|(_, entry)| *entry.value()).collect();
        assert_eq!(order, [10, 30]);
    }

    #[test]
    fn replacing_gives_the_old_entry_back() {
        let mut lru = filled();
        let old = lru.insert(1, "key 10".to_owned(), entry(11)).expect("the key was there");
        assert_eq!((old.0.as_str(), *old.1.value()), ("key 10", 10));
        assert_eq!(lru.len(), 3);
        assert!(lru.remove(&Lookup::new(1, "key 10")).is_some_and(|(_, entry)| *entry.value() == 11));
        assert_eq!(lru.len(), 2);
    }
}
