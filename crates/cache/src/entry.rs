//! What is stored, how it is asked to be stored, and what became of that.

use std::time::Duration;

use crate::engine::{Held, Rules, Times};
use crate::expiry::{Deadline, Tick, Ttl};
use crate::invalidation::{Generations, Tag};
use crate::outgoing::Why;

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
    pub(crate) stale_while_revalidate: Option<Duration>,
    pub(crate) stale_if_error: Option<Duration>,
    pub(crate) tags: Vec<Tag>,
}

impl EntryOptions {
    /// Makes options that follow the cache in everything.
    pub const fn new() -> Self {
        Self { ttl: Ttl::Inherit, stale_while_revalidate: None, stale_if_error: None, tags: Vec::new() }
    }

    /// Serves the entry for this long. Zero stores it expired already, so that it is never served
    /// as fresh.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Ttl::After(ttl);
        self
    }

    /// Serves the entry until it is evicted or removed, whatever the cache's time to live.
    pub const fn without_expiry(mut self) -> Self {
        self.ttl = Ttl::Never;
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

/// A stored value with what the cache must know of it.
#[derive(Debug)]
pub(crate) struct Entry<V> {
    /// `None` if the key is known to be absent.
    pub(crate) value: Option<V>,
    pub(crate) weight: u64,
    /// When it was stored; unknown if the clock was not read.
    pub(crate) born: Tick,
    /// Served as fresh before it.
    pub(crate) fresh: Deadline,
    /// Kept for stale use until it; the end of `fresh` if there is none.
    pub(crate) keep: Deadline,
    /// The generation in which the value began to be true: for a load that of its start.
    pub(crate) seq: u64,
    /// What few entries have.
    pub(crate) extra: Option<Box<Extra>>,
}

#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub(crate) tags: Box<[Tag]>,
    /// The end of stale-while-revalidate, where it is not the cache's.
    pub(crate) revalidate: Option<Deadline>,
    /// No refresh begins before it, since the last one failed.
    pub(crate) retry: Option<Deadline>,
}

impl<V> Entry<V> {
    pub(crate) fn tags(&self) -> &[Tag] {
        self.extra.as_ref().map_or(&[], |extra| &*extra.tags)
    }

    /// Tells whether and why it can never be served again.
    pub(crate) fn end<K>(&self, generations: &Generations<K>, key: &K, now: Tick) -> Option<Why> {
        if generations.overtaken(self.seq, self.tags(), key) != 0 {
            Some(Why::Invalidated)
        } else if self.keep.has_passed(now) {
            Some(Why::Expired)
        } else {
            None
        }
    }

    /// Tells whether it is a value that can be served as fresh.
    pub(crate) fn is_live<K>(&self, generations: &Generations<K>, key: &K, now: Tick) -> bool {
        self.value.is_some() && !self.fresh.has_passed(now) && self.end(generations, key, now).is_none()
    }

    /// Returns what the engine decides from.
    pub(crate) fn held(&self, rules: &Rules) -> Held {
        let times = self.times(rules);
        if self.value.is_some() { Held::Value(times) } else { Held::Absence(times) }
    }

    /// Returns for how long it has been stored, where that is known.
    pub(crate) fn age(&self, now: Tick) -> Option<Duration> {
        (self.born != Tick::UNKNOWN).then(|| now.since(self.born))
    }

    /// Returns the points at which something changes for this entry.
    pub(crate) fn times(&self, rules: &Rules) -> Times {
        let (revalidate, retry) = self.extra.as_ref().map_or((None, None), |extra| (extra.revalidate, extra.retry));
        let swr = || match (&self.value, rules.stale_while_revalidate) {
            (Some(_), Some(window)) => self.fresh.plus(window).min(self.keep),
            _ => self.fresh,
        };
        Times {
            eager: self.eager(rules),
            fresh: self.fresh,
            revalidate: revalidate.unwrap_or_else(swr),
            keep: self.keep,
            retry,
        }
    }

    /// Returns the point from which on a read refreshes the entry although it is fresh.
    #[inline]
    pub(crate) fn eager(&self, rules: &Rules) -> Deadline {
        match rules.eager_refresh {
            Some(share) if self.value.is_some() => self.fresh.share_since(self.born, share),
            _ => self.fresh,
        }
    }

    pub(crate) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    #[cfg(test)]
    pub(crate) fn lasting(value: Option<V>, weight: u64) -> Self {
        let (fresh, keep) = (Deadline::NEVER, Deadline::NEVER);
        Self { value, weight, born: Tick::UNKNOWN, fresh, keep, seq: 0, extra: None }
    }
}

impl Extra {
    /// Returns what the box and its tags take, as part of an entry's weight.
    pub(crate) fn bytes(tags: &[Tag]) -> u64 {
        let tags = tags.iter().fold(0, |sum, tag| sum + size_of::<Tag>() + tag.as_str().len());
        u64::try_from(size_of::<Self>() + tags).unwrap_or(u64::MAX)
    }
}
