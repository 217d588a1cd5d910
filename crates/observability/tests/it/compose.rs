//! The layer beside others over one registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bedplate_observability::{Logs, Observability, Query, Traces, current_trace_id};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber, debug, debug_span, info, info_span};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

use super::Kept;

/// Counts what it hears.
#[derive(Clone, Default)]
struct Heard {
    events: Arc<AtomicU32>,
    spans: Arc<AtomicU32>,
}

impl<S: Subscriber> Layer<S> for Heard {
    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        self.events.fetch_add(1, Ordering::SeqCst);
    }

    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.spans.fetch_add(1, Ordering::SeqCst);
    }
}

fn heard(telemetry: &Observability) -> (u32, u32) {
    let heard = Heard::default();
    let subscriber = tracing_subscriber::registry().with(telemetry.layer()).with(heard.clone());
    tracing::subscriber::with_default(subscriber, || {
        let _span = debug_span!("detail", operation = "detail").entered();
        debug!("in detail");
        info!("in short");
    });
    (heard.events.load(Ordering::SeqCst), heard.spans.load(Ordering::SeqCst))
}

#[test]
fn another_layer_hears_what_this_one_does_not_want() {
    let silent = Observability::builder("it").build().unwrap();
    assert_eq!(heard(&silent), (2, 1));
    assert!(silent.metrics().operations.is_empty(), "the span is below the level of this telemetry");

    let kept = Kept::default();
    let logging = Observability::builder("it").logs(Logs::json().filter("info").writer(kept.clone())).build().unwrap();
    assert_eq!(heard(&logging), (2, 1));
    assert!(logging.shutdown(std::time::Duration::from_secs(5)).flushed);
    let messages: Vec<String> = kept.lines().iter().map(|line| line["message"].to_string()).collect();
    assert_eq!(messages, ["\"in short\""]);
}

#[test]
fn a_span_that_is_not_wanted_does_not_part_a_trace() {
    let telemetry = Observability::builder("it").build().unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.layer()).with(Heard::default());
    tracing::subscriber::with_default(subscriber, || {
        let _outer = info_span!("outer").entered();
        let outer = current_trace_id().unwrap();
        let _between = debug_span!("between").entered();
        assert_eq!(current_trace_id(), Some(outer.clone()));
        let _inner = info_span!("inner").entered();
        assert_eq!(current_trace_id(), Some(outer));
    });
}

/// A library under test may bring telemetry of its own.
#[test]
fn two_telemetries_over_one_registry_know_nothing_of_each_other() {
    let (one, two) = (Kept::default(), Kept::default());
    let telemetry = |name: &str, kept: &Kept| {
        let logs = Logs::json().writer(kept.clone());
        Observability::builder(name).logs(logs).traces(Traces::new().keep_all()).build().unwrap()
    };
    let (first, second) = (telemetry("one", &one), telemetry("two", &two));
    let subscriber = tracing_subscriber::registry().with(first.layer()).with(second.layer());
    tracing::subscriber::with_default(subscriber, || {
        let outer = info_span!("outer", operation = "outer", late = tracing::field::Empty).entered();
        outer.record("late", 1);
        let inner = info_span!("inner", operation = "inner", error = "bad");
        inner.follows_from(&*outer);
        inner.in_scope(|| info!("said"));
    });
    let mut ids = Vec::new();
    for (telemetry, kept) in [(&first, &one), (&second, &two)] {
        assert!(telemetry.shutdown(std::time::Duration::from_secs(5)).flushed);
        let stats = telemetry.trace_stats();
        assert_eq!((stats.spans, stats.kept, stats.active), (2, 1, 0));
        let metrics = telemetry.metrics().operations;
        assert_eq!((metrics["inner"].requests, metrics["inner"].errors, metrics["inner"].in_flight), (1, 1, 0));
        assert_eq!((metrics["outer"].requests, metrics["outer"].in_flight), (1, 0));
        let trace = telemetry.recorder().find(Query::new()).pop().unwrap();
        let (outer, inner) = (&trace.spans[0], &trace.spans[1]);
        assert_eq!((outer.attribute("late"), inner.parent), (Some(&1.into()), Some(outer.context.span_id())));
        assert_eq!((inner.links.len(), inner.links[0].span_id()), (1, outer.context.span_id()));
        assert_eq!((inner.events.len(), kept.lines().len()), (1, 1));
        assert_eq!(kept.lines()[0]["trace_id"], trace.id.to_string());
        ids.push(trace.id);
    }
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn one_telemetry_that_was_added_twice_takes_each_span_once() {
    let telemetry = Observability::builder("it").build().unwrap();
    let subscriber = tracing_subscriber::registry().with(telemetry.layer()).with(telemetry.layer());
    tracing::subscriber::with_default(subscriber, || {
        let _outer = info_span!("outer", operation = "outer").entered();
        drop(info_span!("inner", operation = "inner"));
    });
    let (stats, metrics) = (telemetry.trace_stats(), telemetry.metrics());
    assert_eq!((stats.spans, stats.active, metrics.total.requests, metrics.total.in_flight), (2, 0, 2, 0));
}
