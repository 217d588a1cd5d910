//! The settings and times that decisions are made from.

use std::time::Duration;

use crate::config::CacheConfig;
use crate::expiry::Deadline;

/// The part of the settings that the engine looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) eager_refresh: Option<f64>,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) error_backoff: Duration,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) hard_timeout: Option<Duration>,
    pub(crate) negative_ttl: Option<Duration>,
}

impl Rules {
    pub(crate) const fn new(config: &CacheConfig) -> Self {
        Self {
            eager_refresh: config.eager_refresh,
            stale_while_revalidate: config.stale_while_revalidate,
            stale_if_error: config.stale_if_error,
            error_backoff: config.error_backoff,
            soft_timeout: config.soft_timeout,
            hard_timeout: config.hard_timeout,
            negative_ttl: config.negative_ttl,
        }
    }

    /// Returns for how long a value is kept after its time to live, for whatever use.
    pub(crate) fn stale_use(&self) -> Duration {
        self.stale_while_revalidate.max(self.stale_if_error).unwrap_or_default()
    }
}

/// The points at which something changes for an entry: `eager <= fresh <= revalidate <= keep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times {
    /// From here on a read refreshes it.
    pub(crate) eager: Deadline,
    /// From here on it is stale.
    pub(crate) fresh: Deadline,
    /// From here on it is not served stale without need.
    pub(crate) revalidate: Deadline,
    /// From here on it is not served at all.
    pub(crate) keep: Deadline,
    /// No refresh begins before it.
    pub(crate) retry: Option<Deadline>,
}
