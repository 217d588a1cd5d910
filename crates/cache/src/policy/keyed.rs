//! Keys that carry their hash.
//!
//! `lru` hashes a key on each call, which would run the user's `Hash` twice per lookup, once of it
//! under the lock. A stored key therefore remembers its hash, and a lookup brings its own. The map
//! compares the two through a trait object, the one way in which `Borrow` lets a lookup be
//! something else than a part of the key; the compiler sees both concrete types and calls them
//! directly.

use std::borrow::Borrow;
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// A stored key.
#[derive(Debug)]
pub(super) struct Keyed<K> {
    pub(super) hash: u64,
    /// Unique in its shard: finds a node without the user's `Eq`.
    pub(super) node: u64,
    pub(super) key: K,
}

impl<K> Hash for Keyed<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl<K: Eq> PartialEq for Keyed<K> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.key == other.key
    }
}

impl<K: Eq> Eq for Keyed<K> {}

/// A borrowed key with its hash.
#[derive(Debug)]
pub(crate) struct Lookup<'a, Q: ?Sized> {
    hash: u64,
    key: &'a Q,
}

impl<'a, Q: ?Sized> Lookup<'a, Q> {
    pub(crate) const fn new(hash: u64, key: &'a Q) -> Self {
        Self { hash, key }
    }

    #[inline]
    pub(crate) const fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    pub(super) const fn key(&self) -> &'a Q {
        self.key
    }
}

/// What a stored key and a lookup have in common.
pub(super) trait HashedKey<Q: ?Sized> {
    fn hash(&self) -> u64;
    fn key(&self) -> &Q;
}

impl<Q: ?Sized> HashedKey<Q> for Lookup<'_, Q> {
    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn key(&self) -> &Q {
        self.key
    }
}

impl<K: Borrow<Q>, Q: ?Sized> HashedKey<Q> for Keyed<K> {
    #[inline]
    fn hash(&self) -> u64 {
        self.hash
    }

    #[inline]
    fn key(&self) -> &Q {
        self.key.borrow()
    }
}

impl<'a, K: Borrow<Q> + 'a, Q: ?Sized + 'a> Borrow<dyn HashedKey<Q> + 'a> for Keyed<K> {
    #[inline]
    fn borrow(&self) -> &(dyn HashedKey<Q> + 'a) {
        self
    }
}

impl<Q: ?Sized> Hash for dyn HashedKey<Q> + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(HashedKey::hash(self));
    }
}

impl<Q: Eq + ?Sized> PartialEq for dyn HashedKey<Q> + '_ {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        HashedKey::hash(self) == HashedKey::hash(other) && self.key() == other.key()
    }
}

impl<Q: Eq + ?Sized> Eq for dyn HashedKey<Q> + '_ {}

/// A lookup that shows the stored key it found.
pub(super) struct Visit<'a, Q: ?Sized, F> {
    lookup: &'a Lookup<'a, Q>,
    show: F,
}

impl<'a, Q: ?Sized, F> Visit<'a, Q, F> {
    pub(super) const fn new(lookup: &'a Lookup<'a, Q>, show: F) -> Self {
        Self { lookup, show }
    }
}

/// What a stored key and such a lookup have in common.
pub(super) trait Visited<K, Q: ?Sized>: HashedKey<Q> {
    /// The stored key, of one that is stored.
    fn stored(&self) -> Option<&K>;

    fn show(&self, stored: &K);
}

impl<Q: ?Sized, F> HashedKey<Q> for Visit<'_, Q, F> {
    fn hash(&self) -> u64 {
        self.lookup.hash
    }

    fn key(&self) -> &Q {
        self.lookup.key
    }
}

impl<K, Q: ?Sized, F: Fn(&K)> Visited<K, Q> for Visit<'_, Q, F> {
    fn stored(&self) -> Option<&K> {
        None
    }

    fn show(&self, stored: &K) {
        (self.show)(stored);
    }
}

impl<K: Borrow<Q>, Q: ?Sized> Visited<K, Q> for Keyed<K> {
    fn stored(&self) -> Option<&K> {
        Some(&self.key)
    }

    fn show(&self, _: &K) {}
}

impl<'a, K: Borrow<Q> + 'a, Q: ?Sized + 'a> Borrow<dyn Visited<K, Q> + 'a> for Keyed<K> {
    fn borrow(&self) -> &(dyn Visited<K, Q> + 'a) {
        self
    }
}

impl<K, Q: ?Sized> Hash for dyn Visited<K, Q> + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(HashedKey::hash(self));
    }
}

/// Whichever of the two is stored is shown to the other.
impl<K, Q: Eq + ?Sized> PartialEq for dyn Visited<K, Q> + '_ {
    fn eq(&self, other: &Self) -> bool {
        let equal = HashedKey::hash(self) == HashedKey::hash(other) && self.key() == other.key();
        if equal {
            if let Some(stored) = other.stored() {
                self.show(stored);
            }
            if let Some(stored) = self.stored() {
                other.show(stored);
            }
        }
        equal
    }
}

impl<K, Q: Eq + ?Sized> Eq for dyn Visited<K, Q> + '_ {}

/// A node by its number, found without a look at the user's key.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeRef {
    pub(super) hash: u64,
    pub(super) node: u64,
}

pub(super) trait Numbered {
    fn number(&self) -> NodeRef;
}

impl Numbered for NodeRef {
    fn number(&self) -> NodeRef {
        *self
    }
}

impl<K> Numbered for Keyed<K> {
    fn number(&self) -> NodeRef {
        NodeRef { hash: self.hash, node: self.node }
    }
}

impl<'a, K: 'a> Borrow<dyn Numbered + 'a> for Keyed<K> {
    fn borrow(&self) -> &(dyn Numbered + 'a) {
        self
    }
}

impl Hash for dyn Numbered + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.number().hash);
    }
}

impl PartialEq for dyn Numbered + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.number().node == other.number().node
    }
}

impl Eq for dyn Numbered + '_ {}

/// Passes a finished hash through.
#[derive(Debug, Default)]
pub(super) struct Finished(u64);

impl Hasher for Finished {
    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, bytes: &[u8]) {
        // Keys of this module write one u64. Should another ever come here it still hashes, if
        // poorly.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

pub(super) type BuildFinished = BuildHasherDefault<Finished>;
