//! What a builder gathers for a node.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::{NodeConfig, RemoteNode, patterns};
use crate::clock::{Clock, TokioClock};
use crate::invalidation::TextKey;
use crate::remote::{Backplane, DistributedFlight, RemoteLink, RemoteTier, WallClock, Wire};
use crate::{CacheConfig, ConfigError};

/// How keys are written and read, without a bound on the type of the cache.
pub(crate) struct KeyText<K> {
    text: for<'a> fn(&'a K) -> Cow<'a, str>,
    parse: fn(&str) -> Option<K>,
}

impl<K> KeyText<K> {
    pub(crate) fn of() -> Self
    where
        K: TextKey,
    {
        Self { text: K::text, parse: K::from_text }
    }

    pub(crate) fn text<'a>(&self, key: &'a K) -> Cow<'a, str> {
        (self.text)(key)
    }

    pub(crate) fn parse(&self, text: &[u8]) -> Option<K> {
        std::str::from_utf8(text).ok().and_then(self.parse)
    }
}

impl<K> Clone for KeyText<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for KeyText<K> {}

impl<K> fmt::Debug for KeyText<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText")
    }
}

/// What is asked of a node, before it is one.
#[derive(Debug)]
pub(crate) struct NodeSetup<K, V> {
    pub(crate) tier: Option<Arc<dyn RemoteTier>>,
    pub(crate) backplane: Option<Arc<dyn Backplane>>,
    pub(crate) wire: Option<Wire<V>>,
    pub(crate) keys: Option<KeyText<K>>,
    pub(crate) flight: Option<DistributedFlight>,
    pub(crate) config: NodeConfig,
    pub(crate) wall: Option<Arc<dyn WallClock>>,
}

impl<K, V> Default for NodeSetup<K, V> {
    fn default() -> Self {
        Self {
            tier: None,
            backplane: None,
            wire: None,
            keys: None,
            flight: None,
            config: NodeConfig::default(),
            wall: None,
        }
    }
}

impl<K, V: 'static> NodeSetup<K, V> {
    /// Makes the node, if there is anything to be a node of.
    pub(crate) fn build(
        &self,
        cache: &str,
        config: &CacheConfig,
        clock: Option<&Arc<dyn Clock>>,
    ) -> Result<Option<RemoteNode<K, V>>, ConfigError> {
        let (tier, backplane) = (self.tier.clone(), self.backplane.clone());
        let Some(keys) = self.keys.filter(|_| tier.is_some() || backplane.is_some()) else {
            if self.flight.is_some() {
                return Err(ConfigError::new("single_flight", "on", "a remote tier, by which the nodes take turns"));
            }
            return Ok(None);
        };
        self.config.validate()?;
        if let Some(flight) = &self.flight {
            flight.config().validate()?;
        }
        let Ok(runtime) = Handle::try_current() else {
            let expected = "a current tokio runtime when the cache is built, for the tasks of a node";
            return Err(ConfigError::new("remote", cache, expected));
        };
        let mut link_config = self.config.link.clone();
        link_config.compile = patterns::compile;
        let mut link = RemoteLink::new(link_config)?;
        if let Some(tier) = tier {
            link = link.tier(tier);
        }
        if let Some(backplane) = backplane {
            link = link.backplane(backplane);
        }
        if let Some(wall) = &self.wall {
            let clock = clock.map_or_else(|| Arc::new(TokioClock::new()) as Arc<dyn Clock>, Arc::clone);
            link = link.clocks(Arc::clone(wall), clock);
        }
        let wire = self.wire.clone().filter(|_| self.tier.is_some());
        Ok(Some(RemoteNode::new(link, wire, keys, self.flight.clone(), self.config.clone(), config, runtime)))
    }
}
