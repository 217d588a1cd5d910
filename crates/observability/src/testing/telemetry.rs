use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;
use tracing::{Dispatch, Level};

use crate::testing::{LogAssertion, SpanAssertion};
use crate::{Aggregate, FinishedSpan, Logs, Observability, Query, Traces};

/// Telemetry of one test: it keeps every trace and every line from TRACE on.
///
/// # Examples
/// ```
/// use bedplate_observability::SpanKind;
/// use bedplate_observability::testing::TestTelemetry;
/// let t = TestTelemetry::new();
/// t.in_scope(|| {
///     let _order = tracing::info_span!("POST /orders", request_id = "r-1").entered();
///     let _charge = tracing::info_span!("charge card", otel.kind = "client", amount = 42).entered();
///     tracing::info!("charged");
/// });
/// t.span("charge card").kind(SpanKind::Client).child_of("POST /orders").attr("amount", 42).once();
/// t.log("charged").in_span("charge card").has("request_id").once();
/// ```
#[derive(Debug, Clone)]
pub struct TestTelemetry {
    telemetry: Observability,
    lines: Lines,
}

#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TestTelemetry {
    /// Returns telemetry that nothing writes to yet.
    ///
    /// # Panics
    /// If the system can start no more threads.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test reports by panicking")]
    pub fn new() -> Self {
        let lines = Lines::default();
        let telemetry = Observability::builder("test")
            .logs(Logs::json().filter("trace").queue(1_000_000).writer(lines.clone()))
            .traces(Traces::new().keep_all().event_level(Level::TRACE))
            .span_level(Level::TRACE)
            .build()
            .expect("these settings are legal");
        Self { telemetry, lines }
    }

    /// Returns the telemetry under test, to hand to what takes one.
    #[must_use]
    pub const fn telemetry(&self) -> &Observability {
        &self.telemetry
    }

    /// Returns its subscriber, for `tracing::instrument::WithSubscriber` around a future.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        self.telemetry.dispatch()
    }

    /// Runs a closure under it.
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        tracing::dispatcher::with_default(&self.dispatch(), work)
    }

    /// Returns all spans that ended so far, by their beginning.
    #[must_use]
    pub fn spans(&self) -> Vec<FinishedSpan> {
        let traces = self.telemetry.recorder().find(Query::new().limit(usize::MAX));
        let mut spans: Vec<FinishedSpan> = traces.into_iter().flat_map(|trace| trace.spans).collect();
        spans.sort_by_key(|span| span.start);
        spans
    }

    /// Returns all log lines so far.
    ///
    /// # Panics
    /// If a line is not written within ten seconds, or is no JSON.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test reports by panicking")]
    pub fn logs(&self) -> Vec<Value> {
        assert!(self.telemetry.flush(Duration::from_secs(10)), "the log is stuck");
        let bytes = self.lines.0.lock();
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| serde_json::from_slice(line).expect("each line is JSON")).collect()
    }

    /// Begins an assertion on the spans of this name or operation.
    pub fn span(&self, name: &str) -> SpanAssertion {
        SpanAssertion::new(name, self.spans())
    }

    /// Begins an assertion on the log lines with this message.
    pub fn log(&self, message: &str) -> LogAssertion {
        LogAssertion::new(message, self.logs())
    }

    /// Begins an assertion on the counts of an operation.
    pub fn operation(&self, name: &str) -> OperationAssertion {
        let metrics = self.telemetry.metrics();
        OperationAssertion { name: name.to_owned(), found: metrics.operations.get(name).copied().unwrap_or_default() }
    }

    /// Begins an assertion on a metric by its name in the Prometheus text; the values of all its labels are added up.
    pub fn metric(&self, name: &str) -> MetricAssertion {
        let text = self.telemetry.prometheus();
        let values = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok())?
        });
        let values: Vec<f64> = values.collect();
        MetricAssertion { name: name.to_owned(), found: (!values.is_empty()).then(|| values.iter().sum()) }
    }
}

impl Default for TestTelemetry {
    fn default() -> Self {
        Self::new()
    }
}

/// An assertion on an operation's counts.
#[derive(Debug, Clone)]
pub struct OperationAssertion {
    name: String,
    found: Aggregate,
}

impl OperationAssertion {
    /// Asserts how many ended.
    ///
    /// # Panics
    /// If that is not so.
    #[expect(clippy::return_self_not_must_use, reason = "the assertion is what is wanted")]
    pub fn requests(self, count: u64) -> Self {
        assert_eq!(self.found.requests, count, "requests of {:?}: {:?}", self.name, self.found);
        self
    }

    /// Asserts how many failed.
    ///
    /// # Panics
    /// If that is not so.
    #[expect(clippy::return_self_not_must_use, reason = "the assertion is what is wanted")]
    pub fn errors(self, count: u64) -> Self {
        assert_eq!(self.found.errors, count, "errors of {:?}: {:?}", self.name, self.found);
        self
    }

    /// Asserts how many were dropped before their end.
    ///
    /// # Panics
    /// If that is not so.
    #[expect(clippy::return_self_not_must_use, reason = "the assertion is what is wanted")]
    pub fn cancelled(self, count: u64) -> Self {
        assert_eq!(self.found.cancelled, count, "cancelled of {:?}: {:?}", self.name, self.found);
        self
    }

    /// Asserts how many go on.
    ///
    /// # Panics
    /// If that is not so.
    #[expect(clippy::return_self_not_must_use, reason = "the assertion is what is wanted")]
    pub fn in_flight(self, count: u64) -> Self {
        assert_eq!(self.found.in_flight, count, "in flight of {:?}: {:?}", self.name, self.found);
        self
    }
}

/// An assertion on a metric.
#[derive(Debug, Clone)]
#[must_use]
pub struct MetricAssertion {
    name: String,
    found: Option<f64>,
}

impl MetricAssertion {
    /// Asserts the value.
    ///
    /// # Panics
    /// If that is not so, or there is no such metric.
    pub fn is(self, value: f64) {
        assert!(self.found == Some(value), "metric {:?} is {:?}, expected {value}", self.name, self.found);
    }
}
