//! Which keys were let go of lately, four bytes each.
//!
//! A set of buckets of four fingerprints. A full bucket forgets its oldest, so there is no queue to
//! keep: about as many keys are remembered as entries are held. A fingerprint may stand for another
//! key (one in some ten million per lookup); the entry then only skips its trial.

#[derive(Debug, Default)]
pub(super) struct Ghosts {
    buckets: Vec<[u32; WAYS]>,
}

impl Ghosts {
    /// Makes room for as many keys as there are entries. What was remembered is forgotten when the
    /// room grows, which happens while a cache fills and has hardly anything to remember.
    #[inline]
    pub(super) fn fit(&mut self, entries: usize) {
        if self.buckets.len() * WAYS < entries.max(LEAST) {
            self.grow(entries);
        }
    }

    #[cold]
    fn grow(&mut self, entries: usize) {
        self.buckets = vec![[EMPTY; WAYS]; entries.max(LEAST).next_power_of_two() / WAYS];
    }

    #[inline]
    pub(super) fn remember(&mut self, hash: u64) {
        let fingerprint = fingerprint(hash);
        if let Some(bucket) = self.bucket(hash) {
            let [first, second, third, _] = *bucket;
            *bucket = [fingerprint, first, second, third];
        }
    }

    /// Tells whether a key is remembered, and forgets it.
    #[inline]
    pub(super) fn recall(&mut self, hash: u64) -> bool {
        let fingerprint = fingerprint(hash);
        let found = self.bucket(hash).and_then(|bucket| bucket.iter_mut().find(|stored| **stored == fingerprint));
        found.map(|stored| *stored = EMPTY).is_some()
    }

    #[inline]
    fn bucket(&mut self, hash: u64) -> Option<&mut [u32; WAYS]> {
        let at = (hash >> 8) as usize & self.buckets.len().wrapping_sub(1);
        self.buckets.get_mut(at)
    }
}

const fn fingerprint(hash: u64) -> u32 {
    // Odd, so never the mark of an empty place.
    (hash >> 32) as u32 | 1
}

const WAYS: usize = 4;
const EMPTY: u32 = 0;
const LEAST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_bucket_forgets_its_oldest() {
        let mut ghosts = Ghosts::default();
        assert!(!ghosts.recall(1 << 40), "nothing was remembered yet");
        ghosts.fit(1);
        for n in 1..=5u64 {
            ghosts.remember(n << 40);
        }
        let recalled: Vec<bool> = (1..=5u64).map(|n| ghosts.recall(n << 40)).collect();
        assert_eq!(recalled, [false, true, true, true, true]);
        assert!(!ghosts.recall(5 << 40), "a key is recalled once");
    }
}
