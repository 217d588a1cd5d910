//! An HTTP client protected by one pipeline, against a server that fails most of the time.
//!
//! `cargo run --example recovery_reqwest`
#![expect(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use bedplate_recovery::{
    Bulkhead, BulkheadConfig, CircuitBreaker, ErrorClass, Failure, LimitConfig, Pipeline, Retry, RetryBudget,
};

/// What a request failed by: no response, or one that is a failure.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no response")]
    Transport(#[source] reqwest::Error),
    #[error("the server answered {status}")]
    Status { status: StatusCode, retry_after: Option<Duration> },
}

impl bedplate_recovery::Classify for FetchError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Transport(error) if error.is_timeout() => ErrorClass::Timeout,
            Self::Transport(error) if error.is_builder() => ErrorClass::CallerFault,
            Self::Transport(_) => ErrorClass::Transient,
            Self::Status { status, retry_after } => match status.as_u16() {
                429 => ErrorClass::Throttled { after: *retry_after },
                503 => ErrorClass::Overload { after: *retry_after },
                500 | 502 | 504 => ErrorClass::Transient,
                400..=499 => ErrorClass::CallerFault,
                _ => ErrorClass::Permanent,
            },
        }
    }
}

async fn fetch(client: &reqwest::Client, url: &str) -> Result<String, FetchError> {
    let response = client.get(url).send().await.map_err(FetchError::Transport)?;
    let status = response.status();
    if status.is_success() {
        return response.text().await.map_err(FetchError::Transport);
    }
    let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let retry_after = header.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    Err(FetchError::Status { status, retry_after })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = flaky_server().await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let budget = RetryBudget::aws();
    let breaker = CircuitBreaker::builder("origin").consecutive_failures(8).open_for(Duration::from_secs(1)).build()?;
    let pipeline = Pipeline::builder("origin")
        .timeout(Duration::from_secs(5))
        .retry(Retry::exponential(Duration::from_millis(20)).max_attempts(6).budget(&budget))
        .bulkhead(Bulkhead::new("origin", BulkheadConfig::adaptive(LimitConfig::default()))?)
        .attempt_timeout(Duration::from_millis(500))
        .breaker(breaker.clone())
        .build()?;
    assert!(pipeline.lint().is_empty(), "the order is as it should be");

    for path in ["", "missing", "", ""] {
        let url = format!("{url}{path}");
        match pipeline.run(|_| fetch(&client, &url)).await {
            Ok(text) => println!("GET /{path}: {text}"),
            Err(Failure::Inner { error, class, attempts }) => {
                println!("GET /{path}: {error} ({}, {attempts} attempt(s))", class.as_str());
            }
            Err(other) => println!("GET /{path}: {other}"),
        }
    }
    let (stats, tokens) = (pipeline.stats(), budget.stats());
    println!("{} calls succeeded, {} failed, {} attempts were repeated", stats.succeeded, stats.failed, stats.retried);
    println!("{} tokens of the budget are left; the breaker is {}", tokens.available, breaker.state().as_str());
    Ok(())
}

/// Serves on a free port of this machine: two of three requests fail.
async fn flaky_server() -> std::io::Result<String> {
    let seen = Arc::new(AtomicU32::new(0));
    let flaky = move || {
        let turn = seen.fetch_add(1, Ordering::Relaxed);
        async move {
            let headers = HeaderMap::new();
            match turn % 3 {
                0 => (StatusCode::INTERNAL_SERVER_ERROR, headers, "oops".to_owned()),
                1 => (StatusCode::SERVICE_UNAVAILABLE, headers, "busy".to_owned()),
                _ => (StatusCode::OK, headers, format!("hello, after {} requests", turn + 1)),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", get(flaky))).await });
    Ok(format!("http://{address}/"))
}
