//! Counts of operations: atomics that threads share, found by a small table of each thread's own.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use foldhash::fast::RandomState;
use parking_lot::{Mutex, RwLock};

use crate::ids::{SpanId, TraceId};
use crate::metrics::buckets::{MAX_MICROS, SharedBuckets, quantile_of};
use crate::metrics::registry::HistogramPoint;
use crate::metrics::{DurationHistogram, Exemplar, HistogramBucket};
use crate::{Aggregate, ConfigError, Metrics};

/// Counts operations by name, in bounded memory.
///
/// A handle: clones share the counts. Each operation costs about 15 KiB. Names beyond the bound are counted together,
/// because an unbounded set of names, as of paths with ids in them, is a leak.
#[derive(Clone)]
pub struct Operations {
    table: Arc<Table>,
}

struct Table {
    id: u64,
    bound: usize,
    series: RwLock<HashMap<Box<str>, Arc<Series>, RandomState>>,
    /// For the threads' own tables; names may come from outside, so nobody must know where they stand.
    hasher: RandomState,
}

/// The counts of one operation.
pub(crate) struct Series {
    table: u64,
    /// What it was looked up by; the overflow's series has several.
    name: Box<str>,
    requests: AtomicU64,
    errors: AtomicU64,
    cancelled: AtomicU64,
    in_flight: AtomicI64,
    sum_nanos: AtomicU64,
    latencies: SharedBuckets,
    coarse: [Mutex<Option<Exemplar>>; BOUNDS.len() + 1],
}

impl Operations {
    /// The name under which operations beyond the bound are counted.
    pub const OVERFLOW: &'static str = "_other";

    /// Returns empty counts of at most `bound` named operations, 1 to 10,000.
    ///
    /// # Errors
    /// [`ConfigError`] if `bound` is out of range.
    pub fn new(bound: usize) -> Result<Self, ConfigError> {
        if !(1..=10_000).contains(&bound) {
            return Err(ConfigError {
                field: "observability.operations",
                value: bound.to_string(),
                expected: "1 to 10000 names",
            });
        }
        let id = NEXT_TABLE.fetch_add(1, Ordering::Relaxed);
        Ok(Self { table: Arc::new(Table { id, bound, series: RwLock::default(), hasher: RandomState::default() }) })
    }

    /// Counts one operation that ended.
    pub fn record(&self, operation: &str, took: Duration, failed: bool) {
        self.series(operation).ended(took, Ended { failed, cancelled: false, trace: None });
    }

    /// Returns the counts at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Metrics {
        let all = self.table.series.read();
        let mut total = Sums::default();
        let operations = all.iter().map(|(name, series)| {
            let mut own = Sums::default();
            series.add_to(&mut own);
            series.add_to(&mut total);
            (name.to_string(), own.aggregate())
        });
        let operations = operations.collect();
        Metrics { total: total.aggregate(), operations }
    }

    /// Returns an operation's durations in the buckets that OpenTelemetry recommends for requests, each with the last
    /// trace that fell into it; `None` for an operation that was never counted.
    #[must_use]
    pub fn histogram(&self, operation: &str) -> Option<DurationHistogram> {
        let series = Arc::clone(self.table.series.read().get(operation)?);
        let mut sums = Sums::default();
        series.add_to(&mut sums);
        let mut counts = sums.counts.iter().enumerate().peekable();
        let mut passed = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len() + 1);
        for (bound, exemplar) in BOUNDS.iter().map(|bound| Some(*bound)).chain([None]).zip(&series.coarse) {
            let last = bound.map_or(usize::MAX, crate::metrics::buckets::bucket_of);
            while let Some((_, count)) = counts.next_if(|(bucket, _)| *bucket <= last) {
                passed += count;
            }
            let upper = bound.map(Duration::from_micros);
            buckets.push(HistogramBucket { upper, count: passed, exemplar: *exemplar.lock() });
        }
        Some(DurationHistogram { buckets, sum: Duration::from_nanos(sums.sum_nanos), count: passed })
    }

    /// Every operation's histogram, as the text formats and OTLP have it.
    pub(crate) fn points(&self) -> Vec<HistogramPoint> {
        let names: Vec<String> = self.table.series.read().keys().map(ToString::to_string).collect();
        let point = |name: String| {
            let histogram = self.histogram(&name)?;
            let bucket = |bucket: &HistogramBucket| {
                let upper = bucket.upper.map_or(f64::INFINITY, |upper| upper.as_secs_f64());
                (upper, bucket.count, bucket.exemplar.as_ref().map(Exemplar::point))
            };
            let buckets = histogram.buckets.iter().map(bucket).collect();
            Some(HistogramPoint { labels: vec![("operation", name)], buckets, sum: histogram.sum.as_secs_f64() })
        };
        names.into_iter().filter_map(point).collect()
    }

    /// The counts of an operation, made where they are new and there is room.
    pub(crate) fn series(&self, operation: &str) -> Arc<Series> {
        let hash = self.table.hasher.hash_one(operation);
        let place = usize::try_from(hash % CACHED as u64).unwrap_or(0);
        let cached = CACHE.try_with(|cache| {
            let cache = cache.try_borrow().ok()?;
            let series = cache.get(place)?.as_ref()?;
            (series.table == self.table.id && *series.name == *operation).then(|| Arc::clone(series))
        });
        if let Ok(Some(series)) = cached {
            return series;
        }
        let series = self.find(operation);
        let _kept = CACHE.try_with(|cache| {
            if let Ok(mut cache) = cache.try_borrow_mut() {
                cache.resize(CACHED, None);
                if let Some(place) = cache.get_mut(place) {
                    *place = Some(Arc::clone(&series));
                }
            }
        });
        series
    }

    fn find(&self, operation: &str) -> Arc<Series> {
        if let Some(series) = self.table.series.read().get(operation) {
            return Arc::clone(series);
        }
        let mut all = self.table.series.write();
        let full = all.len() >= self.table.bound && !all.contains_key(operation);
        let name = if full { Self::OVERFLOW } else { operation };
        if let Some(series) = all.get(name) {
            return Arc::clone(series);
        }
        let series = Arc::new(Series::new(self.table.id, name));
        all.insert(name.into(), Arc::clone(&series));
        series
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations").field("bound", &self.table.bound).finish_non_exhaustive()
    }
}

/// How an operation ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) failed: bool,
    pub(crate) cancelled: bool,
    pub(crate) trace: Option<(TraceId, SpanId, SystemTime)>,
}

impl Series {
    fn new(table: u64, name: &str) -> Self {
        Self {
            table,
            name: name.into(),
            requests: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            in_flight: AtomicI64::new(0),
            sum_nanos: AtomicU64::new(0),
            latencies: SharedBuckets::new(),
            coarse: [const { Mutex::new(None) }; BOUNDS.len() + 1],
        }
    }

    pub(crate) fn began(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn left(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, took: Duration, how: Ended) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, MAX_MICROS);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX).clamp(1_000, MAX_MICROS * 1_000);
        self.requests.fetch_add(1, Ordering::Relaxed);
        if how.failed {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        if how.cancelled {
            self.cancelled.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
        self.latencies.record(micros);
        if let Some((trace_id, span_id, at)) = how.trace {
            let bucket = BOUNDS.partition_point(|bound| *bound < micros);
            // Whoever finds it taken leaves it: another trace of the same moment stands for it.
            if let Some(mut exemplar) = self.coarse.get(bucket).and_then(Mutex::try_lock) {
                *exemplar = Some(Exemplar { trace_id, span_id, value: took, at });
            }
        }
    }

    fn add_to(&self, sums: &mut Sums) {
        sums.requests += self.requests.load(Ordering::Relaxed);
        sums.errors += self.errors.load(Ordering::Relaxed);
        sums.cancelled += self.cancelled.load(Ordering::Relaxed);
        sums.in_flight += u64::try_from(self.in_flight.load(Ordering::Relaxed)).unwrap_or(0);
        sums.sum_nanos = sums.sum_nanos.saturating_add(self.sum_nanos.load(Ordering::Relaxed));
        self.latencies.add_to(&mut sums.counts);
    }
}

impl fmt::Debug for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Series").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The counts of one or all operations, added up.
#[derive(Default)]
struct Sums {
    requests: u64,
    errors: u64,
    cancelled: u64,
    in_flight: u64,
    sum_nanos: u64,
    counts: Vec<u64>,
}

impl Sums {
    fn aggregate(&self) -> Aggregate {
        let &Self { requests, errors, cancelled, in_flight, .. } = self;
        if requests == 0 {
            return Aggregate { in_flight, ..Aggregate::default() };
        }
        let counted: u64 = self.counts.iter().sum();
        let at = |quantile| Duration::from_micros(quantile_of(self.counts.iter().copied(), counted, quantile));
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
        let error_rate = (errors as f64 / requests as f64).min(1.0);
        Aggregate {
            requests,
            errors,
            cancelled,
            in_flight,
            error_rate,
            sum: Duration::from_nanos(self.sum_nanos),
            mean: Duration::from_nanos(self.sum_nanos / requests),
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

/// The bounds that OpenTelemetry recommends for the duration of requests, in microseconds.
const BOUNDS: [u64; 14] = [
    5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000, 2_500_000, 5_000_000,
    7_500_000, 10_000_000,
];

static NEXT_TABLE: AtomicU64 = AtomicU64::new(0);

/// Operations that each thread finds without a lock.
const CACHED: usize = 64;

thread_local! {
    static CACHE: RefCell<Vec<Option<Arc<Series>>>> = const { RefCell::new(Vec::new()) };
}

#[cfg(test)]
mod tests;
