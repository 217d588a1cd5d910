//! What is sent in one request, and how one that is too large becomes two.

use std::mem;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics, metric};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message as _;

use crate::Signal;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Payload {
    Traces(ExportTraceServiceRequest),
    Logs(ExportLogsServiceRequest),
    Metrics(ExportMetricsServiceRequest),
}

impl Payload {
    pub(super) fn empty(signal: Signal) -> Self {
        match signal {
            Signal::Traces => Self::Traces(ExportTraceServiceRequest::default()),
            Signal::Logs => Self::Logs(ExportLogsServiceRequest::default()),
            Signal::Metrics => Self::Metrics(ExportMetricsServiceRequest::default()),
        }
    }

    /// How many spans, records or values it holds.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Traces(all) => sum(&all.resource_spans, spans),
            Self::Logs(all) => sum(&all.resource_logs, records),
            Self::Metrics(all) => sum(&all.resource_metrics, values),
        }
    }

    /// Its size as protobuf.
    pub(super) fn encoded_len(&self) -> usize {
        match self {
            Self::Traces(all) => all.encoded_len(),
            Self::Logs(all) => all.encoded_len(),
            Self::Metrics(all) => all.encoded_len(),
        }
    }

    /// Takes out the second half; of a single span, record or value nothing is left in the first.
    pub(super) fn split_off_half(&mut self) -> Self {
        let half = self.weight() / 2;
        match self {
            Self::Traces(all) => Self::Traces(ExportTraceServiceRequest {
                resource_spans: split_off(&mut all.resource_spans, half, spans, |one, at| ResourceSpans {
                    resource: one.resource.clone(),
                    schema_url: one.schema_url.clone(),
                    scope_spans: split_off(
                        &mut one.scope_spans,
                        at,
                        |scope| scope.spans.len(),
                        |scope, at| ScopeSpans {
                            scope: scope.scope.clone(),
                            schema_url: scope.schema_url.clone(),
                            spans: scope.spans.split_off(at),
                        },
                    ),
                }),
            }),
            Self::Logs(all) => Self::Logs(ExportLogsServiceRequest {
                resource_logs: split_off(&mut all.resource_logs, half, records, |one, at| ResourceLogs {
                    resource: one.resource.clone(),
                    schema_url: one.schema_url.clone(),
                    scope_logs: split_off(
                        &mut one.scope_logs,
                        at,
                        |scope| scope.log_records.len(),
                        |scope, at| ScopeLogs {
                            scope: scope.scope.clone(),
                            schema_url: scope.schema_url.clone(),
                            log_records: scope.log_records.split_off(at),
                        },
                    ),
                }),
            }),
            Self::Metrics(all) => Self::Metrics(ExportMetricsServiceRequest {
                resource_metrics: split_off(&mut all.resource_metrics, half, values, |one, at| ResourceMetrics {
                    resource: one.resource.clone(),
                    schema_url: one.schema_url.clone(),
                    scope_metrics: split_off(&mut one.scope_metrics, at, values_of_scope, |scope, at| ScopeMetrics {
                        scope: scope.scope.clone(),
                        schema_url: scope.schema_url.clone(),
                        metrics: split_off(&mut scope.metrics, at, values_of_metric, split_metric),
                    }),
                }),
            }),
        }
    }
}

/// Leaves the first `at` leaves of a level of the tree, and returns the rest; `cut` does the same within one branch.
fn split_off<T>(
    branches: &mut Vec<T>,
    mut at: usize,
    leaves: impl Fn(&T) -> usize,
    cut: impl FnOnce(&mut T, usize) -> T,
) -> Vec<T> {
    let mut whole = 0;
    while let Some(count) = branches.get(whole).map(&leaves).filter(|count| *count <= at) {
        at -= count;
        whole += 1;
    }
    let mut rest = branches.split_off(whole);
    if at > 0
        && let Some(branch) = rest.first_mut()
    {
        let second = cut(branch, at);
        branches.push(mem::replace(branch, second));
    }
    rest
}

fn split_metric(one: &mut Metric, at: usize) -> Metric {
    let data = match &mut one.data {
        Some(metric::Data::Sum(sum)) => {
            let data_points = sum.data_points.split_off(at);
            Some(metric::Data::Sum(opentelemetry_proto::tonic::metrics::v1::Sum { data_points, ..*sum }))
        }
        Some(metric::Data::Gauge(gauge)) => {
            let data_points = gauge.data_points.split_off(at);
            Some(metric::Data::Gauge(opentelemetry_proto::tonic::metrics::v1::Gauge { data_points }))
        }
        Some(metric::Data::Histogram(histogram)) => {
            let data_points = histogram.data_points.split_off(at);
            let half = opentelemetry_proto::tonic::metrics::v1::Histogram { data_points, ..*histogram };
            Some(metric::Data::Histogram(half))
        }
        // No other kind is made here.
        _ => None,
    };
    Metric {
        name: one.name.clone(),
        description: one.description.clone(),
        unit: one.unit.clone(),
        metadata: one.metadata.clone(),
        data,
    }
}

fn sum<T>(all: &[T], count: impl Fn(&T) -> usize) -> usize {
    all.iter().map(count).sum()
}

fn spans(one: &ResourceSpans) -> usize {
    sum(&one.scope_spans, |scope| scope.spans.len())
}

fn records(one: &ResourceLogs) -> usize {
    sum(&one.scope_logs, |scope| scope.log_records.len())
}

fn values(one: &ResourceMetrics) -> usize {
    sum(&one.scope_metrics, values_of_scope)
}

fn values_of_scope(scope: &ScopeMetrics) -> usize {
    sum(&scope.metrics, values_of_metric)
}

fn values_of_metric(metric: &Metric) -> usize {
    match &metric.data {
        Some(metric::Data::Sum(sum)) => sum.data_points.len(),
        Some(metric::Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(metric::Data::Histogram(histogram)) => histogram.data_points.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::metrics::v1::{NumberDataPoint, Sum};
    use opentelemetry_proto::tonic::trace::v1::Span;
    use proptest::prelude::*;

    use super::*;

    fn traces(scopes: &[usize]) -> Payload {
        let mut next = 0_u8;
        let scope = |spans: &usize| {
            let span = |_| {
                next += 1;
                Span { span_id: vec![next], ..Span::default() }
            };
            ScopeSpans { spans: (0..*spans).map(span).collect(), schema_url: "scope".to_owned(), ..Default::default() }
        };
        let scope_spans = scopes.iter().map(scope).collect();
        let resource = ResourceSpans { scope_spans, schema_url: "resource".to_owned(), ..Default::default() };
        Payload::Traces(ExportTraceServiceRequest { resource_spans: vec![resource] })
    }

    fn metrics(points: &[usize]) -> Payload {
        let mut next = 0_u64;
        let metric = |points: &usize| {
            let point = |_| {
                next += 1;
                NumberDataPoint { time_unix_nano: next, ..Default::default() }
            };
            let data_points = (0..*points).map(point).collect();
            let data = metric::Data::Sum(Sum { data_points, aggregation_temporality: 2, is_monotonic: true });
            Metric { name: "orders".to_owned(), data: Some(data), ..Default::default() }
        };
        let metrics = points.iter().map(metric).collect();
        let scope_metrics = vec![ScopeMetrics { metrics, ..Default::default() }];
        let resource_metrics = vec![ResourceMetrics { scope_metrics, ..Default::default() }];
        Payload::Metrics(ExportMetricsServiceRequest { resource_metrics })
    }

    /// The leaves in their order, once all of it is cut into single ones.
    fn leaves(payload: Payload) -> Vec<u64> {
        let (mut rest, mut found) = (vec![payload], Vec::new());
        while let Some(mut first) = rest.pop() {
            if first.weight() > 1 {
                let whole = first.weight();
                let second = first.split_off_half();
                assert_eq!((first.weight(), second.weight()), (whole / 2, whole - whole / 2));
                rest.extend([second, first]);
                continue;
            }
            match &first {
                Payload::Traces(all) => {
                    let resource = &all.resource_spans[0];
                    assert!(resource.schema_url == "resource" && resource.scope_spans[0].schema_url == "scope");
                    let spans = resource.scope_spans.iter().flat_map(|scope| &scope.spans);
                    found.extend(spans.map(|span| u64::from(span.span_id[0])));
                }
                Payload::Metrics(all) => {
                    for metric in &all.resource_metrics[0].scope_metrics[0].metrics {
                        let Some(metric::Data::Sum(sum)) = &metric.data else { panic!("{metric:?}") };
                        assert!(sum.is_monotonic && sum.aggregation_temporality == 2 && metric.name == "orders");
                        found.extend(sum.data_points.iter().map(|point| point.time_unix_nano));
                    }
                }
                Payload::Logs(_) => {}
            }
        }
        found
    }

    proptest! {
        #[test]
        fn halves_lose_nothing_and_keep_the_order(counts in proptest::collection::vec(1_usize..9, 1..9)) {
            let expected: Vec<u64> = (1..=counts.iter().sum::<usize>() as u64).collect();
            prop_assert_eq!(&leaves(traces(&counts)), &expected);
            prop_assert_eq!(&leaves(metrics(&counts)), &expected);
        }
    }
}
