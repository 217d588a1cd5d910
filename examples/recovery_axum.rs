//! An HTTP service protected by one pipeline: no more calls at once than it bears, critical ones first, and errors that tell
//! the caller what he may know (RFC 9457).
//!
//! `cargo run --example recovery_axum` starts it, calls it, shows what came back, and ends.
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Router, body::Body};
use bedplate_recovery::{
    Bulkhead, BulkheadConfig, Classify, Cx, ErrorBoundary, ErrorClass, Pipeline, Policy, Priority, ProblemDetails,
    TracingSink,
};

/// What the work of this service fails by.
#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error("the page number is {0:?}, expected a whole number from 1 to 100")]
    BadPage(String),
    #[error("the search index at index-7.internal is gone")]
    Index,
}

impl Classify for WorkError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::BadPage(_) => ErrorClass::CallerFault,
            Self::Index => ErrorClass::Permanent,
        }
    }
}

struct Service<P> {
    pipeline: Pipeline<P>,
    boundary: ErrorBoundary,
}

async fn search<P: Policy + 'static>(
    State(service): State<Arc<Service<P>>>,
    Path(page): Path<String>,
    headers: HeaderMap,
) -> Response {
    let priority = if headers.contains_key("x-critical") { Priority::Critical } else { Priority::Normal };
    let cx = Cx::first().with_priority(priority);
    let (pipeline, page) = (&service.pipeline, &page);
    // The boundary is the outermost frame: whatever fails inside, panics included, has an id and is recorded once.
    let answered = service.boundary.run_call(pipeline.run_with(cx, |_| work(page))).await;
    match answered {
        Ok(text) => text.into_response(),
        Err(caught) => ProblemDetails::from(&caught).into_response().map(Body::from),
    }
}

async fn work(page: &str) -> Result<String, WorkError> {
    tokio::time::sleep(Duration::from_millis(50)).await;
    match page.parse::<u32>() {
        Ok(13) => Err(WorkError::Index),
        Ok(number @ 1..=100) => Ok(format!("page {number}")),
        _ => Err(WorkError::BadPage(page.to_owned())),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bulkhead = Bulkhead::new("search", BulkheadConfig::fixed(2).queue(2, Duration::from_secs(1)))?;
    let pipeline = Pipeline::builder("search").timeout(Duration::from_secs(2)).bulkhead(bulkhead).build()?;
    let service = Arc::new(Service { pipeline, boundary: ErrorBoundary::new("http", TracingSink) });
    let router = Router::new().route("/search/{page}", get(search)).with_state(service);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, router).await });

    let client = reqwest::Client::builder().no_proxy().build()?;
    for page in ["1", "zero", "13"] {
        let response = client.get(format!("http://{address}/search/{page}")).send().await?;
        println!("GET /search/{page}: {}\n  {}", response.status(), response.text().await?);
    }
    // Eight at once where two run and two wait: the rest is told to come back, and a critical one pushes a normal one out.
    let calls = (1..=8_u32).map(|call| {
        let request = client.get(format!("http://{address}/search/{call}"));
        let request = if call == 8 { request.header("x-critical", "yes") } else { request };
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(u64::from(call) * 3)).await;
            request.send().await.map(|response| response.status())
        })
    });
    let mut refused = 0;
    for (call, task) in (1..=8_u32).zip(calls.collect::<Vec<_>>()) {
        let status = task.await??;
        refused += u32::from(status == StatusCode::SERVICE_UNAVAILABLE);
        if call == 8 {
            println!("the critical call: {status}");
        }
    }
    println!("{refused} of 8 calls at once were told to come back later");
    Ok(())
}
