//! What the cache counted.

use serde::{Deserialize, Serialize};

/// What a cache has counted since it was built, and what it holds now.
///
/// `entries` and `bytes` are exact, without a call to [`maintain`](crate::Cache::maintain); an
/// entry that has expired counts until it is read, evicted or swept. Each shard is read in turn, so
/// figures of operations that run meanwhile may be in or out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// Lookups that were served from the cache.
    pub hits: u64,
    /// Lookups of a key that was not stored.
    pub misses_absent: u64,
    /// Lookups of a key whose entry had expired.
    pub misses_expired: u64,
    /// Values that were stored, new and replaced together.
    pub inserts: u64,
    /// Entries that gave way to keep the budget.
    pub evictions: u64,
    /// Entries that were dropped because their time was over.
    pub expirations: u64,
    /// Values that were not stored since they are heavier than an entry may be.
    pub refusals: u64,
    /// Loads that were started.
    pub loads: u64,
    /// Loads that ended in an error or a panic, or were cut off by the end of their runtime.
    pub load_failures: u64,
    /// Callers that waited for a load which another one had started.
    pub coalesced: u64,
    /// Entries stored now.
    pub entries: u64,
    /// What the stored entries weigh now, in bytes.
    pub bytes: u64,
    /// The budget in bytes.
    pub max_bytes: u64,
}

impl CacheStats {
    /// Returns all lookups that were not served.
    pub const fn misses(&self) -> u64 {
        self.misses_absent.saturating_add(self.misses_expired)
    }

    /// Returns the share of lookups that were served, 0 to 1; `None` before the first lookup.
    pub fn hit_ratio(&self) -> Option<f64> {
        let lookups = self.hits.saturating_add(self.misses());
        #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits")]
        (lookups > 0).then(|| self.hits as f64 / lookups as f64)
    }

    /// Adds what one shard counted.
    pub(crate) const fn absorb(&mut self, shard: &Self) {
        // All fields by name, so that a new one cannot be forgotten.
        let Self {
            hits,
            misses_absent,
            misses_expired,
            inserts,
            evictions,
            expirations,
            refusals,
            loads,
            load_failures,
            coalesced,
            entries,
            bytes,
            max_bytes: _,
        } = *shard;
        self.hits += hits;
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
