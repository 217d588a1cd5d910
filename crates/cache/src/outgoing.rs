//! What leaves a shard, carried out of its lock before it is dropped.
//!
//! Dropping a value can run any code of the user's, even a call of this very cache. So whatever is
//! evicted, expired or replaced is gathered here while the lock is held, and told and dropped
//! after. Most operations let at most one entry go: that one needs no allocation.

use crate::entry::Remains;
use crate::observer::{CacheEvent, MissCause};

#[derive(Debug)]
pub(crate) struct Outgoing<K, V> {
    first: Option<Gone<K, V>>,
    /// In a box, so that an operation that lets one go has no list to drop.
    rest: Option<Box<Rest<K, V>>>,
}

#[derive(Debug)]
struct Rest<K, V>(Vec<Gone<K, V>>);

#[derive(Debug)]
struct Gone<K, V> {
    why: Why,
    _key: K,
    remains: Remains<V>,
}

/// Why an entry left.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Why {
    Evicted,
    Expired,
    Invalidated,
    /// Taken out by an insert that was refused, or by its key.
    Removed,
}

impl Why {
    /// Returns what a lookup that found such an entry is counted as.
    pub(crate) const fn cause(self) -> MissCause {
        match self {
            Self::Expired => MissCause::Expired,
            Self::Invalidated => MissCause::Invalidated,
            Self::Evicted | Self::Removed => MissCause::Absent,
        }
    }

    /// Returns what is told of an entry of this weight.
    pub(crate) const fn event(self, weight: u64) -> CacheEvent {
        match self {
            Self::Evicted => CacheEvent::Evicted { weight },
            Self::Expired => CacheEvent::Expired { weight },
            Self::Invalidated => CacheEvent::Invalidated { weight },
            Self::Removed => CacheEvent::Removed { weight },
        }
    }
}

impl<K, V> Outgoing<K, V> {
    pub(crate) const fn new() -> Self {
        Self { first: None, rest: None }
    }

    #[inline]
    pub(crate) fn push(&mut self, why: Why, (key, remains): (K, impl Into<Remains<V>>)) {
        let gone = Gone { why, _key: key, remains: remains.into() };
        if self.first.is_none() {
            self.first = Some(gone);
        } else {
            self.rest.get_or_insert_with(|| Box::new(Rest(Vec::new()))).0.push(gone);
        }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.as_ref().map_or(0, |rest| rest.0.len())
    }

    /// Tells of each entry, in the order in which they left, and drops them.
    #[inline]
    pub(crate) fn release(self, mut tell: impl FnMut(CacheEvent)) {
        let Self { first, rest } = self;
        if let Some(gone) = &first {
            tell(gone.why.event(gone.remains.weight()));
        }
        if let Some(rest) = rest {
            Self::release_rest(&rest, tell);
        }
    }

    #[cold]
    fn release_rest(rest: &Rest<K, V>, mut tell: impl FnMut(CacheEvent)) {
        for gone in &rest.0 {
            tell(gone.why.event(gone.remains.weight()));
        }
    }
}
