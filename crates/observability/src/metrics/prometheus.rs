//! The text exposition format 0.0.4 of Prometheus.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::{ConfigError, Metrics};

/// What a metric's values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A count that only grows; its name ends in `_total`.
    Counter,
    /// A value that rises and falls.
    Gauge,
}

/// One value of a metric, under its labels.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Label names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value, in the base unit of the metric's name.
    pub value: f64,
}

impl Sample {
    /// Returns a value without labels.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self { labels: Vec::new(), value }
    }

    /// Returns a count, exact up to 2^53.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the format's values are 64-bit floats")]
    pub const fn count(value: u64) -> Self {
        Self::new(value as f64)
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

/// A metric that another part of the program supplies: its name, meaning and values at each reading.
#[derive(Clone)]
pub struct Metric {
    name: &'static str,
    help: &'static str,
    kind: MetricKind,
    read: Arc<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

impl Metric {
    /// Describes a metric whose values `read` returns. It is called at each reading, must be quick, and must not read
    /// the metrics itself.
    #[must_use]
    pub fn new(
        name: &'static str,
        kind: MetricKind,
        help: &'static str,
        read: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) -> Self {
        Self { name, help, kind, read: Arc::new(read) }
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let invalid = |expected| Err(ConfigError { field: "metric.name", value: format!("{:?}", self.name), expected });
        let legal =
            |(index, c): (usize, char)| c.is_ascii_alphabetic() || c == '_' || (index > 0 && c.is_ascii_digit());
        if self.name.is_empty() || !self.name.chars().enumerate().all(legal) {
            return invalid("letters, digits and underscores, not beginning with a digit");
        }
        if self.kind == MetricKind::Counter && !self.name.ends_with("_total") {
            return invalid("a counter's name that ends in _total");
        }
        if self.help.is_empty() {
            return Err(ConfigError { field: "metric.help", value: "empty".to_owned(), expected: "one sentence" });
        }
        Ok(())
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metric").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// The metrics that other parts supply, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    metrics: Arc<RwLock<BTreeMap<&'static str, Metric>>>,
}

impl Registry {
    pub(crate) fn add(&self, metric: Metric) -> Result<(), ConfigError> {
        metric.validate()?;
        let mut metrics = self.metrics.write();
        if OWN.contains(&metric.name) || metrics.contains_key(metric.name) {
            return Err(ConfigError {
                field: "metric.name",
                value: format!("{:?}", metric.name),
                expected: "a name that is not registered yet",
            });
        }
        metrics.insert(metric.name, metric);
        Ok(())
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.metrics.read().keys().copied().chain(OWN).collect();
        names.sort_unstable();
        names
    }

    /// Renders the operations and every supplied metric.
    pub(crate) fn render(&self, operations: &Metrics) -> String {
        let metrics: Vec<Metric> = self.metrics.read().values().cloned().collect();
        let mut out = String::new();
        render_operations(&mut out, operations);
        for metric in metrics {
            let kind = match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
            };
            header(&mut out, metric.name, metric.help, kind);
            let mut samples = (metric.read)();
            samples.sort_by(|a, b| a.labels.cmp(&b.labels));
            for sample in samples {
                line(&mut out, metric.name, &sample.labels, sample.value);
            }
        }
        out
    }
}

const REQUESTS: &str = "operation_requests_total";
const ERRORS: &str = "operation_errors_total";
const DURATION: &str = "operation_duration_seconds";
const OWN: [&str; 3] = [DURATION, ERRORS, REQUESTS];

fn render_operations(out: &mut String, metrics: &Metrics) {
    let labels = |name: &String| vec![("operation", name.clone())];
    header(out, DURATION, "How long operations took, as quantiles since the start.", "summary");
    for (name, one) in &metrics.operations {
        for (quantile, value) in [("0.5", one.p50), ("0.95", one.p95), ("0.99", one.p99)] {
            let mut labels = labels(name);
            labels.push(("quantile", quantile.to_owned()));
            line(out, DURATION, &labels, value.as_secs_f64());
        }
        let count = Sample::count(one.requests).value;
        line(out, "operation_duration_seconds_sum", &labels(name), one.sum.as_secs_f64());
        line(out, "operation_duration_seconds_count", &labels(name), count);
    }
    header(out, ERRORS, "Operations that failed.", "counter");
    for (name, one) in &metrics.operations {
        line(out, ERRORS, &labels(name), Sample::count(one.errors).value);
    }
    header(out, REQUESTS, "Operations that ended.", "counter");
    for (name, one) in &metrics.operations {
        line(out, REQUESTS, &labels(name), Sample::count(one.requests).value);
    }
}

fn header(out: &mut String, name: &str, help: &str, kind: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    push(out, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
}

fn line(out: &mut String, name: &str, labels: &[(&'static str, String)], value: f64) {
    out.push_str(name);
    for (index, (label, text)) in labels.iter().enumerate() {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        push(out, format_args!("{}{label}=\"{text}\"", if index == 0 { '{' } else { ',' }));
    }
    if !labels.is_empty() {
        out.push('}');
    }
    if value.is_infinite() {
        push(out, format_args!(" {}Inf\n", if value > 0.0 { '+' } else { '-' }));
    } else {
        push(out, format_args!(" {value}\n"));
    }
}

fn push(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _infallible = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Operations;

    #[test]
    fn the_text_is_the_format_s_own() {
        let operations = Operations::new(10).unwrap();
        operations.record("a \"b\"\\\n", Duration::from_secs(2), true);
        let registry = Registry::default();
        registry
            .add(Metric::new("queue_depth", MetricKind::Gauge, "Waiting tasks.", || {
                vec![Sample::new(f64::INFINITY).label("pool", "b"), Sample::count(3).label("pool", "a")]
            }))
            .unwrap();
        let text = registry.render(&operations.snapshot());
        let expected = "operation_errors_total{operation=\"a \\\"b\\\"\\\\\\n\"} 1\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.ends_with(
            "# HELP queue_depth Waiting tasks.\n# TYPE queue_depth gauge\n\
             queue_depth{pool=\"a\"} 3\nqueue_depth{pool=\"b\"} +Inf\n"
        ));
        assert_eq!(text.matches("# HELP").count(), 4);
    }

    /// A sum that fell would be read as a restart, and the whole of it counted again.
    #[test]
    fn the_sum_of_durations_never_falls() {
        let operations = Operations::new(1).unwrap();
        let sum = || {
            let text = Registry::default().render(&operations.snapshot());
            let line =
                text.lines().find_map(|line| line.strip_prefix("operation_duration_seconds_sum{operation=\"op\"} "));
            line.unwrap().parse::<f64>().unwrap()
        };
        let mut before = 0.0;
        for (count, micros) in (1_u32..).zip([10; 10].into_iter().chain([1; 10])) {
            operations.record("op", Duration::from_micros(micros), false);
            let now = sum();
            assert!(now > before, "{now} after {before} with request {count}");
            before = now;
        }
        assert!((before - 110e-6).abs() < 1e-9, "{before}");
    }

    #[test]
    fn wrong_names_are_refused() {
        let registry = Registry::default();
        let add = |name, kind, help| registry.add(Metric::new(name, kind, help, Vec::new)).map_err(|error| error.field);
        assert_eq!(add("fine", MetricKind::Gauge, "Help."), Ok(()));
        for (name, kind) in [
            ("fine", MetricKind::Gauge),
            ("operation_errors_total", MetricKind::Counter),
            ("1st", MetricKind::Gauge),
            ("", MetricKind::Gauge),
            ("with space", MetricKind::Gauge),
            ("hits", MetricKind::Counter),
        ] {
            assert_eq!(add(name, kind, "Help."), Err("metric.name"), "{name}");
        }
        assert_eq!(add("silent", MetricKind::Gauge, ""), Err("metric.help"));
    }
}
