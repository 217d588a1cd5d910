//! The HTTP surface: an axum router over a running system, to serve by itself or to nest into a router of your own.
//!
//! | route | does |
//! |---|---|
//! | `POST /v1/process` | processes the body; see [`router`] |
//! | `GET /health` | the health snapshot as JSON: 200 while HEALTHY or DEGRADED, else and once a shutdown has begun 503 |
//! | `GET /metrics` | every metric in the text format 0.0.4 of Prometheus |
//! | `GET /` | a page that shows the system's state |
//!
//! The types of this module follow axum 0.8. It has no authentication: put it behind what has.

mod page;
mod problem;
mod process;

use axum::Router;
use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use bedplate_media::{Limits, Modality};

use crate::Bedplate;

/// Returns the router of this system.
///
/// `POST /v1/process` takes the content as its body, with the query parameters `modality`, `file_name` and `question`; or, as
/// `application/json`, an object `{"text": …, "question": …}`. The headers `x-tenant`, `x-user-id` and `x-session-id` say
/// whose request it is. The answer is the [`Processed`](crate::Processed) as JSON, with its id in `x-request-id`; an error is
/// `application/problem+json` (RFC 9457). A body larger than the largest limit is answered with 413 and not read to its end;
/// bodies that together exceed four times that are answered with 429, and one of which nothing comes for 30 s with 408.
///
/// # Examples
/// ```no_run
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let system = bedplate::Bedplate::builder().build().await?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
/// axum::serve(listener, bedplate::server::router(system)).await?;
/// # Ok(())
/// # }
/// ```
pub fn router(system: Bedplate) -> Router {
    let limit = largest(&system.settings().limits);
    Router::new()
        .route("/", get(state_page))
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/process", post(process::process))
        .fallback(not_found)
        .with_state(Server { system, uploads: process::Uploads::new(limit) })
}

/// What the routes share.
#[derive(Clone)]
struct Server {
    system: Bedplate,
    uploads: process::Uploads,
}

/// One byte more than the largest body, so that the system names the modality's own limit where it can.
fn largest(limits: &Limits) -> usize {
    let bytes = Modality::ALL.map(|modality| limits.max_bytes(modality)).into_iter().max().unwrap_or(0);
    usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(1)
}

async fn health(State(Server { system, .. }): State<Server>) -> Response {
    let snapshot = system.health().snapshot();
    let ready = snapshot.status.is_ready() && !system.system.is_closed();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, NO_STORE, axum::Json(snapshot)).into_response()
}

async fn metrics(State(Server { system, .. }): State<Server>, headers: HeaderMap) -> Response {
    let answer = system.telemetry().exposition(headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()));
    ([(CONTENT_TYPE, answer.content_type)], answer.body).into_response()
}

async fn state_page(State(Server { system, .. }): State<Server>) -> Response {
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let csp = (HeaderName::from_static("content-security-policy"), policy);
    ([csp], NO_STORE, Html(page::render(&system))).into_response()
}

async fn not_found() -> Response {
    problem::problem(
        StatusCode::NOT_FOUND,
        "not_found",
        "no such route, expected one of: /, /health, /metrics, /v1/process",
    )
}

const NO_STORE: [(HeaderName, &str); 1] = [(CACHE_CONTROL, "no-store")];
