//! What is stored, how it is asked to be stored, and what became of that.

use std::time::Duration;

use crate::expiry::{Deadline, Idle, Tick, Ttl};
use crate::held::Held;

/// How one entry is to be stored, where it differs from its cache.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use bedplate_cache::{Cache, EntryOptions};
///
/// let cache: Cache<u64, String> = Cache::builder("sessions").build()?;
/// cache.insert_with(7, "short-lived".to_owned(), EntryOptions::new().ttl(Duration::from_secs(5)));
/// # Ok::<(), bedplate_cache::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct EntryOptions {
    pub(crate) ttl: Ttl,
    pub(crate) idle: Ttl,
}

impl EntryOptions {
    /// Makes options that follow the cache in everything.
    pub const fn new() -> Self {
        Self { ttl: Ttl::Inherit, idle: Ttl::Inherit }
    }

    /// Serves the entry for this long. Zero stores it expired already, so that it is never served.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Ttl::After(ttl);
        self
    }

    /// Serves the entry until nobody has asked for it for this long, and no longer than its time to
    /// live; see [`CacheConfig::time_to_idle`](crate::CacheConfig::time_to_idle).
    pub const fn time_to_idle(mut self, limit: Duration) -> Self {
        self.idle = Ttl::After(limit);
        self
    }

    /// Serves the entry until it is evicted or removed, whatever the cache's time to live and to
    /// idle.
    pub const fn without_expiry(mut self) -> Self {
        self.ttl = Ttl::Never;
        self.idle = Ttl::Never;
        self
    }
}

/// What became of an insert.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Insertion<V> {
    /// The key was new (or its entry had expired).
    Inserted,
    /// The key had a live value, which is given back.
    Replaced {
        /// The value that was stored until now.
        previous: V,
    },
    /// The entry is heavier than one entry may be. Nothing is stored under the key any more, since
    /// what was there is out of date.
    Refused {
        /// The value that was to be stored.
        value: V,
        /// What the entry weighs in bytes, with its key and the overhead of the node.
        weight: u64,
        /// The most that one entry may weigh in bytes.
        limit: u64,
    },
}

impl<V> Insertion<V> {
    /// Tells whether the value is in the cache now.
    pub const fn is_stored(&self) -> bool {
        !matches!(self, Self::Refused { .. })
    }
}

/// A stored value with what the cache must know of it; what a hit reads comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Entry<V> {
    pub(crate) held: Held<V>,
    pub(crate) deadline: Deadline,
    pub(crate) idle: Idle,
    pub(crate) weight: u64,
}

impl<V> Entry<V> {
    /// Tells whether the entry may be served.
    #[inline]
    pub(crate) fn is_fresh(&self, now: Tick) -> bool {
        !self.deadline.has_passed(now) && !self.idle.has_passed(now)
    }

    /// Returns the value where it lies.
    #[cfg(test)]
    pub(crate) fn value(&self) -> &V {
        self.held.value()
    }
}
