use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;

/// How long something took, over all times it was done.
///
/// Quantiles are read from a histogram whose buckets grow by a quarter at most: they are too large by up to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Latency {
    /// How many times.
    pub count: u64,
    /// How long together.
    pub sum: Duration,
    /// How long at most in the faster half.
    pub p50: Duration,
    /// How long at most in the fastest 95 of 100.
    pub p95: Duration,
    /// How long at most in the fastest 99 of 100.
    pub p99: Duration,
    /// How long at most.
    pub max: Duration,
}

/// Four buckets for each power of two of microseconds, up to some nine years.
const BUCKETS: usize = 4 * 48;

#[derive(Debug)]
pub(crate) struct LatencyRecorder {
    buckets: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
    max_micros: AtomicU64,
}

impl Default for LatencyRecorder {
    fn default() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum_micros: AtomicU64::new(0),
            max_micros: AtomicU64::new(0),
        }
    }
}

impl LatencyRecorder {
    pub(crate) fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(bucket(micros)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
        self.max_micros.fetch_max(micros, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self) -> Latency {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let max = self.max_micros.load(Ordering::Relaxed);
        let quantile = |per_cent: u64| {
            let rank = (count * per_cent).div_ceil(100);
            let mut seen = 0;
            let found = counts.iter().position(|one| {
                seen += one;
                seen >= rank && seen > 0
            });
            Duration::from_micros(found.map_or(0, |bucket| upper(bucket).min(max)))
        };
        Latency {
            count,
            sum: Duration::from_micros(self.sum_micros.load(Ordering::Relaxed)),
            p50: quantile(50),
            p95: quantile(95),
            p99: quantile(99),
            max: Duration::from_micros(max),
        }
    }
}

fn bucket(micros: u64) -> usize {
    if micros < 4 {
        return usize::try_from(micros).unwrap_or(0);
    }
    let power = micros.ilog2();
    let quarter = (micros >> (power - 2)) & 3;
    let index = u64::from(power - 1) * 4 + quarter;
    usize::try_from(index).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(0);
    if bucket < 4 {
        return bucket;
    }
    let (power, quarter) = (bucket / 4 + 1, bucket % 4);
    ((5 + quarter) << (power - 2)) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quantiles_are_at_most_a_quarter_too_large(micros in prop::collection::vec(0_u64..100_000_000, 1..200)) {
            let recorder = LatencyRecorder::default();
            for one in &micros {
                recorder.record(Duration::from_micros(*one));
            }
            let found = recorder.snapshot();
            let mut sorted = micros;
            sorted.sort_unstable();
            prop_assert_eq!(found.count, sorted.len() as u64);
            prop_assert_eq!(found.sum, Duration::from_micros(sorted.iter().sum()));
            prop_assert_eq!(found.max, Duration::from_micros(*sorted.last().unwrap()));
            for (per_cent, found) in [(50, found.p50), (95, found.p95), (99, found.p99)] {
                let truth = sorted[(sorted.len() * per_cent).div_ceil(100) - 1];
                let found = u64::try_from(found.as_micros()).unwrap();
                prop_assert!(found >= truth && found <= truth + truth / 4, "p{per_cent}: {found} for {truth}");
            }
        }
    }
}
