//! How long loads took, in buckets that double.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often loads took how long, in 28 buckets whose upper bounds double from 1 µs to 67 s; the
/// last takes all that took longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyHistogram {
    counts: [u64; BUCKETS],
}

impl LatencyHistogram {
    /// Returns each bucket's upper bound, which is part of it, and its count; the last has none.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        self.counts.iter().enumerate().map(|(index, count)| (upper(index), *count))
    }

    /// Returns how many loads were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the upper bound of the bucket in which a quantile lies, for example 0.99; so the
    /// answer is up to twice the true one. `None` without a load, and where the quantile took longer
    /// than the last bound.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank in a histogram of doubling buckets needs no more than 52 bits, and is clamped to the count"
        )]
        let rank = ((count as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).clamp(1, count);
        let mut seen = 0;
        let (bound, _) = self.buckets().find(|(_, count)| {
            seen += count;
            seen >= rank
        })?;
        bound
    }
}

/// Counts loads while they end, on any thread.
#[derive(Debug, Default)]
pub(crate) struct LatencyRecorder {
    counts: [AtomicU64; BUCKETS],
}

impl LatencyRecorder {
    pub(crate) fn record(&self, took: Duration) {
        // Not by `as_nanos`: a division of 128 bits is most of what an instant load would pay here.
        let micros = took.as_secs().saturating_mul(1_000_000).saturating_add(took.subsec_nanos().div_ceil(1000).into());
        // The smallest `index` with `micros <= 2^index`.
        let index = u64::BITS - micros.saturating_sub(1).leading_zeros();
        let last = BUCKETS - 1;
        if let Some(count) = self.counts.get(usize::try_from(index).unwrap_or(last).min(last)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn snapshot(&self) -> LatencyHistogram {
        LatencyHistogram { counts: self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)) }
    }
}

fn upper(index: usize) -> Option<Duration> {
    (index + 1 < BUCKETS).then(|| Duration::from_micros(1 << index))
}

const BUCKETS: usize = 28;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_part_of_its_bucket() {
        let recorder = LatencyRecorder::default();
        for took in [Duration::ZERO, Duration::from_micros(1), Duration::from_nanos(1001), Duration::MAX] {
            recorder.record(took);
        }
        let counted: Vec<u64> = recorder.snapshot().buckets().map(|(_, count)| count).collect();
        assert_eq!((counted[0], counted[1], counted[27], counted.len()), (2, 1, 1, 28));
    }

    #[test]
    fn a_quantile_is_a_bound_at_or_above_it() {
        let recorder = LatencyRecorder::default();
        assert_eq!(recorder.snapshot().quantile(0.5), None);
        for millis in 1..=100 {
            recorder.record(Duration::from_millis(millis));
        }
        let histogram = recorder.snapshot();
        assert_eq!(histogram.quantile(0.5), Some(Duration::from_micros(65_536)));
        assert_eq!(histogram.quantile(0.0), Some(Duration::from_micros(1024)));
        assert_eq!(histogram.quantile(1.0), Some(Duration::from_micros(131_072)));
        recorder.record(Duration::from_hours(1));
        assert_eq!(recorder.snapshot().quantile(1.0), None);
    }
}
