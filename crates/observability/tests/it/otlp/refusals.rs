//! Requests that a collector does not take, or not as they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bedplate_observability::otlp::{Compression, Otlp, Protocol};
use bedplate_observability::{ExportReport, Observability, Signal};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use tokio::time::Instant;

use super::collector::{self, Kept, Refusal};
use super::shutdown::refusing;
use super::{named, sent, telemetry};

const PROTOCOLS: [Protocol; 3] = [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson];

fn to(protocol: Protocol, grpc: SocketAddr, http: SocketAddr) -> Otlp {
    let address = if protocol == Protocol::Grpc { grpc } else { http };
    Otlp::new(format!("http://{address}")).protocol(protocol)
}

/// Runs `work` and shuts down; what became of the spans and the records.
fn done(telemetry: &Observability, work: impl FnOnce()) -> (ExportReport, ExportReport) {
    tracing::dispatcher::with_default(&telemetry.dispatch(), work);
    let report = telemetry.shutdown(Duration::from_secs(30));
    (sent(&report.exports, Signal::Traces).clone(), sent(&report.exports, Signal::Logs).clone())
}

fn has(request: &ExportTraceServiceRequest, name: &str) -> bool {
    let scopes = request.resource_spans.iter().flat_map(|one| &one.scope_spans);
    scopes.flat_map(|scope| &scope.spans).any(|span| span.name == name)
}

/// What a collector does not want must not take with it what it would take.
#[test]
fn a_refused_batch_does_not_end_the_shutdown_of_those_behind_it() {
    for (protocol, code, status) in [
        (Protocol::Grpc, tonic::Code::InvalidArgument, 400),
        (Protocol::HttpProtobuf, tonic::Code::Unknown, 400),
        (Protocol::HttpJson, tonic::Code::Unknown, 413),
    ] {
        let refusal =
            move |request: &ExportTraceServiceRequest| has(request, "poison").then(|| Refusal::new(code, status));
        let (kept, grpc, http) = collector::start(Kept { refusal: Some(Box::new(refusal)), ..Kept::default() });
        let (traces, _) = done(&telemetry(to(protocol, grpc, http)), || {
            drop(tracing::info_span!("poison"));
            for _ in 0..1_999 {
                drop(tracing::info_span!("good"));
            }
        });
        // What is too large is halved until what is wrong with it is alone.
        let lost = if status == 413 { 1 } else { 512 };
        assert_eq!((traces.sent, traces.dropped, traces.flushed), (2_000 - lost, lost, true), "{protocol:?}: {traces}");
        assert_eq!(kept.spans().len() as u64, 2_000 - lost);
        assert!(traces.last_error.is_some());
    }
}

#[test]
fn what_was_not_tried_since_nobody_is_there_is_told() {
    for protocol in PROTOCOLS {
        let began = Instant::now();
        let (traces, logs) = done(&telemetry(to(protocol, refusing(), refusing())), || {
            for _ in 0..1_000 {
                tracing::info_span!("a").in_scope(|| tracing::info!("b"));
            }
        });
        assert!(began.elapsed() < Duration::from_secs(10));
        for export in [traces, logs] {
            assert_eq!((export.sent, export.dropped, export.flushed), (0, 1_000, false), "{protocol:?}: {export}");
        }
    }
}

/// Five texts of 4,000 bytes.
fn large(index: u32) {
    let text = "x".repeat(4_000);
    let text = text.as_str();
    tracing::info_span!("large", index, a = text, b = text, c = text, d = text, e = text)
        .in_scope(|| tracing::info!(index, a = text, b = text, c = text, d = text, e = text, "large"));
}

/// Collectors take no request of more than 4 MiB over gRPC, and lose all of one that is larger.
#[test]
fn requests_are_bounded_by_bytes() {
    for protocol in PROTOCOLS {
        for compression in [Compression::None, Compression::Gzip] {
            let (kept, grpc, http) = collector::start(Kept::default());
            let (traces, logs) = done(&telemetry(to(protocol, grpc, http).compression(compression)), || {
                (0..400).for_each(large);
                let trace = tracing::info_span!("whole");
                trace.in_scope(|| (0..400).for_each(large));
            });
            assert_eq!((traces.sent, traces.dropped, traces.last_error), (801, 0, None), "{protocol:?}");
            assert_eq!((logs.sent, logs.dropped, logs.last_error), (800, 0, None), "{protocol:?}");
            assert_eq!((kept.spans().len(), kept.records().len()), (801, 800));
            let traces = kept.traces.lock().unwrap().iter().map(Message::encoded_len).collect::<Vec<_>>();
            let logs = kept.logs.lock().unwrap().iter().map(Message::encoded_len).collect::<Vec<_>>();
            for sizes in [traces, logs] {
                assert!(sizes.len() < 40 && sizes.iter().all(|size| *size <= 2 << 20), "{protocol:?}: {sizes:?}");
            }
        }
    }
}

#[test]
fn what_is_too_large_is_halved_down_to_the_one_that_is() {
    for protocol in PROTOCOLS {
        let (kept, grpc, http) = collector::start(Kept { most: Some(64 << 10), ..Kept::default() });
        let telemetry = telemetry(to(protocol, grpc, http));
        let orders = telemetry.counter("orders_total", "Orders taken.", &["kind"]).unwrap();
        let kinds: Vec<String> = (0..300).map(|kind| format!("{kind:0>250}")).collect();
        for kind in &kinds {
            orders.with(&[kind]).add(1);
        }
        let (traces, logs) = done(&telemetry, || {
            (0..20).for_each(large);
            // Over the limit by itself.
            let huge = tracing::info_span!("huge");
            huge.in_scope(|| (0..20).for_each(|index| tracing::info!(index, a = "x".repeat(4_000), "in it")));
            drop(huge);
            (20..40).for_each(large);
        });
        assert_eq!((traces.sent, traces.dropped, traces.flushed), (40, 1, true), "{protocol:?}: {traces}");
        let why = traces.last_error.unwrap();
        assert!(why.contains("413") || why.contains("too large"), "{why}");
        assert_eq!((logs.sent, logs.dropped), (60, 0), "{protocol:?}: {logs}");
        let mut names: Vec<String> = kept.spans().into_iter().map(|span| span.name).collect();
        names.dedup();
        assert_eq!(names, ["large"]);
        // Each once, and in their order.
        let all = kept.spans();
        let indexes: Vec<_> = all.iter().filter_map(|span| super::attribute(&span.attributes, "index")).collect();
        let expected: Vec<_> = (0..40).map(super::Value::IntValue).collect();
        assert_eq!(indexes, expected.iter().collect::<Vec<_>>());
        let report = telemetry.shutdown(Duration::ZERO);
        let points = sent(&report.exports, Signal::Metrics);
        assert!(points.sent >= 300 && points.dropped == 0, "{points}");
        assert!(kept.metrics.lock().unwrap().len() > 1);
    }
}

/// Says so at the first request, and takes the next.
fn first_refused(refusal: impl Fn() -> Refusal + Send + Sync + 'static) -> (Arc<Kept>, SocketAddr, SocketAddr) {
    let first = std::sync::atomic::AtomicBool::new(true);
    let refusal =
        move |_: &ExportTraceServiceRequest| first.swap(false, std::sync::atomic::Ordering::Relaxed).then(&refusal);
    collector::start(Kept { refusal: Some(Box::new(refusal)), ..Kept::default() })
}

fn one_span(otlp: Otlp) -> (ExportReport, Duration) {
    let telemetry = telemetry(otlp);
    let began = Instant::now();
    let (traces, _) = done(&telemetry, || drop(tracing::info_span!("one")));
    (traces, began.elapsed())
}

/// `google.rpc.Status` with a `RetryInfo` of 1.5 s, byte by byte.
fn retry_info() -> Vec<u8> {
    let url = b"type.googleapis.com/google.rpc.RetryInfo";
    let delay = [0x08, 1, 0x10, 0x80, 0xca, 0xb5, 0xee, 0x01];
    let info = [&[0x0a, u8::try_from(delay.len()).unwrap()][..], &delay].concat();
    let lengths = (u8::try_from(url.len()).unwrap(), u8::try_from(info.len()).unwrap());
    let any = [&[0x0a, lengths.0][..], url, &[0x12, lengths.1], &info].concat();
    [&[0x08, 8, 0x1a, u8::try_from(any.len()).unwrap()][..], &any].concat()
}

#[test]
fn a_collector_that_says_when_is_asked_again_then() {
    let exhausted = || Refusal {
        grpc: tonic::Status::with_details(tonic::Code::ResourceExhausted, "quota", retry_info().into()),
        ..Refusal::new(tonic::Code::Ok, 500)
    };
    let (kept, grpc, _) = first_refused(exhausted);
    let (traces, took) = one_span(Otlp::new(format!("http://{grpc}")));
    assert_eq!((traces.sent, *kept.asked.lock().unwrap()), (1, 2), "{traces}");
    named(&kept.spans(), "one");
    assert!(took >= Duration::from_millis(1_500), "{took:?}");
    for protocol in [Protocol::HttpProtobuf, Protocol::HttpJson] {
        let later = || {
            #[expect(clippy::disallowed_methods, reason = "the header is a date")]
            let date = jiff::Timestamp::try_from(SystemTime::now() + Duration::from_secs(3)).unwrap();
            let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).unwrap();
            Refusal { retry_after: Some(date), ..Refusal::new(tonic::Code::Ok, 503) }
        };
        let (kept, _, http) = first_refused(later);
        let (traces, took) = one_span(Otlp::new(format!("http://{http}")).protocol(protocol));
        assert_eq!((traces.sent, *kept.asked.lock().unwrap()), (1, 2), "{traces}");
        // The date has no fractions of a second.
        assert!(took >= Duration::from_millis(1_900), "{took:?}");
    }
}

#[test]
fn what_is_exhausted_without_a_word_of_when_is_not_tried_again() {
    let (kept, grpc, _) = first_refused(|| Refusal::new(tonic::Code::ResourceExhausted, 429));
    let (traces, _) = one_span(Otlp::new(format!("http://{grpc}")));
    assert_eq!((traces.sent, traces.dropped, *kept.asked.lock().unwrap()), (0, 1, 1), "{traces}");
    // It may have been the size of a large one.
    let most = |request: &ExportTraceServiceRequest| {
        (request.encoded_len() > 200 << 10).then(|| Refusal::new(tonic::Code::ResourceExhausted, 429))
    };
    let (kept, grpc, _) = collector::start(Kept { refusal: Some(Box::new(most)), ..Kept::default() });
    let (traces, _) = done(&telemetry(Otlp::new(format!("http://{grpc}"))), || (0..50).for_each(large));
    assert_eq!((traces.sent, traces.dropped, kept.spans().len()), (50, 0, 50), "{traces}");
}
