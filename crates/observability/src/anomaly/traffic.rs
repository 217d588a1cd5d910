use super::error_rate::float;
use super::stat::{poisson_surprise, score_of};

/// How many requests a bucket usually has.
///
/// Requests come in clumps, so counts vary more than Poisson's; the usual variance is learned, and counts are judged by
/// the Poisson tail of counts that are scaled down by as much as theirs exceeds it.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    mean: f64,
    variance: f64,
    buckets: u32,
}

impl Traffic {
    pub(super) const fn buckets(&self) -> u32 {
        self.buckets
    }

    pub(super) const fn mean(&self) -> f64 {
        self.mean
    }

    /// How unusual the count is; below zero if it is too low. A change by less than half is none.
    pub(super) fn score(&self, requests: u64) -> f64 {
        let count = float(requests);
        let clumps = (self.variance / self.mean.max(1e-9)).max(1.0);
        let (scaled, usual) = (count / clumps, self.mean / clumps);
        if count >= self.mean * 1.5 && count - self.mean >= 10.0 {
            score_of(poisson_surprise(scaled.floor(), usual))
        } else if count <= self.mean * 0.5 && self.mean >= MIN_MEAN {
            -score_of(poisson_surprise(scaled.ceil(), usual))
        } else {
            0.0
        }
    }

    pub(super) fn learn(&mut self, requests: u64) {
        self.buckets = self.buckets.saturating_add(1);
        let weight = (1.0 / f64::from(self.buckets)).max(WEIGHT);
        let off = float(requests) - self.mean;
        self.mean += weight * off;
        self.variance = (1.0 - weight) * weight.mul_add(off * off, self.variance);
    }
}

const WEIGHT: f64 = 0.02;
/// Below so many requests in a bucket, a bucket without any is nothing unusual.
const MIN_MEAN: f64 = 5.0;
