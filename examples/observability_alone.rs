//! Telemetry by itself: JSON log lines that carry the request's ids, and counts with percentiles, from one set of spans.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::time::Duration;

use bedplate_observability::{Logs, Observability, RequestContext, trace_function};
use tracing::Instrument as _;

#[trace_function("charge card", err)]
async fn charge(amount: u64) -> Result<u64, String> {
    tracing::info!(amount, card = "4111 1111 1111 1111", "charging");
    if amount > 100 { Err(format!("{amount} is over the limit of 100")) } else { Ok(amount) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let logs = Logs::json().filter("info").redact("card");
    let telemetry = Observability::builder("checkout").logs(logs).install()?;

    let mut declined = 0;
    for (index, amount) in [20, 250, 80].into_iter().enumerate() {
        let request = RequestContext::new().request_id(format!("r-{index}")).user_id("u-7").session_id("s-1");
        if charge(amount).instrument(request.span("place order")).await.is_err() {
            declined += 1;
        }
    }

    let report = telemetry.shutdown(Duration::from_secs(5));
    println!(
        "\n{declined} declined; {} log lines written, {} dropped",
        report.logs.stats.written, report.logs.stats.dropped
    );
    for (operation, figures) in telemetry.metrics().operations {
        println!("{operation:<12} {figures}");
    }
    println!("\n{}", telemetry.prometheus());
    if report.flushed && report.logs.stats.written == 4 { Ok(()) } else { Err("a log line is missing".into()) }
}
