use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::metrics::registry::PointExemplar;
use crate::{SpanId, TraceId};

/// Counts and latencies of one operation, or of all together.
///
/// Percentiles come from a histogram of narrow buckets, so they are right within 1 %; durations are kept from
/// 1 µs to 1 h and beyond these bounds counted as the bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Aggregate {
    /// Operations that ended.
    pub requests: u64,
    /// Those that failed.
    pub errors: u64,
    /// Those that were dropped before their end; they are no errors.
    pub cancelled: u64,
    /// Those that go on.
    pub in_flight: u64,
    /// `errors / requests`, 0.0 to 1.0; 0.0 without requests.
    pub error_rate: f64,
    /// All durations together; zero without requests, as are the following. It only grows.
    pub sum: Duration,
    /// The mean duration.
    pub mean: Duration,
    /// The duration that half of the operations did not exceed.
    pub p50: Duration,
    /// The duration that 95 of 100 did not exceed.
    pub p95: Duration,
    /// The duration that 99 of 100 did not exceed.
    pub p99: Duration,
    /// The longest duration.
    pub max: Duration,
}

impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} requests, {} errors ({:.1} %), mean {:.1?}, p50 {:.1?}, p95 {:.1?}, p99 {:.1?}",
            self.requests,
            self.errors,
            self.error_rate * 100.0,
            self.mean,
            self.p50,
            self.p95,
            self.p99
        )
    }
}

/// Counts and latencies at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metrics {
    /// All operations together.
    pub total: Aggregate,
    /// Each operation by its name; those beyond the bound under [`Operations::OVERFLOW`](crate::Operations::OVERFLOW).
    pub operations: BTreeMap<String, Aggregate>,
}

/// An operation's durations in buckets, each with an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DurationHistogram {
    /// The buckets, by their upper bounds; the counts are cumulative.
    pub buckets: Vec<HistogramBucket>,
    /// All durations together.
    pub sum: Duration,
    /// All durations' number.
    pub count: u64,
}

/// How many durations did not exceed a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HistogramBucket {
    /// The bound, within 1 %; `None` for the bucket of all.
    pub upper: Option<Duration>,
    /// How many did not exceed it.
    pub count: u64,
    /// The last trace between the bound below and this one.
    pub exemplar: Option<Exemplar>,
}

/// A trace that stands for a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exemplar {
    /// The trace.
    pub trace_id: TraceId,
    /// The span of the operation.
    pub span_id: SpanId,
    /// How long it took.
    pub value: Duration,
    /// When it ended.
    pub at: SystemTime,
}

impl Exemplar {
    pub(crate) const fn point(&self) -> PointExemplar {
        let &Self { trace_id, span_id, value, at } = self;
        PointExemplar { trace_id, span_id, value: value.as_secs_f64(), at }
    }
}
