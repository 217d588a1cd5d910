use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, LazyLock};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use crate::anomaly::{Anomalies, AnomalyConfig};
use crate::doctor::{Setting, Source};
use crate::environment::{self, Environment, Sampler};
use crate::housekeeping::Housekeeping;
use crate::layer::Shared;
use crate::logs::LogSink;
use crate::metrics::Registry;
use crate::observability::Checks;
#[cfg(feature = "otlp")]
use crate::otlp::Otlp;
use crate::trace::{AttributeValue, Engine, ExportQueue, Resource};
use crate::{ConfigError, InstallError, Logs, Observability, Operations, Redact, TelemetryLayer, Traces};

/// Configures an [`Observability`].
#[derive(Debug)]
#[must_use]
pub struct ObservabilityBuilder {
    service: Arc<str>,
    resource: Resource,
    logs: Option<Logs>,
    traces: Traces,
    span_level: LevelFilter,
    operations: usize,
    redact: Redact,
    anomalies: Option<AnomalyConfig>,
    #[cfg(feature = "otlp")]
    otlp: Option<Otlp>,
    disabled: bool,
    /// The variable of a collector's endpoint that was seen and is nobody's yet.
    endpoint: Option<&'static str>,
    sources: HashMap<&'static str, Source>,
}

impl ObservabilityBuilder {
    pub(crate) fn new(service: Arc<str>) -> Self {
        Self {
            service,
            resource: Resource::default(),
            logs: None,
            traces: Traces::new(),
            span_level: LevelFilter::INFO,
            operations: 200,
            redact: Redact::default(),
            anomalies: None,
            #[cfg(feature = "otlp")]
            otlp: None,
            disabled: false,
            endpoint: None,
            sources: HashMap::from([("service.name", Source::Code)]),
        }
    }

    /// Tells the service's version, as `env!("CARGO_PKG_VERSION")`.
    pub fn version(self, version: impl Into<String>) -> Self {
        self.attribute("service.version", version.into())
    }

    /// Tells where it runs, as `production`.
    pub fn environment(self, name: impl Into<String>) -> Self {
        self.attribute("deployment.environment.name", name.into())
    }

    /// Tells this instance of the service from all others, by a text of its own; default a random UUID for each process.
    ///
    /// Collectors tell by it what comes from which replica: two without it would overwrite each other's counts, which are
    /// counts since the start of a process. Set it where the place has a name that is unique and outlives a restart, as that
    /// of a pod of a stateful set.
    pub fn instance_id(self, id: impl Into<String>) -> Self {
        self.attribute(INSTANCE, id.into())
    }

    /// Tells something else of the service, by OpenTelemetry's names for resources.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<AttributeValue>) -> Self {
        self.resource.set(name, value);
        self.code("resource")
    }

    /// Writes log lines so.
    pub fn logs(mut self, logs: Logs) -> Self {
        self.logs = Some(logs);
        self.code("logs")
    }

    /// Keeps and exports traces so.
    pub fn traces(mut self, traces: Traces) -> Self {
        self.traces = traces;
        self.code("traces")
    }

    /// Never writes these, neither to the log nor to traces; replaces the default.
    pub fn redact(mut self, redact: Redact) -> Self {
        self.redact = redact;
        self.code("redact")
    }

    /// Takes spans up to this level, default INFO. Spans cost about half a microsecond each; those not taken pass on no ids
    /// and are not counted.
    pub fn span_level(mut self, level: tracing::Level) -> Self {
        self.span_level = LevelFilter::from_level(level);
        self.code("span_level")
    }

    /// Bounds the named operations, 1 to 10,000, default 200; each costs up to 15 KiB.
    pub fn operations(mut self, bound: usize) -> Self {
        self.operations = bound;
        self.code("operations")
    }

    /// Watches every operation for what is not as it was; see [`Observability::anomalies`]. Default not.
    pub fn anomalies(mut self, config: AnomalyConfig) -> Self {
        self.anomalies = Some(config);
        self.code("anomalies")
    }

    /// Sends kept traces, log records and metrics to a collector; default not.
    #[cfg(feature = "otlp")]
    #[cfg_attr(docsrs, doc(cfg(feature = "otlp")))]
    pub fn otlp(mut self, otlp: Otlp) -> Self {
        self.otlp = Some(otlp);
        self.code("otlp")
    }

    /// Takes over what OpenTelemetry's environment variables say, over what was set before; what is set afterwards wins
    /// over them. Read are these, and an empty one counts as none:
    ///
    /// - `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`;
    /// - `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`, as [`Traces::keep_all`] or [`Traces::baseline`];
    /// - `OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT`, else `OTEL_ATTRIBUTE_COUNT_LIMIT`;
    /// - `OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT`, else `OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT`;
    /// - `OTEL_SPAN_EVENT_COUNT_LIMIT` and `OTEL_SPAN_LINK_COUNT_LIMIT`;
    /// - `OTEL_LOG_LEVEL`, as [`Logs::filter`], where [`logs`](Self::logs) was called before;
    /// - `OTEL_SDK_DISABLED`.
    ///
    /// It adds no exporter: `OTEL_EXPORTER_OTLP_*`, `OTEL_TRACES_EXPORTER`, `OTEL_LOGS_EXPORTER`, `OTEL_METRICS_EXPORTER`
    /// and `OTEL_METRIC_EXPORT_INTERVAL` are read by `otlp::Otlp::from_env` alone. Where an endpoint is set among them and
    /// no exporter is configured, [`Observability::doctor`] finds fault with it, unless `none` turns its signals off.
    ///
    /// # Errors
    /// [`ConfigError`] names a variable that holds nonsense.
    pub fn with_env(self) -> Result<Self, ConfigError> {
        self.with_vars(environment::process)
    }

    /// Takes over what these variables say, as [`with_env`](Self::with_env) does: for tests, and for other places that
    /// settings come from.
    ///
    /// # Errors
    /// [`ConfigError`] names a variable that holds nonsense.
    pub fn with_vars(mut self, var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let found = Environment::read(var)?;
        for (name, value) in found.resource {
            if name == "service.name" {
                if let AttributeValue::Text(service) = value {
                    self.service = service.into();
                    self.sources.insert("service.name", from(environment::RESOURCE));
                }
            } else {
                self.resource.set(name, value);
                self.sources.insert("resource", from(environment::RESOURCE));
            }
        }
        if let Some(service) = found.service {
            self.service = service.into();
            self.sources.insert("service.name", from(environment::SERVICE));
        }
        if let Some(sampler) = found.sampler {
            self.traces = match sampler {
                Sampler::All => self.traces.keep_all(),
                Sampler::None => self.traces.baseline(0.0),
                Sampler::Share(share) => self.traces.baseline(share),
            };
            self.sources.insert("traces.baseline", from(environment::SAMPLER));
        }
        for (name, limit) in found.limits {
            let (setting, traces) = match name {
                environment::ATTRIBUTES => ("traces.attributes_per_span", self.traces.attributes_per_span(limit)),
                environment::EVENTS => ("traces.events_per_span", self.traces.events_per_span(limit)),
                environment::LINKS => ("traces.links_per_span", self.traces.links_per_span(limit)),
                _ => ("traces.value_bytes", self.traces.value_bytes(limit)),
            };
            self.traces = traces;
            self.sources.insert(setting, from(name));
        }
        if let Some(level) = found.log_level
            && let Some(logs) = self.logs
        {
            self.logs = Some(logs.filter(level));
            self.sources.insert("logs.filter", from(environment::LOG_LEVEL));
        }
        self.endpoint = found.endpoint.or(self.endpoint);
        if found.disabled {
            self.disabled = true;
            self.sources.insert("disabled", from(environment::DISABLED));
        }
        Ok(self)
    }

    /// Returns the telemetry without installing it.
    ///
    /// # Errors
    /// [`ConfigError`] names a setting that cannot be.
    pub fn build(mut self) -> Result<Observability, ConfigError> {
        self.traces.validate()?;
        let settings = Arc::new(self.settings());
        let operations = Operations::new(self.operations)?;
        let log_filter = self.logs.as_ref().map_or_else(|| Ok(Targets::new()), Logs::targets)?;
        let redact = match &self.logs {
            Some(logs) => self.redact.and(&logs.redact),
            None => self.redact,
        };
        let mut resource = self.resource;
        resource.attributes.entry(INSTANCE.to_owned()).or_insert_with(|| AttributeValue::Text(instance().to_owned()));
        resource.set("service.name", &*self.service);
        resource.set("telemetry.sdk.name", "bedplate-observability");
        resource.set("telemetry.sdk.language", "rust");
        resource.set("telemetry.sdk.version", env!("CARGO_PKG_VERSION"));
        let resource = resource.shared();
        let (off, on) = (LevelFilter::OFF, !self.disabled);
        let logs = self.logs.filter(|_| on).map(LogSink::new).transpose()?.map(Arc::new);
        let exporters = if on { self.traces.exporters } else { Vec::new() };
        let export = ExportQueue::start(exporters, self.traces.export_queue, &resource)?.map(Arc::new);
        let registry = Registry::default();
        let housekeeping = export.is_some() || self.anomalies.is_some();
        #[cfg(feature = "otlp")]
        let exported = export.is_some() || self.otlp.is_some();
        #[cfg(not(feature = "otlp"))]
        let exported = export.is_some();
        let checks = Checks::default();
        if let Some(name) = self.endpoint.filter(|_| on && !exported) {
            let detail =
                format!("{name} is set, but no exporter is configured: add .otlp(Otlp::from_env()?), {FEATURE}");
            checks.add("otlp".to_owned(), Arc::new(move || Err(detail.clone())));
        }
        #[cfg_attr(not(feature = "otlp"), expect(unused_mut, reason = "a feature changes it"))]
        let mut engine = Engine::new(self.traces.settings, export);
        #[cfg(feature = "otlp")]
        let housekeeping = housekeeping || self.otlp.is_some();
        #[cfg(feature = "otlp")]
        if let Some(otlp) = self.otlp.filter(|_| on) {
            let resource = Arc::clone(&resource);
            let source = crate::otlp::Source { registry: registry.clone(), operations: operations.clone(), resource };
            let otlp = crate::otlp::Pipeline::start(otlp, source)?;
            otlp.checks().into_iter().for_each(|(name, check)| checks.add(name, Arc::new(check)));
            engine.otlp = Some(Arc::new(otlp));
        }
        let shared = Shared {
            engine: Arc::new(engine),
            operations,
            logs,
            log_filter,
            span_level: if on { self.span_level } else { off },
            event_level: if on { self.traces.event_level } else { off },
            redact,
            registry: registry.clone(),
            anomalies: self.anomalies.filter(|_| on).map(Anomalies::new).transpose()?,
            housekeeping: std::sync::OnceLock::new(),
            #[cfg(feature = "http")]
            http_client: std::sync::OnceLock::new(),
            database_client: std::sync::OnceLock::new(),
        };
        let shared = Arc::new(shared);
        if housekeeping {
            // It is set nowhere else.
            let _first = shared.housekeeping.set(Housekeeping::start(&shared)?);
        }
        let layer = TelemetryLayer { shared, alone: false };
        Ok(Observability { service: self.service, layer, registry, resource, settings, checks })
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

    fn code(mut self, setting: &'static str) -> Self {
        // What the program sets as a whole is no longer what the environment said of its parts.
        self.sources.retain(|name, _| !name.strip_prefix(setting).is_some_and(|rest| rest.starts_with('.')));
        self.sources.insert(setting, Source::Code);
        self
    }

    /// Where a setting comes from; a part of what was set as a whole counts as set where it is not what it is by default.
    fn source(&self, name: &'static str, by_default: bool) -> Source {
        if let Some(source) = self.sources.get(name) {
            return source.clone();
        }
        let whole = name.split_once('.').and_then(|(whole, _)| self.sources.get(whole));
        whole.filter(|_| !by_default).cloned().unwrap_or(Source::Default)
    }

    fn settings(&self) -> Vec<Setting> {
        let mut defaults = Self::new("".into());
        // By default there are none; those that there are, are compared with such without settings of their own.
        defaults.logs = self.logs.as_ref().map(|_| Logs::json());
        let all = self.values().into_iter().zip(defaults.values());
        all.map(|((name, value), (_, default))| {
            let source = self.source(name, name != "logs.form" && value == default);
            Setting { name: name.to_owned(), value, source }
        })
        .collect()
    }

    fn values(&self) -> Vec<(&'static str, String)> {
        let traces = &self.traces;
        let (own, limits) = (&traces.settings, &traces.settings.limits);
        let none = || "none".to_owned();
        let baseline = if own.rules.all { "all".to_owned() } else { format!("{} of all", traces.baseline) };
        let resource: Vec<String> =
            self.resource.attributes.iter().map(|(name, own)| format!("{name}={own}")).collect();
        let exporters: Vec<&str> = traces.exporters.iter().map(|exporter| exporter.name()).collect();
        vec![
            ("service.name", self.service.to_string()),
            ("disabled", self.disabled.to_string()),
            ("resource", if resource.is_empty() { none() } else { resource.join(" ") }),
            ("logs.form", self.logs.as_ref().map_or_else(none, |logs| format!("{:?}", logs.form).to_lowercase())),
            ("logs.filter", self.logs.as_ref().map_or_else(none, |logs| logs.filter.clone())),
            ("logs.queue", self.logs.as_ref().map_or_else(none, |logs| format!("{} lines", logs.queue))),
            ("span_level", self.span_level.to_string()),
            ("operations", self.operations.to_string()),
            ("anomalies", self.anomalies.as_ref().map_or_else(none, |_| "watched".to_owned())),
            ("redact", format!("{:?}", self.redact)),
            ("traces.baseline", baseline),
            ("traces.errors", own.rules.errors.to_string()),
            ("traces.slow", if own.rules.slow { format!("after {} traces", own.slow_after) } else { none() }),
            ("traces.max_active", own.max_active.to_string()),
            ("traces.max_age", format!("{:?}", own.max_age)),
            ("traces.recorder_bytes", own.recorder_bytes.to_string()),
            ("traces.spans_per_trace", limits.spans.to_string()),
            ("traces.attributes_per_span", limits.attributes.to_string()),
            ("traces.events_per_span", limits.events.to_string()),
            ("traces.links_per_span", limits.links.to_string()),
            ("traces.value_bytes", limits.value_bytes.to_string()),
            #[cfg(feature = "otlp")]
            ("otlp", self.otlp.as_ref().map_or_else(none, Otlp::describe)),
            ("traces.exporters", if exporters.is_empty() { none() } else { exporters.join(" ") }),
        ]
    }
}

fn from(variable: &str) -> Source {
    Source::Environment(variable.to_owned())
}

/// A random UUID of version 4, the same for the whole process.
fn instance() -> &'static str {
    static ID: LazyLock<String> = LazyLock::new(|| {
        // The only random numbers of the standard library, which come from the system; those of a generator that is seeded
        // by the clock may be the same in two containers that start at once.
        let half = || u128::from(RandomState::new().build_hasher().finish());
        uuid(half() << 64 | half())
    });
    &ID
}

fn uuid(random: u128) -> String {
    let id = random & !(0xf << 76) | 4 << 76;
    let id = id & !(0b11 << 62) | 0b10 << 62;
    let text = format!("{id:032x}");
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

const INSTANCE: &str = "service.instance.id";

/// What is missing, in a finding.
const FEATURE: &str = if cfg!(feature = "otlp") { "or another exporter" } else { "of the feature `otlp`" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_a_uuid_of_version_4() {
        assert_eq!(uuid(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(instance(), instance());
        assert_ne!(instance(), uuid(0));
    }
}
