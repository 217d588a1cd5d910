//! The public API of `bedplate-observability`.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod anomaly;
mod compose;
mod database;
#[cfg(feature = "tower")]
mod http;
mod joined;
mod logs;
mod messaging;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod prometheus;
mod settings;
#[cfg(all(feature = "macros", feature = "testing", feature = "tokio"))]
mod trace_function;
mod traces;
#[cfg(all(feature = "reqwest", feature = "tower"))]
mod w3c;

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedplate_observability::{InstallError, Logs, Observability};
use serde_json::Value;

/// A target that keeps what is written to it.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Kept {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn lines(&self) -> Vec<Value> {
        self.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Prints a line that a test shows: to the output itself, since the harness holds back what `println!` prints when the
/// test passes.
fn show(line: impl fmt::Display) {
    let mut past_the_harness = io::stdout();
    writeln!(past_the_harness, "{line}").unwrap();
}

/// Runs `work` under telemetry that logs as `logs` says, and returns the telemetry and the lines.
fn logged(logs: impl FnOnce(Logs) -> Logs, work: impl FnOnce()) -> (Observability, Kept) {
    let kept = Kept::default();
    let logs = logs(Logs::json()).writer(kept.clone());
    let telemetry = Observability::builder("test").logs(logs).build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), work);
    assert!(telemetry.shutdown(Duration::from_secs(10)).flushed);
    (telemetry, kept)
}

#[test]
fn a_second_install_is_an_error_and_no_panic() {
    Observability::builder("first").install().unwrap();
    assert_eq!(Observability::builder("second").install().unwrap_err(), InstallError::AlreadyInstalled);
}

#[test]
fn settings_that_cannot_be_are_named() {
    let field = |logs| Observability::builder("test").logs(logs).build().unwrap_err().field;
    assert_eq!(field(Logs::json().filter("info,=x=y")), "logs.filter");
    assert_eq!(field(Logs::json().queue(0)), "logs.queue");
    let operations = Observability::builder("test").operations(0).build().unwrap_err();
    assert_eq!(operations.to_string(), "observability.operations is 0, expected 1 to 10000 names");
}

#[test]
fn public_types_are_send_and_sync() {
    const fn check<T: Send + Sync + 'static>() {}
    check::<Observability>();
    check::<bedplate_observability::TelemetryLayer>();
    check::<bedplate_observability::Metric>();
}
