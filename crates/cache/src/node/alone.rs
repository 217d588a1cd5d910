//! What takes the place of tier and backplane in a build without them: nothing, under the same names.

#![expect(clippy::unused_self, reason = "the signatures are those of a build with other nodes")]

use std::convert::Infallible;
use std::hash::Hash;

use super::Attached;
use crate::entry::Entry;
use crate::expiry::Tick;
use crate::held::Held;
use crate::inner::Inner;
use crate::invalidation::Invalidation;
use crate::options::EntryOptions;

impl<K, V> Attached<K, V> {
    pub(crate) const fn remote_hits(&self) -> u64 {
        0
    }

    pub(crate) const fn stamps(&self) -> bool {
        false
    }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    #[inline]
    pub(crate) fn entry_of(
        &self,
        hash: u64,
        held: Option<Held<V>>,
        weight: u64,
        options: &mut EntryOptions,
    ) -> (Entry<V>, Tick) {
        self.entry(hash, held, weight, options)
    }

    /// Tells whether anybody is to be told of invalidations.
    pub(crate) const fn has_listeners(&self) -> bool {
        self.has_sink()
    }

    pub(crate) const fn announce(&self, _: &Invalidation<K>) -> Option<Infallible> {
        None
    }

    pub(crate) const fn compose(&self, _: &K, _: &V, _: &mut EntryOptions) -> Option<Infallible> {
        None
    }

    pub(crate) const fn tell_others(&self, _: Option<Infallible>) {}

    /// Passes an invalidation that began here on to others; never called with a lock held.
    pub(crate) fn publish(&self, invalidation: &Invalidation<K>, _: Option<Infallible>) {
        self.tell_sink(invalidation);
    }
}
