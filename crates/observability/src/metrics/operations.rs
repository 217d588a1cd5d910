use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;
use parking_lot::Mutex;

use crate::{Aggregate, ConfigError, Metrics};

/// Counts operations by name, in bounded memory.
///
/// A handle: clones share the counts. Each operation costs up to 25 KiB. Names beyond the bound are counted together,
/// because an unbounded set of names, as of paths with ids in them, is a leak.
#[derive(Clone)]
pub struct Operations {
    bound: usize,
    table: Arc<Mutex<Table>>,
}

struct Table {
    total: Series,
    operations: HashMap<Box<str>, Series>,
}

struct Series {
    requests: u64,
    errors: u64,
    sum_micros: u128,
    /// `None` only if the bounds below were refused, which a test rules out.
    latencies: Option<Histogram<u64>>,
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
        let table = Table { total: Series::new(), operations: HashMap::new() };
        Ok(Self { bound, table: Arc::new(Mutex::new(table)) })
    }

    /// Counts one operation that ended.
    pub fn record(&self, operation: &str, took: Duration, failed: bool) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).clamp(1, MAX_MICROS);
        let mut table = self.table.lock();
        table.total.record(micros, failed);
        let full = table.operations.len() >= self.bound;
        let name = if full && !table.operations.contains_key(operation) { Self::OVERFLOW } else { operation };
        if let Some(series) = table.operations.get_mut(name) {
            series.record(micros, failed);
        } else {
            let mut series = Series::new();
            series.record(micros, failed);
            table.operations.insert(name.into(), series);
        }
    }

    /// Returns the counts at this moment.
    #[must_use]
    pub fn snapshot(&self) -> Metrics {
        let table = self.table.lock();
        Metrics {
            total: table.total.aggregate(),
            operations: table.operations.iter().map(|(name, one)| (name.to_string(), one.aggregate())).collect(),
        }
    }
}

impl fmt::Debug for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operations").field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// One hour.
const MAX_MICROS: u64 = 3_600_000_000;

impl Series {
    fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, MAX_MICROS, 2).ok();
        Self { requests: 0, errors: 0, sum_micros: 0, latencies }
    }

    fn record(&mut self, micros: u64, failed: bool) {
        self.requests += 1;
        self.errors += u64::from(failed);
        self.sum_micros += u128::from(micros);
        if let Some(latencies) = &mut self.latencies {
            latencies.saturating_record(micros);
        }
    }

    fn aggregate(&self) -> Aggregate {
        if self.requests == 0 {
            return Aggregate::default();
        }
        let at = |quantile: f64| {
            let micros = self.latencies.as_ref().map_or(0, |latencies| latencies.value_at_quantile(quantile));
            Duration::from_micros(micros)
        };
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 53 bits")]
        let error_rate = self.errors as f64 / self.requests as f64;
        let micros = |count: u128| Duration::from_micros(u64::try_from(count).unwrap_or(u64::MAX));
        Aggregate {
            requests: self.requests,
            errors: self.errors,
            error_rate,
            sum: micros(self.sum_micros),
            mean: micros(self.sum_micros / u128::from(self.requests)),
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            max: at(1.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_beyond_the_bound_are_counted_together() {
        let operations = Operations::new(2).unwrap();
        for name in ["a", "b", "c", "d", "a"] {
            operations.record(name, Duration::from_millis(1), false);
        }
        let metrics = operations.snapshot();
        assert_eq!(metrics.total.requests, 5);
        let counts: Vec<(&str, u64)> = metrics.operations.iter().map(|(name, one)| (&**name, one.requests)).collect();
        assert_eq!(counts, [("_other", 2), ("a", 2), ("b", 1)]);
    }

    #[test]
    fn without_requests_nothing_is_divided_by() {
        assert_eq!(Operations::new(1).unwrap().snapshot().total, Aggregate::default());
        assert_eq!(Operations::new(0).unwrap_err().field, "observability.operations");
    }

    proptest! {
        #[test]
        fn percentiles_are_within_one_percent_of_the_sorted_truth(
            millis in prop::collection::vec((1_u64..100_000, any::<bool>()), 1..200),
        ) {
            let operations = Operations::new(10).unwrap();
            for (one, failed) in &millis {
                operations.record("op", Duration::from_millis(*one), *failed);
            }
            let got = operations.snapshot().operations["op"];
            let mut sorted: Vec<u64> = millis.iter().map(|(one, _)| one * 1_000).collect();
            sorted.sort_unstable();
            prop_assert_eq!(got.requests, sorted.len() as u64);
            prop_assert_eq!(got.errors, millis.iter().filter(|(_, failed)| *failed).count() as u64);
            prop_assert_eq!(got.mean.as_micros(), (sorted.iter().sum::<u64>() / sorted.len() as u64).into());
            for (percent, found) in [(50, got.p50), (95, got.p95), (99, got.p99), (100, got.max)] {
                let rank = (sorted.len() * percent).div_ceil(100).max(1);
                let truth = Duration::from_micros(sorted[rank - 1]);
                let off = found.abs_diff(truth).as_secs_f64() / truth.as_secs_f64();
                prop_assert!(off <= 0.011, "p{percent}: {found:?} for {truth:?}");
            }
        }
    }
}
