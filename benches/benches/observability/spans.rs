//! Spans with two attributes and one event.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedplate_benches::{Suite, Work};
use bedplate_observability::otlp::SdkExporter;
use bedplate_observability::{Observability, Traces};
use fastrace::collector::{Config, SpanContext};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, TraceContextExt as _, Tracer as _};
use tracing::Dispatch;

use crate::OURS;
use crate::peers::{Logfire, Null, NullReporter, QUEUE, Sdk};

const TRACING: &str = "tracing-opentelemetry";
const LEAN: &str = "tracing-otel (lean)";
const DIRECT: &str = "opentelemetry_sdk";
const LOGFIRE: &str = "logfire";
const FASTRACE: &str = "fastrace";

/// How many spans a sample has: few enough that all find room in every queue. That of `fastrace` has 10,240 places for
/// each thread, of which a span takes up to four, and drops what is beyond.
const SAMPLE: u64 = 2_000;

/// Spans that fill the recorder.
const FILLING: u64 = 250_000;

type Op = fn(u64);

pub(crate) fn run(suite: &mut Suite) {
    let fast = Null::default();
    fastrace::set_reporter(NullReporter(fast.clone()), Config::default());
    hot(suite, "span", 1, &fast, (span, direct_span, fastrace_span));
    hot(suite, "root_and_child", 2, &fast, (pair, direct_pair, fastrace_pair));
    exported(suite, "span_exported", 1, &fast, (span, direct_span, fastrace_span));
    exported(suite, "root_and_child_exported", 2, &fast, (pair, direct_pair, fastrace_pair));
    on_top(suite);
    fastrace::flush();
}

fn hot(
    suite: &mut Suite,
    case: &'static str,
    spans: u64,
    by_fastrace: &Null,
    (op, direct, fast): (Op, fn(&Sdk, u64), Op),
) {
    if !suite.wants(case) {
        return;
    }
    let telemetry = Observability::builder("bench").build().expect("valid settings");
    let (ours, sdk) = (telemetry.dispatch(), Sdk::new());
    let (layered, lean, logfire) = (sdk.layered(), sdk.lean(), Logfire::new());
    let fire = logfire.layered();
    let (iterations, filling) = if suite.is_smoke() { (100, 0) } else { (SAMPLE / spans, FILLING) };
    // As it is in a service that runs for a while: with a full recorder.
    tracing::dispatcher::with_default(&ours, || (0..filling).for_each(op));
    let (before, given) = (by_fastrace.taken(), AtomicU64::new(0));
    suite
        .case(case)
        .iterations(iterations)
        .ours(OURS, |work| under(&ours, work, op))
        .peer(TRACING, |work| under(&layered, work, op))
        .before(TRACING, || sdk.flush())
        .peer(LEAN, |work| under(&lean, work, op))
        .before(LEAN, || sdk.flush())
        .peer(DIRECT, |work| (0..work.iterations).for_each(|n| direct(&sdk, n)))
        .before(DIRECT, || sdk.flush())
        .peer(FASTRACE, |work| {
            given.fetch_add(work.iterations * spans, Ordering::Relaxed);
            (0..work.iterations).for_each(fast);
        })
        .before(FASTRACE, fastrace::flush)
        .peer(LOGFIRE, |work| under(&fire, work, op))
        .before(LOGFIRE, || logfire.flush())
        .run();
    fastrace::flush();
    let taken = by_fastrace.taken() - before;
    look_for_drops(case, FASTRACE, taken, given.into_inner());
}

/// Until all is converted and exported. Whoever drops a span measures less than the others, so each exporter's count is
/// compared with what its subject was given.
fn exported(
    suite: &mut Suite,
    case: &'static str,
    spans: u64,
    by_fastrace: &Null,
    (op, direct, fast): (Op, fn(&Sdk, u64), Op),
) {
    if !suite.wants(case) {
        return;
    }
    let null = Null::default();
    let traces = Traces::new().keep_all().exporter(SdkExporter::new("null", null.clone())).export_queue(QUEUE);
    let telemetry = Observability::builder("bench").traces(traces).build().expect("valid settings");
    let (ours, sdk) = (telemetry.dispatch(), Sdk::new());
    let (layered, lean, logfire) = (sdk.layered(), sdk.lean(), Logfire::new());
    let fire = logfire.layered();
    let iterations = if suite.is_smoke() { 100 } else { SAMPLE / spans };
    let before = by_fastrace.taken();
    let given = [const { AtomicU64::new(0) }; 4];
    let [to_ours, to_sdk, to_logfire, to_fastrace] = &given;
    let give = |to: &AtomicU64, work: Work| to.fetch_add(work.iterations * spans, Ordering::Relaxed);
    suite
        .case(case)
        .iterations(iterations)
        .by_process_time()
        .ours(OURS, |work| {
            give(to_ours, work);
            under(&ours, work, op);
            assert!(telemetry.flush(Duration::from_mins(1)), "the export takes too long");
        })
        .peer(TRACING, |work| {
            give(to_sdk, work);
            under(&layered, work, op);
            sdk.flush();
        })
        .peer(LEAN, |work| {
            give(to_sdk, work);
            under(&lean, work, op);
            sdk.flush();
        })
        .peer(DIRECT, |work| {
            give(to_sdk, work);
            (0..work.iterations).for_each(|n| direct(&sdk, n));
            sdk.flush();
        })
        .peer(FASTRACE, |work| {
            give(to_fastrace, work);
            (0..work.iterations).for_each(fast);
            fastrace::flush();
        })
        .peer(LOGFIRE, |work| {
            give(to_logfire, work);
            under(&fire, work, op);
            logfire.flush();
        })
        .run();
    let report = telemetry.shutdown(Duration::from_mins(1));
    assert!(report.is_complete(), "spans were dropped, so the case measured less than it says: {report}");
    let taken = [null.taken(), sdk.exporter.taken(), logfire.1.taken(), by_fastrace.taken() - before];
    let given = given.map(AtomicU64::into_inner);
    assert_eq!(taken[0], given[0], "of our spans in {case} some did not arrive");
    for ((who, taken), given) in [OURS, DIRECT, LOGFIRE, FASTRACE].into_iter().zip(taken).zip(given).skip(1) {
        look_for_drops(case, who, taken, given);
    }
}

/// Says of a peer that it did less than it was asked.
#[expect(clippy::print_stderr, reason = "a bench says what its figures are worth")]
fn look_for_drops(case: &str, who: &str, taken: u64, given: u64) {
    if taken != given {
        eprintln!(
            "{case}: {who} dropped {} of {given} spans, its figures are of the rest",
            given.saturating_sub(taken)
        );
    }
}

/// What counting an operation costs on top of its span.
fn on_top(suite: &mut Suite) {
    let case = "aggregates_on_top";
    if !suite.wants(case) {
        return;
    }
    let telemetry = Observability::builder("bench").build().expect("valid settings");
    let ours = telemetry.dispatch();
    suite
        .case(case)
        .ours(OURS, |work| under(&ours, work, counted))
        .peer("same, not counted", |work| under(&ours, work, uncounted))
        .run();
}

fn under(dispatch: &Dispatch, work: Work, op: Op) {
    tracing::dispatcher::with_default(dispatch, || (0..work.iterations).for_each(op));
}

fn span(n: u64) {
    let span = tracing::info_span!("charge card", order = n, currency = "EUR");
    span.in_scope(|| tracing::info!(attempt = 1_u64, "charged"));
}

fn pair(n: u64) {
    let root = tracing::info_span!("place order", order = n, currency = "EUR");
    root.in_scope(|| {
        tracing::info!(attempt = 1_u64, "placed");
        span(n);
    });
}

fn counted(n: u64) {
    drop(black_box(tracing::info_span!("charge card", operation = "charge card", order = n)));
}

fn uncounted(n: u64) {
    drop(black_box(tracing::info_span!("charge card", name = "charge card", order = n)));
}

fn attributes(n: u64) -> [KeyValue; 2] {
    [KeyValue::new("order", n.cast_signed()), KeyValue::new("currency", "EUR")]
}

fn direct_span(sdk: &Sdk, n: u64) {
    let mut span = sdk.tracer.span_builder("charge card").with_attributes(attributes(n)).start(&sdk.tracer);
    span.add_event("charged", vec![KeyValue::new("attempt", 1)]);
    span.end();
}

fn direct_pair(sdk: &Sdk, n: u64) {
    let mut root = sdk.tracer.span_builder("place order").with_attributes(attributes(n)).start(&sdk.tracer);
    root.add_event("placed", vec![KeyValue::new("attempt", 1)]);
    let context = opentelemetry::Context::new().with_span(root);
    let child = sdk.tracer.span_builder("charge card").with_attributes(attributes(n));
    let mut child = child.start_with_context(&sdk.tracer, &context);
    child.add_event("charged", vec![KeyValue::new("attempt", 1)]);
    child.end();
    context.span().end();
}

fn properties(n: u64) -> [(&'static str, String); 2] {
    [("order", n.to_string()), ("currency", "EUR".to_owned())]
}

fn fastrace_span(n: u64) {
    let span = fastrace::Span::root("charge card", SpanContext::random()).with_properties(|| properties(n));
    span.add_event(fastrace::Event::new("charged").with_property(|| ("attempt", "1")));
}

fn fastrace_pair(n: u64) {
    let root = fastrace::Span::root("place order", SpanContext::random()).with_properties(|| properties(n));
    root.add_event(fastrace::Event::new("placed").with_property(|| ("attempt", "1")));
    let child = fastrace::Span::enter_with_parent("charge card", &root).with_properties(|| properties(n));
    child.add_event(fastrace::Event::new("charged").with_property(|| ("attempt", "1")));
}
