use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::family::Family;
use super::metric::Labels;
use crate::{SpanContext, SpanId, TraceId, clock, current_span_context};

/// Counters of one metric, by label values. Made by [`Observability::counter`](crate::Observability::counter).
#[derive(Clone)]
pub struct CounterFamily(pub(super) Arc<Family<AtomicU64>>);

/// Gauges of one metric, by label values. Made by [`Observability::gauge`](crate::Observability::gauge).
#[derive(Clone)]
pub struct GaugeFamily(pub(super) Arc<Family<AtomicU64>>);

/// Histograms of one metric, by label values. Made by [`Observability::histogram`](crate::Observability::histogram).
#[derive(Clone)]
pub struct HistogramFamily(pub(super) Arc<Family<Cell>>);

/// One counter; clones share it, and counting takes no lock.
#[derive(Clone)]
pub struct Counter(Arc<AtomicU64>);

/// One gauge; clones share it, and setting takes no lock.
#[derive(Clone)]
pub struct Gauge(Arc<AtomicU64>);

/// One histogram; clones share it, and recording takes no lock.
#[derive(Clone)]
pub struct Histogram(Arc<Cell>);

impl CounterFamily {
    /// Returns the counter of these label values, in the order of the labels' names; keep it rather than ask again.
    #[must_use]
    pub fn with(&self, values: &[&str]) -> Counter {
        Counter(self.0.with(values))
    }

    pub(super) fn samples(&self) -> Vec<super::Sample> {
        let read = |(labels, cell): (Vec<_>, Arc<AtomicU64>)| {
            let value = super::Sample::count(cell.load(Ordering::Relaxed)).value;
            super::Sample { labels, value }
        };
        self.0.each().into_iter().map(read).collect()
    }
}

impl Counter {
    /// Adds to the count.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns the count.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl GaugeFamily {
    /// Returns the gauge of these label values, in the order of the labels' names; keep it rather than ask again.
    #[must_use]
    pub fn with(&self, values: &[&str]) -> Gauge {
        Gauge(self.0.with(values))
    }

    pub(super) fn samples(&self) -> Vec<super::Sample> {
        let read = |(labels, cell)| super::Sample { labels, value: Gauge(cell).value() };
        self.0.each().into_iter().map(read).collect()
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds to the value; a negative number takes away.
    pub fn add(&self, delta: f64) {
        add(&self.0, delta);
    }

    /// Returns the value.
    #[must_use]
    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl HistogramFamily {
    /// Returns the histogram of these label values, in the order of the labels' names; keep it rather than ask again.
    #[must_use]
    pub fn with(&self, values: &[&str]) -> Histogram {
        Histogram(self.0.with(values))
    }

    pub(super) fn points(&self) -> Vec<HistogramPoint> {
        self.0.each().into_iter().map(|(labels, cell)| cell.point(labels)).collect()
    }
}

impl Histogram {
    /// Records a value, with the current span as its exemplar. What is not finite is not recorded.
    pub fn record(&self, value: f64) {
        self.record_in(value, current_span_context().as_ref());
    }

    /// Records a duration in seconds, with the current span as its exemplar.
    pub fn record_duration(&self, took: Duration) {
        self.record(took.as_secs_f64());
    }

    /// Records a value with this span as its exemplar.
    pub fn record_in(&self, value: f64, span: Option<&SpanContext>) {
        self.0.record(value, span);
    }

    /// Returns how many values were recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.count.load(Ordering::Relaxed)).sum()
    }

    /// Returns the sum of all values.
    #[must_use]
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.0.sum.load(Ordering::Relaxed))
    }
}

/// A histogram's numbers.
pub(super) struct Cell {
    /// Each bucket's upper bound, rising, the last without one.
    buckets: Box<[Bucket]>,
    sum: AtomicU64,
}

struct Bucket {
    bound: f64,
    count: AtomicU64,
    exemplar: Mutex<Option<Seen>>,
}

/// A value, the span in which it was seen, and whether that was sampled.
struct Seen {
    point: PointExemplar,
    sampled: bool,
}

/// A value and the span in which it was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PointExemplar {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) value: f64,
    pub(crate) at: SystemTime,
}

/// A histogram at one moment.
pub(crate) struct HistogramPoint {
    pub(crate) labels: Labels,
    /// Upper bound, values up to it, exemplar.
    pub(crate) buckets: Vec<(f64, u64, Option<PointExemplar>)>,
    pub(crate) sum: f64,
}

impl Cell {
    pub(super) fn new(bounds: &[f64]) -> Self {
        let bucket = |bound: &f64| Bucket { bound: *bound, count: AtomicU64::new(0), exemplar: Mutex::new(None) };
        Self { buckets: bounds.iter().chain([&f64::INFINITY]).map(bucket).collect(), sum: AtomicU64::new(0) }
    }

    fn record(&self, value: f64, span: Option<&SpanContext>) {
        if !value.is_finite() {
            return;
        }
        let index = self.buckets.partition_point(|bucket| bucket.bound < value);
        let Some(bucket) = self.buckets.get(index) else { return };
        bucket.count.fetch_add(1, Ordering::Relaxed);
        add(&self.sum, value);
        // An exemplar is a sample: where two meet, one is enough and nobody waits.
        let Some((span, mut exemplar)) = span.zip(bucket.exemplar.try_lock()) else { return };
        let (at, sampled) = (clock::wall_clock(), span.flags().sampled());
        // Whether a trace is kept is known only at its end, but one that is sampled will be: it stays for a while.
        let stays = |seen: &Seen| {
            seen.sampled && !sampled && at.duration_since(seen.point.at).is_ok_and(|age| age < SAMPLED_STAYS)
        };
        if !exemplar.as_ref().is_some_and(stays) {
            let point = PointExemplar { trace_id: span.trace_id(), span_id: span.span_id(), value, at };
            *exemplar = Some(Seen { point, sampled });
        }
    }

    fn point(&self, labels: Labels) -> HistogramPoint {
        let mut total = 0;
        let bucket = |bucket: &Bucket| {
            total += bucket.count.load(Ordering::Relaxed);
            (bucket.bound, total, bucket.exemplar.lock().as_ref().map(|seen| seen.point))
        };
        let buckets = self.buckets.iter().map(bucket).collect();
        HistogramPoint { labels, buckets, sum: f64::from_bits(self.sum.load(Ordering::Relaxed)) }
    }
}

/// How long the exemplar of a sampled trace is not replaced by one that may not be kept.
const SAMPLED_STAYS: Duration = Duration::from_secs(30);

fn add(cell: &AtomicU64, delta: f64) {
    let sum = |bits| Some((f64::from_bits(bits) + delta).to_bits());
    // The closure always has a next value.
    let _always = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
}

macro_rules! debug_by_name {
    ($($family:ident),*) => {$(
        impl fmt::Debug for $family {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($family)).field("name", &self.0.name).finish_non_exhaustive()
            }
        }
    )*};
}
debug_by_name!(CounterFamily, GaugeFamily, HistogramFamily);

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counter").field(&self.value()).finish()
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gauge").field(&self.value()).finish()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram").field("count", &self.count()).finish_non_exhaustive()
    }
}
