//! What was attached to a cache; nothing, for most.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;

use super::advisor::Advisor;
#[cfg(feature = "remote")]
use super::{RemoteNode, remote::Tasks};
use crate::inner::Inner;
#[cfg(feature = "remote")]
use std::sync::Arc;

pub(crate) struct Attached<K, V> {
    pub(crate) advisor: Option<Advisor>,
    #[cfg(feature = "remote")]
    pub(crate) remote: Option<Arc<RemoteNode<K, V>>>,
    /// End with the cache.
    #[cfg(feature = "remote")]
    pub(crate) tasks: Tasks,
    #[cfg(feature = "snapshot")]
    pub(crate) wire: Option<crate::remote::Wire<V>>,
    entries: PhantomData<fn(K) -> V>,
}

impl<K, V> Default for Attached<K, V> {
    fn default() -> Self {
        Self {
            advisor: None,
            #[cfg(feature = "remote")]
            remote: None,
            #[cfg(feature = "remote")]
            tasks: Tasks::default(),
            #[cfg(feature = "snapshot")]
            wire: None,
            entries: PhantomData,
        }
    }
}

#[cfg(feature = "remote")]
impl<K, V> Attached<K, V> {
    /// Returns how many loads the tier answered.
    pub(crate) fn remote_hits(&self) -> u64 {
        self.remote.as_ref().map_or(0, |node| node.served.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Tells whether entries bear stamps.
    pub(crate) const fn stamps(&self) -> bool {
        self.remote.is_some()
    }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Takes note of a lookup; never called with a lock held.
    #[inline]
    pub(crate) fn asked(&self, hash: u64) {
        if let Some(advisor) = &self.attached().advisor {
            advisor.asked(hash, self);
        }
    }

    /// Takes note of what an entry weighs.
    #[inline]
    pub(crate) fn weighed(&self, hash: u64, weight: u64) {
        if let Some(advisor) = &self.attached().advisor {
            advisor.weighed(hash, weight);
        }
    }
}

impl<K, V> fmt::Debug for Attached<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Attached");
        shown.field("advisor", &self.advisor);
        #[cfg(feature = "remote")]
        shown.field("remote", &self.remote);
        shown.finish_non_exhaustive()
    }
}
