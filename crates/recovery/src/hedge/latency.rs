use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// A running quantile of durations in fixed memory (4 KiB), fed and read without a lock.
///
/// Durations are counted in buckets that grow by an eighth of a power of two, so that a quantile is right to within 9 %
/// from a microsecond to an hour. Two halves take turns: one is being filled while the other still counts, so that what
/// is older than two turns is forgotten.
#[derive(Debug)]
pub struct LatencySketch {
    halves: [Box<[AtomicU32]>; 2],
    filling: AtomicUsize,
    in_half: AtomicU32,
    turn_after: u32,
    total: AtomicU64,
}

/// Eight buckets for each power of two of nanoseconds.
const PER_OCTAVE: u32 = 8;
const BUCKETS: usize = 512;

impl LatencySketch {
    /// Creates an empty sketch that remembers between `window` and twice as many durations.
    #[must_use]
    pub fn new(window: u32) -> Self {
        let half = || std::iter::repeat_with(|| AtomicU32::new(0)).take(BUCKETS).collect();
        Self {
            halves: [half(), half()],
            filling: AtomicUsize::new(0),
            in_half: AtomicU32::new(0),
            turn_after: window.max(1),
            total: AtomicU64::new(0),
        }
    }

    /// Adds a duration.
    pub fn record(&self, took: Duration) {
        let filling = self.filling.load(Ordering::Relaxed) & 1;
        if let Some(bucket) = self.halves.get(filling).and_then(|half| half.get(bucket_of(took))) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.total.fetch_add(1, Ordering::Relaxed);
        // Exactly one of those who count past the end turns the halves; the rest land in either, which does no harm.
        if self.in_half.fetch_add(1, Ordering::Relaxed) == self.turn_after {
            self.turn(filling ^ 1);
        }
    }

    fn turn(&self, next: usize) {
        for bucket in self.halves.get(next).into_iter().flatten() {
            bucket.store(0, Ordering::Relaxed);
        }
        self.in_half.store(0, Ordering::Relaxed);
        self.filling.store(next, Ordering::Relaxed);
    }

    /// Returns how many durations were added in all.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Returns the duration below which the share `quantile` (0.0 to 1.0) of those remembered lies; the upper edge of its
    /// bucket. `None` if there are none.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let [first, second] = &self.halves;
        let counts = || {
            let pairs = first.iter().zip(second);
            pairs.map(|(a, b)| u64::from(a.load(Ordering::Relaxed)) + u64::from(b.load(Ordering::Relaxed)))
        };
        let sum: u64 = counts().sum();
        if sum == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among some thousands"
        )]
        let rank = ((sum as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        let at = counts().position(|count| {
            seen += count;
            seen >= rank
        });
        Some(edge_of(at.unwrap_or(BUCKETS - 1)))
    }
}

fn bucket_of(took: Duration) -> usize {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).max(1);
    let octave = nanos.ilog2();
    // The three bits below the highest say which eighth it is.
    let eighth = if octave >= 3 { nanos >> (octave - 3) & 7 } else { 0 };
    usize::try_from(u64::from(octave * PER_OCTAVE) + eighth).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn edge_of(bucket: usize) -> Duration {
    let bucket = u64::try_from(bucket).unwrap_or(0);
    let (octave, eighth) = (bucket / u64::from(PER_OCTAVE), bucket % u64::from(PER_OCTAVE));
    let low = 1_u128 << octave;
    let edge = low + low * u128::from(eighth + 1) / 8;
    Duration::from_nanos(u64::try_from(edge).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_quantile_is_within_an_eighth(
            mut micros in prop::collection::vec(1..100_000_000_u64, 1..300), quantile in 0.0..1.0_f64,
        ) {
            let sketch = LatencySketch::new(1_000);
            for took in &micros {
                sketch.record(Duration::from_micros(*took));
            }
            micros.sort_unstable();
            // The rank by counting, so that the test rounds nothing itself.
            let length = f64::from(u32::try_from(micros.len()).unwrap());
            let rank = (1..micros.len()).find(|n| f64::from(u32::try_from(*n).unwrap()) >= length * quantile);
            let exact = Duration::from_micros(micros[rank.unwrap_or(micros.len()) - 1]);
            let told = sketch.quantile(quantile).unwrap();
            prop_assert!(told >= exact && told <= exact + exact / 7, "{told:?} for {exact:?}");
        }
    }

    #[test]
    fn what_is_long_ago_is_forgotten() {
        let sketch = LatencySketch::new(100);
        for _ in 0..100 {
            sketch.record(Duration::from_secs(1));
        }
        for _ in 0..300 {
            sketch.record(Duration::from_millis(1));
        }
        assert!(sketch.quantile(1.0).unwrap() < Duration::from_millis(2));
        assert_eq!(LatencySketch::new(1).quantile(0.5), None);
        sketch.record(Duration::MAX);
        assert!(sketch.quantile(1.0).unwrap() > Duration::from_hours(1));
    }
}
