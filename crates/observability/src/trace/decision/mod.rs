//! Which traces are kept: pure decisions over what a trace gathered, with the time as an argument.
//!
//! The decision falls when a trace is over here, so it can look at all of it; a sampler at the head, which decides before
//! anything happened, keeps mostly what nobody asks for. The price is that each process decides by itself: only the
//! baseline, which goes by the trace's id, and the caller's sampled flag are the same for all that take part.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ids::TraceId;
use crate::metrics::Buckets;
use crate::trace::buffer::Gathered;

/// Why a trace was kept; where several reasons hold, the first of this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeepReason {
    /// A span was recorded with `keep = true`.
    Asked,
    /// A span failed.
    Error,
    /// A span failed in a way that is new for its operation.
    NewError,
    /// It took longer than 99 of 100 traces of its operation.
    Slow,
    /// The caller sampled it.
    Caller,
    /// It belongs to the share that is always kept.
    Baseline,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked",
            Self::Error => "error",
            Self::NewError => "new error",
            Self::Slow => "slow",
            Self::Caller => "caller",
            Self::Baseline => "baseline",
        })
    }
}

/// Keeps a share of traces, the same ones in every process: those whose id's last 56 bits reach a threshold
/// (OpenTelemetry's consistent probability sampling).
///
/// # Examples
/// ```
/// use bedplate_observability::SamplingThreshold;
/// let quarter = SamplingThreshold::of(0.25);
/// assert_eq!(quarter.to_string(), "c");
/// assert_eq!(quarter.tracestate().as_deref(), Some("ot=th:c"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplingThreshold(u64);

impl SamplingThreshold {
    /// Returns the threshold of this share, 0.0 to 1.0; what lies outside counts as the nearer end, NaN as 0.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "2^56 and its parts are exact to 53 bits, which is what a share given as f64 has"
    )]
    pub fn of(share: f64) -> Self {
        let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
        Self(((1.0 - share) * FULL as f64).round() as u64)
    }

    /// Returns whether the trace belongs to the share.
    #[must_use]
    pub const fn keeps(self, trace: TraceId) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "the last 56 bits are meant")]
        let randomness = trace.to_u128() as u64 & (FULL - 1);
        randomness >= self.0
    }

    /// Returns the member of a `tracestate` that tells others the threshold; `None` if nothing is kept.
    #[must_use]
    pub fn tracestate(self) -> Option<String> {
        (self.0 < FULL).then(|| format!("ot=th:{self}"))
    }
}

/// Displays the threshold as `th` has it: hexadecimal digits without the zeros at their end.
impl fmt::Display for SamplingThreshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:014x}", self.0.min(FULL - 1));
        let digits = digits.trim_end_matches('0');
        f.write_str(if digits.is_empty() { "0" } else { digits })
    }
}

const FULL: u64 = 1 << 56;

/// What is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) all: bool,
    pub(crate) errors: bool,
    pub(crate) slow: bool,
    pub(crate) baseline: SamplingThreshold,
}

impl Rules {
    pub(crate) fn decide(&self, trace: TraceId, facts: Gathered) -> Option<KeepReason> {
        if facts.keep {
            Some(KeepReason::Asked)
        } else if facts.failed && self.errors {
            Some(KeepReason::Error)
        } else if facts.new_error {
            Some(KeepReason::NewError)
        } else if facts.slow && self.slow {
            Some(KeepReason::Slow)
        } else if facts.sampled_by_caller {
            Some(KeepReason::Caller)
        } else {
            (self.all || self.baseline.keeps(trace)).then_some(KeepReason::Baseline)
        }
    }
}

/// The running 99th percentile of an operation: over the present minute and the one before, so that it follows the load.
#[derive(Debug)]
pub(crate) struct Slowness {
    halves: [Buckets; 2],
    turned: u64,
    threshold: Option<u64>,
    until_next: u32,
}

impl Slowness {
    pub(crate) fn new(now: u64) -> Self {
        Self { halves: [Buckets::default(), Buckets::default()], turned: now, threshold: None, until_next: 0 }
    }

    /// Takes a duration in; whether it is longer than the percentile of those before. There is none below `least` samples.
    pub(crate) fn record(&mut self, now: u64, took: Duration, least: u64) -> bool {
        if now.saturating_sub(self.turned) >= HALF {
            self.turned = now;
            self.halves.swap(0, 1);
            let [present, _] = &mut self.halves;
            present.clear();
            self.until_next = 0;
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if self.until_next == 0 {
            self.until_next = REFRESH;
            let [present, before] = &self.halves;
            let count = present.count() + before.count();
            self.threshold = (count >= least.max(1)).then(|| present.quantile_with(before, 0.99));
        }
        self.until_next -= 1;
        let slow = self.threshold.is_some_and(|threshold| micros > threshold);
        let [present, _] = &mut self.halves;
        present.record(micros);
        slow
    }
}

/// A minute, in nanoseconds.
const HALF: u64 = 60_000_000_000;
/// Samples between two looks at the percentile.
const REFRESH: u32 = 64;

/// How often each way to fail was seen, by operation; bounded.
#[derive(Debug)]
pub(crate) struct ErrorTypes {
    seen: HashMap<u64, u32, foldhash::fast::RandomState>,
    most: u32,
}

impl ErrorTypes {
    pub(crate) fn new(most: u32) -> Self {
        Self { seen: HashMap::default(), most }
    }

    /// Whether this is among the first of its kind. When there are more kinds than fit, all are forgotten: a kind that is
    /// told twice is better than one that is never told.
    pub(crate) fn is_new(&mut self, operation: &str, error_type: &str) -> bool {
        use std::hash::BuildHasher as _;
        if self.most == 0 {
            return false;
        }
        let key = self.seen.hasher().hash_one((operation, error_type));
        if self.seen.len() >= KINDS && !self.seen.contains_key(&key) {
            self.seen.clear();
        }
        let times = self.seen.entry(key).or_insert(0);
        *times = times.saturating_add(1);
        *times <= self.most
    }
}

const KINDS: usize = 4_096;

#[cfg(test)]
mod tests;
