use super::{TextFormat, text};
use crate::metrics::registry::{Points, View};
use crate::{Aggregate, ConfigError, CounterFamily, GaugeFamily, HistogramFamily, Observability, Operations, Sample};

/// All metrics as text, with the media type to send it under.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exposition {
    /// The value of the `Content-Type` header.
    pub content_type: &'static str,
    /// The text.
    pub body: String,
}

impl Observability {
    /// Returns all metrics in the format that a scraper's `Accept` header prefers; only `OpenMetrics` has exemplars.
    ///
    /// # Examples
    /// ```
    /// use bedplate_observability::Observability;
    /// let telemetry = Observability::builder("checkout").build()?;
    /// let answer = telemetry.exposition(Some("application/openmetrics-text"));
    /// assert!(answer.content_type.starts_with("application/openmetrics-text; version=1.0.0"));
    /// assert!(answer.body.ends_with("# EOF\n"));
    /// # Ok::<(), bedplate_observability::ConfigError>(())
    /// ```
    #[must_use]
    pub fn exposition(&self, accept: Option<&str>) -> Exposition {
        let format = TextFormat::negotiate(accept);
        Exposition { content_type: format.content_type(), body: self.metrics_text(format) }
    }

    /// Returns all metrics in this format.
    #[must_use]
    pub fn metrics_text(&self, format: TextFormat) -> String {
        let (mut views, overflowed) = self.registry.views();
        views.extend(own(&self.operations(), overflowed));
        text::encode(format, views)
    }

    /// Returns the counter of this name, which is made if there is none yet: `labels` are its labels' names, `name` ends
    /// in `_total`. A label must not carry what a stranger chooses; up to 2,000 series are kept apart, and further ones
    /// counted together under `_other`.
    ///
    /// # Errors
    /// [`ConfigError`] if a name is no legal one, or the name is taken by a metric of another shape.
    ///
    /// # Examples
    /// ```
    /// use bedplate_observability::Observability;
    /// let telemetry = Observability::builder("checkout").build()?;
    /// let orders = telemetry.counter("orders_total", "Orders taken.", &["kind"])?;
    /// let gifts = orders.with(&["gift"]);
    /// gifts.add(1);
    /// assert!(telemetry.prometheus().contains("orders_total{kind=\"gift\"} 1\n"));
    /// # Ok::<(), bedplate_observability::ConfigError>(())
    /// ```
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Result<CounterFamily, ConfigError> {
        self.registry.counter(name, help, labels)
    }

    /// Returns the gauge of this name, as [`counter`](Self::counter) does.
    ///
    /// # Errors
    /// As of [`counter`](Self::counter).
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Result<GaugeFamily, ConfigError> {
        self.registry.gauge(name, help, labels)
    }

    /// Returns the histogram of this name, as [`counter`](Self::counter) does, with these upper bounds of its buckets:
    /// up to 200 that rise. [`DURATION_BOUNDS`](crate::DURATION_BOUNDS) are those for requests in seconds.
    ///
    /// # Errors
    /// As of [`counter`](Self::counter), and if the bounds do not rise.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &[f64],
    ) -> Result<HistogramFamily, ConfigError> {
        self.registry.histogram(name, help, labels, bounds)
    }
}

/// The upper bounds in seconds that OpenTelemetry's conventions advise for the durations of requests.
pub const DURATION_BOUNDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

const REQUESTS: &str = "operation_requests_total";
const ERRORS: &str = "operation_errors_total";
const CANCELLED: &str = "operation_cancelled_total";
const IN_FLIGHT: &str = "operation_in_flight";
pub(crate) const DURATION: &str = "operation_duration_seconds";
const LATENCY: &str = "operation_latency_seconds";
const OVERFLOW: &str = "observability_metric_overflow_total";
/// The metrics of this crate itself.
pub(crate) const OWN: [&str; 7] = [OVERFLOW, CANCELLED, DURATION, ERRORS, IN_FLIGHT, LATENCY, REQUESTS];

/// What this crate itself counts.
pub(crate) fn own(operations: &Operations, overflowed: Vec<Sample>) -> Vec<View> {
    let metrics = operations.snapshot();
    let percentiles = metrics.operations.iter().flat_map(|(name, one)| {
        [("50", one.p50), ("95", one.p95), ("99", one.p99)].map(|(percentile, value)| {
            Sample::new(value.as_secs_f64()).label("operation", name).label("percentile", percentile)
        })
    });
    let counts = |count: fn(&Aggregate) -> u64| {
        metrics.operations.iter().map(|(name, one)| Sample::count(count(one)).label("operation", name)).collect()
    };
    let view = |name, help, points| View { name, help, points };
    vec![
        view(CANCELLED, "Operations that were dropped before their end.", Points::Counter(counts(|one| one.cancelled))),
        view(DURATION, "How long operations took.", Points::Histogram(operations.points())),
        view(ERRORS, "Operations that failed.", Points::Counter(counts(|one| one.errors))),
        view(IN_FLIGHT, "Operations that go on.", Points::Gauge(counts(|one| one.in_flight))),
        view(
            LATENCY,
            "Percentile of an operation's duration, in seconds, since the start of the process.",
            Points::Gauge(percentiles.collect()),
        ),
        view(REQUESTS, "Operations that ended.", Points::Counter(counts(|one| one.requests))),
        view(OVERFLOW, "Times that a series was asked for beyond its metric's bound.", Points::Counter(overflowed)),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Metric, MetricKind, SpanContext, SpanId, TraceFlags, TraceId};

    fn telemetry() -> Observability {
        Observability::builder("test").build().unwrap()
    }

    #[test]
    fn the_text_is_the_format_s_own() {
        let telemetry = telemetry();
        telemetry.operations().record("a \"b\"\\\n", Duration::from_secs(2), true);
        telemetry
            .register(Metric::new("queue_depth", MetricKind::Gauge, "Waiting tasks.", || {
                vec![
                    Sample::new(f64::INFINITY).label("pool", "b"),
                    Sample::count(3).label("pool", "a"),
                    Sample::count(4).label("pool", "a"),
                ]
            }))
            .unwrap();
        let text = telemetry.prometheus();
        let expected = "operation_errors_total{operation=\"a \\\"b\\\"\\\\\\n\"} 1\n";
        assert!(text.contains(expected), "{text}");
        assert!(text.ends_with(
            "# HELP queue_depth Waiting tasks.\n# TYPE queue_depth gauge\n\
             queue_depth{pool=\"a\"} 3\nqueue_depth{pool=\"b\"} +Inf\n"
        ));
        assert_eq!(text.matches("# HELP").count(), OWN.len() + 1);
    }

    /// A sum that fell would be read as a restart, and the whole of it counted again.
    #[test]
    fn the_sum_of_durations_never_falls() {
        let telemetry = telemetry();
        let sum = || {
            let text = telemetry.prometheus();
            let line =
                text.lines().find_map(|line| line.strip_prefix("operation_duration_seconds_sum{operation=\"op\"} "));
            line.unwrap().parse::<f64>().unwrap()
        };
        let mut before = 0.0;
        for (count, micros) in (1_u32..).zip([10; 10].into_iter().chain([1; 10])) {
            telemetry.operations().record("op", Duration::from_micros(micros), false);
            let now = sum();
            assert!(now > before, "{now} after {before} with request {count}");
            before = now;
        }
        assert!((before - 110e-6).abs() < 1e-9, "{before}");
    }

    #[test]
    fn a_histogram_is_cumulative_and_only_openmetrics_has_its_exemplars() {
        let telemetry = telemetry();
        let family = telemetry.histogram("wait_seconds", "Waiting \"time\".", &["pool"], &[0.5, 1.0]).unwrap();
        let (trace, span) = (TraceId::new(7).unwrap(), SpanId::new(9).unwrap());
        let sampled = SpanContext::new(trace, span, TraceFlags::SAMPLED);
        let histogram = family.with(&["a"]);
        histogram.record_in(0.5, None);
        histogram.record_in(0.75, Some(&sampled));
        let unsampled = SpanContext::new(TraceId::new(8).unwrap(), span, TraceFlags::NONE);
        histogram.record_in(3.0, Some(&unsampled));
        // One that is sampled stays before one that may not be kept.
        histogram.record_in(0.8, Some(&unsampled));
        histogram.record_in(f64::NAN, None);
        let text = telemetry.prometheus();
        let expected = "# HELP wait_seconds Waiting \"time\".\n# TYPE wait_seconds histogram\n\
            wait_seconds_bucket{pool=\"a\",le=\"0.5\"} 1\nwait_seconds_bucket{pool=\"a\",le=\"1\"} 3\n\
            wait_seconds_bucket{pool=\"a\",le=\"+Inf\"} 4\nwait_seconds_sum{pool=\"a\"} 5.05\n\
            wait_seconds_count{pool=\"a\"} 4\n";
        assert!(text.ends_with(expected), "{text}");
        let text = telemetry.metrics_text(TextFormat::OpenMetrics);
        let expected = "# TYPE wait_seconds histogram\n# UNIT wait_seconds seconds\n\
            # HELP wait_seconds Waiting \\\"time\\\".\nwait_seconds_bucket{pool=\"a\",le=\"0.5\"} 1\n\
            wait_seconds_bucket{pool=\"a\",le=\"1.0\"} 3 # {trace_id=\"00000000000000000000000000000007\",span_id=\"0000000000000009\"} 0.75 ";
        assert!(text.contains(expected), "{text}");
        assert_eq!(text.matches(" # {").count(), 2, "{text}");
        assert!(
            text.contains("# {trace_id=\"00000000000000000000000000000008\",span_id=\"0000000000000009\"} 3 "),
            "{text}"
        );
        assert!(text.contains("# TYPE operation_errors counter\n") && text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn what_overflows_is_told() {
        let telemetry = telemetry();
        let family = telemetry.counter("jobs_total", "Jobs.", &["user"]).unwrap();
        for user in 0..2_100 {
            family.with(&[&user.to_string()]).add(1);
        }
        let text = telemetry.prometheus();
        assert!(text.contains("observability_metric_overflow_total{metric=\"jobs_total\"} 100\n"));
        assert!(text.contains("jobs_total{user=\"_other\"} 100\n"));
        assert_eq!(text.matches("\njobs_total{").count(), 2_001);
    }
}
