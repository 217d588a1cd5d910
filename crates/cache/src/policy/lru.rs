//! Exact least recently used, on the `lru` crate.

use std::borrow::Borrow;
use std::fmt;

use lru::LruCache;

use super::Policy;
use super::keyed::{BuildFinished, HashedKey, Keyed, Lookup, NodeRef, Numbered};
use crate::entry::Entry;

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

impl<K: Eq, V> Policy<K, V> for Lru<K, V> {
    #[inline]
    fn hit<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<&Entry<V>>
    where
        K: Borrow<Q>,
    {
        self.map.get::<dyn HashedKey<Q> + '_>(lookup)
    }

    fn peek<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<&Entry<V>>
    where
        K: Borrow<Q>,
    {
        self.map.peek::<dyn HashedKey<Q> + '_>(lookup)
    }

    fn peek_mut<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<&mut Entry<V>>
    where
        K: Borrow<Q>,
    {
        self.map.peek_mut::<dyn HashedKey<Q> + '_>(lookup)
    }

    fn pair<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<(&K, &Entry<V>)>
    where
        K: Borrow<Q>,
    {
        self.map.get_key_value::<dyn HashedKey<Q> + '_>(lookup).map(|(keyed, entry)| (&keyed.key, entry))
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

    fn evict(&mut self) -> Option<(K, Entry<V>)> {
        self.map.pop_lru().map(|(keyed, entry)| (keyed.key, entry))
    }

    fn extract(&mut self, mut fits: impl FnMut(&K, &Entry<V>) -> bool, mut each: impl FnMut((K, Entry<V>))) {
        // `LruCache::retain` would drop keys and values here and now, under the lock.
        let leaving: Vec<NodeRef> =
            self.map.iter().filter(|(keyed, entry)| fits(&keyed.key, entry)).map(|(keyed, _)| keyed.number()).collect();
        for node in leaving {
            if let Some((keyed, entry)) = self.map.pop_entry::<dyn Numbered + '_>(&node) {
                each((keyed.key, entry));
            }
        }
    }

    fn len(&self) -> usize {
        self.map.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn entry(value: u32) -> Entry<u32> {
        Entry::lasting(Some(value), 1)
    }

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
        assert_eq!(lru.hit(&Lookup::new(1, "key 20")).and_then(|entry| entry.value), Some(20));
        assert_eq!(lru.hit(&Lookup::new(1, "key 10")).and_then(|entry| entry.value), Some(10));
        assert!(lru.hit(&Lookup::new(1, "key 30")).is_none(), "found by hash alone");
    }

    #[test]
    fn a_hit_moves_to_the_front_and_a_peek_does_not() {
        let mut lru = filled();
        assert!(lru.hit(&Lookup::new(1, "key 10")).is_some());
        assert!(lru.peek(&Lookup::new(1, "key 20")).is_some());
        let order: Vec<u32> = std::iter::from_fn(|| lru.evict()).filter_map(|(_, entry)| entry.value).collect();
        assert_eq!(order, [20, 30, 10]);
    }

    #[test]
    fn extracting_keeps_the_order_of_the_others() {
        let mut lru = filled();
        let mut gone = Vec::new();
        lru.extract(|_, entry| entry.value == Some(20), |(key, _)| gone.push(key));
        assert_eq!(gone, ["key 20"]);
        let order: Vec<u32> = std::iter::from_fn(|| lru.evict()).filter_map(|(_, entry)| entry.value).collect();
        assert_eq!(order, [10, 30]);
    }

    #[test]
    fn replacing_gives_the_old_entry_back() {
        let mut lru = filled();
        let old = lru.insert(1, "key 10".to_owned(), entry(11)).expect("the key was there");
        assert_eq!((old.0.as_str(), old.1.value), ("key 10", Some(10)));
        assert_eq!(lru.len(), 3);
        assert!(lru.remove(&Lookup::new(1, "key 10")).is_some_and(|(_, entry)| entry.value == Some(11)));
        assert_eq!(lru.len(), 2);
    }
}
