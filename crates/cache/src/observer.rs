//! What the cache tells to those who count it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::load::Source;

/// Hears what happens in a cache, to feed meters.
///
/// It is called on the thread of the operation, after the lock of the shard was released; it should
/// count and return. One observer can serve many caches, so an event carries neither key nor value. A
/// panic in it goes to whoever called the cache; of a load that ends it makes one that was cut off.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// Hears one event of the cache of this name.
    fn on_event(&self, cache: &str, event: &CacheEvent);
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn on_event(&self, cache: &str, event: &CacheEvent) {
        (**self).on_event(cache, event);
    }
}

/// Something that happened in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CacheEvent {
    /// A lookup was served, within the time to live.
    Hit,
    /// A lookup was served with a value whose time to live is over.
    HitStale {
        /// Why: one of the stale sources.
        source: Source,
    },
    /// A lookup was served with the knowledge that the key has no value.
    HitNegative,
    /// A lookup found nothing to serve.
    Miss {
        /// Why.
        cause: MissCause,
    },
    /// A value was stored.
    Inserted {
        /// What the entry weighs in bytes.
        weight: u64,
    },
    /// An entry was too heavy and not stored.
    Refused {
        /// What it weighs in bytes.
        weight: u64,
        /// What one entry may weigh in bytes.
        limit: u64,
    },
    /// An entry gave way to keep the budget.
    Evicted {
        /// What it weighed in bytes.
        weight: u64,
    },
    /// An entry was dropped because its time was over.
    Expired {
        /// What it weighed in bytes.
        weight: u64,
    },
    /// An entry was dropped because its tag, a pattern or everything was invalidated.
    Invalidated {
        /// What it weighed in bytes.
        weight: u64,
    },
    /// A tag, a prefix or a glob was invalidated.
    InvalidationApplied,
    /// An entry was removed by its key, or because the origin no longer has it.
    Removed {
        /// What it weighed in bytes.
        weight: u64,
    },
    /// The cache was emptied.
    Cleared {
        /// How many entries it had held.
        entries: u64,
    },
    /// A load began for a caller that waits for it.
    LoadStarted,
    /// A load began that nobody waits for, since there is a value to serve meanwhile.
    RefreshStarted,
    /// A caller has waited for as long as it may, and nothing could be served.
    TimedOut,
    /// A caller joined a load that was under way.
    Coalesced,
    /// The remote tier answered a load, so that no loader ran.
    RemoteHit,
    /// The remote tier had nothing to serve for a load.
    RemoteMiss,
    /// The remote tier did not answer, or gave what cannot be read; the load goes on as after a miss.
    RemoteFailed,
    /// Word from other nodes may have been missed: nothing held is trusted as fresh any more.
    Suspected,
    /// The hit ratio fell below the target of the advisor.
    HitRatioFell {
        /// To this, in thousandths.
        permille: u16,
    },
    /// The hit ratio is well above the target of the advisor again.
    HitRatioRecovered {
        /// At this, in thousandths.
        permille: u16,
    },
    /// A load ended.
    LoadFinished {
        /// How.
        outcome: LoadOutcome,
        /// How long it took.
        elapsed: Duration,
    },
}

/// Why a lookup was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissCause {
    /// The key was not stored: never seen, evicted or removed. Which of them it was, the cache does not know: what
    /// it remembers of evicted keys lies beside a lookup's way, and to look there would cost each miss a line of
    /// memory. [`CacheStats::evictions`](crate::CacheStats::evictions) and the advisor tell whether the budget is
    /// too small.
    Absent,
    /// The entry's time was over.
    Expired,
    /// The entry's tag, a pattern that fits its key, or everything was invalidated.
    Invalidated,
}

/// How a load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoadOutcome {
    /// The value was stored.
    Stored,
    /// The origin has no value, which is remembered if the settings say so.
    Absent,
    /// The value was handed to its callers and not stored: the loader asked for that, it was too
    /// heavy, or the key was removed or written meanwhile.
    NotStored,
    /// The loader returned an error.
    Failed,
    /// The loader panicked.
    Panicked,
    /// The load was dropped before its end, since its runtime was shut down.
    Aborted,
}
