//! The layer beside others over one registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bedplate_observability::{Logs, Observability, current_trace_id};
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
