//! Shutdown in every runtime, with collectors of every mood.

use std::fmt::Write as _;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use bedplate_observability::otlp::{Otlp, Protocol};
use bedplate_observability::{Report, Signal};
use tokio::time::Instant;

use super::collector::{self, Kept};
use super::{known_set, sent, telemetry};

/// Accepts and never answers, as long as it is held.
pub(super) fn hanging() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // The system accepts connections by itself, and nobody reads.
    (listener, address)
}

/// An address at which nobody listens.
pub(super) fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Reads a little and closes the connection.
fn breaking() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let _read = connection.unwrap().read(&mut [0; 16]);
        }
    });
    address
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Collector {
    Works,
    Slow,
    Refuses,
    Breaks,
    Hangs,
}

const COLLECTORS: [Collector; 5] =
    [Collector::Works, Collector::Slow, Collector::Refuses, Collector::Breaks, Collector::Hangs];
const RUNTIMES: [&str; 6] = ["none", "current thread", "one worker", "two workers", "blocking pool", "async"];
const PROTOCOLS: [Protocol; 3] = [Protocol::Grpc, Protocol::HttpProtobuf, Protocol::HttpJson];
const DEADLINE: Duration = Duration::from_millis(2_500);
/// The machine is busy with other tests.
const SLACK: Duration = Duration::from_secs(2);

fn run(runtime: &str, protocol: Protocol, collector: Collector) -> (Report, Duration) {
    let (grpc, http, _held) = match collector {
        Collector::Works | Collector::Slow => {
            let delay = if collector == Collector::Slow { Duration::from_millis(300) } else { Duration::ZERO };
            let (_, grpc, http) = collector::start(Kept { delay, ..Kept::default() });
            (grpc, http, None)
        }
        Collector::Refuses => (refusing(), refusing(), None),
        Collector::Breaks => (breaking(), breaking(), None),
        Collector::Hangs => {
            let (held, address) = hanging();
            (address, address, Some(held))
        }
    };
    let address = if protocol == Protocol::Grpc { grpc } else { http };
    let telemetry = telemetry(Otlp::new(format!("http://{address}")).protocol(protocol));
    let work = || {
        known_set(&telemetry);
        let began = Instant::now();
        (telemetry.shutdown(DEADLINE), began.elapsed())
    };
    let multi =
        |workers| tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
    let current = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime {
        "none" => work(),
        "current thread" => current().block_on(async { work() }),
        "one worker" | "two workers" => {
            let runtime = multi(if runtime == "one worker" { 1 } else { 2 });
            // On a worker, not on the thread that blocks on the runtime.
            let own = telemetry.clone();
            let task = runtime.spawn(async move {
                known_set(&own);
                let began = Instant::now();
                (own.shutdown(DEADLINE), began.elapsed())
            });
            runtime.block_on(task).unwrap()
        }
        "blocking pool" => {
            let own = telemetry.clone();
            let blocking = move || {
                known_set(&own);
                let began = Instant::now();
                (own.shutdown(DEADLINE), began.elapsed())
            };
            current().block_on(async { tokio::task::spawn_blocking(blocking).await.unwrap() })
        }
        _ => current().block_on(async {
            known_set(&telemetry);
            let began = Instant::now();
            (telemetry.shutdown_async(DEADLINE).await, began.elapsed())
        }),
    }
}

#[test]
fn shutdown_matrix() {
    let mut table = format!("deadline {DEADLINE:?}; spans sent/dropped, whether all was tried, and time\n");
    write!(table, "{:<15} {:<14}", "runtime", "protocol").unwrap();
    for collector in COLLECTORS {
        write!(table, " {:>20}", format!("{collector:?}")).unwrap();
    }
    for runtime in RUNTIMES {
        let rows = std::thread::scope(|scope| {
            let cells = PROTOCOLS
                .map(|protocol| COLLECTORS.map(|collector| scope.spawn(move || run(runtime, protocol, collector))));
            cells.map(|row| row.map(|cell| cell.join().unwrap()))
        });
        for (protocol, row) in PROTOCOLS.iter().zip(rows) {
            write!(table, "\n{runtime:<15} {:<14}", protocol.as_str()).unwrap();
            for (report, took) in &row {
                let traces = sent(&report.exports, Signal::Traces);
                let all = if report.flushed { "all" } else { "not" };
                let cell = format!("{}/{} {all} {:>5} ms", traces.sent, traces.dropped, took.as_millis());
                write!(table, " {cell:>20}").unwrap();
            }
            for (collector, (report, took)) in COLLECTORS.iter().zip(row) {
                let cell = format!("{runtime}, {protocol:?}, {collector:?}: {report} in {took:?}");
                assert!(took < DEADLINE + SLACK, "{cell}");
                let (traces, logs) = (sent(&report.exports, Signal::Traces), sent(&report.exports, Signal::Logs));
                let taken = matches!(collector, Collector::Works | Collector::Slow);
                let expected = if taken { ((6, 0), (2, 0)) } else { ((0, 6), (0, 2)) };
                assert_eq!(((traces.sent, traces.dropped), (logs.sent, logs.dropped)), expected, "{cell}");
                assert_eq!(traces.last_error.is_none(), taken, "{cell}");
                // Only one that hangs leaves something that nobody said anything to.
                let tried = collector != &Collector::Hangs;
                for export in [traces, logs, sent(&report.exports, Signal::Metrics)] {
                    assert_eq!(export.flushed, tried, "{cell}");
                }
                assert_eq!(report.flushed, tried, "{cell}");
            }
        }
    }
    crate::show(table);
}

#[test]
fn many_shutdowns_at_once_are_one() {
    let (_held, address) = hanging();
    let telemetry = telemetry(Otlp::new(format!("http://{address}")));
    known_set(&telemetry);
    let began = Instant::now();
    let reports = std::thread::scope(|scope| {
        let all = [0; 4].map(|_| scope.spawn(|| telemetry.shutdown(Duration::from_millis(500))));
        all.map(|one| one.join().unwrap())
    });
    assert!(began.elapsed() < Duration::from_millis(500) + SLACK);
    for report in &reports {
        assert_eq!(sent(&report.exports, Signal::Traces).dropped, 6, "{report}");
    }
    // What comes later is dropped and counted; nothing hangs.
    known_set(&telemetry);
    let late = telemetry.shutdown(Duration::from_secs(1));
    assert_eq!(sent(&late.exports, Signal::Traces).dropped, 12, "{late}");
}

/// The collector shares the only thread.
#[tokio::test]
async fn the_collector_may_live_on_the_same_runtime() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, collector::router(&Arc::new(Kept::default()))).await });
    let telemetry = telemetry(Otlp::new(format!("http://{address}")).protocol(Protocol::HttpJson));
    known_set(&telemetry);
    let report = telemetry.shutdown_async(Duration::from_secs(20)).await;
    assert!(report.flushed && sent(&report.exports, Signal::Traces).sent == 6, "{report}");
}

#[test]
fn dropped_telemetry_gives_a_short_while() {
    let (kept, grpc, _) = collector::start(Kept::default());
    let working = telemetry(Otlp::new(format!("http://{grpc}")));
    known_set(&working);
    drop(working);
    // It may be that the machine is too busy; what must not be is a hang, or a part of a batch.
    assert!(matches!(kept.spans().len(), 0 | 6));
    let (_held, address) = hanging();
    let stuck = telemetry(Otlp::new(format!("http://{address}")));
    known_set(&stuck);
    let began = Instant::now();
    drop(stuck);
    assert!(began.elapsed() < Duration::from_millis(500) + SLACK);
}
