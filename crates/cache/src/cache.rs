//! The handle that callers hold.

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use crate::builder::CacheBuilder;
use crate::config::CacheConfig;
use crate::inner::Inner;
use crate::invalidation::Invalidation;
use crate::options::{EntryOptions, Insertion};
use crate::stats::CacheStats;

/// A cache in this process, shared by all clones of the handle.
///
/// A lookup hands out a clone of the value: keep clones cheap, with `Arc<T>` or `Bytes` for what is
/// large. `Hash`, `Clone` and `Drop`, the weigher and the observer run outside of every lock and
/// may call the cache; only `Eq` of keys runs under the lock of a shard and must not.
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

    pub(crate) const fn from_inner(inner: Arc<Inner<K, V>>) -> Self {
        Self { inner }
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
        if self.inner.attached().stamps() {
            return self.insert_with(key, value, EntryOptions::new());
        }
        self.inner.insert(key, value, None)
    }

    /// Stores a value with options of its own; else as [`insert`](Self::insert).
    ///
    /// With a remote tier the value is written by its codec before this returns, and sent in the
    /// background.
    pub fn insert_with(&self, key: K, value: V, mut options: EntryOptions) -> Insertion<V> {
        let word = self.inner.compose(&key, &value, &mut options);
        let insertion = self.inner.insert(key, value, Some(&mut options));
        self.inner.tell_others(word);
        insertion
    }

    /// Removes a key and returns its value, if that was live.
    ///
    /// A load of this key that began before is not stored, and whoever asks from now on starts a
    /// new one. The remote tier, other nodes and the [`InvalidationSink`](crate::InvalidationSink) are
    /// told, for which the key is made of what was given: a `str` will do for a `String`.
    pub fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q> + From<Q::Owned>,
        Q: Hash + Eq + ToOwned + ?Sized,
    {
        if !self.inner.has_listeners() {
            return self.inner.remove(key);
        }
        let told = Invalidation::Key(K::from(key.to_owned()));
        let word = self.inner.announce(&told);
        let removed = self.inner.remove(key);
        self.inner.publish(&told, word);
        removed
    }

    /// Removes everything: at once for readers, then shard by shard for the memory.
    ///
    /// What was stored before the call is gone after it, and no load that began before the call is
    /// stored. An insert that runs meanwhile may stay.
    pub fn clear(&self) {
        let word = self.inner.announce(&Invalidation::Clear);
        self.inner.clear();
        self.inner.publish(&Invalidation::Clear, word);
    }

    /// Drops every entry whose time is over, those kept for stale use not counted, and every
    /// entry that was invalidated; returns how many there were.
    ///
    /// Never needed for correct answers: no such entry is served. It frees memory early, at
    /// the cost of a look at every entry, one shard after the other.
    pub fn maintain(&self) -> usize {
        self.inner.sweep()
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
