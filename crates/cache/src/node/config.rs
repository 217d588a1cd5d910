//! How a cache is a node among others.

use std::time::Duration;

use crate::ConfigError;
use crate::remote::LinkConfig;

/// How a cache uses its remote tier and its backplane.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NodeConfig {
    /// The link: node id, timeouts, breaker, queue.
    pub link: LinkConfig,
    /// When what changes here is sent; default [`WriteMode::Through`].
    pub writes: WriteMode,
    /// How many changes are sent side by side; default 64, at least 1. What is more waits in the queue.
    /// Too few, and changes wait for one another; too many, and loads wait for them.
    pub max_in_flight: usize,
    /// How often a sign of life is sent; default 10 s, above zero, in effect with a backplane. A node that
    /// hears none for three times as long, not even its own, takes what it holds for doubtful. Too short
    /// costs messages; too long, and a node that is cut off serves what others changed for that much longer.
    pub heartbeat: Duration,
    /// How long after a prefix or glob the tier is searched once more, for what was on its way to it then;
    /// default 30 s. Too short misses a slow writer; too long leaves an old value there for a node that
    /// starts meanwhile.
    pub second_purge: Duration,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            link: LinkConfig::default(),
            writes: WriteMode::default(),
            max_in_flight: 64,
            heartbeat: Duration::from_secs(10),
            second_purge: Duration::from_secs(30),
        }
    }
}

impl NodeConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if self.max_in_flight == 0 {
            return Err(ConfigError::new("max_in_flight", 0, "at least 1"));
        }
        if self.heartbeat.is_zero() {
            return Err(ConfigError::new("heartbeat", "0s", "more than zero"));
        }
        self.link.validate()
    }
}

/// When what changes in memory is sent to the tier and to the other nodes.
///
/// No caller waits for it either way: [`Cache::flush`](crate::Cache::flush) does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum WriteMode {
    /// At once, by a task of its own; what was loaded, by the task of its load.
    #[default]
    Through,
    /// By one task, one after another; of what waits, the last word per key counts. Less work for the
    /// tier where the same keys change often.
    Behind,
}
