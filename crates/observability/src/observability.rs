use std::sync::Arc;
use std::time::Duration;

use tracing::Dispatch;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Registry as Spans;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::logs::LogSink;
use crate::metrics::Registry;
use crate::{ConfigError, InstallError, LogReport, LogStats, Logs, Metric, Metrics, Operations, TelemetryLayer};

/// The telemetry of one service: a handle to its log, counts and metrics.
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
    service: Arc<str>,
    layer: TelemetryLayer,
    pub(crate) registry: Registry,
}

impl Observability {
    /// Configures the telemetry of the service of this name: no log, spans from INFO, up to 200 operations.
    pub fn builder(service: impl Into<Arc<str>>) -> ObservabilityBuilder {
        ObservabilityBuilder { service: service.into(), logs: None, span_level: LevelFilter::INFO, operations: 200 }
    }

    /// Returns the service's name.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.service
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
        self.layer.operations.clone()
    }

    /// Returns counts and latencies at this moment.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.layer.operations.snapshot()
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
        self.layer.logs.as_ref().map_or_else(LogStats::default, |logs| logs.stats())
    }

    /// Takes no more log lines and waits up to `deadline` until those taken are written; blocks the thread. A second
    /// call returns at once.
    #[must_use]
    pub fn shutdown(&self, deadline: Duration) -> LogReport {
        match &self.layer.logs {
            Some(logs) => logs.shutdown(deadline),
            None => LogReport { flushed: true, ..LogReport::default() },
        }
    }
}

/// Configures an [`Observability`].
#[derive(Debug)]
#[must_use]
pub struct ObservabilityBuilder {
    service: Arc<str>,
    logs: Option<Logs>,
    span_level: LevelFilter,
    operations: usize,
}

impl ObservabilityBuilder {
    /// Writes log lines so.
    pub fn logs(mut self, logs: Logs) -> Self {
        self.logs = Some(logs);
        self
    }

    /// Takes spans up to this level, default INFO. Spans cost about a microsecond each; those not taken pass on no ids
    /// and are not counted.
    pub fn span_level(mut self, level: tracing::Level) -> Self {
        self.span_level = LevelFilter::from_level(level);
        self
    }

    /// Bounds the named operations, 1 to 10,000, default 200; each costs up to 25 KiB.
    pub const fn operations(mut self, bound: usize) -> Self {
        self.operations = bound;
        self
    }

    /// Returns the telemetry without installing it.
    ///
    /// # Errors
    /// [`ConfigError`] names a setting that cannot be.
    pub fn build(self) -> Result<Observability, ConfigError> {
        let operations = Operations::new(self.operations)?;
        let log_filter = self.logs.as_ref().map_or_else(|| Ok(Targets::new()), Logs::targets)?;
        let logs = self.logs.map(LogSink::new).transpose()?.map(Arc::new);
        let layer = TelemetryLayer { logs, log_filter, span_level: self.span_level, operations, alone: false };
        Ok(Observability { service: self.service, layer, registry: Registry::default() })
    }

    /// Returns the telemetry and installs it for the whole process.
    ///
    /// # Errors
    /// [`InstallError::AlreadyInstalled`] if another subscriber is; [`InstallError::Config`] for a setting that cannot be.
    pub fn install(self) -> Result<Observability, InstallError> {
        let telemetry = self.build()?;
        tracing::dispatcher::set_global_default(telemetry.dispatch()).map_err(|_| InstallError::AlreadyInstalled)?;
        Ok(telemetry)
    }
}
