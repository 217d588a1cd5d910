use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::config::AnomalyConfig;
use super::operation::Operation;
use crate::{ConfigError, TraceId};

/// What about an operation is not as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnomalyKind {
    /// It takes longer: the median in seconds is far above the usual one.
    Latency,
    /// More of it fails than usual: shares of 1.
    Errors,
    /// The budget of failures burns too fast: the share that failed, against the share that may.
    BurnRate,
    /// Far fewer requests come than usual, in 10 s.
    TrafficDrop,
    /// Far more requests come than usual, in 10 s.
    TrafficSpike,
}

impl AnomalyKind {
    pub(super) const ALL: [Self; 5] =
        [Self::Latency, Self::Errors, Self::BurnRate, Self::TrafficDrop, Self::TrafficSpike];

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// Whether an anomaly began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnomalyState {
    /// It is there now.
    Began,
    /// It is over: the operation is as usual again, or the new level has held so long that it is the usual one.
    Ended,
}

/// An anomaly that began or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Anomaly {
    /// The operation.
    pub operation: String,
    /// What about it.
    pub kind: AnomalyKind,
    /// Whether it began or ended.
    pub state: AnomalyState,
    /// What is seen, in the kind's unit.
    pub observed: f64,
    /// What is usual.
    pub expected: f64,
    /// How unusual it is, in usual deviations; of a burn rate, how many times too fast.
    pub score: f64,
    /// A trace in which it shows, if one is known.
    pub trace_id: Option<TraceId>,
}

/// What a detector did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DetectorStats {
    /// Requests that were fed.
    pub fed: u64,
    /// Requests of operations beyond the bound, which are not watched.
    pub unwatched: u64,
    /// Buckets that were judged.
    pub buckets: u64,
    /// Anomalies that began.
    pub began: u64,
    /// Times that the clock went backwards or leapt, and the open bucket was dropped.
    pub clock_jumps: u64,
}

/// Judges operations by what it is fed; it has no clock and no task of its own.
///
/// # Examples
/// ```
/// use bedplate_observability::anomaly::{AnomalyConfig, AnomalyKind, Detector};
/// use std::time::{Duration, Instant};
/// # #[expect(clippy::disallowed_methods, reason = "an example")]
/// let mut now = Instant::now();
/// let mut detector = Detector::new(AnomalyConfig::default())?;
/// let mut run = |detector: &mut Detector, buckets: u64, millis: u64| {
///     let mut found = Vec::new();
///     for _ in 0..buckets {
///         for request in 0..100 {
///             detector.feed(now, "charge", Duration::from_millis(millis + request % 10), false, None);
///         }
///         now += Duration::from_secs(10);
///         found.extend(detector.tick(now));
///     }
///     found
/// };
/// assert_eq!(run(&mut detector, 60, 20), []);
/// assert_eq!(run(&mut detector, 3, 60)[0].kind, AnomalyKind::Latency);
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Detector {
    config: AnomalyConfig,
    operations: HashMap<Box<str>, Operation>,
    /// When the open bucket began.
    open: Option<Instant>,
    bucket: u64,
    random: fastrand::Rng,
    stats: DetectorStats,
}

impl Detector {
    /// Returns a detector that has seen nothing.
    ///
    /// # Errors
    /// [`ConfigError`] names a setting that cannot be.
    pub fn new(config: AnomalyConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let (operations, stats) = (HashMap::new(), DetectorStats::default());
        Ok(Self { config, operations, open: None, bucket: 0, random: fastrand::Rng::with_seed(0), stats })
    }

    /// Notes a request that ended. It belongs to the open bucket; [`tick`](Self::tick) closes buckets.
    pub fn feed(&mut self, now: Instant, operation: &str, took: Duration, failed: bool, trace_id: Option<TraceId>) {
        self.open.get_or_insert(now);
        self.stats.fed += 1;
        if !self.operations.contains_key(operation) {
            if self.operations.len() >= self.config.operations && !self.forget_an_idle_one() {
                self.stats.unwatched += 1;
                return;
            }
            self.operations.insert(operation.into(), Operation::default());
        }
        if let Some(known) = self.operations.get_mut(operation) {
            known.last_used = self.bucket;
            let random = &mut self.random;
            known.feed(took.as_secs_f64(), failed, trace_id, |seen| random.u64(0..seen.max(1)));
        }
    }

    /// Closes the buckets that ended by now, and returns what began or ended by them. Call it about every 10 s; after a
    /// pause up to 6 buckets are closed, so that silence is seen as such, while a longer one is taken for a machine that
    /// slept and judged by nothing.
    #[must_use]
    pub fn tick(&mut self, now: Instant) -> Vec<Anomaly> {
        let Some(open) = self.open else {
            self.open = Some(now);
            return Vec::new();
        };
        let Some(passed) = now.checked_duration_since(open) else {
            return self.jumped(now);
        };
        let due = passed.as_secs() / BUCKET.as_secs();
        if due > MAX_DUE {
            return self.jumped(now);
        }
        let mut found = Vec::new();
        for _ in 0..due {
            self.close(&mut found);
        }
        self.open = Some(open + BUCKET * u32::try_from(due).unwrap_or(0));
        found
    }

    /// Returns the anomalies that are there now.
    #[must_use]
    pub fn active(&self) -> Vec<(&str, AnomalyKind)> {
        let mut active: Vec<(&str, AnomalyKind)> = self
            .operations
            .iter()
            .flat_map(|(name, operation)| {
                AnomalyKind::ALL.into_iter().filter(|kind| operation.is_active(*kind)).map(|kind| (&**name, kind))
            })
            .collect();
        active.sort_unstable();
        active
    }

    /// Returns what it did so far.
    #[must_use]
    pub const fn stats(&self) -> DetectorStats {
        self.stats
    }

    fn close(&mut self, found: &mut Vec<Anomaly>) {
        self.bucket += 1;
        for (name, operation) in &mut self.operations {
            self.stats.buckets += 1;
            for verdict in operation.close(&self.config) {
                let state = if verdict.began { AnomalyState::Began } else { AnomalyState::Ended };
                self.stats.began += u64::from(verdict.began);
                found.push(Anomaly {
                    operation: name.to_string(),
                    kind: verdict.kind,
                    state,
                    observed: verdict.observed,
                    expected: verdict.expected,
                    score: verdict.score,
                    trace_id: verdict.trace_id,
                });
            }
        }
        found.sort_by(|a, b| (&a.operation, a.kind).cmp(&(&b.operation, b.kind)));
    }

    /// What is in the open bucket spans an unknown time and says nothing.
    fn jumped(&mut self, now: Instant) -> Vec<Anomaly> {
        self.stats.clock_jumps += 1;
        self.open = Some(now);
        for operation in self.operations.values_mut() {
            operation.drop_bucket();
        }
        Vec::new()
    }

    /// Makes room by the operation that was not used for longest, if that is an hour.
    fn forget_an_idle_one(&mut self) -> bool {
        let oldest = self.operations.iter().min_by_key(|(_, operation)| operation.last_used);
        let idle = oldest.filter(|(_, operation)| self.bucket.saturating_sub(operation.last_used) >= IDLE);
        let name = idle.map(|(name, _)| name.clone());
        name.is_some_and(|name| self.operations.remove(&name).is_some())
    }
}

/// How long a bucket is.
pub(super) const BUCKET: Duration = Duration::from_secs(10);
/// As many buckets as one tick closes.
const MAX_DUE: u64 = 6;
/// An hour of buckets.
const IDLE: u64 = 360;
