use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::Dispatch;
use tracing_subscriber::Registry as Spans;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::anomaly::Anomalies;
use crate::builder::ObservabilityBuilder;
use crate::doctor::{Doctor, Finding, Setting};
use crate::metrics::Registry;
use crate::trace::{ActiveTraces, ExportQueue, ExportReport, Recorder, Resource, TraceStats};
use crate::{ConfigError, LogReport, LogStats, Metric, Metrics, Operations, TelemetryLayer, clock};

/// The telemetry of one service: a handle to its log, counts, traces and metrics.
///
/// Clones share it. Nothing is global until [`ObservabilityBuilder::install`] is called; a test or a part of a program
/// uses [`dispatch`](Self::dispatch) instead.
///
/// # Examples
/// ```
/// use bedplate_observability::Observability;
/// let telemetry = Observability::builder("checkout").build()?;
/// tracing::dispatcher::with_default(&telemetry.dispatch(), || {
///     let _span = tracing::info_span!("charge", operation = "charge").entered();
/// });
/// assert_eq!(telemetry.metrics().operations["charge"].requests, 1);
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Observability {
    pub(crate) service: Arc<str>,
    pub(crate) layer: TelemetryLayer,
    pub(crate) registry: Registry,
    pub(crate) resource: Arc<Resource>,
    pub(crate) settings: Arc<Vec<Setting>>,
    pub(crate) checks: Checks,
}

pub(crate) type Check = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// What `doctor` runs, by name.
#[derive(Clone, Default)]
pub(crate) struct Checks(Arc<Mutex<Vec<(String, Check)>>>);

/// How telemetry ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Report {
    /// Whether everything that was taken was tried; `false` where the deadline passed first.
    pub flushed: bool,
    /// The log.
    pub logs: LogReport,
    /// What became of spans and traces here.
    pub traces: TraceStats,
    /// What became of kept traces, and of records and metrics that are exported, for each exporter.
    pub exports: Vec<ExportReport>,
}

impl Report {
    /// Returns whether nothing was lost: all was tried before the deadline, and all of it taken.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let LogStats { dropped, failed, .. } = self.logs.stats;
        self.flushed
            && dropped + failed + self.traces.dropped_spans == 0
            && self.exports.iter().all(|export| export.dropped == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LogStats { written, dropped, failed } = self.logs.stats;
        let end = match (self.flushed, self.is_complete()) {
            (true, true) => "all is out",
            (true, false) => "all was tried, and some of it is lost",
            (false, _) => "the deadline passed before all was out",
        };
        writeln!(f, "{end}")?;
        writeln!(f, "logs: {written} written, {dropped} dropped, {failed} refused")?;
        let TraceStats { spans, dropped_spans, kept, not_kept, .. } = self.traces;
        writeln!(f, "traces: {kept} kept, {not_kept} not; {spans} spans, {dropped_spans} dropped")?;
        self.exports.iter().try_for_each(|export| writeln!(f, "{export}"))
    }
}

impl Observability {
    /// Configures the telemetry of the service of this name: no log, spans from INFO, up to 200 operations, and traces as
    /// [`Traces::new`](crate::Traces::new) keeps them.
    pub fn builder(service: impl Into<Arc<str>>) -> ObservabilityBuilder {
        ObservabilityBuilder::new(service.into())
    }

    /// Returns the service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
    }

    /// Returns what all of its telemetry says of where it comes from.
    #[must_use]
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Returns the layer, to compose it with others over a `tracing_subscriber` registry; its filters are for itself, and
    /// the others hear all. It follows the 0.3 series of that crate.
    #[must_use]
    pub fn layer(&self) -> TelemetryLayer {
        self.layer.clone()
    }

    /// Returns a subscriber of this telemetry alone, for `tracing::dispatcher::with_default` or
    /// `tracing::instrument::WithSubscriber`.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        Dispatch::new(Spans::default().with(TelemetryLayer { alone: true, ..self.layer() }))
    }

    /// Returns the counts of operations, to record some without a span.
    #[must_use]
    pub fn operations(&self) -> Operations {
        self.layer.shared.operations.clone()
    }

    /// Returns counts and latencies at this moment.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.layer.shared.operations.snapshot()
    }

    /// Returns the finished traces that are held in memory.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        Recorder { engine: Arc::clone(&self.layer.shared.engine), resource: Arc::clone(&self.resource) }
    }

    /// Returns the view of traces with open spans.
    #[must_use]
    pub fn active_traces(&self) -> ActiveTraces {
        ActiveTraces { engine: Arc::clone(&self.layer.shared.engine) }
    }

    /// Returns what became of spans and traces so far.
    #[must_use]
    pub fn trace_stats(&self) -> TraceStats {
        self.layer.shared.engine.stats()
    }

    /// Returns the watch over operations, to subscribe to or to ask for its health; `None` unless
    /// [`ObservabilityBuilder::anomalies`] was given. It is fed by every span with an `operation` that ends and was not
    /// cancelled, and judges every 10 s by itself.
    #[must_use]
    pub fn anomalies(&self) -> Option<Anomalies> {
        self.layer.shared.anomalies.clone()
    }

    /// Adds a metric that another part supplies to the Prometheus text.
    ///
    /// # Errors
    /// [`ConfigError`] if the name is no legal one, or taken.
    pub fn register(&self, metric: Metric) -> Result<(), ConfigError> {
        self.registry.add(metric)
    }

    /// Returns the names of all metrics in the Prometheus text, sorted.
    #[must_use]
    pub fn metric_names(&self) -> Vec<&'static str> {
        self.registry.names()
    }

    /// Returns all metrics in the text exposition format 0.0.4 of Prometheus; its media type is
    /// `text/plain; version=0.0.4`.
    #[must_use]
    pub fn prometheus(&self) -> String {
        self.metrics_text(crate::TextFormat::Prometheus)
    }

    /// Returns what became of log lines so far.
    #[must_use]
    pub fn log_stats(&self) -> LogStats {
        self.layer.shared.logs.as_ref().map_or_else(LogStats::default, |logs| logs.stats())
    }

    /// Adds a check that [`doctor`](Self::doctor) runs, as whether an endpoint answers: `Ok` and `Err` say what was seen.
    pub fn add_check(
        &self,
        name: impl Into<String>,
        check: impl Fn() -> Result<String, String> + Send + Sync + 'static,
    ) {
        self.checks.add(name.into(), Arc::new(check));
    }

    /// Returns the settings as they hold, with where each comes from.
    #[must_use]
    pub fn settings(&self) -> &[Setting] {
        &self.settings
    }

    /// Returns the settings as they hold, with where each comes from, and runs the checks; may block as long as those do.
    #[must_use]
    pub fn doctor(&self) -> Doctor {
        let run = |(name, check): (String, Check)| {
            let (ok, detail) = check().map_or_else(|detail| (false, detail), |detail| (true, detail));
            Finding { check: name, ok, detail }
        };
        // Without the lock, since a check may look at the telemetry.
        let checks = self.checks.0.lock().clone();
        let findings = checks.into_iter().map(run).collect();
        Doctor { settings: self.settings.to_vec(), findings }
    }

    /// Waits up to `deadline` until the log lines and kept traces so far are out, and the metrics that are exported; blocks
    /// the thread. Returns whether they are.
    #[must_use]
    pub fn flush(&self, deadline: Duration) -> bool {
        let until = clock::now() + deadline.min(LONG);
        self.sweep();
        let engine = &self.layer.shared.engine;
        #[cfg(feature = "otlp")]
        let sent = engine.otlp.as_ref().is_none_or(|otlp| otlp.flush(until));
        #[cfg(not(feature = "otlp"))]
        let sent = true;
        let exported = engine.export.as_ref().is_none_or(|export| export.flush(until));
        let left = until.saturating_duration_since(clock::now());
        self.layer.shared.logs.as_ref().is_none_or(|logs| logs.flush(left)) && exported && sent
    }

    /// Takes no more log lines and traces, and waits up to `deadline` until those taken are out; blocks the thread. Traces
    /// with open spans are decided on as they stand.
    ///
    /// The log and every exporter are flushed at the same time, each by its own thread, so one that hangs costs the
    /// deadline and keeps nothing else from getting out. It works in any runtime and in none; a second call returns the
    /// same again, and of several at once the first deadline holds. Where the collector itself runs on the runtime whose
    /// only thread this blocks, use [`shutdown_async`](Self::shutdown_async).
    #[must_use]
    pub fn shutdown(&self, deadline: Duration) -> Report {
        let until = clock::now() + deadline.min(LONG);
        let shared = &self.layer.shared;
        if let Some(housekeeping) = shared.housekeeping.get() {
            housekeeping.end();
        }
        shared.engine.decide_all();
        if let Some(logs) = &shared.logs {
            logs.close();
        }
        let exports = shared.engine.export.as_deref();
        if let Some(exports) = exports {
            exports.close();
        }
        #[cfg(feature = "otlp")]
        if let Some(otlp) = &shared.engine.otlp {
            otlp.close(until);
        }
        let mut exports = exports.map_or_else(Vec::new, |exports: &ExportQueue| exports.reports(until));
        #[cfg(feature = "otlp")]
        exports.extend(shared.engine.otlp.iter().flat_map(|otlp| otlp.reports(until)));
        exports.shrink_to_fit();
        let left = until.saturating_duration_since(clock::now());
        let logs = match &shared.logs {
            Some(logs) => logs.shutdown(left),
            None => LogReport { flushed: true, ..LogReport::default() },
        };
        let flushed = logs.flushed && exports.iter().all(|export| export.flushed);
        Report { flushed, logs, traces: shared.engine.stats(), exports }
    }

    /// Does what [`shutdown`](Self::shutdown) does without blocking the thread, in any runtime.
    ///
    /// # Cancel safety
    /// Dropped before its end, the shutdown goes on by itself.
    pub async fn shutdown_async(&self, deadline: Duration) -> Report {
        let telemetry = self.clone();
        match crate::off_thread::run("bedplate-shutdown", move || telemetry.shutdown(deadline)) {
            Some(report) => report.await,
            // A system without one more thread is told by waiting here.
            None => self.shutdown(deadline),
        }
    }

    fn sweep(&self) {
        let engine = &self.layer.shared.engine;
        engine.sweep(engine.clock.nanos());
    }
}

impl Checks {
    pub(crate) fn add(&self, name: String, check: Check) {
        self.0.lock().push((name, check));
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.lock().iter().map(|(name, _)| name)).finish()
    }
}

/// A deadline beyond it is as good.
const LONG: Duration = Duration::from_hours(365 * 24);
