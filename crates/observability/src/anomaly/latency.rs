use super::stat::median;

/// The latencies of a bucket, of which a bounded, evenly chosen part is kept.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    logs: Vec<f64>,
    seen: u64,
}

/// What is usual for the median of a bucket's log latency.
///
/// The spread of a bucket's median has two parts: chance, which shrinks with the bucket's samples, and drift of the load
/// itself, which does not. The first comes from the spread within buckets (the median of n has about 1.2533 times the
/// deviation of their mean), the second from how bucket medians differ from the baseline.
#[derive(Debug, Default)]
pub(super) struct Baseline {
    center: f64,
    /// The usual deviation within a bucket, by its median absolute deviation.
    within: f64,
    /// The usual squared deviation of medians from the center, beyond chance.
    drift: f64,
    buckets: u32,
}

/// A bucket's median and spread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Summary {
    pub(super) center: f64,
    pub(super) spread: f64,
    pub(super) samples: f64,
}

impl Sampler {
    /// `chance` picks which former sample gives way, evenly over 0 to its argument.
    pub(super) fn add(&mut self, seconds: f64, chance: impl FnOnce(u64) -> u64) {
        let log = seconds.max(1e-9).ln();
        self.seen += 1;
        if self.logs.len() < KEPT {
            self.logs.push(log);
        } else if let Some(slot) = usize::try_from(chance(self.seen)).ok().and_then(|slot| self.logs.get_mut(slot)) {
            *slot = log;
        }
    }

    /// Ends the bucket.
    pub(super) fn summarize(&mut self) -> Option<Summary> {
        let samples = u32::try_from(self.logs.len()).map_or(0.0, f64::from);
        if self.logs.is_empty() {
            return None;
        }
        let center = median(&mut self.logs);
        for log in &mut self.logs {
            *log = (*log - center).abs();
        }
        // 1.4826 makes it the deviation, for normal values.
        let spread = median(&mut self.logs) * 1.482_6;
        self.logs.clear();
        self.seen = 0;
        Some(Summary { center, spread, samples })
    }
}

impl Baseline {
    /// How many usual deviations the bucket's median is above the baseline's.
    pub(super) fn score(&self, bucket: Summary) -> f64 {
        let chance = self.chance(bucket.samples);
        // What is as fast as the clock's resolution must not make a deviation of nothing.
        let usual = (chance + self.drift.max(0.0)).sqrt().max(FLOOR);
        (bucket.center - self.center) / usual
    }

    pub(super) const fn buckets(&self) -> u32 {
        self.buckets
    }

    pub(super) const fn center(&self) -> f64 {
        self.center
    }

    pub(super) fn learn(&mut self, bucket: Summary) {
        self.buckets = self.buckets.saturating_add(1);
        // The plain mean of the first buckets, an exponential one after that.
        let weight = (1.0 / f64::from(self.buckets)).max(WEIGHT);
        let off = bucket.center - self.center;
        if self.buckets > 1 {
            // Not cut off at zero bucket by bucket, which would make a drift out of chance alone.
            let beyond = off.mul_add(off, -self.chance(bucket.samples));
            self.drift += weight * (beyond - self.drift);
        }
        self.center += weight * off;
        self.within += weight * (bucket.spread - self.within);
    }

    fn chance(&self, samples: f64) -> f64 {
        let deviation = 1.253_3 * self.within;
        deviation * deviation / samples.max(1.0)
    }
}

/// As many latencies of a bucket as are kept.
const KEPT: usize = 512;
/// A baseline forgets within about 50 buckets, eight minutes.
const WEIGHT: f64 = 0.02;
/// A deviation of two percent is never unusual.
const FLOOR: f64 = 0.02;
