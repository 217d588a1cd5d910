//! A histogram of durations with buckets of one 64th of a power of two, so that each value is right within 0.8 %.

use std::sync::atomic::{AtomicU64, Ordering};

/// Values below are kept exactly; above, each power of two has this many buckets.
const STEPS: u64 = 64;
const SHIFT: u32 = 6;
/// One hour, in microseconds; longer counts as this.
pub(crate) const MAX_MICROS: u64 = 3_600_000_000;
/// As many as reach [`MAX_MICROS`].
const COUNT: usize = 1_728;

pub(crate) fn bucket_of(micros: u64) -> usize {
    let value = micros.clamp(1, MAX_MICROS);
    let index = if value < STEPS {
        value
    } else {
        let power = u64::from(value.ilog2() - SHIFT);
        (power + 1) * STEPS + ((value >> power) - STEPS)
    };
    usize::try_from(index).unwrap_or(COUNT - 1).min(COUNT - 1)
}

/// The middle of a bucket.
pub(crate) fn value_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket;
    }
    let power = bucket / STEPS - 1;
    let low = (STEPS + bucket % STEPS) << power;
    (low + ((1 << power) >> 1)).min(MAX_MICROS)
}

/// Counts that one thread holds; they grow to the longest value seen.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    counts: Vec<u32>,
    count: u64,
}

impl Buckets {
    pub(crate) fn record(&mut self, micros: u64) {
        let bucket = bucket_of(micros);
        if bucket >= self.counts.len() {
            self.counts.resize((bucket + 1).next_multiple_of(64), 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(1);
            self.count += 1;
        }
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn clear(&mut self) {
        self.counts.fill(0);
        self.count = 0;
    }

    /// The quantile over these and the other counts together.
    pub(crate) fn quantile_with(&self, other: &Self, quantile: f64) -> u64 {
        let pairs = (0..self.counts.len().max(other.counts.len())).map(|bucket| {
            let of = |counts: &[u32]| u64::from(counts.get(bucket).copied().unwrap_or(0));
            of(&self.counts) + of(&other.counts)
        });
        quantile_of(pairs, self.count + other.count, quantile)
    }
}

/// Counts that threads share.
pub(crate) struct SharedBuckets(Box<[AtomicU64]>);

impl SharedBuckets {
    pub(crate) fn new() -> Self {
        Self((0..COUNT).map(|_| AtomicU64::new(0)).collect())
    }

    pub(crate) fn record(&self, micros: u64) {
        if let Some(count) = self.0.get(bucket_of(micros)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds the counts to these.
    pub(crate) fn add_to(&self, sums: &mut Vec<u64>) {
        sums.resize(COUNT, 0);
        for (sum, count) in sums.iter_mut().zip(&self.0) {
            *sum += count.load(Ordering::Relaxed);
        }
    }
}

/// The value that this share of all does not exceed.
pub(crate) fn quantile_of(counts: impl Iterator<Item = u64>, total: u64, quantile: f64) -> u64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank needs no more than 53 bits and is never negative"
    )]
    let rank = ((total as f64 * quantile).ceil() as u64).max(1);
    let mut passed = 0;
    let mut last = 0;
    for (bucket, count) in counts.enumerate() {
        passed += count;
        if count > 0 {
            last = bucket;
        }
        if passed >= rank {
            break;
        }
    }
    value_of(last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_s_middle_is_near_each_of_its_values(micros in 1..=MAX_MICROS) {
            let middle = value_of(bucket_of(micros));
            prop_assert!(middle.abs_diff(micros) * 1_000 <= micros * 8, "{middle} for {micros}");
        }

        #[test]
        fn longer_values_never_lie_in_lower_buckets(a in any::<u64>(), b in any::<u64>()) {
            prop_assert!(bucket_of(a.min(b)) <= bucket_of(a.max(b)));
            prop_assert!(bucket_of(a) < COUNT);
        }
    }

    #[test]
    fn the_longest_value_has_a_bucket_of_its_own() {
        assert!(bucket_of(MAX_MICROS) < COUNT - 1, "{}", bucket_of(MAX_MICROS));
    }
}
