//! A value with where it came from.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A value that was got or loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched<V> {
    value: V,
    source: Source,
    age: Option<Duration>,
}

impl<V> Fetched<V> {
    pub(crate) const fn new(value: V, source: Source, age: Option<Duration>) -> Self {
        Self { value, source, age }
    }

    /// Returns the value.
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// Returns where the value came from.
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Returns for how long the value has been stored: zero for one that was just loaded, for
    /// one from the remote tier how long ago it began to be true, `None` for
    /// an entry without a time to live, for which the clock is not read.
    pub const fn age(&self) -> Option<Duration> {
        self.age
    }

    /// Returns the value and forgets where it came from.
    #[must_use]
    pub fn into_value(self) -> V {
        self.value
    }

    /// Returns the value and where it came from.
    #[must_use]
    pub fn into_parts(self) -> (V, Source) {
        (self.value, self.source)
    }
}

impl<V> Fetched<Option<V>> {
    /// Returns the value that is there, with the rest as it is; `None` if there is none.
    #[must_use]
    pub fn transpose(self) -> Option<Fetched<V>> {
        let Self { value, source, age } = self;
        value.map(|value| Fetched { value, source, age })
    }
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// From the cache, within its time to live.
    Fresh,
    /// From the cache, after its time to live; a refresh is under way, or waits until the last
    /// failure is a while ago.
    StaleRevalidating,
    /// From the cache, after its time to live, since the load failed, now or a short while ago.
    StaleOnError,
    /// From the cache, after its time to live, since the load takes longer than a caller is to
    /// wait; it goes on.
    StaleOnTimeout,
    /// From the cache, which knows that there is no value.
    Negative,
    /// From a load that this call started.
    Loaded,
    /// From the remote tier, which was asked before the loader of this call and instead of it.
    Remote,
    /// From a load that another call had started.
    Coalesced,
}

impl Source {
    /// Tells whether the answer was in memory already.
    pub const fn is_hit(self) -> bool {
        !matches!(self, Self::Loaded | Self::Remote | Self::Coalesced)
    }

    /// Tells whether the time to live of the value was over.
    pub const fn is_stale(self) -> bool {
        matches!(self, Self::StaleRevalidating | Self::StaleOnError | Self::StaleOnTimeout)
    }
}
