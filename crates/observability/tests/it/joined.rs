//! What the parts do together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bedplate_observability::anomaly::AnomalyConfig;
use bedplate_observability::propagation::{Destination, Propagator};
use bedplate_observability::{
    ExportBatch, ExportError, Exporter, KeepReason, Observability, Query, TextFormat, Traces,
};

fn within(telemetry: &Observability, work: impl FnOnce()) {
    tracing::dispatcher::with_default(&telemetry.dispatch(), work);
}

#[test]
fn spans_that_end_feed_the_watch_over_operations() {
    let telemetry = Observability::builder("test").anomalies(AnomalyConfig::default()).build().unwrap();
    within(&telemetry, || {
        for _ in 0..7 {
            drop(tracing::info_span!("charge", operation = "charge"));
        }
        drop(tracing::info_span!("gone", operation = "charge", cancelled = true));
        drop(tracing::info_span!("no operation"));
    });
    let anomalies = telemetry.anomalies().unwrap();
    assert_eq!(anomalies.stats().fed, 7);
    assert!(anomalies.health().healthy);
    assert!(Observability::builder("test").build().unwrap().anomalies().is_none());
    let wrong = Observability::builder("test").anomalies(AnomalyConfig::default().operations(0)).build().unwrap_err();
    assert_eq!(wrong.field, "anomaly.operations");
}

struct Counted(Arc<AtomicUsize>);

impl Exporter for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }

    fn export(&self, batch: Arc<ExportBatch>) -> Result<(), ExportError> {
        self.0.fetch_add(batch.traces.len(), Ordering::SeqCst);
        Ok(())
    }
}

/// A span that never closes; nothing else happens in this process meanwhile.
#[test]
fn an_idle_process_decides_on_what_waits() {
    let exported = Arc::new(AtomicUsize::new(0));
    let traces = Traces::new().keep_all().max_age(Duration::from_secs(1)).exporter(Counted(Arc::clone(&exported)));
    let telemetry = Observability::builder("test").traces(traces).build().unwrap();
    let mut stuck = None;
    within(&telemetry, || {
        let root = tracing::info_span!("root");
        drop(tracing::info_span!(parent: &root, "child"));
        stuck = Some(root);
    });
    let began = tokio::time::Instant::now();
    while exported.load(Ordering::SeqCst) == 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", telemetry.trace_stats());
        std::thread::yield_now();
    }
    assert_eq!(telemetry.trace_stats().decided_early, 1);
    drop(stuck);
}

#[test]
fn the_share_that_is_always_kept_goes_along_with_its_traces() {
    for (traces, expected) in [
        (Traces::new().keep_all(), Some("ot=th:0")),
        (Traces::new().baseline(1.0), Some("ot=th:0")),
        (Traces::new().baseline(0.0), None),
    ] {
        let telemetry = Observability::builder("test").traces(traces).build().unwrap();
        within(&telemetry, || {
            let root = tracing::info_span!("root");
            let child = tracing::info_span!(parent: &root, "child");
            let mut headers = std::collections::HashMap::<String, String>::new();
            Propagator::default().inject(&child, Destination::Trusted, &mut headers);
            assert_eq!(headers.get("tracestate").map(String::as_str), expected);
            assert_eq!(headers["traceparent"].ends_with("-03"), expected.is_some(), "{headers:?}");
        });
    }
}

#[test]
fn an_operation_s_histogram_stands_in_the_text_with_a_trace() {
    let telemetry = Observability::builder("test").build().unwrap();
    within(&telemetry, || drop(tracing::info_span!("charge", operation = "charge", error = true)));
    let traces = telemetry.recorder().find(Query::new().operation("charge"));
    assert_eq!(traces[0].kept, Some(KeepReason::Error));
    let text = telemetry.metrics_text(TextFormat::OpenMetrics);
    let line = "operation_duration_seconds_bucket{operation=\"charge\",le=\"0.005\"} 1 # {trace_id=\"";
    assert!(text.contains(&format!("{line}{}\"", traces[0].id)), "{text}");
    assert!(text.contains("operation_latency_seconds{operation=\"charge\",percentile=\"99\"} "), "{text}");
    assert!(text.contains("operation_in_flight{operation=\"charge\"} 0\n"), "{text}");
    assert!(text.contains("operation_cancelled_total{operation=\"charge\"} 0\n"), "{text}");
}

#[cfg(feature = "http")]
#[test]
fn calls_to_others_are_measured_and_recorded_as_what_they_are() {
    use bedplate_observability::http::ClientSpan;
    use bedplate_observability::{SpanKind, SpanStatus};
    let telemetry = Observability::builder("test").build().unwrap();
    within(&telemetry, || {
        let start = || ClientSpan::start(&http::Method::GET, "http://example.com/users/7", Some("/users/{id}"), 0);
        start().responded(http::StatusCode::NOT_FOUND);
        start().failed("timeout");
        drop(start());
    });
    let one = telemetry.metrics().operations["GET /users/{id}"];
    assert_eq!((one.requests, one.errors, one.cancelled), (3, 2, 1));
    let text = telemetry.prometheus();
    let labels =
        "http_request_method=\"GET\",server_address=\"example.com\",server_port=\"80\",url_template=\"/users/{id}\"";
    for rest in [",http_response_status_code=\"404\",error_type=\"404\"} 1", ",error_type=\"timeout\"} 1"] {
        let line = format!("http_client_request_duration_seconds_count{{{labels}{rest}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
    let failed = telemetry.recorder().find(Query::new().error(true));
    assert_eq!(failed.len(), 2);
    for trace in &failed {
        let span = &trace.spans[0];
        assert_eq!((span.kind, span.name.as_str()), (SpanKind::Client, "GET /users/{id}"));
        assert!(matches!(span.status, SpanStatus::Error(_)));
    }
}
