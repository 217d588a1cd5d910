//! `bedplate-observability` against `tracing-opentelemetry` with the SDK, the SDK alone, `fastrace`, `logfire`, the JSON of
//! `tracing-subscriber`, `metrics` with its Prometheus exporter, and `prometheus-client`.
//!
//! What makes it fair: all subjects of a case write the same names and values. The subjects of `tracing` run under a
//! scoped dispatcher, ours too. The SDK's batch processor and `fastrace` have an exporter that takes everything and does nothing.
//!
//! `span` and `root_and_child` are what the thread that works pays. Ours records every span and keeps the recorder of the
//! last traces; it decides when the trace is over and converts only what is kept, on another thread. So that this is not
//! hidden, `span_exported` and `root_and_child_exported` count the processor time of the **whole process** until every
//! span has been converted and handed to an exporter that does nothing: ours keeps all traces there and gives them, as
//! the SDK's `SpanData`, to the same exporter as the others. Allocations are those of the working thread alone.
//!
//! `json_line*` writes to nothing; ours hands its lines to a thread, `tracing-subscriber` formats and writes on the
//! caller's, so `json_line*_process` counts the processor time of the whole process. Only `json_line_in_span_recorded` also
//! keeps the events with their span, which is the default.
//!
//! `logfire` 0.13.1 stands over the 0.32 series of the OpenTelemetry crates, the others over 0.33.

#![expect(clippy::expect_used, reason = "a bench that cannot go on has no figures to give")]

mod disabled;
mod logs;
mod metrics;
mod peers;
mod spans;

use bedplate_benches::{Settings, Suite};

fn main() -> std::io::Result<()> {
    let mut suite = Suite::new("observability", Settings::from_process());
    // First, while no other subscriber has been made that would have to be asked.
    disabled::run(&mut suite);
    spans::run(&mut suite);
    logs::run(&mut suite);
    metrics::run(&mut suite);
    suite.finish()
}

const OURS: &str = "bedplate-observability";
