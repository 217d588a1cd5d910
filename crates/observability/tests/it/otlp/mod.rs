//! OTLP as a collector sees it.

#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test reports by panicking")]

mod collector;
mod refusals;
mod shutdown;

use std::sync::Arc;
use std::time::Duration;

use bedplate_observability::otlp::{Compression, Otlp, Protocol, SdkExporter};
use bedplate_observability::propagation::Propagator;
use bedplate_observability::{
    DURATION_BOUNDS, ExportReport, Observability, ObservabilityBuilder, RequestContext, Signal, SpanContext,
    SpanExt as _, SpanId, TraceFlags, TraceId, Traces, messaging,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;

use self::collector::Kept;

const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
const CALLER: u64 = 0x00f0_67aa_0ba9_02b7;

pub(super) fn telemetry(otlp: Otlp) -> Observability {
    Observability::builder("shop").version("1.2.3").traces(Traces::new().keep_all()).otlp(otlp).build().unwrap()
}

/// A server's request that calls another, sends a message and fails, and the message's consumer.
pub(super) fn known_set(telemetry: &Observability) {
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        let caller = SpanContext::new(
            TraceId::new(TRACE).unwrap(),
            SpanId::new(CALLER).unwrap(),
            TraceFlags::SAMPLED.with(TraceFlags::RANDOM),
        );
        let server = RequestContext::new().request_id("r-1").user_id("u-7").session_id("s-9").span("POST /orders");
        server.set_parent(&caller.remote().with_state_member("vendor", "1").unwrap());
        server.record("otel.kind", "server");
        let mut headers = std::collections::HashMap::<String, String>::new();
        server.in_scope(|| {
            let client = tracing::info_span!(
                "SELECT orders",
                otel.kind = "client",
                db.system.name = "postgresql",
                rows = 3,
                hit = true
            );
            client.in_scope(|| tracing::info!(order = 42, share = 0.5, "looked up"));
            let orders = messaging::Messaging::new("nats", "orders");
            drop(orders.send(&Propagator::default(), &mut headers));
            let charge = tracing::info_span!(
                "charge",
                operation = "charge",
                error.type = "declined",
                otel.status_code = "error",
                otel.status_description = "card declined",
            );
            charge.in_scope(|| tracing::warn!(token = "secret", "card declined"));
        });
        drop(server);
        let orders = messaging::Messaging::new("nats", "orders");
        drop(orders.process(&Propagator::default(), &headers, messaging::Correlation::Link));
        let wait = telemetry.histogram("wait_seconds", "Waiting time.", &["pool"], &DURATION_BOUNDS).unwrap();
        tracing::info_span!("wait").in_scope(|| wait.with(&["a"]).record(0.3));
        telemetry.counter("orders_total", "Orders taken.", &["kind"]).unwrap().with(&["gift"]).add(3);
        telemetry.gauge("queue_depth", "Waiting tasks.", &[]).unwrap().with(&[]).set(2.5);
    });
}

fn text(value: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(value.to_owned())) }
}

fn attribute<'a>(all: &'a [KeyValue], name: &str) -> Option<&'a Value> {
    all.iter().find(|one| one.key == name)?.value.as_ref()?.value.as_ref()
}

fn is_text(all: &[KeyValue], name: &str, expected: &str) -> bool {
    attribute(all, name) == Some(&Value::StringValue(expected.to_owned()))
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name} in {spans:#?}"))
}

fn check_spans(kept: &Kept) {
    let spans = kept.spans();
    assert_eq!(spans.len(), 6);
    let server = named(&spans, "POST /orders");
    assert_eq!((server.trace_id.as_slice(), server.kind), (&TRACE.to_be_bytes()[..], 2));
    assert_eq!(server.parent_span_id, CALLER.to_be_bytes());
    assert_eq!((server.flags, server.trace_state.as_str()), (0x303, "vendor=1"));
    assert!(is_text(&server.attributes, "request_id", "r-1"));
    assert!(server.end_time_unix_nano >= server.start_time_unix_nano && server.start_time_unix_nano > 1 << 60);
    for (name, kind) in [("SELECT orders", 3), ("send orders", 4), ("charge", 1)] {
        let child = named(&spans, name);
        assert_eq!((&child.trace_id, &child.parent_span_id), (&server.trace_id, &server.span_id), "{name}");
        assert_eq!((child.kind, child.flags & 0x300), (kind, 0x100), "{name}");
        assert!(is_text(&child.attributes, "user_id", "u-7"), "{name}");
    }
    let client = named(&spans, "SELECT orders");
    assert_eq!(attribute(&client.attributes, "rows"), Some(&Value::IntValue(3)));
    assert_eq!(attribute(&client.attributes, "hit"), Some(&Value::BoolValue(true)));
    assert_eq!(client.status.as_ref().unwrap().code, 0);
    let event = &client.events[0];
    assert_eq!((event.name.as_str(), client.events.len()), ("looked up", 1));
    assert_eq!(attribute(&event.attributes, "share"), Some(&Value::DoubleValue(0.5)));
    let charge = named(&spans, "charge");
    let status = charge.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "card declined"));
    let (producer, consumer) = (named(&spans, "send orders"), named(&spans, "process orders"));
    assert_ne!(consumer.trace_id, producer.trace_id);
    assert_eq!((consumer.kind, consumer.parent_span_id.len(), consumer.links.len()), (5, 0, 1));
    let link = &consumer.links[0];
    assert_eq!((&link.trace_id, &link.span_id), (&producer.trace_id, &producer.span_id));
}

fn check_logs(kept: &Kept) {
    let records = kept.records();
    assert_eq!(records.len(), 2);
    let spans = kept.spans();
    let looked = records.iter().find(|record| record.body.as_ref() == Some(&text("looked up"))).unwrap();
    let client = named(&spans, "SELECT orders");
    assert_eq!((&looked.trace_id, &looked.span_id), (&client.trace_id, &client.span_id));
    assert_eq!((looked.severity_number, looked.severity_text.as_str(), looked.flags), (9, "INFO", 3));
    for (name, id) in [("request_id", "r-1"), ("user_id", "u-7"), ("session_id", "s-9")] {
        assert!(is_text(&looked.attributes, name, id), "{name}");
    }
    assert_eq!(attribute(&looked.attributes, "order"), Some(&Value::IntValue(42)));
    let declined = records.iter().find(|record| record.body.as_ref() == Some(&text("card declined"))).unwrap();
    assert_eq!(declined.severity_number, 13);
    assert_eq!(declined.span_id, named(&spans, "charge").span_id);
    assert!(!format!("{records:?}").contains("secret"));
}

fn check_metrics(kept: &Kept) {
    let metrics = kept.last_metrics();
    let data = |name: &str| {
        let metric =
            metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name}: {metrics:#?}"));
        (metric.unit.as_str(), metric.data.as_ref().unwrap())
    };
    let (_, Data::Sum(orders)) = data("orders") else { panic!("no sum") };
    assert!(orders.is_monotonic && orders.aggregation_temporality == 2);
    assert!(is_text(&orders.data_points[0].attributes, "kind", "gift"));
    assert!(matches!(data("queue_depth"), (_, Data::Gauge(_))));
    let ("s", Data::Histogram(wait)) = data("wait") else { panic!("no histogram in seconds") };
    let point = &wait.data_points[0];
    assert_eq!((point.count, point.sum, point.explicit_bounds.as_slice()), (1, Some(0.3), &DURATION_BOUNDS[..]));
    assert_eq!(point.bucket_counts, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(point.exemplars[0].span_id, named(&kept.spans(), "wait").span_id);
    let ("s", Data::Histogram(operations)) = data("operation.duration") else { panic!("no durations") };
    let charge = operations.data_points.iter().find(|one| is_text(&one.attributes, "operation", "charge")).unwrap();
    assert_eq!((charge.count, &charge.exemplars[0].span_id), (1, &named(&kept.spans(), "charge").span_id));
}

fn sent(exports: &[ExportReport], signal: Signal) -> &ExportReport {
    exports.iter().find(|export| export.signal == signal).unwrap()
}

#[test]
fn a_collector_gets_all_of_it_by_each_protocol() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson] {
        for compression in [Compression::None, Compression::Gzip] {
            let (kept, grpc, http) = collector::start(Kept::default());
            let address = if protocol == Protocol::Grpc { grpc } else { http };
            let otlp = Otlp::new(format!("http://{address}")).protocol(protocol).compression(compression);
            let telemetry = telemetry(otlp.header("Authorization", "Bearer abc"));
            known_set(&telemetry);
            let report = telemetry.shutdown(Duration::from_secs(20));
            assert!(report.is_complete(), "{protocol:?} {compression:?}: {report}");
            check_spans(&kept);
            check_logs(&kept);
            check_metrics(&kept);
            let resource = kept.traces.lock().unwrap()[0].resource_spans[0].resource.clone().unwrap();
            assert!(is_text(&resource.attributes, "service.name", "shop"));
            assert!(is_text(&resource.attributes, "service.version", "1.2.3"));
            assert!(kept.authorization.lock().unwrap().iter().all(|value| value == "Bearer abc"));
            assert_eq!(kept.authorization.lock().unwrap().len(), 3);
            assert_eq!((sent(&report.exports, Signal::Traces).sent, sent(&report.exports, Signal::Logs).sent), (6, 2));
            let points = sent(&report.exports, Signal::Metrics);
            assert!(points.sent > 5 && points.dropped == 0, "{points}");
            assert_eq!(telemetry.shutdown(Duration::ZERO), report, "a second call says the same");
        }
    }
}

#[test]
fn a_flush_sends_what_waits_and_the_metrics() {
    let (kept, grpc, _) = collector::start(Kept::default());
    let telemetry = telemetry(Otlp::new(format!("http://{grpc}")));
    known_set(&telemetry);
    assert!(telemetry.flush(Duration::from_secs(20)));
    check_spans(&kept);
    check_logs(&kept);
    check_metrics(&kept);
    known_set(&telemetry);
    assert!(telemetry.flush(Duration::from_secs(20)));
    assert_eq!(kept.spans().len(), 12);
}

#[test]
fn what_is_refused_for_now_is_sent_again_and_what_is_rejected_is_told() {
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson] {
        let behavior = Kept { refuse: 2.into(), reject: 2, ..Kept::default() };
        let (kept, grpc, http) = collector::start(behavior);
        let address = if protocol == Protocol::Grpc { grpc } else { http };
        let telemetry = telemetry(Otlp::new(format!("http://{address}")).protocol(protocol));
        known_set(&telemetry);
        assert!(telemetry.flush(Duration::from_secs(20)));
        let report = telemetry.shutdown(Duration::from_secs(20));
        assert_eq!(kept.spans().len(), 6, "each came once");
        let traces = sent(&report.exports, Signal::Traces);
        assert_eq!((traces.sent, traces.dropped), (4, 2), "{report}");
        assert_eq!(traces.last_error.as_deref(), Some("too many"));
        assert!(report.flushed && !report.is_complete());
    }
}

#[test]
fn queues_are_bounded_and_what_finds_no_room_is_counted() {
    // Nobody answers there, so all but what is on its way has to wait.
    let (_held, address) = shutdown::hanging();
    let otlp = Otlp::new(format!("http://{address}")).trace_queue(10).log_queue(10).timeout(Duration::from_mins(1));
    let telemetry = telemetry(otlp);
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        for _ in 0..5_000 {
            tracing::info_span!("a").in_scope(|| tracing::info!("b"));
        }
    });
    let report = telemetry.shutdown(Duration::from_millis(300));
    for signal in [Signal::Traces, Signal::Logs] {
        let export = sent(&report.exports, signal);
        assert_eq!((export.sent, export.dropped, export.flushed), (0, 5_000, false), "{report}");
    }
}

#[test]
fn the_doctor_says_whether_endpoints_answer() {
    let (_kept, grpc, http) = collector::start(Kept::default());
    for (protocol, address) in [(Protocol::Grpc, grpc), (Protocol::HttpProtobuf, http), (Protocol::HttpJson, http)] {
        let telemetry = telemetry(Otlp::new(format!("http://{address}")).protocol(protocol));
        let doctor = telemetry.doctor();
        assert!(doctor.is_healthy() && doctor.findings.len() == 3, "{doctor}");
    }
    let telemetry = telemetry(Otlp::new(format!("http://{}", shutdown::refusing())).without(Signal::Logs));
    let doctor = telemetry.doctor();
    assert_eq!(doctor.findings.iter().filter(|finding| !finding.ok).count(), 2, "{doctor}");
    assert!(doctor.findings[0].detail.contains("refused"), "{doctor}");
}

#[test]
fn wrong_settings_are_named() {
    let field = |otlp: Otlp| Observability::builder("test").otlp(otlp).build().unwrap_err().field;
    for endpoint in [
        "",
        "127.0.0.1:4317",
        "ftp://host",
        "http://",
        "http://host:port",
        "http://host:0",
        "http://me:pw@host",
        "http://a b",
    ] {
        assert_eq!(field(Otlp::new(endpoint)), "otlp.endpoint", "{endpoint}");
    }
    let good = || Otlp::new("http://[::1]:4317");
    assert_eq!(field(good().header("no good", "x")), "otlp.headers");
    let secret = Observability::builder("test").otlp(good().header("a", "se\ncret")).build().unwrap_err();
    assert!(secret.field == "otlp.headers" && !secret.to_string().contains("cret"), "{secret}");
    assert!(!format!("{:?}", good().header("authorization", "abc123")).contains("abc123"));
    assert_eq!(field(good().timeout(Duration::ZERO)), "otlp.timeout");
    assert_eq!(field(good().metric_interval(Duration::ZERO)), "otlp.metric_interval");
    assert_eq!(field(good().retry_for(Duration::from_secs(601))), "otlp.retry_for");
    assert_eq!(field(good().trace_queue(0)), "otlp.trace_queue");
    assert_eq!(field(good().log_queue(0)), "otlp.log_queue");
    assert_eq!(field(good().request_bytes(1_000)), "otlp.request_bytes");
}

#[test]
fn the_environment_is_taken_where_it_is_asked_for() {
    let read = |vars: &[(&str, &str)]| {
        Otlp::from_vars(|name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    };
    let shown = |vars: &[(&str, &str)]| {
        let telemetry = Observability::builder("test").otlp(read(vars).unwrap()).build().unwrap();
        telemetry.settings().iter().find(|setting| setting.name == "otlp").unwrap().value.clone()
    };
    assert_eq!(
        shown(&[]),
        "traces: http/protobuf http://localhost:4318, logs: http/protobuf http://localhost:4318, metrics: http/protobuf http://localhost:4318"
    );
    let vars = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:1"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://b:2/own/path"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_METRICS_EXPORTER", "none"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x,b=c"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "500"),
    ];
    assert_eq!(
        shown(&vars),
        "traces: grpc http://a:1 gzip, logs: http/json http://b:2/own/path gzip, metrics: not sent"
    );
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "host"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "tcp"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "1s"),
        ("OTEL_EXPORTER_OTLP_METRICS_COMPRESSION", "zstd"),
        ("OTEL_LOGS_EXPORTER", "console"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "often"),
    ] {
        assert_eq!(read(&[(name, value)]).unwrap_err().field, name);
    }
}

/// Names, units, kinds and the schema of the conventions, in all three signals.
#[test]
fn what_is_sent_follows_the_conventions() {
    let (kept, grpc, _) = collector::start(Kept::default());
    let telemetry = telemetry(Otlp::new(format!("http://{grpc}")));
    let open = tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        let call = bedplate_observability::database::DatabaseCall::new("postgresql");
        call.operation("SELECT").collection("jobs").server("db", 5433).start().failed_with_code("40001");
        tracing::info!("one");
        tracing::info_span!("open", operation = "open")
    });
    telemetry.gauge("http_server_active_requests", "Requests.", &["url_scheme"]).unwrap().with(&["http"]).set(3.0);
    assert!(telemetry.flush(Duration::from_secs(20)));
    drop(open);
    let metrics = kept.last_metrics();
    let data = |name: &str| {
        let metric = metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name}"));
        (metric.unit.as_str(), metric.data.as_ref().unwrap())
    };
    for (name, unit, value) in
        [("http.server.active_requests", "{request}", 3.0), ("operation.in_flight", "{operation}", 1.0)]
    {
        let (found, Data::Sum(sum)) = data(name) else { panic!("{name} is no sum") };
        assert_eq!((found, sum.is_monotonic, sum.aggregation_temporality), (unit, false, 2), "{name}");
        let values: Vec<_> = sum.data_points.iter().filter_map(|point| point.value).collect();
        let expected = opentelemetry_proto::tonic::metrics::v1::number_data_point::Value::AsDouble(value);
        assert!(values.contains(&expected), "{name}: {values:?}");
    }
    let ("s", Data::Histogram(calls)) = data("db.client.operation.duration") else { panic!("no durations") };
    let point = &calls.data_points[0];
    assert_eq!(point.explicit_bounds, [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0]);
    assert_eq!(point.exemplars[0].span_id, named(&kept.spans(), "SELECT jobs").span_id);
    for (name, value) in [
        ("db.system.name", "postgresql"),
        ("db.operation.name", "SELECT"),
        ("db.collection.name", "jobs"),
        ("db.response.status_code", "40001"),
        ("error.type", "40001"),
        ("server.address", "db"),
    ] {
        assert!(is_text(&point.attributes, name, value), "{name}: {point:?}");
    }
    assert_eq!(attribute(&point.attributes, "server.port"), Some(&Value::IntValue(5433)));
    assert_eq!(point.attributes.len(), 7);
    let mut urls = Vec::new();
    for one in kept.traces.lock().unwrap().iter().flat_map(|one| &one.resource_spans) {
        urls.push(one.schema_url.clone());
        urls.extend(one.scope_spans.iter().map(|scope| scope.schema_url.clone()));
    }
    for one in kept.logs.lock().unwrap().iter().flat_map(|one| &one.resource_logs) {
        urls.push(one.schema_url.clone());
        urls.extend(one.scope_logs.iter().map(|scope| scope.schema_url.clone()));
    }
    for one in kept.metrics.lock().unwrap().iter().flat_map(|one| &one.resource_metrics) {
        urls.push(one.schema_url.clone());
        urls.extend(one.scope_metrics.iter().map(|scope| scope.schema_url.clone()));
    }
    assert!(urls.len() >= 6 && urls.iter().all(|url| url == "https://opentelemetry.io/schemas/1.44.0"), "{urls:?}");
}

/// Two replicas that nothing told apart would overwrite each other's counts.
#[test]
fn an_instance_has_an_id_of_its_own() {
    let (kept, grpc, _) = collector::start(Kept::default());
    let build = |change: fn(ObservabilityBuilder) -> ObservabilityBuilder| {
        let builder = Observability::builder("shop").traces(Traces::new().keep_all());
        change(builder.otlp(Otlp::new(format!("http://{grpc}")))).build().unwrap()
    };
    let vars = |name: &str| (name == "OTEL_RESOURCE_ATTRIBUTES").then(|| "service.instance.id=from-env".to_owned());
    let own = |telemetry: &Observability| telemetry.resource().attributes["service.instance.id"].to_string();
    let (first, second) = (build(|builder| builder), build(|builder| builder));
    assert_eq!(own(&first), own(&second), "one process");
    let (id, hyphens) = (own(&first), [8, 13, 18, 23]);
    assert!(id.len() == 36 && id.char_indices().all(|(at, c)| hyphens.contains(&at) == (c == '-')), "{id}");
    assert!(id[14..].starts_with('4') && ['8', '9', 'a', 'b'].contains(&char::from(id.as_bytes()[19])), "{id}");
    assert_eq!(own(&build(|builder| builder.instance_id("checkout-0"))), "checkout-0");
    let told = Observability::builder("shop").with_vars(vars).unwrap().build().unwrap();
    assert_eq!(own(&told), "from-env");
    known_set(&first);
    assert!(first.shutdown(Duration::from_secs(20)).flushed);
    let resource = kept.metrics.lock().unwrap()[0].resource_metrics[0].resource.clone().unwrap();
    assert!(is_text(&resource.attributes, "service.instance.id", &id));
}

/// An exporter of the SDK gets the same spans.
#[test]
fn exporters_of_the_sdk_are_fed() {
    use bedplate_observability::otel::opentelemetry::trace::{SpanKind, Status};
    use bedplate_observability::otel::opentelemetry_sdk::error::OTelSdkResult;
    use bedplate_observability::otel::opentelemetry_sdk::trace::{SpanData, SpanExporter};
    #[derive(Debug, Clone, Default)]
    struct Memory(Arc<std::sync::Mutex<Vec<SpanData>>>);
    impl SpanExporter for Memory {
        async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
            // It may use tokio.
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.0.lock().unwrap().extend(batch);
            Ok(())
        }
    }
    let memory = Memory::default();
    let traces = Traces::new().keep_all().exporter(SdkExporter::new("memory", memory.clone()));
    let telemetry = Observability::builder("shop").traces(traces).build().unwrap();
    known_set(&telemetry);
    let report = telemetry.shutdown(Duration::from_secs(20));
    assert_eq!(report.exports[0].sent, 6, "{report}");
    let spans = memory.0.lock().unwrap();
    let find = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (server, charge, consumer) = (find("POST /orders"), find("charge"), find("process orders"));
    assert_eq!((server.span_kind.clone(), server.parent_span_is_remote), (SpanKind::Server, true));
    assert_eq!(server.span_context.trace_state().get("vendor"), Some("1"));
    assert_eq!(charge.status, Status::error("card declined"));
    assert_eq!(charge.parent_span_id, server.span_context.span_id());
    assert_eq!(consumer.links.links[0].span_context.span_id(), find("send orders").span_context.span_id());
}

/// Spans of the stock layer go the same way.
#[cfg(feature = "interop")]
#[test]
fn the_stock_layer_s_spans_are_sent() {
    use bedplate_observability::otel::tracing_opentelemetry::OpenTelemetrySpanExt as _;
    use tracing_subscriber::layer::SubscriberExt as _;
    let (kept, grpc, _) = collector::start(Kept::default());
    let telemetry = telemetry(Otlp::new(format!("http://{grpc}")));
    let subscriber = tracing_subscriber::registry().with(telemetry.interop_layer());
    tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("theirs", otel.kind = "client");
        span.set_attribute("answer", 42);
    });
    let report = telemetry.shutdown(Duration::from_secs(20));
    let spans = kept.spans();
    assert_eq!((spans.len(), spans[0].name.as_str(), spans[0].kind), (1, "theirs", 3), "{report}");
    assert_eq!(attribute(&spans[0].attributes, "answer"), Some(&Value::IntValue(42)));
    assert!(Observability::builder("test").build().unwrap().interop_layer::<tracing_subscriber::Registry>().is_none());
}

/// A proxy's nonsense must not end the thread that sends.
#[test]
fn a_collector_that_says_to_come_back_in_an_age_ends_nothing() {
    let answer = || async {
        let headers = [(http::header::RETRY_AFTER, u64::MAX.to_string())];
        (http::StatusCode::SERVICE_UNAVAILABLE, headers, "later")
    };
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, axum::Router::new().fallback(answer)).await.unwrap();
        });
    });
    let address = told.recv().unwrap();
    let telemetry = telemetry(Otlp::new(format!("http://{address}")).protocol(Protocol::HttpProtobuf));
    known_set(&telemetry);
    let report = telemetry.shutdown(Duration::from_secs(10));
    let traces = sent(&report.exports, Signal::Traces);
    assert_eq!((traces.sent, traces.dropped), (0, 6));
    assert!(traces.last_error.as_deref().unwrap_or_default().contains("503"), "{report}");
}

#[test]
fn a_credential_in_a_url_is_shown_nowhere() {
    let build = |url: &str| Observability::builder("shop").otlp(Otlp::new(url).protocol(Protocol::HttpJson)).build();
    let error = build("http://me:hunter2@127.0.0.1:4318").unwrap_err();
    assert!(error.to_string().contains("otlp.endpoint") && !error.to_string().contains("hunter2"), "{error}");
    let var = |name: &str| (name == "OTEL_EXPORTER_OTLP_ENDPOINT").then(|| "http://me:hunter2@h:1".to_owned());
    let error = Otlp::from_vars(var).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    let otlp = Otlp::new("http://127.0.0.1:1").protocol(Protocol::HttpJson);
    let otlp = Signal::ALL
        .into_iter()
        .fold(otlp, |otlp, signal| otlp.signal_endpoint(signal, "http://127.0.0.1:1/in?key=hunter2"));
    assert!(!format!("{otlp:?}").contains("hunter2"));
    let telemetry = telemetry(otlp);
    known_set(&telemetry);
    let shown = format!("{} {telemetry:?} {}", telemetry.doctor(), telemetry.shutdown(Duration::from_secs(5)));
    assert!(shown.contains("127.0.0.1:1/in") && !shown.contains("hunter2"), "{shown}");
}
