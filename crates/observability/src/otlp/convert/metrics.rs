//! Metrics under OpenTelemetry's names: those of the conventions where there are some, else the Prometheus name without
//! what a receiver adds again, the unit and `_total`.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum, exemplar, metric, number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;

use super::{own_scope, pair};
use crate::Sample;
use crate::clock::unix_nanos;
use crate::metrics::{HistogramPoint, PointExemplar, Points, View};
use crate::trace::{AttributeValue, SCHEMA_URL};

/// When the counts began and when they were read, in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u64,
    now: u64,
}

pub(in crate::otlp) fn metrics(
    resource: &ProtoResource,
    views: Vec<View>,
    start: u64,
    now: u64,
) -> ExportMetricsServiceRequest {
    let span = Span { start, now };
    let metrics = views.into_iter().filter_map(|view| one(view, span)).collect();
    let scope_metrics = vec![ScopeMetrics { scope: Some(own_scope()), metrics, schema_url: SCHEMA_URL.to_owned() }];
    let resource = Some(resource.clone());
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource, scope_metrics, schema_url: SCHEMA_URL.to_owned() }],
    }
}

/// `None` for a metric without values.
fn one(view: View, span: Span) -> Option<Metric> {
    let cumulative = AggregationTemporality::Cumulative.into();
    let (data, count) = match view.points {
        Points::Counter(samples) => {
            let data_points = numbers(samples, span);
            let count = data_points.len();
            (metric::Data::Sum(Sum { data_points, aggregation_temporality: cumulative, is_monotonic: true }), count)
        }
        Points::Gauge(samples) => {
            let data_points = numbers(samples, span);
            let count = data_points.len();
            if UP_AND_DOWN.contains(&view.name) {
                let sum = Sum { data_points, aggregation_temporality: cumulative, is_monotonic: false };
                (metric::Data::Sum(sum), count)
            } else {
                (metric::Data::Gauge(Gauge { data_points }), count)
            }
        }
        Points::Histogram(points) => {
            let data_points: Vec<_> = points.into_iter().map(|point| histogram(point, span)).collect();
            let count = data_points.len();
            (metric::Data::Histogram(Histogram { data_points, aggregation_temporality: cumulative }), count)
        }
    };
    let (name, unit) = name(view.name);
    (count > 0).then(|| Metric {
        name,
        unit: unit.to_owned(),
        description: view.help.to_owned(),
        data: Some(data),
        ..Metric::default()
    })
}

fn name(name: &str) -> (String, &'static str) {
    if let Some((_, own, unit)) = NAMES.iter().find(|(known, ..)| *known == name) {
        return ((*own).to_owned(), unit);
    }
    let name = name.strip_suffix("_total").unwrap_or(name);
    let unit = UNITS.iter().find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, *unit)));
    let (name, unit) = unit.unwrap_or((name, "1"));
    (name.to_owned(), unit)
}

fn numbers(samples: Vec<Sample>, span: Span) -> Vec<NumberDataPoint> {
    let point = |sample: Sample| NumberDataPoint {
        attributes: attributes(sample.labels),
        start_time_unix_nano: span.start,
        time_unix_nano: span.now,
        value: Some(number_data_point::Value::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    };
    // OTLP's JSON form has no agreement on numbers that are none.
    samples.into_iter().filter(|sample| sample.value.is_finite()).map(point).collect()
}

fn histogram(point: HistogramPoint, span: Span) -> HistogramDataPoint {
    let mut before = 0;
    let mut each = |passed: u64| passed.saturating_sub(std::mem::replace(&mut before, passed));
    let bucket_counts: Vec<u64> = point.buckets.iter().map(|(_, passed, _)| each(*passed)).collect();
    HistogramDataPoint {
        attributes: attributes(point.labels),
        start_time_unix_nano: span.start,
        time_unix_nano: span.now,
        count: bucket_counts.iter().sum(),
        sum: Some(point.sum),
        bucket_counts,
        explicit_bounds: point.buckets.iter().map(|(bound, ..)| *bound).filter(|bound| bound.is_finite()).collect(),
        exemplars: point.buckets.iter().filter_map(|(.., seen)| seen.as_ref()).map(example).collect(),
        ..HistogramDataPoint::default()
    }
}

fn example(seen: &PointExemplar) -> Exemplar {
    Exemplar {
        filtered_attributes: Vec::new(),
        time_unix_nano: unix_nanos(seen.at),
        span_id: seen.span_id.to_bytes().to_vec(),
        trace_id: seen.trace_id.to_bytes().to_vec(),
        value: Some(exemplar::Value::AsDouble(seen.value)),
    }
}

fn attributes(labels: Vec<(&'static str, String)>) -> Vec<KeyValue> {
    // An empty value is the same as no label.
    let labels = labels.into_iter().filter(|(_, value)| !value.is_empty());
    let attribute = |(label, value): (&'static str, String)| {
        let name = LABELS.iter().find(|(known, _)| *known == label).map_or(label, |(_, own)| own);
        let number = NUMBERS.contains(&name).then(|| value.parse().ok()).flatten();
        pair(name, number.map_or(AttributeValue::Text(value), AttributeValue::I64))
    };
    labels.map(attribute).collect()
}

/// Prometheus' name, the conventions' name and unit.
const NAMES: [(&str, &str, &str); 10] = [
    ("db_client_operation_duration_seconds", "db.client.operation.duration", "s"),
    ("http_server_request_duration_seconds", "http.server.request.duration", "s"),
    ("http_client_request_duration_seconds", "http.client.request.duration", "s"),
    ("http_server_active_requests", "http.server.active_requests", "{request}"),
    ("operation_in_flight", "operation.in_flight", "{operation}"),
    ("operation_latency_seconds", "operation.latency", "s"),
    ("operation_requests_total", "operation.requests", "{operation}"),
    ("operation_errors_total", "operation.errors", "{operation}"),
    ("operation_cancelled_total", "operation.cancelled", "{operation}"),
    ("operation_duration_seconds", "operation.duration", "s"),
];
/// Gauges that are counts of what goes on, the conventions' `UpDownCounter`: those of several instances add up.
const UP_AND_DOWN: [&str; 2] = ["http_server_active_requests", "operation_in_flight"];
const UNITS: [(&str, &str); 3] = [("_seconds", "s"), ("_bytes", "By"), ("_ratio", "1")];
const LABELS: [(&str, &str); 14] = [
    ("db_collection_name", "db.collection.name"),
    ("db_namespace", "db.namespace"),
    ("db_operation_name", "db.operation.name"),
    ("db_query_summary", "db.query.summary"),
    ("db_response_status_code", "db.response.status_code"),
    ("db_system_name", "db.system.name"),
    ("http_request_method", "http.request.method"),
    ("url_scheme", "url.scheme"),
    ("http_route", "http.route"),
    ("http_response_status_code", "http.response.status_code"),
    ("error_type", "error.type"),
    ("server_address", "server.address"),
    ("server_port", "server.port"),
    ("url_template", "url.template"),
];
/// Those of them that are integers.
const NUMBERS: [&str; 2] = ["http.response.status_code", "server.port"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_conventions_or_lose_what_a_receiver_adds() {
        for (prometheus, own, unit) in [
            ("http_server_request_duration_seconds", "http.server.request.duration", "s"),
            ("jobs_total", "jobs", "1"),
            ("body_bytes", "body", "By"),
            ("wait_seconds_total", "wait", "s"),
            ("queue_depth", "queue_depth", "1"),
        ] {
            assert_eq!(name(prometheus), (own.to_owned(), unit));
        }
    }

    #[test]
    fn buckets_are_counted_apart() {
        let buckets = vec![(1.0, 2, None), (2.0, 5, None), (f64::INFINITY, 6, None)];
        let point = HistogramPoint { labels: vec![("server_port", "80".to_owned())], buckets, sum: 9.0 };
        let point = histogram(point, Span { start: 1, now: 2 });
        assert_eq!(point.bucket_counts, [2, 3, 1]);
        assert_eq!((point.explicit_bounds.as_slice(), point.count), ([1.0, 2.0].as_slice(), 6));
        assert_eq!(point.attributes, [pair("server.port", AttributeValue::I64(80))]);
    }
}
