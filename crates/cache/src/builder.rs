//! Sets up a cache.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::cache::Cache;
use crate::clock::{Clock, TokioClock};
use crate::config::CacheConfig;
use crate::error::ConfigError;
use crate::inner::Inner;
use crate::invalidation::InvalidationSink;
use crate::observer::Observer;
use crate::weigh::{BoxedWeigher, ByWeight, Weigher};

/// Sets up a [`Cache`]; made by [`Cache::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct CacheBuilder<K, V, W = ByWeight> {
    name: String,
    config: CacheConfig,
    weigher: W,
    clock: Option<Arc<dyn Clock>>,
    observer: Option<Arc<dyn Observer>>,
    sink: Option<Arc<dyn InvalidationSink<K>>>,
    entries: PhantomData<fn(K) -> V>,
}

impl<K, V> CacheBuilder<K, V> {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            config: CacheConfig::default(),
            weigher: ByWeight,
            clock: None,
            observer: None,
            sink: None,
            entries: PhantomData,
        }
    }
}

impl<K, V, W> CacheBuilder<K, V, W> {
    /// Takes all settings from a configuration, those made before included.
    pub fn config(mut self, config: CacheConfig) -> Self {
        self.config = config;
        self
    }

    /// Limits what all entries together may weigh: see [`CacheConfig::max_bytes`]. Default 500 MiB.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.config.max_bytes = bytes;
        self
    }

    /// Limits what one entry may weigh: see [`CacheConfig::max_entry_bytes`]. Default an eighth of
    /// the budget.
    pub const fn max_entry_bytes(mut self, bytes: u64) -> Self {
        self.config.max_entry_bytes = Some(bytes);
        self
    }

    /// Splits the entries into so many independently locked parts: see [`CacheConfig::shards`].
    /// Default 16 per core.
    pub const fn shards(mut self, shards: usize) -> Self {
        self.config.shards = Some(shards);
        self
    }

    /// Serves a value for this long after it was stored: see [`CacheConfig::ttl`]. Default for
    /// ever.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.config.ttl = Some(ttl);
        self
    }

    /// Refreshes what is read in the last part of its time to live: see
    /// [`CacheConfig::eager_refresh`]. Default never.
    pub const fn eager_refresh(mut self, share: f64) -> Self {
        self.config.eager_refresh = Some(share);
        self
    }

    /// Serves a stale value for this long while one load refreshes it: see
    /// [`CacheConfig::stale_while_revalidate`]. Default not at all.
    pub const fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.config.stale_while_revalidate = Some(window);
        self
    }

    /// Serves a stale value for this long when loads fail or are slow: see
    /// [`CacheConfig::stale_if_error`]. Default not at all.
    pub const fn stale_if_error(mut self, window: Duration) -> Self {
        self.config.stale_if_error = Some(window);
        self
    }

    /// Tries no load for this long after one failed, while there is a stale value: see
    /// [`CacheConfig::error_backoff`]. Default 5 s.
    pub const fn error_backoff(mut self, backoff: Duration) -> Self {
        self.config.error_backoff = backoff;
        self
    }

    /// Gives a stale value, if there is one, after this long a wait: see
    /// [`CacheConfig::soft_timeout`]. Default none.
    pub const fn soft_timeout(mut self, timeout: Duration) -> Self {
        self.config.soft_timeout = Some(timeout);
        self
    }

    /// Lets no caller wait longer than this: see [`CacheConfig::hard_timeout`]. Default none.
    pub const fn hard_timeout(mut self, timeout: Duration) -> Self {
        self.config.hard_timeout = Some(timeout);
        self
    }

    /// Remembers for this long that a key has no value: see [`CacheConfig::negative_ttl`]. Default
    /// not at all.
    pub const fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.config.negative_ttl = Some(ttl);
        self
    }

    /// Weighs entries by this instead of by [`Weigh`](crate::Weigh).
    ///
    /// It is to count key and value in bytes, inline and on the heap; the overhead of the node is
    /// added to it. It runs once per insert, never under a lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use bedplate_cache::Cache;
    ///
    /// let blobs = Cache::<u64, Vec<u8>>::builder("blobs").weigher(|_, blob| 32 + blob.len() as u64).build()?;
    /// blobs.insert(1, vec![0; 100]);
    /// assert_eq!(blobs.bytes(), 132 + 80);
    /// # Ok::<(), bedplate_cache::ConfigError>(())
    /// ```
    pub fn weigher<F>(self, weigher: F) -> CacheBuilder<K, V, F>
    where
        F: Fn(&K, &V) -> u64 + Send + Sync + 'static,
    {
        let Self { name, config, weigher: _, clock, observer, sink, entries } = self;
        CacheBuilder { name, config, weigher, clock, observer, sink, entries }
    }

    /// Tells the time by this clock. Default [`TokioClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Tells this observer of every event. Default none, which costs nothing.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }

    /// Passes invalidations that begin at this cache on to others. Default none.
    ///
    /// What [`apply`](Cache::apply) brings in from others is not passed on.
    pub fn invalidation_sink(mut self, sink: impl InvalidationSink<K>) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// Builds the cache. No memory is reserved, nothing is spawned.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the first setting that is out of its bounds.
    pub fn build(self) -> Result<Cache<K, V>, ConfigError>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
        W: Weigher<K, V>,
    {
        if self.name.is_empty() {
            return Err(ConfigError::new("name", "", "a name that tells this cache from others in logs and metrics"));
        }
        self.config.validate()?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
        let weigher = BoxedWeigher::new(self.weigher);
        Ok(Cache::from_inner(Inner::new(self.name, self.config, weigher, clock, self.observer, self.sink)))
    }
}

impl<K, V, W> fmt::Debug for CacheBuilder<K, V, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder").field("name", &self.name).field("config", &self.config).finish_non_exhaustive()
    }
}
