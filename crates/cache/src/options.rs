//! How an entry is asked to be stored, and what became of that.

use std::time::Duration;

use crate::expiry::Ttl;
use crate::invalidation::Tag;

/// How one entry is to be stored, where it differs from its cache.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use bedplate_cache::{Cache, EntryOptions};
///
/// let cache: Cache<u64, String> = Cache::builder("sessions").build()?;
/// let options = EntryOptions::new().ttl(Duration::from_secs(5)).tag("guests");
/// cache.insert_with(7, "short-lived".to_owned(), options);
/// cache.invalidate_tag("guests");
/// assert_eq!(cache.get(&7), None);
/// # Ok::<(), bedplate_cache::ConfigError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct EntryOptions {
    pub(crate) ttl: Ttl,
    pub(crate) idle: Ttl,
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) tags: Vec<Tag>,
    /// What it brings along from where it comes.
    #[cfg(feature = "remote")]
    pub(crate) arrival: Option<crate::node::Arrival>,
}

impl EntryOptions {
    /// Makes options that follow the cache in everything.
    pub const fn new() -> Self {
        Self {
            ttl: Ttl::Inherit,
            idle: Ttl::Inherit,
            stale_while_revalidate: None,
            stale_if_error: None,
            tags: Vec::new(),
            #[cfg(feature = "remote")]
            arrival: None,
        }
    }

    /// Serves the entry for this long. Zero stores it expired already, so that it is never served
    /// as fresh.
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

    /// Serves the entry while it is refreshed, for this long after its time to live, whatever the
    /// cache's own; zero is not at all.
    pub const fn stale_while_revalidate(mut self, window: Duration) -> Self {
        self.stale_while_revalidate = Some(window);
        self
    }

    /// Serves the entry when a load fails or takes too long, for this long after its time to live,
    /// whatever the cache's own; zero is not at all.
    pub const fn stale_if_error(mut self, window: Duration) -> Self {
        self.stale_if_error = Some(window);
        self
    }

    /// Adds a tag, by which the entry can be invalidated together with others.
    pub fn tag(mut self, tag: impl Into<Tag>) -> Self {
        self.add_tag(tag.into());
        self
    }

    /// Adds several tags.
    pub fn tags<T: Into<Tag>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        for tag in tags {
            self.add_tag(tag.into());
        }
        self
    }

    pub(crate) fn add_tag(&mut self, tag: Tag) {
        if !self.tags.contains(&tag) {
            self.tags.push(tag);
        }
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
