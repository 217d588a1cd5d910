//! What a builder is to attach.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::advisor::Advisor;
use super::{AdvisorConfig, Attached};
#[cfg(feature = "remote")]
use super::{KeyText, NodeConfig, NodeSetup};
use crate::builder::CacheBuilder;
use crate::clock::Clock;
#[cfg(feature = "remote")]
use crate::invalidation::TextKey;
#[cfg(feature = "remote")]
use crate::remote::{Backplane, Codec, DistributedFlight, FlightConfig, RemoteLock, RemoteTier, WallClock, Wire};
use crate::{CacheConfig, ConfigError};

pub(crate) struct Attachments<K, V> {
    advisor: Option<AdvisorConfig>,
    #[cfg(feature = "remote")]
    node: NodeSetup<K, V>,
    entries: PhantomData<fn(K) -> V>,
}

impl<K, V> Default for Attachments<K, V> {
    fn default() -> Self {
        Self {
            advisor: None,
            #[cfg(feature = "remote")]
            node: NodeSetup::default(),
            entries: PhantomData,
        }
    }
}

impl<K, V: 'static> Attachments<K, V> {
    #[cfg_attr(not(feature = "remote"), expect(unused_variables, reason = "only a node needs to know more"))]
    pub(crate) fn build(
        &self,
        cache: &str,
        config: &CacheConfig,
        clock: Option<&Arc<dyn Clock>>,
    ) -> Result<Attached<K, V>, ConfigError> {
        let mut attached = Attached::default();
        attached.advisor = self.advisor.map(Advisor::new).transpose()?;
        #[cfg(feature = "remote")]
        {
            attached.remote = self.node.build(cache, config, clock)?.map(Arc::new);
        }
        #[cfg(feature = "snapshot")]
        {
            attached.wire.clone_from(&self.node.wire);
        }
        Ok(attached)
    }
}

impl<K, V, W> CacheBuilder<K, V, W> {
    /// Watches a sample of the requests, so that [`advise`](crate::Cache::advise) can say what budget a
    /// hit ratio needs, and a fallen one is told. Default not.
    ///
    /// Costs a multiplication and a load per request, and about 100 bytes per followed key.
    pub const fn advisor(mut self, config: AdvisorConfig) -> Self {
        self.attachments.advisor = Some(config);
        self
    }
}

#[cfg(feature = "remote")]
impl<K, V: 'static, W> CacheBuilder<K, V, W> {
    /// Writes values by this codec, for snapshots; [`remote`](Self::remote) brings its own.
    pub fn codec(mut self, codec: impl Codec<V>) -> Self {
        self.attachments.node.wire = Some(Wire::new(codec));
        self
    }

    /// Puts a tier behind the memory, which outlives this process and may be shared with others.
    ///
    /// A load asks it before the loader; what is loaded, inserted, removed or otherwise invalidated here is
    /// sent to it in the background. Nothing that goes wrong with it reaches a caller. `get` looks at the
    /// memory alone.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[cfg(feature = "json")] {
    /// use std::time::Duration;
    /// use bedplate_cache::remote::{JsonCodec, MemoryTier};
    /// use bedplate_cache::{Cache, Source};
    ///
    /// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
    /// let tier = MemoryTier::new();
    /// let node = || Cache::builder("users").remote(tier.clone(), JsonCodec::new()).build();
    /// let (one, two): (Cache<u64, String>, Cache<u64, String>) = (node()?, node()?);
    ///
    /// one.insert(7, "Ada".to_owned());
    /// assert!(one.flush(Duration::from_secs(1)).await.is_complete());
    /// let ada = two.get_or_load(7, |_| async { Err(std::io::Error::other("not asked")) }).await?;
    /// assert_eq!((ada.value().as_str(), ada.source()), ("Ada", Source::Remote));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remote(self, tier: impl RemoteTier, codec: impl Codec<V>) -> Self
    where
        K: TextKey,
    {
        self.remote_by(tier, Wire::new(codec))
    }

    /// As [`remote`](Self::remote), with a codec whose envelopes have settings of their own.
    pub fn remote_by(mut self, tier: impl RemoteTier, wire: Wire<V>) -> Self
    where
        K: TextKey,
    {
        let node = &mut self.attachments.node;
        node.tier = Some(Arc::new(tier));
        (node.wire, node.keys) = (Some(wire), Some(KeyText::of()));
        self
    }

    /// Tells other nodes of what changes here, and hears from them.
    ///
    /// A node that may have missed something takes all it holds for stale.
    pub fn backplane(mut self, backplane: impl Backplane) -> Self
    where
        K: TextKey,
    {
        let node = &mut self.attachments.node;
        node.backplane = Some(Arc::new(backplane));
        node.keys = Some(KeyText::of());
        self
    }

    /// Lets one node of many load a key that all miss. Needs a remote tier. Default off: it costs a round
    /// trip per load, and pays where a load is dear. Batches and blocking loads do not take turns.
    pub fn single_flight(mut self, lock: impl RemoteLock, config: FlightConfig) -> Self {
        self.attachments.node.flight = Some(DistributedFlight::new(lock, config));
        self
    }

    /// Sets how the cache is a node: see [`NodeConfig`].
    pub fn node(mut self, config: NodeConfig) -> Self {
        self.attachments.node.config = config;
        self
    }

    /// Tells the calendar time by this clock, for tests. Default the operating system's.
    pub fn wall_clock(mut self, clock: Arc<dyn WallClock>) -> Self {
        self.attachments.node.wall = Some(clock);
        self
    }
}

impl<K, V> fmt::Debug for Attachments<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attachments").field("advisor", &self.advisor).finish_non_exhaustive()
    }
}
