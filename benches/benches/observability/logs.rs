//! JSON lines, alone and in a span.

use std::time::Duration;

use bedplate_benches::{Suite, Work};
use bedplate_observability::{Logs, Observability, Traces};
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::OURS;

const LINES: u64 = 20_000;
/// As the crate is set by default: ours also keeps each event with its span, up to 128, and counts the rest; no peer does.
const RECORDED: &str = "json_line_in_span_recorded";
const PEER: &str = "tracing-subscriber";

pub(crate) fn run(suite: &mut Suite) {
    case(suite, "json_line", false, alone);
    case(suite, "json_line_in_span", false, in_span);
    case(suite, RECORDED, false, in_span);
    case(suite, "json_line_process", true, alone);
    case(suite, "json_line_in_span_process", true, in_span);
}

fn case(suite: &mut Suite, case: &'static str, process: bool, op: fn(Work)) {
    if !suite.wants(case) {
        return;
    }
    // The queue has room for a sample.
    let logs = Logs::json().writer(std::io::sink()).queue(1_000_000);
    // Events are not kept with spans, as they are not by the peer, but where that is the case.
    let traces = if case == RECORDED { Traces::new() } else { Traces::new().without_events() };
    let telemetry = Observability::builder("bench").logs(logs).traces(traces).build().expect("valid settings");
    let ours = telemetry.dispatch();
    let layer = tracing_subscriber::fmt::layer().json().with_writer(std::io::sink);
    let peer = Dispatch::new(tracing_subscriber::registry().with(layer));
    let flattened = tracing_subscriber::fmt::layer().json().flatten_event(true).with_current_span(false);
    let flattened = Dispatch::new(tracing_subscriber::registry().with(flattened.with_writer(std::io::sink)));
    let iterations = if suite.is_smoke() { 100 } else { LINES };
    let mut measured = suite.case(case).iterations(iterations);
    if process {
        measured = measured.by_process_time();
    }
    measured
        .ours(OURS, |work| {
            tracing::dispatcher::with_default(&ours, || op(work));
            if process {
                assert!(telemetry.flush(Duration::from_mins(1)), "the log takes too long");
            }
        })
        .before(OURS, || assert!(telemetry.flush(Duration::from_mins(1)), "the log takes too long"))
        .peer(PEER, |work| tracing::dispatcher::with_default(&peer, || op(work)))
        .peer("same, flattened", |work| tracing::dispatcher::with_default(&flattened, || op(work)))
        .run();
    let report = telemetry.shutdown(Duration::from_mins(1));
    assert!(report.is_complete(), "lines were dropped, so the case measured less than it says: {report}");
}

fn alone(work: Work) {
    for n in 0..work.iterations {
        tracing::info!(order = n, currency = "EUR", "charged");
    }
}

fn in_span(work: Work) {
    let span = tracing::info_span!("request", request_id = "r-1", user_id = "u-7", path = "/orders");
    span.in_scope(|| alone(work));
}
