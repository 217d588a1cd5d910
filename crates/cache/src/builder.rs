//! Sets up a cache.

use std::fmt;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::cache::Cache;
use crate::clock::{Clock, Timer};
use crate::config::CacheConfig;
use crate::error::ConfigError;
use crate::inner::{Inner, Setup};
use crate::invalidation::InvalidationSink;
use crate::node::Attachments;
use crate::observer::Observer;
use crate::policy::EvictionPolicy;
use crate::sweeper::Sweeper;
use crate::weigh::{BoxedWeigher, ByWeight, Weigher};

/// Sets up a [`Cache`]; made by [`Cache::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct CacheBuilder<K, V, W = ByWeight> {
    name: String,
    config: CacheConfig,
    weigher: W,
    clock: Option<Arc<dyn Clock>>,
    seed: Option<u64>,
    observer: Option<Arc<dyn Observer>>,
    sink: Option<Arc<dyn InvalidationSink<K>>>,
    pub(crate) attachments: Attachments<K, V>,
    entries: PhantomData<fn(K) -> V>,
}

impl<K, V> CacheBuilder<K, V> {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            config: CacheConfig::default(),
            weigher: ByWeight,
            clock: None,
            seed: None,
            observer: None,
            sink: None,
            attachments: Attachments::default(),
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

    /// Serves a value until nobody has asked for it for this long: see
    /// [`CacheConfig::time_to_idle`]. Default for ever.
    pub const fn time_to_idle(mut self, limit: Duration) -> Self {
        self.config.time_to_idle = Some(limit);
        self
    }

    /// Shortens times to live by up to so many percent: see [`CacheConfig::jitter_percent`].
    /// Default 5.
    pub const fn jitter_percent(mut self, percent: u8) -> Self {
        self.config.jitter_percent = percent;
        self
    }

    /// Drops what has expired every so often, in a task: see [`CacheConfig::sweep_every`]. Default
    /// never.
    pub const fn sweep_every(mut self, period: Duration) -> Self {
        self.config.sweep_every = Some(period);
        self
    }

    /// Lets entries give way by this rule: see [`CacheConfig::policy`]. Default
    /// [`EvictionPolicy::S3Fifo`].
    pub const fn policy(mut self, policy: EvictionPolicy) -> Self {
        self.config.policy = policy;
        self
    }

    /// Fixes the seed of hashes and jitter, so that a test or a simulation runs the same way each
    /// time. Default random: whoever chooses the keys then cannot know which of them collide.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
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
    /// assert_eq!(blobs.bytes(), 132 + 88);
    /// # Ok::<(), bedplate_cache::ConfigError>(())
    /// ```
    pub fn weigher<F>(self, weigher: F) -> CacheBuilder<K, V, F>
    where
        F: Fn(&K, &V) -> u64 + Send + Sync + 'static,
    {
        let Self { name, config, weigher: _, clock, seed, observer, sink, attachments, entries } = self;
        CacheBuilder { name, config, weigher, clock, seed, observer, sink, attachments, entries }
    }

    /// Tells the time by this clock. Default [`CoarseClock`](crate::CoarseClock), or
    /// [`TokioClock`](crate::TokioClock) where time is paused when the cache is built.
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

    /// Builds the cache. No memory is reserved, and nothing is spawned but what
    /// [`sweep_every`](Self::sweep_every) asks for and the tasks of a node: one that replays what waits
    /// for a remote tier, and two that listen to a backplane. They end with the cache.
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
        let runtime = match self.config.sweep_every {
            Some(period) => Some((period, Handle::try_current().map_err(|_| no_runtime(period))?)),
            None => None,
        };
        let attached = self.attachments.build(&self.name, &self.config, self.clock.as_ref())?;
        let setup = Setup {
            name: self.name,
            config: self.config,
            weigher: BoxedWeigher::new(self.weigher),
            timer: Timer::new(self.clock),
            seed: self.seed,
            observer: self.observer,
            sink: self.sink,
            attached,
        };
        let cache = Cache::from_inner(match runtime {
            Some((period, runtime)) => Sweeper::attach(setup, &runtime, period),
            None => Arc::new(Inner::new(setup, None)),
        });
        #[cfg(feature = "remote")]
        cache.inner.join();
        Ok(cache)
    }
}

fn no_runtime(period: Duration) -> ConfigError {
    ConfigError::new("sweep_every", format!("{period:?}"), "a current tokio runtime when the cache is built")
}

impl<K, V, W> fmt::Debug for CacheBuilder<K, V, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBuilder").field("name", &self.name).field("config", &self.config).finish_non_exhaustive()
    }
}
