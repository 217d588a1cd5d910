//! The way of kept traces to other places: a bounded queue and one thread for each, on which nothing is traced.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use crate::trace::buffer::Rows;
use crate::trace::finished::{FinishedTrace, Resource};
use crate::{ConfigError, clock};

/// Finished traces on their way.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ExportBatch {
    /// The service they come from.
    pub resource: Arc<Resource>,
    /// The traces; a long one may come in several parts.
    pub traces: Vec<FinishedTrace>,
}

/// A batch that an exporter could not deliver.
#[derive(Debug, thiserror::Error)]
#[error("the exporter did not deliver a batch: {reason}")]
#[non_exhaustive]
pub struct ExportError {
    /// Why, without what the batch holds.
    pub reason: String,
}

impl ExportError {
    /// Says why a batch was not delivered.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// A place that kept traces go to.
///
/// Each exporter has a thread of its own, on which no subscriber listens, so that it may block and does not trace itself.
/// A batch holds what came together in a second, at most 512 traces.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use bedplate_observability::{ExportBatch, ExportError, Exporter};
/// struct Count(std::sync::atomic::AtomicUsize);
/// impl Exporter for Count {
///     fn name(&self) -> &str {
///         "count"
///     }
///     fn export(&self, batch: Arc<ExportBatch>) -> Result<(), ExportError> {
///         self.0.fetch_add(batch.traces.len(), std::sync::atomic::Ordering::Relaxed);
///         Ok(())
///     }
/// }
/// ```
pub trait Exporter: Send + Sync {
    /// Returns a name for reports.
    fn name(&self) -> &str;

    /// Delivers a batch; may block, better with a time limit of its own, since those behind it wait.
    ///
    /// # Errors
    /// [`ExportError`] if it was not delivered; its traces are counted as dropped.
    fn export(&self, batch: Arc<ExportBatch>) -> Result<(), ExportError>;

    /// Delivers what it holds back; called once, after the last batch.
    fn finish(&self) {}
}

/// A kind of telemetry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Signal {
    /// Spans of kept traces.
    #[default]
    Traces,
    /// Log records.
    Logs,
    /// Values of metrics.
    Metrics,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    #[cfg(feature = "otlp")]
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "records",
            Self::Metrics => "points",
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        })
    }
}

/// What became of the telemetry for one exporter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExportReport {
    /// The exporter's name.
    pub exporter: String,
    /// What it delivers.
    pub signal: Signal,
    /// Spans, records or values delivered.
    pub sent: u64,
    /// Those dropped: no room, not delivered, or still waiting when the deadline passed.
    pub dropped: u64,
    /// Why the last batch failed, if one did.
    pub last_error: Option<String>,
    /// Whether everything was tried before the deadline.
    pub flushed: bool,
}

impl fmt::Display for ExportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exporter, signal, sent, dropped, last_error, .. } = self;
        write!(f, "{exporter} {signal}: {sent} {} sent, {dropped} dropped", signal.unit())?;
        last_error.as_ref().map_or(Ok(()), |error| write!(f, ", last error: {error}"))
    }
}

/// The queues of all exporters.
#[derive(Debug)]
pub(crate) struct ExportQueue {
    lanes: Vec<Arc<Lane>>,
}

struct Lane {
    exporter: Arc<dyn Exporter>,
    most: usize,
    state: Mutex<LaneState>,
    changed: Condvar,
    sent: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct LaneState {
    waiting: VecDeque<Arc<Rows>>,
    /// Of what waits.
    bytes: usize,
    /// Spans in the exporter's hands.
    in_hand: u64,
    /// Somebody waits for all that is there.
    hurry: bool,
    closing: bool,
    ended: bool,
    last_error: Option<String>,
}

impl ExportQueue {
    pub(crate) fn start(
        exporters: Vec<Arc<dyn Exporter>>,
        most: usize,
        resource: &Arc<Resource>,
    ) -> Result<Option<Self>, ConfigError> {
        if exporters.is_empty() {
            return Ok(None);
        }
        let mut lanes = Vec::new();
        for exporter in exporters {
            let lane = Arc::new(Lane {
                exporter,
                most,
                state: Mutex::default(),
                changed: Condvar::new(),
                sent: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
            });
            let (own, resource) = (Arc::clone(&lane), Arc::clone(resource));
            let run = move || tracing::dispatcher::with_default(&tracing::Dispatch::none(), || own.run(&resource));
            thread::Builder::new().name("bedplate-export".to_owned()).spawn(run).map_err(|error| ConfigError {
                field: "traces.exporter",
                value: format!("without a thread: {error}"),
                expected: "a system that can start one more thread",
            })?;
            lanes.push(lane);
        }
        Ok(Some(Self { lanes }))
    }

    pub(crate) fn push(&self, rows: &Arc<Rows>) {
        let bytes = rows.bytes();
        for lane in &self.lanes {
            let mut state = lane.state.lock();
            let full = state.waiting.len() >= lane.most || (state.bytes + bytes > MOST_BYTES && state.bytes > 0);
            if state.closing || full {
                drop(state);
                lane.dropped.fetch_add(rows.spans.len() as u64, Ordering::Relaxed);
                continue;
            }
            state.bytes += bytes;
            state.waiting.push_back(Arc::clone(rows));
            if state.waiting.len() == BATCH {
                lane.changed.notify_all();
            }
        }
    }

    /// Takes nothing more, and tells the threads to deliver the rest at once.
    pub(crate) fn close(&self) {
        for lane in &self.lanes {
            lane.state.lock().closing = true;
            lane.changed.notify_all();
        }
    }

    /// Delivers what waits, up to the deadline.
    pub(crate) fn flush(&self, until: Instant) -> bool {
        for lane in &self.lanes {
            lane.state.lock().hurry = true;
            lane.changed.notify_all();
        }
        self.lanes.iter().all(|lane| lane.wait(until, |state| state.ended || (!state.hurry && state.in_hand == 0)))
    }

    /// Waits for the ends of all threads, up to the deadline.
    pub(crate) fn reports(&self, until: Instant) -> Vec<ExportReport> {
        self.lanes.iter().map(|lane| lane.report(until)).collect()
    }
}

impl Lane {
    fn run(&self, resource: &Arc<Resource>) {
        let _ended = Ended(self);
        loop {
            let rows: Vec<Arc<Rows>> = {
                let mut state = self.state.lock();
                // Woken by a full batch, by hurry, or by nothing for a second.
                if !state.closing && !state.hurry && state.waiting.len() < BATCH {
                    self.changed.wait_for(&mut state, EVERY);
                }
                if state.waiting.is_empty() {
                    state.hurry = false;
                    self.changed.notify_all();
                    if state.closing {
                        break;
                    }
                    continue;
                }
                let count = state.waiting.len().min(BATCH);
                let rows: Vec<Arc<Rows>> = state.waiting.drain(..count).collect();
                state.bytes = state.bytes.saturating_sub(rows.iter().map(|rows| rows.bytes()).sum());
                state.in_hand = rows.iter().map(|rows| rows.spans.len() as u64).sum();
                rows
            };
            self.deliver(&rows, resource);
        }
        self.exporter.finish();
    }

    fn deliver(&self, rows: &[Arc<Rows>], resource: &Arc<Resource>) {
        let traces = rows.iter().filter_map(|rows| FinishedTrace::new(rows)).collect();
        let batch = Arc::new(ExportBatch { resource: Arc::clone(resource), traces });
        let call = std::panic::AssertUnwindSafe(|| self.exporter.export(batch));
        let result = std::panic::catch_unwind(call).unwrap_or_else(|_| Err(ExportError::new("it panicked")));
        let mut state = self.state.lock();
        let spans = std::mem::take(&mut state.in_hand);
        match result {
            Ok(()) => self.sent.fetch_add(spans, Ordering::Relaxed),
            Err(error) => {
                state.last_error = Some(error.reason);
                self.dropped.fetch_add(spans, Ordering::Relaxed)
            }
        };
        drop(state);
        self.changed.notify_all();
    }

    fn wait(&self, until: Instant, done: impl Fn(&LaneState) -> bool) -> bool {
        let mut state = self.state.lock();
        while !done(&state) {
            if self.changed.wait_until(&mut state, until).timed_out() {
                return done(&state);
            }
        }
        true
    }

    fn report(&self, until: Instant) -> ExportReport {
        let flushed = self.wait(until, |state| state.ended);
        let state = self.state.lock();
        let left: u64 = state.in_hand + state.waiting.iter().map(|rows| rows.spans.len() as u64).sum::<u64>();
        ExportReport {
            exporter: self.exporter.name().to_owned(),
            signal: Signal::Traces,
            sent: self.sent.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed) + left,
            last_error: state.last_error.clone(),
            flushed,
        }
    }
}

/// Marks the thread's end, however it comes.
struct Ended<'a>(&'a Lane);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.ended = true;
        state.closing = true;
        drop(state);
        self.0.changed.notify_all();
    }
}

impl Drop for ExportQueue {
    /// Gives a short while to what still waits.
    fn drop(&mut self) {
        self.close();
        let until = clock::now() + Duration::from_millis(500);
        let _late = self.lanes.iter().all(|lane| lane.wait(until, |state| state.ended));
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("exporter", &self.exporter.name()).finish_non_exhaustive()
    }
}

/// What may wait for an exporter, however few traces it is.
const MOST_BYTES: usize = 64 << 20;
/// Traces in a batch.
const BATCH: usize = 512;
/// How long a trace waits for others.
const EVERY: Duration = Duration::from_secs(1);
