use std::collections::VecDeque;

use super::stat::{binomial_surprise, score_of};

/// What share of requests usually fails, and how fast the budget of failures burns.
#[derive(Debug, Default)]
pub(super) struct Errors {
    rate: f64,
    buckets: u32,
    /// Requests and errors of each minute, the newest last, up to six hours.
    minutes: VecDeque<(u64, u64)>,
    /// Buckets in the newest minute.
    filled: u32,
}

/// Why errors are judged so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judgment {
    pub(super) score: f64,
    pub(super) observed: f64,
    pub(super) expected: f64,
}

impl Errors {
    pub(super) const fn buckets(&self) -> u32 {
        self.buckets
    }

    /// Notes a bucket in the windows; every bucket counts there, also in an anomaly.
    pub(super) fn note(&mut self, requests: u64, errors: u64) {
        if self.filled == 0 || self.minutes.is_empty() {
            self.minutes.push_back((0, 0));
            if self.minutes.len() > SIX_HOURS {
                self.minutes.pop_front();
            }
        }
        if let Some((all, failed)) = self.minutes.back_mut() {
            *all += requests;
            *failed += errors;
        }
        self.filled = (self.filled + 1) % BUCKETS_PER_MINUTE;
    }

    /// How unusual the bucket's errors are; a small rise is none, however sure it is.
    pub(super) fn judge(&self, requests: u64, errors: u64) -> Judgment {
        let (all, failed) = (float(requests), float(errors));
        let observed = if requests == 0 { 0.0 } else { failed / all };
        // Without any error so far the rate is not known to be zero.
        let expected = self.rate.max(0.001);
        let notable = observed > (expected * 1.5).max(expected + 0.01);
        let score = if notable { score_of(binomial_surprise(failed, all, expected)) } else { 0.0 };
        Judgment { score, observed, expected: self.rate }
    }

    /// How fast the budget burns: the fastest rate that both windows of a pair agree on, if it is over the pair's limit.
    pub(super) fn burning(&self, budget: f64, min_samples: u64) -> Option<Judgment> {
        PAIRS.iter().find_map(|(short, long, limit)| {
            let ((short_all, short_rate), (long_all, long_rate)) = (self.window(*short), self.window(*long));
            let enough = short_all >= min_samples && long_all >= min_samples * 4 && self.minutes.len() >= *short;
            let slower = short_rate.min(long_rate);
            let over = enough && slower > limit * budget;
            over.then_some(Judgment { score: slower / budget, observed: short_rate, expected: budget })
        })
    }

    pub(super) fn learn(&mut self, requests: u64, errors: u64) {
        if requests == 0 {
            return;
        }
        self.buckets = self.buckets.saturating_add(1);
        let weight = (1.0 / f64::from(self.buckets)).max(WEIGHT);
        self.rate += weight * (float(errors) / float(requests) - self.rate);
    }

    /// Begins the usual rate anew; the windows of the burn rate stay.
    pub(super) const fn forget_baseline(&mut self) {
        self.rate = 0.0;
        self.buckets = 0;
    }

    fn window(&self, minutes: usize) -> (u64, f64) {
        let newest = self.minutes.iter().rev().take(minutes);
        let (all, failed) = newest.fold((0_u64, 0_u64), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        (all, if all == 0 { 0.0 } else { float(failed) / float(all) })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests within six hours")]
pub(super) const fn float(count: u64) -> f64 {
    count as f64
}

/// Short and long window in minutes, and the burn rate that both must exceed.
const PAIRS: [(usize, usize, f64); 2] = [(5, 60, 14.4), (30, 360, 6.0)];
const SIX_HOURS: usize = 360;
const BUCKETS_PER_MINUTE: u32 = 6;
const WEIGHT: f64 = 0.01;
