//! What the cache counted.

use serde::{Deserialize, Serialize};

use crate::latency::LatencyHistogram;
use crate::load::Source;
use crate::observer::MissCause;
use crate::outgoing::Why;

/// What a cache has counted since it was built, and what it holds now.
///
/// `entries` and `bytes` are exact, without a call to [`maintain`](crate::Cache::maintain); an
/// entry that has expired counts until it is read, evicted or swept. Each shard is read in turn, so
/// figures of operations that run meanwhile may be in or out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Lookups that were served from the cache, within the time to live.
    pub hits: u64,
    /// Lookups that were served with a stale value, while it is refreshed or because a load failed
    /// or took too long.
    pub hits_stale: u64,
    /// Lookups that were served with the knowledge that the key has no value.
    pub hits_negative: u64,
    /// Lookups of a key that was not stored, or is known to have no value where one is needed.
    pub misses_absent: u64,
    /// Lookups of a key whose entry had expired.
    pub misses_expired: u64,
    /// Lookups of a key whose entry was invalidated by tag, by pattern or with all others.
    pub misses_invalidated: u64,
    /// Values that were stored, new and replaced together.
    pub inserts: u64,
    /// Entries that gave way to keep the budget.
    pub evictions: u64,
    /// Entries that were dropped because their time was over.
    pub expirations: u64,
    /// Entries that were dropped because they had been invalidated by tag, by pattern or with all
    /// others; those that [`clear`](crate::Cache::clear) itself took out not counted.
    pub invalidated: u64,
    /// Values that were not stored since they are heavier than an entry may be.
    pub refusals: u64,
    /// Loads that were started, refreshes included.
    pub loads: u64,
    /// Loads that the remote tier answered, so that no loader ran.
    pub remote_hits: u64,
    /// Loads that were started to refresh what was served meanwhile.
    pub refreshes: u64,
    /// Loads that ended in an error or a panic, or were cut off by the end of their runtime.
    pub load_failures: u64,
    /// Callers that waited for a load which another one had started.
    pub coalesced: u64,
    /// Callers that waited for a load and were given a stale value, since it failed or took too
    /// long; each counts as a miss too.
    pub fallbacks: u64,
    /// Callers that had waited for as long as they may, and got nothing.
    pub timeouts: u64,
    /// How long loads took that came to an end.
    pub load_latency: LatencyHistogram,
    /// Entries stored now.
    pub entries: u64,
    /// What the stored entries weigh now, in bytes.
    pub bytes: u64,
    /// The budget in bytes.
    pub max_bytes: u64,
}

impl CacheStats {
    /// Returns all lookups that were not served at once.
    pub const fn misses(&self) -> u64 {
        self.misses_absent.saturating_add(self.misses_expired).saturating_add(self.misses_invalidated)
    }

    /// Returns the share of lookups that were served, 0 to 1; `None` before the first lookup.
    pub fn hit_ratio(&self) -> Option<f64> {
        let hits = self.all_hits();
        let lookups = hits.saturating_add(self.misses());
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits")]
        (lookups > 0).then(|| hits as f64 / lookups as f64)
    }

    /// Returns all lookups that were served at once.
    pub(crate) const fn all_hits(&self) -> u64 {
        self.hits.saturating_add(self.hits_stale).saturating_add(self.hits_negative)
    }

    /// Counts a lookup that was served.
    pub(crate) const fn hit(&mut self, source: Source) {
        match source {
            Source::Negative => self.hits_negative += 1,
            source if source.is_stale() => self.hits_stale += 1,
            _ => self.hits += 1,
        }
    }

    /// Counts a lookup that was not served.
    pub(crate) const fn miss(&mut self, cause: MissCause) {
        match cause {
            MissCause::Absent => self.misses_absent += 1,
            MissCause::Expired => self.misses_expired += 1,
            MissCause::Invalidated => self.misses_invalidated += 1,
        }
    }

    /// Counts entries that were taken out.
    pub(crate) const fn gone(&mut self, why: Why, count: u64) {
        match why {
            Why::Evicted => self.evictions += count,
            Why::Expired => self.expirations += count,
            Why::Invalidated => self.invalidated += count,
            Why::Removed => {}
        }
    }

    /// Adds what one shard counted.
    pub(crate) const fn absorb(&mut self, shard: &Self) {
        // All fields by name, so that a new one cannot be forgotten.
        let Self {
            hits,
            hits_stale,
            hits_negative,
            misses_absent,
            misses_expired,
            misses_invalidated,
            inserts,
            evictions,
            expirations,
            invalidated,
            refusals,
            loads,
            remote_hits: _,
            refreshes,
            load_failures,
            coalesced,
            fallbacks,
            timeouts,
            load_latency: _,
            entries,
            bytes,
            max_bytes: _,
        } = *shard;
        self.hits += hits;
        self.hits_stale += hits_stale;
        self.hits_negative += hits_negative;
        self.misses_invalidated += misses_invalidated;
        self.invalidated += invalidated;
        self.refreshes += refreshes;
        self.fallbacks += fallbacks;
        self.timeouts += timeouts;
        self.misses_absent += misses_absent;
        self.misses_expired += misses_expired;
        self.inserts += inserts;
        self.evictions += evictions;
        self.expirations += expirations;
        self.refusals += refusals;
        self.loads += loads;
        self.load_failures += load_failures;
        self.coalesced += coalesced;
        self.entries += entries;
        self.bytes += bytes;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_counts_every_miss() {
        let stats = CacheStats { hits: 3, misses_absent: 4, misses_expired: 5, ..CacheStats::default() };
        assert_eq!(stats.hit_ratio(), Some(0.25));
        assert_eq!(CacheStats::default().hit_ratio(), None);
    }
}
