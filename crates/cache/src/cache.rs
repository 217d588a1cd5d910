//! The handle that callers hold.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use crate::builder::CacheBuilder;
use crate::config::CacheConfig;
use crate::entry::{EntryOptions, Insertion};
use crate::inner::Inner;
use crate::invalidation::Invalidation;
use crate::stats::CacheStats;

/// A cache in this process, shared by all clones of the handle.
///
/// A lookup clones the value, under the lock of one shard: keep clones cheap, with `Arc<T>` or
/// `Bytes` for what is large. `Hash`, the weigher, the observer and the `Drop` of keys and values
/// run outside of that lock; `Eq` of keys and `Clone` of values run under it and must not call the
/// cache.
pub struct Cache<K: Eq, V> {
    pub(crate) inner: Arc<Inner<K, V>>,
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Starts to set up a cache; the name tells it from others in logs and metrics.
    pub fn builder(name: impl Into<String>) -> CacheBuilder<K, V> {
        CacheBuilder::new(name.into())
    }

    pub(crate) fn from_inner(inner: Inner<K, V>) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// Returns the name given to the builder.
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Returns the settings in effect, defaults resolved.
    pub fn config(&self) -> &CacheConfig {
        self.inner.config()
    }

    /// Returns the value of a key, if it is within its time to live, and counts the lookup.
    ///
    /// A stale value is a miss and stays where it is: [`get_or_load`](Self::get_or_load) decides
    /// whether it can serve.
    ///
    /// # Examples
    ///
    /// ```
    /// use bedplate_cache::Cache;
    ///
    /// let cache: Cache<String, u64> = Cache::builder("sizes").build()?;
    /// cache.insert("a.txt".to_owned(), 12);
    /// assert_eq!(cache.get("a.txt"), Some(12));
    /// # Ok::<(), bedplate_cache::ConfigError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.get(key)
    }

    /// Tells whether a key has a live value, without a count and without a change to what is
    /// evicted next.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.contains(key)
    }

    /// Stores a value, and lets others give way if the budget asks for it.
    ///
    /// A load of this key that is under way still serves those who wait for it, but is not stored:
    /// this value is newer.
    pub fn insert(&self, key: K, value: V) -> Insertion<V> {
        self.insert_with(key, value, EntryOptions::new())
    }

    /// Stores a value with options of its own; else as [`insert`](Self::insert).
    pub fn insert_with(&self, key: K, value: V, options: EntryOptions) -> Insertion<V> {
        self.inner.insert(key, value, options)
    }

    /// Removes a key and returns its value, if that was live.
    ///
    /// A load of this key that began before is not stored, and whoever asks from now on starts a
    /// new one. Others are not told, since a borrowed key cannot be sent: see
    /// [`invalidate`](Self::invalidate).
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.inner.remove(key)
    }

    /// Removes everything: at once for readers, then shard by shard for the memory.
    ///
    /// What was stored before the call is gone after it, and no load that began before the call is
    /// stored. An insert that runs meanwhile may stay.
    pub fn clear(&self) {
        self.inner.clear();
        self.inner.publish(|| Invalidation::Clear);
    }

    /// Drops every entry whose time is over, those kept for stale use not counted, and every
    /// entry that was invalidated; returns how many there were.
    ///
    /// Never needed for correct answers: no such entry is served. It frees memory early, at
    /// the cost of a look at every entry, one shard after the other.
    pub fn maintain(&self) -> usize {
        self.inner.maintain()
    }

    /// Returns the number of entries, those included that have expired and were not yet dropped.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Tells whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns what the entries weigh, in bytes: at rest exactly the sum of their weights, and
    /// never more than the budget.
    ///
    /// While inserts run on other threads it may be above the budget by what they are just storing.
    pub fn bytes(&self) -> u64 {
        self.inner.budget().used()
    }

    /// Returns what was counted so far.
    pub fn stats(&self) -> CacheStats {
        self.inner.stats()
    }
}

impl<K: Eq, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// Shows the name and the fill, never the contents.
impl<K, V> fmt::Debug for Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("name", &self.name()).field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
