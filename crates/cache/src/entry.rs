//! What is stored, how it is asked to be stored, and what became of that.

use std::time::Duration;

use crate::engine::{Rules, State, Times};
use crate::expiry::{Deadline, Idle, Life, Tick, Ttl};
use crate::held::Held;
use crate::invalidation::{Generations, Tag};
use crate::outgoing::Why;
use crate::sync::{AtomicU64, Ordering};

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

/// A stored value with what the cache must know of it; what a hit reads comes first.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Entry<V> {
    /// `None` if the key is known to be absent.
    pub(crate) held: Option<Held<V>>,
    /// Served as fresh before it.
    pub(crate) fresh: Deadline,
    /// The generation in which the value began to be true: for a load that of its start.
    pub(crate) seq: u64,
    pub(crate) idle: Idle,
    weight: u32,
    pub(crate) life: Life,
    /// What few entries have.
    pub(crate) extra: Option<Box<Extra>>,
}

#[derive(Debug, Default)]
pub(crate) struct Extra {
    pub(crate) tags: Box<[Tag]>,
    /// The generation up to which the entry was found true.
    pub(crate) true_up_to: AtomicU64,
    /// The end of stale-while-revalidate, where it is not the cache's.
    pub(crate) revalidate: Option<Deadline>,
    /// The end of all stale use, where it is not the cache's.
    pub(crate) keep: Option<Deadline>,
    /// No refresh begins before it, since the last one failed.
    pub(crate) retry: Option<Deadline>,
    /// When it began to be true, in the order of all nodes.
    #[cfg(feature = "remote")]
    pub(crate) stamp: Option<crate::remote::Stamp>,
}

/// By what an entry is judged at one moment.
#[derive(Debug)]
pub(crate) struct Judge<'a, K> {
    pub(crate) generations: &'a Generations<K>,
    pub(crate) rules: &'a Rules,
    pub(crate) now: Tick,
}

impl<V> Entry<V> {
    /// Makes an entry. None is heavier than 4 GiB: the settings see to it.
    #[inline]
    pub(crate) fn new(
        held: Option<Held<V>>,
        weight: u64,
        fresh: Deadline,
        idle: Idle,
        life: Life,
        extra: Option<Box<Extra>>,
    ) -> Self {
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        Self { held, fresh, seq: 0, idle, weight, life, extra }
    }

    #[inline]
    pub(crate) const fn weight(&self) -> u64 {
        self.weight as u64
    }

    pub(crate) fn tags(&self) -> &[Tag] {
        self.extra.as_ref().map_or(&[], |extra| &*extra.tags)
    }

    /// Returns when it began to be true, in the order of all nodes.
    #[cfg(feature = "remote")]
    pub(crate) fn stamp(&self) -> Option<crate::remote::Stamp> {
        self.extra.as_ref().and_then(|extra| extra.stamp)
    }

    /// Tells whether it has a time to live or to idle.
    #[inline]
    pub(crate) fn can_end(&self) -> bool {
        self.fresh != Deadline::NEVER || self.idle.is_limited()
    }

    /// Tells whether neither its time to live nor its time to idle is over.
    #[inline]
    pub(crate) fn is_fresh(&self, now: Tick) -> bool {
        !self.fresh.has_passed(now) && !self.idle.has_passed(now)
    }

    /// Tells whether an invalidation has made it untrue.
    #[inline]
    pub(crate) fn is_untrue<K>(&self, generations: &Generations<K>, key: &K) -> bool {
        self.seq < generations.newest() && self.compare(generations, key)
    }

    /// Compares with the tombstones, and notes with tags up to which generation it was found true: nobody needs to look
    /// again before a newer one is opened.
    #[cold]
    fn compare<K>(&self, generations: &Generations<K>, key: &K) -> bool {
        let Some(extra) = self.extra.as_ref().filter(|extra| !extra.tags.is_empty()) else {
            return generations.overtaken(self.seq, &[], key) != 0;
        };
        if extra.true_up_to.load(Ordering::Relaxed) >= generations.newest() {
            return false;
        }
        let (overtaken, up_to) = generations.compare(self.seq, &extra.tags, key);
        if overtaken == 0 {
            extra.true_up_to.store(up_to, Ordering::Relaxed);
        }
        overtaken != 0
    }

    /// Tells whether and why it can never be served again.
    pub(crate) fn end<K>(&self, judge: &Judge<'_, K>, key: &K) -> Option<Why> {
        if self.is_untrue(judge.generations, key) {
            Some(Why::Invalidated)
        } else {
            self.is_past_keeping(judge).then_some(Why::Expired)
        }
    }

    /// Tells whether it is not to be trusted any more, though it may be true.
    #[inline]
    pub(crate) fn is_doubtful<K>(&self, generations: &Generations<K>) -> bool {
        self.seq < generations.newest() && self.seq < generations.suspected()
    }

    /// Makes it stale, in the generation of the doubt that it was compared with. Tells whether it is of any
    /// use yet.
    pub(crate) fn doubt<K>(&mut self, judge: &Judge<'_, K>, suspected: u64) -> bool {
        let (Some(window), Some(_)) = (judge.rules.stale_if_error, &self.held) else { return false };
        self.expire(judge.rules, judge.now, window);
        self.seq = self.seq.max(suspected);
        true
    }

    /// Tells whether it is not even kept for stale use any more. Nobody asks for what is idle.
    pub(crate) fn is_past_keeping<K>(&self, judge: &Judge<'_, K>) -> bool {
        self.idle.has_passed(judge.now) || self.keep(judge.rules).has_passed(judge.now)
    }

    /// Returns the value, if it can be served as fresh.
    #[inline]
    pub(crate) fn live<K>(&self, judge: &Judge<'_, K>, key: &K) -> Option<&Held<V>> {
        let is_trusted = || !self.is_doubtful(judge.generations) && !self.is_untrue(judge.generations, key);
        if self.is_fresh(judge.now) && is_trusted() { self.held.as_ref() } else { None }
    }

    /// Returns what the engine decides from.
    pub(crate) fn state(&self, rules: &Rules) -> State {
        let times = self.times(rules);
        if self.held.is_some() { State::Value(times) } else { State::Absence(times) }
    }

    /// Returns when it was stored, where that is known.
    pub(crate) fn born(&self) -> Option<Tick> {
        self.life.beginning(self.fresh)
    }

    /// Returns for how long it has been stored, where that is known.
    pub(crate) fn age(&self, now: Tick) -> Option<Duration> {
        self.born().map(|born| now.since(born))
    }

    /// Returns the points at which something changes for this entry.
    pub(crate) fn times(&self, rules: &Rules) -> Times {
        let (revalidate, retry) = self.extra.as_ref().map_or((None, None), |extra| (extra.revalidate, extra.retry));
        let keep = self.keep(rules);
        let swr = || match (&self.held, rules.stale_while_revalidate) {
            (Some(_), Some(window)) => self.fresh.plus(window).min(keep),
            _ => self.fresh,
        };
        Times { eager: self.eager(rules), fresh: self.fresh, revalidate: revalidate.unwrap_or_else(swr), keep, retry }
    }

    /// Returns the point until which it is kept for stale use; the end of `fresh` if there is none.
    pub(crate) fn keep(&self, rules: &Rules) -> Deadline {
        match (self.extra.as_ref().and_then(|extra| extra.keep), &self.held) {
            (Some(keep), _) => keep,
            (None, Some(_)) => self.fresh.plus(rules.stale_use()),
            (None, None) => self.fresh,
        }
    }

    /// Returns the point from which on a read refreshes the entry although it is fresh.
    #[inline]
    pub(crate) fn eager(&self, rules: &Rules) -> Deadline {
        match rules.eager_refresh {
            Some(share) if self.held.is_some() => {
                self.born().map_or(self.fresh, |born| self.fresh.share_since(born, share))
            }
            _ => self.fresh,
        }
    }

    /// Ends its time to live now; it is kept for stale use for a while, and never longer than it was
    /// anyway.
    pub(crate) fn expire(&mut self, rules: &Rules, now: Tick, window: Duration) {
        let (end, keep) = (now.deadline(), self.keep(rules));
        if !self.fresh.has_passed(now) {
            self.life = self.born().map_or(Life::UNKNOWN, |born| Life::new(now.since(born)));
            self.fresh = end;
        }
        let extra = self.extra_mut();
        extra.keep = Some(keep.min(end.plus(window)));
        extra.revalidate = Some(end);
        extra.retry = None;
    }

    pub(crate) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Returns the value where it lies.
    #[cfg(test)]
    pub(crate) fn value(&self) -> &V {
        self.held.as_ref().expect("a value").value()
    }
}

impl Extra {
    /// Returns what the box and its tags take, as part of an entry's weight.
    pub(crate) fn bytes(tags: &[Tag]) -> u64 {
        let tags = tags.iter().fold(0, |sum, tag| sum + size_of::<Tag>() + tag.as_str().len());
        u64::try_from(size_of::<Self>() + tags).unwrap_or(u64::MAX)
    }
}
