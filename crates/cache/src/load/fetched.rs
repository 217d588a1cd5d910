//! A value with where it came from.

use serde::{Deserialize, Serialize};

/// A value that was got or loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetched<V> {
    value: V,
    source: Source,
}

impl<V> Fetched<V> {
    pub(crate) const fn new(value: V, source: Source) -> Self {
        Self { value, source }
    }

    /// Returns the value.
    pub const fn value(&self) -> &V {
        &self.value
    }

    /// Returns where the value came from.
    pub const fn source(&self) -> Source {
        self.source
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

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Source {
    /// From the cache, within its time to live.
    Fresh,
    /// From a load that this call started.
    Loaded,
    /// From a load that another call had started.
    Coalesced,
}

impl Source {
    /// Tells whether the value was in the cache already.
    pub const fn is_hit(self) -> bool {
        matches!(self, Self::Fresh)
    }
}
