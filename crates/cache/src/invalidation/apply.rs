//! Invalidation as callers ask for it.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use super::generations::Scope;
use super::glob::{Glob, GlobError};
use super::key::CacheKey;
use super::message::Invalidation;
use super::tag::Tag;
use crate::cache::Cache;
use crate::inner::Inner;
use crate::observer::CacheEvent;
use crate::outgoing::{Outgoing, Why};
use crate::policy::{Lookup, Policy as _};

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Makes a key stale at once, and tells whether it had a live value.
    ///
    /// Unlike after [`remove`](Self::remove) the value is kept for as long as `stale_if_error`
    /// says, to be given if the next load fails or takes too long. It is not served while it is
    /// refreshed: who asks waits for the load. Without `stale_if_error` the entry is removed.
    ///
    /// A load of this key that began before is not stored. Others are told as by
    /// [`remove`](Self::remove).
    pub fn expire<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q> + From<Q::Owned>,
        Q: Hash + Eq + ToOwned + ?Sized,
    {
        if !self.inner.has_listeners() {
            return self.inner.expire(key);
        }
        let told = Invalidation::Expire(K::from(key.to_owned()));
        let word = self.inner.announce(&told);
        let was_live = self.inner.expire(key);
        self.inner.publish(&told, word);
        was_live
    }

    /// Makes every entry untrue that carries a tag.
    ///
    /// No entry is looked at now: each is found out when it is read, or swept by
    /// [`maintain`](Self::maintain). A load that began before and puts this tag on its value is not
    /// stored, and serves only those who had asked before.
    ///
    /// # Examples
    ///
    /// ```
    /// use bedplate_cache::{Cache, EntryOptions};
    ///
    /// let cache: Cache<u64, &str> = Cache::builder("products").build()?;
    /// cache.insert_with(1, "lamp", EntryOptions::new().tag("catalog"));
    /// cache.insert(2, "chair");
    /// cache.invalidate_tag("catalog");
    /// assert_eq!((cache.get(&1), cache.get(&2)), (None, Some("chair")));
    /// # Ok::<(), bedplate_cache::ConfigError>(())
    /// ```
    pub fn invalidate_tag(&self, tag: impl Into<Tag>) {
        let tag = tag.into();
        let told = Invalidation::Tag(tag.clone());
        let word = self.inner.announce(&told);
        self.inner.open(Scope::Tag(tag));
        self.inner.publish(&told, word);
    }
}

impl<K, V> Cache<K, V>
where
    K: CacheKey + Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Makes every entry untrue whose key begins with a text; else as
    /// [`invalidate_tag`](Self::invalidate_tag).
    pub fn invalidate_prefix(&self, prefix: impl AsRef<str>) {
        self.invalidate(Invalidation::Prefix(Arc::from(prefix.as_ref())));
    }

    /// Makes every entry untrue whose key a pattern fits; else as
    /// [`invalidate_tag`](Self::invalidate_tag). The pattern's language is that of [`Glob`].
    ///
    /// # Errors
    ///
    /// [`GlobError`] for a text that is not a pattern; then nothing was invalidated.
    ///
    /// # Examples
    ///
    /// ```
    /// use bedplate_cache::Cache;
    ///
    /// let cache: Cache<String, u64> = Cache::builder("prices").build()?;
    /// cache.insert("product:7:price".to_owned(), 30);
    /// cache.insert("product:7:stock".to_owned(), 4);
    /// cache.invalidate_glob("product:*:price")?;
    /// assert_eq!((cache.get("product:7:price"), cache.get("product:7:stock")), (None, Some(4)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn invalidate_glob(&self, pattern: &str) -> Result<(), GlobError> {
        self.invalidate(Invalidation::Glob(Glob::new(pattern)?));
        Ok(())
    }

    /// Invalidates here what a message says, and passes it on to the remote tier, to other nodes and to
    /// the [`InvalidationSink`](crate::InvalidationSink), where there are any.
    #[expect(clippy::needless_pass_by_value, reason = "an invalidation is made to be given away")]
    pub fn invalidate(&self, invalidation: Invalidation<K>) {
        let word = self.inner.announce(&invalidation);
        self.apply(&invalidation);
        self.inner.publish(&invalidation, word);
    }

    /// Invalidates here what another cache was told, without passing it on.
    pub fn apply(&self, invalidation: &Invalidation<K>) {
        match invalidation {
            Invalidation::Key(key) => drop(self.inner.remove(key)),
            Invalidation::Expire(key) => {
                self.inner.expire(key);
            }
            Invalidation::Tag(tag) => self.inner.open(Scope::Tag(tag.clone())),
            Invalidation::Prefix(prefix) => self.inner.open(prefix_scope(prefix)),
            Invalidation::Glob(glob) => self.inner.open(glob_scope(glob)),
            Invalidation::Clear => self.inner.clear(),
        }
    }
}

fn prefix_scope<K: CacheKey>(prefix: &Arc<str>) -> Scope<K> {
    let (name, prefix) = (format!("prefix {prefix}"), Arc::clone(prefix));
    Scope::Pattern { name, fits: Box::new(move |key| key.text().starts_with(&*prefix)) }
}

fn glob_scope<K: CacheKey>(glob: &Glob) -> Scope<K> {
    let (name, glob) = (format!("glob {glob}"), glob.clone());
    Scope::Pattern { name, fits: Box::new(move |key| glob.fits(&key.text())) }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Makes a scope untrue, and sweeps if that left too many tombstones.
    pub(crate) fn open(&self, scope: Scope<K>) {
        let crowded = self.generations().open(scope);
        self.emit(CacheEvent::InvalidationApplied);
        if crowded {
            self.sweep();
        }
    }

    pub(crate) fn expire<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let lookup = Lookup::new(hash, key);
        let now = self.read_clock_for_end();
        let mut out = Outgoing::new();
        let mut shard = self.shard(hash).lock();
        shard.core.flights.detach(hash, key);
        let buried = shard.bury(self.budget(), &self.judge(now), &lookup);
        let was_live =
            shard.core.entries.peek(&lookup).is_some_and(|entry| entry.hot.has_value() && entry.is_fresh(now));
        let is_kept = shard.core.entries.peek_mut(&lookup).is_some_and(|mut entry| entry.expire(self.rules(), now));
        if !is_kept && let Some(gone) = shard.take(self.budget(), &lookup) {
            out.push(Why::Removed, gone);
        }
        drop(shard);
        if let Some(buried) = &buried {
            self.tell_buried(buried);
        }
        self.release(out);
        was_live
    }
}
