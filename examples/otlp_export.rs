//! Sends spans, log records and metrics to a collector, and says what it took.
//!
//! ```text
//! cargo run --example otlp_export -- --endpoint http://127.0.0.1:4317 --protocol grpc
//! cargo run --example otlp_export -- --endpoint http://127.0.0.1:4318 --protocol http-protobuf
//! cargo run --example otlp_export -- --endpoint http://127.0.0.1:4318 --protocol http-json
//! ```
//! Without an endpoint it starts a small receiver of its own and compares what that got. A wrong endpoint is told by name;
//! a dead one ends within the deadline with a report, and the exit status 1.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use axum::routing::post;
use bedplate_observability::messaging::{Correlation, Messaging};
use bedplate_observability::otlp::{Otlp, Protocol};
use bedplate_observability::propagation::Propagator;
use bedplate_observability::{
    DURATION_BOUNDS, Observability, RequestContext, Signal, SpanContext, SpanExt as _, SpanId, TraceFlags, TraceId,
    Traces,
};
use serde_json::Value;

type Error = Box<dyn std::error::Error>;

const DEADLINE: Duration = Duration::from_secs(5);
/// server, client, producer, error; consumer, and the span in which a wait is measured.
const SPANS: u64 = 6;
const RECORDS: u64 = 2;

#[tokio::main]
async fn main() -> Result<ExitCode, Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |name: &str| arguments.iter().skip_while(|one| *one != name).nth(1).cloned();
    let receiver = Receiver::default();
    let (endpoint, protocol) = match argument("--endpoint") {
        Some(endpoint) => (endpoint, argument("--protocol").unwrap_or_else(|| "grpc".to_owned())),
        None => (receiver.start().await?, "http-json".to_owned()),
    };
    let protocol = match protocol.as_str() {
        "grpc" => Protocol::Grpc,
        "http-protobuf" => Protocol::HttpProtobuf,
        "http-json" => Protocol::HttpJson,
        other => return Err(format!("--protocol is {other:?}, expected grpc, http-protobuf or http-json").into()),
    };

    // Everything is recorded, down to TRACE: if the export traced itself, there would be more than is counted below.
    let telemetry = Observability::builder("otlp-export")
        .version(env!("CARGO_PKG_VERSION"))
        .environment("example")
        .span_level(tracing::Level::TRACE)
        .traces(Traces::new().keep_all().event_level(tracing::Level::TRACE))
        .otlp(Otlp::new(&endpoint).protocol(protocol).log_level(tracing::Level::TRACE))
        .install()?;
    println!("to {endpoint} by {}", protocol.as_str());
    work(&telemetry)?;

    let report = telemetry.shutdown_async(DEADLINE).await;
    println!("{report}");
    let sent = |signal| report.exports.iter().find(|export| export.signal == signal).map_or(0, |export| export.sent);
    let (spans, records, points) = (sent(Signal::Traces), sent(Signal::Logs), sent(Signal::Metrics));
    println!("accepted: {spans} of {SPANS} spans, {records} of {RECORDS} log records, {points} metric points");
    if argument("--endpoint").is_none() {
        let got = receiver.counts();
        println!("the receiver got {got:?}");
        if got != (spans, records, points) {
            return Err("the receiver got something else than was sent".into());
        }
    }
    Ok(if report.is_complete() && (spans, records) == (SPANS, RECORDS) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A request that comes from elsewhere, asks a database, hands over a message and fails to charge; and the message's
/// consumer, in a trace of its own that is linked to the producer.
fn work(telemetry: &Observability) -> Result<(), Error> {
    let (trace, span) = (TraceId::new(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736), SpanId::new(0x00f0_67aa_0ba9_02b7));
    let (trace, span) = trace.zip(span).ok_or("an id of zeros")?;
    let caller = SpanContext::new(trace, span, TraceFlags::SAMPLED.with(TraceFlags::RANDOM)).remote();
    let (orders, propagator) = (Messaging::new("nats", "orders"), Propagator::default());
    let mut message = HashMap::<String, String>::new();

    let server = RequestContext::new().request_id("req-1").user_id("u-7").session_id("s-9").span("POST /orders");
    server.set_parent(&caller);
    server.record("otel.kind", "server");
    server.in_scope(|| {
        let select = tracing::info_span!("SELECT orders", otel.kind = "client", db.system.name = "postgresql");
        select.in_scope(|| tracing::info!(order.id = 42, "order looked up"));
        drop(orders.send(&propagator, &mut message));
        let charge = tracing::info_span!(
            "charge card",
            operation = "charge card",
            error.type = "declined",
            otel.status_code = "error",
            otel.status_description = "card declined",
        );
        charge.in_scope(|| tracing::warn!("card declined"));
    });
    drop(server);
    drop(orders.process(&propagator, &message, Correlation::Link));

    telemetry.counter("orders_total", "Orders taken.", &["kind"])?.with(&["gift"]).add(3);
    telemetry.gauge("queue_depth", "Orders that wait.", &[])?.with(&[]).set(2.0);
    let wait = telemetry.histogram("order_wait_seconds", "How long orders waited.", &["kind"], &DURATION_BOUNDS)?;
    tracing::info_span!("wait").in_scope(|| wait.with(&["gift"]).record(0.3));
    Ok(())
}

/// Counts what comes over HTTP in JSON.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<(String, Value)>>>);

impl Receiver {
    async fn start(&self) -> Result<String, Error> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let own = self.clone();
        let take = move |Path(signal): Path<String>, Json(body): Json<Value>| async move {
            own.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((signal, body));
            Json(Value::Object(serde_json::Map::new()))
        };
        let app = axum::Router::new().route("/v1/{signal}", post(take));
        tokio::spawn(async { axum::serve(listener, app).await });
        Ok(format!("http://{address}"))
    }

    fn counts(&self) -> (u64, u64, u64) {
        let all = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let count = |signal: &str, key: &str| {
            all.iter().filter(|(own, _)| own == signal).map(|(_, body)| found(body, key)).sum::<usize>() as u64
        };
        (count("traces", "spans"), count("logs", "logRecords"), count("metrics", "dataPoints"))
    }
}

/// How many elements the lists of this name have, wherever they stand.
fn found(value: &Value, key: &str) -> usize {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, inner)| match inner {
                Value::Array(list) if name == key => list.len(),
                other => found(other, key),
            })
            .sum(),
        Value::Array(list) => list.iter().map(|inner| found(inner, key)).sum(),
        _ => 0,
    }
}
