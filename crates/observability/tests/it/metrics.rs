use std::time::Duration;

use bedplate_observability::{Metric, MetricKind, Observability, RequestContext, Sample};
use tracing::instrument::WithSubscriber as _;
use tracing::{Instrument as _, info_span};

#[tokio::test]
async fn spans_with_an_operation_are_counted_when_they_end() {
    let telemetry = Observability::builder("test").build().unwrap();
    async {
        for index in 0..4 {
            let span = RequestContext::new().span("process image");
            async {
                if index == 0 {
                    tracing::Span::current().record("error", "mismatch");
                }
                info_span!("inner").in_scope(|| {});
            }
            .instrument(span)
            .await;
        }
        info_span!("fine", operation = "fine", error = false).in_scope(|| {});
        info_span!("coded", operation = "coded", error = 7).in_scope(|| {});
    }
    .with_subscriber(telemetry.dispatch())
    .await;

    let metrics = telemetry.metrics();
    assert_eq!(metrics.operations.len(), 3, "a span without an operation is not counted");
    let image = metrics.operations["process image"];
    assert_eq!((image.requests, image.errors, image.error_rate), (4, 1, 0.25));
    assert_eq!(metrics.operations["fine"].errors, 0);
    assert_eq!(metrics.operations["coded"].errors, 1);
    assert_eq!(metrics.total.requests, 6);
}

#[test]
fn the_prometheus_text_joins_operations_and_supplied_metrics() {
    let telemetry = Observability::builder("test").build().unwrap();
    telemetry.operations().record("process text", Duration::from_millis(250), false);
    telemetry
        .register(Metric::new("cache_hits_total", MetricKind::Counter, "Lookups that found a value.", || {
            vec![Sample::count(7)]
        }))
        .unwrap();
    let text = telemetry.prometheus();
    assert!(text.contains("operation_requests_total{operation=\"process text\"} 1\n"), "{text}");
    assert!(text.contains("# TYPE cache_hits_total counter\ncache_hits_total 7\n"), "{text}");
    let names = telemetry.metric_names();
    assert!(names.is_sorted() && names.contains(&"cache_hits_total"));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}
