//! The system behind HTTP: `POST /v1/process`, `/health`, `/metrics`, and a page that shows its state at `/`.
//!
//! ```text
//! cargo run --release --example server
//! curl --data-binary @examples/assets/china.jpg 'http://127.0.0.1:8080/v1/process?file_name=china.jpg'
//! curl -H 'content-type: application/json' -d '{"text": "The governor closes the throttle.", "question": "What closes the throttle?"}' http://127.0.0.1:8080/v1/process
//! ```
//!
//! `BEDPLATE_ADDRESS` sets the address, `BEDPLATE_MODE` the mode. Ctrl-C, or SIGTERM on Unix, drains and ends it.

#![expect(clippy::print_stdout, reason = "an example prints what it shows")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use bedplate::observability::{Logs, Observability};
use bedplate::{Bedplate, Mode};
use tokio::net::TcpListener;

/// How long clients may take to end what they began once the server is asked to end.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("server: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let address = variable("BEDPLATE_ADDRESS").unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let mode: Mode = variable("BEDPLATE_MODE").as_deref().unwrap_or("STANDARD").parse()?;

    let logs = if mode == Mode::Development { Logs::pretty() } else { Logs::json().stderr() };
    let telemetry = Observability::builder("bedplate-server").logs(logs).install()?;
    let system = Bedplate::builder().mode(mode).telemetry(telemetry.clone()).build().await?;
    println!("{}", system.explain());

    let listener = TcpListener::bind(&address).await.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    println!("listening on http://{}", listener.local_addr()?);
    let router = bedplate::server::router(system.clone());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async { drop(stopped.await) });
    let serving = tokio::spawn(async move { serving.await });
    asked_to_end().await;
    drop(stop);
    match tokio::time::timeout(PATIENCE, serving).await {
        Ok(ended) => ended??,
        Err(_) => println!("some clients did not end within {PATIENCE:?}, and are left"),
    }

    println!("{}", system.shutdown(Duration::from_secs(10)).await);
    if telemetry.shutdown(Duration::from_secs(5)).flushed {
        Ok(())
    } else {
        Err("the log was not written to its end".into())
    }
}

#[cfg(unix)]
async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => drop(tokio::signal::ctrl_c().await),
    }
}

#[cfg(not(unix))]
async fn asked_to_end() {
    drop(tokio::signal::ctrl_c().await);
}

#[expect(clippy::disallowed_methods, reason = "a program may read its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
