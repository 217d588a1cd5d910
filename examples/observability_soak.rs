//! A million operations, label values and requests, each with a name of its own: what a service gets when somebody uses a
//! path or an id where a name belongs. Memory stays where it was after the first tenth, and what found no place is counted.
//!
//! `cargo run --release --example observability_soak`

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::process::ExitCode;

use bedplate_observability::anomaly::AnomalyConfig;
use bedplate_observability::{DURATION_BOUNDS, Observability, Operations, RequestContext, Traces};

const ALL: u32 = 1_000_000;
/// Until then tables and rings fill up to their bounds.
const WARM_UP: u32 = ALL / 10;
/// What the allocator may keep beyond, in KiB.
const MAY_GROW: u64 = 16 * 1024;

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let telemetry = Observability::builder("soak")
        .traces(Traces::new().recorder_bytes(8 << 20))
        .anomalies(AnomalyConfig::default())
        .build()?;
    let jobs = telemetry.counter("jobs_total", "Jobs, by somebody's mistake per user.", &["user"])?;
    let waits = telemetry.histogram("wait_seconds", "Waiting time.", &["path"], &DURATION_BOUNDS)?;
    let start = resident();
    let mut warm = start;
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        for n in 0..ALL {
            if n == WARM_UP {
                warm = resident();
            }
            let (name, id) = (format!("GET /orders/{n}"), n.to_string());
            RequestContext::new().request_id(&*id).user_id(&*id).span(&name).in_scope(|| {
                tracing::info!(path = name.as_str(), "handled");
                jobs.with(&[&id]).add(1);
                waits.with(&[&name]).record(0.02);
            });
        }
    });
    let text = telemetry.prometheus();
    let end = resident();

    let metrics = telemetry.metrics();
    let other = metrics.operations.get(Operations::OVERFLOW).map_or(0, |other| other.requests);
    let stats = telemetry.trace_stats();
    println!("{} requests under {} names, {other} of them together", metrics.total.requests, metrics.operations.len());
    println!(
        "traces: {} kept, {} not; {} forgotten, {} bytes held",
        stats.kept, stats.not_kept, stats.forgotten, stats.recorder_bytes
    );
    println!("Prometheus text: {} KiB", text.len() / 1024);
    let (Some(start), Some(warm), Some(end)) = (start, warm, end) else {
        println!("resident memory: this system does not tell");
        return Ok(ExitCode::SUCCESS);
    };
    println!("resident memory: {start} KiB at the start, {warm} KiB after {WARM_UP}, {end} KiB after {ALL}");
    let flat = end.saturating_sub(warm) < MAY_GROW;
    println!("{}", if flat { "flat" } else { "it grew" });
    Ok(if flat && metrics.total.requests == u64::from(ALL) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// In KiB, where the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}
