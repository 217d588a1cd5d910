//! A service that the public W3C harness for Trace Context tests: `POST /test` takes `[{"url", "arguments"}]` and POSTs
//! each url with its arguments under the propagated context.
//!
//! `GET /metrics` has its metrics, with exemplars for a scraper that accepts OpenMetrics.
//!
//! `cargo run --example w3c_service` serves on 127.0.0.1:5000 until Ctrl-C; a number as argument is another port. With
//! `--check` it calls itself through two hops on a free port, says what was propagated, and ends.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use bedplate_observability::Observability;
use bedplate_observability::http::{RequestBuilderExt as _, ServerLayer};
use bedplate_observability::propagation::Propagator;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[derive(Clone)]
struct Service {
    client: reqwest::Client,
    propagator: Propagator,
}

/// POSTs each action's url with its arguments.
async fn act(State(service): State<Arc<Service>>, Json(actions): Json<Value>) -> StatusCode {
    let Some(actions) = actions.as_array() else { return StatusCode::BAD_REQUEST };
    for action in actions {
        let Some(url) = action.get("url").and_then(Value::as_str) else { return StatusCode::BAD_REQUEST };
        let arguments = action.get("arguments").cloned().unwrap_or_else(|| json!([]));
        let call = service.client.post(url).json(&arguments).traced().propagator(&service.propagator);
        if call.send().await.is_err() {
            return StatusCode::BAD_GATEWAY;
        }
    }
    StatusCode::OK
}

fn app(telemetry: &Observability, propagator: &Propagator) -> Result<Router, Box<dyn Error>> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let service = Arc::new(Service { client, propagator: propagator.clone() });
    let layer = ServerLayer::new(telemetry)?.propagator(propagator).matched_path();
    let telemetry = telemetry.clone();
    let metrics = get(async move |headers: HeaderMap| {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let metrics = telemetry.exposition(accept);
        ([(CONTENT_TYPE, metrics.content_type)], metrics.body)
    });
    Ok(Router::new().route("/test", post(act)).route("/metrics", metrics).layer(layer).with_state(service))
}

/// Calls the service, which calls itself, which calls back here.
async fn check(app: Router, propagator: &Propagator) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (sender, mut received) = mpsc::channel(1);
    let callback = post(async move |headers: HeaderMap| drop(sender.send(headers).await));
    let app = app.merge(Router::new().route("/callback", callback));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let last = json!([{"url": format!("http://{address}/callback"), "arguments": []}]);
    let first = json!([{"url": format!("http://{address}/test"), "arguments": last}]);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03";
    let call = reqwest::Client::builder().no_proxy().build()?.post(format!("http://{address}/test")).json(&first);
    let answer = call.header("traceparent", parent).header("tracestate", "vendor=1").send().await?;
    let headers = received.recv().await.ok_or("no callback came")?;
    server.abort();
    println!("sent     {parent} vendor=1, answered {}", answer.status());
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("nothing");
    println!("arrived  {} {}", text("traceparent"), text("tracestate"));
    println!("{:?}", propagator.stats());
    let traceparent = text("traceparent");
    let same = traceparent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && traceparent.ends_with("-03");
    let child = !traceparent.contains("00f067aa0ba902b7");
    if same && child && text("tracestate") == "vendor=1" { Ok(()) } else { Err("the trace was not continued".into()) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let telemetry =
        Observability::builder("w3c-service").traces(bedplate_observability::Traces::new().baseline(0.0)).install()?;
    let propagator = Propagator::default();
    let app = app(&telemetry, &propagator)?;
    let argument = std::env::args().nth(1);
    if argument.as_deref() == Some("--check") {
        return check(app, &propagator).await;
    }
    let port: u16 = argument.as_deref().unwrap_or("5000").parse().map_err(|_| "expected a port or --check")?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("POST http://{}/test with [{{\"url\", \"arguments\"}}]; Ctrl-C ends", listener.local_addr()?);
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    println!("{:?}", propagator.stats());
    Ok(())
}
