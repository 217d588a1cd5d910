//! What is recorded, kept, found and exported.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedplate_observability::{
    AttributeValue, ExportBatch, ExportError, Exporter, KeepReason, Observability, Query, RequestContext, SpanContext,
    SpanExt as _, SpanId, SpanKind, SpanStatus, TraceFlags, TraceId, Traces,
};
use serde_json::Value;
use tokio::time::Instant;
use tracing::{error, info, info_span};

fn traced(traces: Traces, work: impl FnOnce()) -> Observability {
    let telemetry = Observability::builder("it").traces(traces).build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), work);
    telemetry
}

fn none() -> Traces {
    Traces::new().baseline(0.0)
}

#[test]
fn a_span_has_all_that_opentelemetry_has() {
    let producer = SpanContext::new(TraceId::random(), SpanId::random(), TraceFlags::NONE).remote();
    let telemetry = traced(none(), || {
        let _outer = info_span!("outer", otel.name = "GET /orders", otel.kind = "server").entered();
        let inner = info_span!(
            "inner",
            count = 3,
            big = u64::MAX,
            ratio = 0.5,
            ok = true,
            text = "x".repeat(100),
            late = tracing::field::Empty
        );
        inner.record("late", -1);
        inner.record("late", "now a text");
        inner.add_link(producer.clone());
        inner.in_scope(|| info!(step = 1, "half done"));
        let failed = info_span!("failed", otel.status_code = "ERROR", otel.status_description = "declined");
        failed.follows_from(&inner);
    });
    let trace = telemetry.recorder().find(Query::new()).pop().unwrap();
    let named = |name: &str| trace.spans.iter().find(|span| span.name == name).unwrap().clone();
    let (outer, inner, failed) = (named("GET /orders"), named("inner"), named("failed"));
    assert_eq!((outer.kind, outer.parent, outer.attributes.len()), (SpanKind::Server, None, 0));
    assert_eq!((inner.kind, inner.parent), (SpanKind::Internal, Some(outer.context.span_id())));
    let expected: [(&str, AttributeValue); 6] = [
        ("count", 3.into()),
        ("big", u64::MAX.into()),
        ("ratio", 0.5.into()),
        ("ok", true.into()),
        ("text", "x".repeat(100).into()),
        ("late", "now a text".into()),
    ];
    assert_eq!(inner.attributes, expected);
    assert_eq!(inner.links, [producer]);
    assert_eq!((inner.events.len(), inner.events[0].name.as_str()), (1, "half done"));
    assert_eq!(inner.events[0].attributes, [("step", AttributeValue::I64(1))]);
    assert!(inner.start <= inner.events[0].time && inner.events[0].time <= inner.end && inner.end <= outer.end);
    assert_eq!(failed.status, SpanStatus::Error("declined".to_owned()));
    assert_eq!(failed.links[0].span_id(), inner.context.span_id());
    assert_eq!(trace.kept, Some(KeepReason::Error));
    let shown = trace.to_string();
    assert!(
        shown.contains("kept: error") && shown.contains("\n  inner") && shown.contains("error: declined"),
        "{shown}"
    );
}

#[test]
fn what_is_kept_is_kept_for_its_reason() {
    let reason = |traces: Traces, work: fn()| traced(traces, work).recorder().find(Query::new()).pop().unwrap().kept;
    assert_eq!(reason(none(), || drop(info_span!("a"))), None);
    assert_eq!(reason(none(), || drop(info_span!("a", keep = true))), Some(KeepReason::Asked));
    assert_eq!(reason(none(), || drop(info_span!("a", error = "bad"))), Some(KeepReason::Error));
    assert_eq!(reason(none(), || info_span!("a").in_scope(|| error!("bad"))), Some(KeepReason::Error));
    let new = none().without_errors();
    assert_eq!(reason(new.clone(), || drop(info_span!("a", error = true))), Some(KeepReason::NewError));
    assert_eq!(reason(new.first_errors(0), || drop(info_span!("a", error = true))), None);
    assert_eq!(reason(Traces::new().baseline(1.0), || drop(info_span!("a"))), Some(KeepReason::Baseline));
    let from_caller = || {
        let caller = SpanContext::new(TraceId::random(), SpanId::random(), TraceFlags::SAMPLED).remote();
        assert!(info_span!("a").set_parent(&caller));
    };
    assert_eq!(reason(none(), from_caller), Some(KeepReason::Caller));
}

#[test]
fn a_trace_much_slower_than_others_of_its_operation_is_kept() {
    let telemetry = traced(none().slow_after(100), || {
        for _ in 0..300 {
            drop(info_span!("quick", operation = "lookup"));
        }
        let slow = info_span!("quick", operation = "lookup", which = "slow");
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        drop(slow);
    });
    let slow = telemetry.recorder().find(Query::new().reason(KeepReason::Slow).longer_than(Duration::from_millis(15)));
    assert_eq!(slow.len(), 1);
    assert_eq!(slow[0].spans[0].attribute("which"), Some(&"slow".into()));
    assert_eq!(slow[0].spans[0].attribute("operation"), Some(&"lookup".into()));
}

#[test]
fn too_much_of_anything_is_counted_and_bounded() {
    let traces = none().attributes_per_span(2).events_per_span(3).links_per_span(1).value_bytes(16).spans_per_trace(5);
    let telemetry = traced(traces, || {
        let root = info_span!("root", a = 1, b = "y".repeat(1_000), c = 3, d = 4, keep = true);
        for index in 0..1_000_000_u32 {
            root.in_scope(|| info!(index, "again"));
        }
        for _ in 0..3 {
            root.add_link(SpanContext::new(TraceId::random(), SpanId::random(), TraceFlags::NONE));
        }
        for _ in 0..9 {
            drop(info_span!(parent: &root, "child"));
        }
    });
    let trace = telemetry.recorder().find(Query::new().kept()).pop().unwrap();
    assert_eq!((trace.spans.len(), trace.dropped_spans), (5, 5));
    let stats = telemetry.trace_stats();
    assert_eq!((stats.spans, stats.dropped_spans, stats.active), (10, 5, 0));
    assert!(stats.recorder_bytes < 64 * 1024, "{stats:?}");

    let telemetry = traced(none().attributes_per_span(2).events_per_span(3).links_per_span(1).value_bytes(16), || {
        let root = info_span!("root", a = 1, b = "y".repeat(1_000), c = 3, d = 4);
        for index in 0..100_u32 {
            root.in_scope(|| info!(index, "again"));
            root.add_link(SpanContext::new(TraceId::random(), SpanId::random(), TraceFlags::NONE));
        }
    });
    let span = telemetry.recorder().find(Query::new()).pop().unwrap().spans.remove(0);
    assert_eq!((span.attributes.len(), span.dropped_attributes), (2, 2));
    assert_eq!(span.attribute("b"), Some(&"y".repeat(16).into()));
    assert_eq!((span.events.len(), span.dropped_events), (3, 97));
    assert_eq!((span.links.len(), span.dropped_links), (1, 99));
}

#[test]
fn spans_that_never_close_do_not_take_all_room() {
    let mut stuck = Vec::new();
    let telemetry = traced(none().max_active(16), || {
        for _ in 0..2_000 {
            let root = info_span!("root");
            drop(info_span!(parent: &root, "child", keep = true));
            stuck.push(root);
        }
    });
    let stats = telemetry.trace_stats();
    assert!(stats.active <= 16, "{stats:?}");
    assert_eq!(stats.decided_early, 2_000 - stats.active);
    assert!(telemetry.recorder().find(Query::new().kept().limit(10_000)).len() as u64 >= stats.decided_early);
    drop(stuck);
    assert_eq!((telemetry.trace_stats().active, telemetry.trace_stats().spans), (0, 4_000));
}

/// Traces of many threads are counted apart, and those that leak are the ones to go.
#[test]
fn traces_that_leak_on_one_thread_do_not_cut_those_of_another() {
    let telemetry = Observability::builder("it").traces(none().max_active(160)).build().unwrap();
    let dispatch = telemetry.dispatch();
    let open = |count: usize| {
        let open = || (0..count).map(|_| info_span!("open")).collect::<Vec<_>>();
        tracing::dispatcher::with_default(&dispatch, open)
    };
    let leaked = std::thread::scope(|scope| scope.spawn(|| open(1_000)).join().unwrap());
    let busy = std::thread::scope(|scope| scope.spawn(|| open(50)).join().unwrap());
    let active = telemetry.active_traces().list();
    assert!(active.len() <= 320, "{}", active.len());
    let (mut ids, mut cut) = (std::collections::HashSet::new(), 0);
    ids.extend(active.iter().map(|trace| trace.id));
    for span in &busy {
        cut += usize::from(!ids.contains(&span.context().unwrap().trace_id()));
    }
    assert_eq!(cut, 0);
    drop((leaked, busy));
    assert_eq!((telemetry.trace_stats().active, telemetry.trace_stats().spans), (0, 1_050));
}

#[test]
fn open_traces_are_seen_with_their_open_spans() {
    let telemetry = Observability::builder("it").build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        let root = info_span!("order").entered();
        drop(info_span!("done"));
        let _charge = info_span!("charge").entered();
        let active = telemetry.active_traces().list();
        assert_eq!((active.len(), active[0].finished), (1, 1));
        let open: Vec<&str> = active[0].open.iter().map(|span| span.name).collect();
        assert_eq!(open, ["order", "charge"]);
        assert!(telemetry.active_traces().stuck(Duration::from_mins(1)).is_empty());
        assert_eq!(telemetry.active_traces().stuck(Duration::ZERO)[0].open.len(), 2);
        // What ended of an open trace is found already.
        let id = root.context().unwrap().trace_id();
        assert_eq!(telemetry.recorder().trace(id).unwrap().spans[0].name, "done");
    });
    assert!(telemetry.active_traces().is_empty());
}

#[test]
fn late_spans_of_a_kept_trace_are_kept() {
    let telemetry = traced(none(), || {
        let root = info_span!("root", keep = true);
        let caller = root.context().unwrap();
        drop(root);
        // The trace is over, and nothing in this span asks to keep it.
        assert!(info_span!("later").set_parent(&caller));
        drop(info_span!("elsewhere"));
    });
    let kept = telemetry.recorder().find(Query::new().kept());
    assert_eq!(kept.len(), 1);
    let names: Vec<&str> = kept[0].spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["root", "later"]);
    assert_eq!((telemetry.trace_stats().kept, telemetry.trace_stats().not_kept), (2, 1));
}

#[test]
fn spans_that_end_after_an_early_decision_to_keep_are_kept() {
    let mut stuck = Vec::new();
    let telemetry = traced(none().max_active(16), || {
        let root = info_span!("root");
        let late = info_span!(parent: &root, "late");
        drop(info_span!(parent: &root, "asks", keep = true));
        stuck.extend((0..100).map(|_| info_span!("stuck")));
        drop((root, late));
    });
    let kept = telemetry.recorder().find(Query::new().kept());
    assert_eq!(kept.len(), 1);
    let mut names: Vec<&str> = kept[0].spans.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["asks", "late", "root"]);
}

/// Where a trace is decided on before its root ends: by age, for want of room, or as here by a shutdown.
#[test]
fn what_an_open_root_asks_to_keep_is_kept() {
    let ends = |root: fn() -> tracing::Span, asks: fn(&tracing::Span)| {
        let telemetry = Observability::builder("it").traces(none()).build().unwrap();
        tracing::dispatcher::with_default(&telemetry.dispatch(), || {
            let root = root();
            drop(info_span!(parent: &root, "child"));
            asks(&root);
            telemetry.shutdown(Duration::from_secs(5)).traces.kept
        })
    };
    let plain: fn() -> tracing::Span = || info_span!("root", keep = tracing::field::Empty);
    assert_eq!(ends(plain, |_| ()), 0);
    assert_eq!(ends(|| info_span!("root", keep = true), |_| ()), 1);
    assert_eq!(ends(plain, |root| _ = root.record("keep", true)), 1);
    let of_a_caller: fn() -> tracing::Span = || {
        let root = info_span!("root", keep = true);
        assert!(root.set_parent(&SpanContext::new(TraceId::random(), SpanId::random(), TraceFlags::NONE).remote()));
        root
    };
    assert_eq!(ends(of_a_caller, |_| ()), 1);
    assert_eq!(ends(|| info_span!("root"), |root| drop(info_span!(parent: root, "open", keep = true))), 1);
}

/// A trace's spans are many where a loop makes them; somebody prints it in the middle of an incident.
#[test]
fn a_trace_of_many_spans_is_shown_in_time_that_grows_with_them() {
    let telemetry = traced(none().spans_per_trace(100_000), || {
        let root = info_span!("root");
        for _ in 0..30_000 {
            drop(info_span!(parent: &root, "step"));
        }
    });
    let trace = telemetry.recorder().find(Query::new()).pop().unwrap();
    let began = Instant::now();
    let shown = trace.to_string();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(shown.matches("\n  step ").count(), 30_000);
}

#[test]
fn a_trace_that_leads_to_itself_is_shown_once() {
    let telemetry = traced(none(), || {
        let mut inner = info_span!("root");
        for _ in 0..200 {
            inner = info_span!(parent: &inner, "inner");
        }
    });
    let mut trace = telemetry.recorder().find(Query::new()).pop().unwrap();
    let shown = trace.to_string();
    assert_eq!((shown.matches("inner").count(), shown.matches('…').count()), (100, 1));
    // As a careless peer may say of its spans.
    let own = trace.spans[1].context.clone();
    trace.spans.truncate(3);
    trace.spans[0].parent = Some(trace.spans[2].context.span_id());
    trace.spans[2].context = own;
    let shown = trace.to_string();
    assert!(shown.lines().count() <= 4, "{shown}");
}

#[test]
fn the_ids_of_a_request_are_on_all_of_its_spans() {
    let telemetry = traced(none(), || {
        RequestContext::new().request_id("r-1").user_id("u-2").in_scope(|| {
            let _outer = info_span!("outer").entered();
            drop(info_span!("inner", user_id = 7));
            assert_eq!(RequestContext::current(), RequestContext::new().request_id("r-1").user_id("u-2"));
        });
        drop(info_span!("elsewhere"));
    });
    let found = telemetry.recorder().find(Query::new().attribute("request_id", "r-1"));
    assert_eq!((found.len(), found[0].spans.len()), (1, 3));
    let inner = found[0].spans.iter().find(|span| span.name == "inner").unwrap();
    assert_eq!(inner.attribute("user_id"), Some(&"7".into()));
    assert!(found[0].spans.iter().all(|span| span.attribute("request_id") == Some(&"r-1".into())));
}

#[test]
fn secrets_reach_no_trace() {
    let telemetry = traced(none(), || {
        let span = info_span!("pay", password = "hunter2", token = 7, card = tracing::field::Empty);
        span.in_scope(|| info!(api_key = ?"hunter2", "paid"));
    });
    let dump = telemetry.recorder().dump();
    assert!(!dump.contains("hunter2") && dump.matches("[redacted]").count() == 3, "{dump}");
}

#[test]
fn a_dump_is_otlp_json() {
    let telemetry = traced(none(), || drop(info_span!("pay", otel.kind = "client", amount = 42, error = true)));
    let dump: Value = serde_json::from_str(&telemetry.recorder().dump()).unwrap();
    let part = &dump["resourceSpans"][0];
    let service = serde_json::json!({"key": "service.name", "value": {"stringValue": "it"}});
    assert!(part["resource"]["attributes"].as_array().unwrap().contains(&service));
    let schema = "https://opentelemetry.io/schemas/1.44.0";
    assert!(part["schemaUrl"] == schema && part["scopeSpans"][0]["schemaUrl"] == schema);
    let span = &part["scopeSpans"][0]["spans"][0];
    assert_eq!((&span["name"], &span["kind"], &span["status"]["code"]), (&"pay".into(), &3.into(), &2.into()));
    assert_eq!(span["traceId"].as_str().unwrap().len(), 32);
    assert_eq!(span["attributes"][0], serde_json::json!({"key": "amount", "value": {"intValue": "42"}}));
    assert!(span["startTimeUnixNano"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000_000_000);
}

/// Says what it got, and answers as it is told.
struct Told(Mutex<Sender<Arc<ExportBatch>>>, Mutex<Receiver<Result<(), ExportError>>>);

impl Exporter for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn export(&self, batch: Arc<ExportBatch>) -> Result<(), ExportError> {
        // A trace of the export itself would have no end.
        drop(info_span!("export", keep = true));
        self.0.lock().unwrap().send(batch).unwrap();
        self.1.lock().unwrap().recv().unwrap_or(Ok(()))
    }
}

#[test]
fn kept_traces_go_to_the_exporter_and_the_report_counts_them() {
    let (sender, got) = channel();
    let (answer, answers) = channel();
    answer.send(Ok(())).unwrap();
    answer.send(Err(ExportError::new("the collector said no"))).unwrap();
    let traces = none().exporter(Told(Mutex::new(sender), Mutex::new(answers)));
    let telemetry = traced(traces, || {
        drop(info_span!("not kept"));
        drop(info_span!("kept", keep = true));
    });
    assert!(telemetry.flush(Duration::from_secs(10)));
    let batch = got.recv().unwrap();
    assert_eq!((batch.traces.len(), batch.traces[0].spans[0].name.as_str()), (1, "kept"));
    assert_eq!(batch.resource.attributes["service.name"], "it".into());
    tracing::dispatcher::with_default(&telemetry.dispatch(), || drop(info_span!("kept", keep = true)));
    let report = telemetry.shutdown(Duration::from_secs(10));
    let export = &report.exports[0];
    assert_eq!((report.flushed, export.sent, export.dropped), (true, 1, 1));
    assert_eq!(export.last_error.as_deref(), Some("the collector said no"));
    tracing::dispatcher::with_default(&telemetry.dispatch(), || drop(info_span!("kept", keep = true)));
    assert_eq!(telemetry.shutdown(Duration::from_secs(10)).exports[0].dropped, 2);
}

#[test]
fn an_exporter_that_hangs_costs_the_deadline_and_no_more() {
    let (sender, got) = channel();
    let (answer, answers) = channel();
    let kept = super::Kept::default();
    let telemetry = Observability::builder("it")
        .traces(none().exporter(Told(Mutex::new(sender), Mutex::new(answers))))
        .logs(bedplate_observability::Logs::json().writer(kept.clone()))
        .build()
        .unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        drop(info_span!("kept", keep = true));
        info!("said");
    });
    let began = Instant::now();
    let report = telemetry.shutdown(Duration::from_millis(300));
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!((report.flushed, report.logs.flushed, report.exports[0].flushed), (false, true, false));
    assert_eq!((report.exports[0].dropped, kept.lines().len()), (1, 1));
    drop((answer, got));
}

#[test]
fn many_threads_lose_nothing() {
    let telemetry = Observability::builder("it").traces(Traces::new().keep_all()).build().unwrap();
    let dispatch = telemetry.dispatch();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                tracing::dispatcher::with_default(&dispatch, || {
                    for _ in 0..500 {
                        let root = info_span!("root", operation = "op");
                        let child = info_span!(parent: &root, "child");
                        drop(root);
                        drop(child);
                    }
                });
            });
        }
    });
    let stats = telemetry.trace_stats();
    assert_eq!((stats.spans, stats.kept, stats.active, stats.dropped_spans), (4_000, 2_000, 0, 0));
    let found = telemetry.recorder().find(Query::new().limit(usize::MAX));
    assert_eq!((found.len(), found.iter().map(|trace| trace.spans.len()).sum::<usize>()), (2_000, 4_000));
    assert_eq!(telemetry.metrics().operations["op"].requests, 2_000);
}

#[test]
fn a_debug_that_traces_and_logs_does_not_block() {
    struct Loud;
    impl std::fmt::Debug for Loud {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            let _within = info_span!("within").entered();
            info!(inner = 1, "while formatting");
            f.write_str("loud")
        }
    }
    let (telemetry, kept) = super::logged(
        |logs| logs,
        || {
            let span = info_span!("outer", loud = ?Loud, late = tracing::field::Empty).entered();
            span.record("late", tracing::field::debug(Loud));
            info!(loud = ?Loud, "said");
        },
    );
    // Under a scoped subscriber `tracing` itself hears nothing from within a dispatch but for `record`.
    assert_eq!(kept.lines().len(), 2);
    let said = &kept.lines()[1];
    assert_eq!((&said["loud"], &said["late"], &said["message"]), (&"loud".into(), &"loud".into(), &"said".into()));
    assert_eq!(telemetry.trace_stats().spans, 2);
}

/// A service that ends while a request goes on, or from within a span of its own.
#[test]
fn a_shutdown_takes_along_what_ended_in_traces_that_go_on() {
    let (sender, got) = channel();
    let (answer, answers) = channel();
    drop(answer);
    let telemetry = Observability::builder("it")
        .traces(none().exporter(Told(Mutex::new(sender), Mutex::new(answers))))
        .build()
        .unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        let _main = info_span!("main").entered();
        drop(info_span!("failed", error = true));
        let report = telemetry.shutdown(Duration::from_secs(10));
        assert_eq!((report.exports[0].sent, report.exports[0].dropped), (1, 0), "{report}");
    });
    assert_eq!(got.recv().unwrap().traces[0].spans[0].name, "failed");
}

/// A worker's loop in one span that is open for as long as the process.
#[test]
fn what_ends_in_a_trace_that_had_to_make_room_is_decided_on() {
    let mut stuck = Vec::new();
    let telemetry = traced(none().max_active(16), || {
        let work = info_span!("worker");
        for _ in 0..2_000 {
            stuck.push(info_span!("root"));
        }
        drop(info_span!(parent: &work, "failed", error = true));
        for _ in 0..5_000 {
            drop(info_span!(parent: &work, "fine"));
        }
        stuck.push(work);
    });
    let kept = telemetry.recorder().find(Query::new().kept());
    assert_eq!((kept.len(), telemetry.trace_stats().dropped_spans), (1, 0));
    drop(stuck);
}

#[test]
fn a_field_recorded_again_and_again_does_not_take_all_memory() {
    let telemetry = traced(none(), || {
        let span = info_span!("socket", operation = "socket", state = tracing::field::Empty);
        let (long, short) = ("l".repeat(1_000), "s");
        for index in 0..20_000 {
            span.record("state", if index % 2 == 0 { long.as_str() } else { short });
            span.record("operation", "socket");
        }
        span.in_scope(|| info!(beside = "kept", "said"));
        span.record("state", "closed");
    });
    let bytes = telemetry.trace_stats().recorder_bytes;
    assert!(bytes > 0 && bytes < 2 << 20, "{bytes}");
    let span = telemetry.recorder().find(Query::new()).pop().unwrap().spans.remove(0);
    assert_eq!((span.attribute("state"), span.operation.as_deref()), (Some(&"closed".into()), Some("socket")));
    assert_eq!(span.events[0].attributes, [("beside", "kept".into())]);
}

/// Whoever installs it for the whole process may keep no handle.
#[test]
fn what_waits_is_decided_on_also_without_a_handle() {
    let (sender, got) = channel();
    let (answer, answers) = channel();
    drop(answer);
    let traces = none().max_age(Duration::from_secs(1)).exporter(Told(Mutex::new(sender), Mutex::new(answers)));
    let dispatch = Observability::builder("it").traces(traces).build().unwrap().dispatch();
    tracing::dispatcher::with_default(&dispatch, || {
        let _root = info_span!("root").entered();
        drop(info_span!("child", keep = true));
        let batch = got.recv_timeout(Duration::from_secs(20)).unwrap();
        assert_eq!(batch.traces[0].spans[0].name, "child");
    });
}

/// The same look follows a wall clock that was set, for a service that logs and has no spans.
#[test]
fn events_alone_make_it_look_at_what_waits() {
    let mut root = None;
    let telemetry = traced(none().max_age(Duration::from_secs(1)), || {
        let open = info_span!("root");
        drop(info_span!(parent: &open, "child"));
        root = Some(open);
    });
    let began = Instant::now();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        let _loop = info_span!("loop").entered();
        while telemetry.trace_stats().decided_early == 0 && began.elapsed() < Duration::from_secs(20) {
            info!("again");
        }
    });
    assert!(telemetry.trace_stats().decided_early > 0);
    drop(root);
}

#[test]
fn what_the_caller_samples_is_kept_also_before_its_root_ends() {
    let telemetry = traced(none(), || {
        let root = info_span!("root");
        assert!(root.set_parent(&SpanContext::new(TraceId::random(), SpanId::random(), TraceFlags::SAMPLED).remote()));
        drop(info_span!(parent: &root, "child"));
    });
    assert_eq!(telemetry.trace_stats().kept, 1);
    let telemetry = Observability::builder("it").traces(none()).build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        let root = info_span!("root");
        assert!(root.set_parent(&SpanContext::new(TraceId::random(), SpanId::random(), TraceFlags::SAMPLED).remote()));
        drop(info_span!(parent: &root, "child"));
        assert_eq!(telemetry.shutdown(Duration::from_secs(5)).traces.kept, 1);
    });
}

/// To find the oldest all that are open are looked at: not again for each trace that begins.
#[test]
fn room_is_made_for_several_at_once() {
    let telemetry = Observability::builder("it").traces(none().max_active(6_399)).build().unwrap();
    let early = || telemetry.trace_stats().decided_early;
    let stuck = tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        let mut stuck: Vec<_> = (0..6_399).map(|_| info_span!("stuck")).collect();
        assert_eq!(early(), 0);
        stuck.push(info_span!("stuck"));
        // One of 64.
        assert_eq!((early(), telemetry.trace_stats().active), (100, 6_300));
        stuck.extend((0..99).map(|_| info_span!("stuck")));
        assert_eq!((early(), telemetry.trace_stats().active), (100, 6_399));
        stuck
    });
    let active = telemetry.active_traces().list();
    let is_open =
        |at: usize| active.iter().any(|trace| Some(trace.id) == stuck[at].context().map(|own| own.trace_id()));
    assert!(!is_open(0) && !is_open(99) && is_open(100) && is_open(6_498), "the oldest have gone");
}
