use std::io::{self, Write};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use bedplate_observability::{Logs, Observability, RequestContext, current_trace_id};
use tracing::{debug, error, info, info_span, warn};

use super::{Kept, logged};

#[test]
fn a_line_carries_the_ids_of_its_request_first() {
    let mut trace_id = None;
    let (_, kept) = logged(
        |logs| logs,
        || {
            let request = RequestContext::new().request_id("r-1").user_id("u-\"2\"").session_id("s-3");
            let _request = request.span("process image").entered();
            trace_id = current_trace_id();
            let _inner = info_span!("decode", format = "png", width = 640_u64).entered();
            warn!(left = 0.5, ratio = f64::NAN, ok = true, "half\ndone");
        },
    );
    let lines = kept.lines();
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["trace_id"], trace_id.unwrap());
    assert_eq!(line["span_id"].as_str().unwrap().len(), 16);
    assert_eq!(line["request_id"], "r-1");
    assert_eq!(line["user_id"], "u-\"2\"");
    assert_eq!(line["session_id"], "s-3");
    assert_eq!(line["message"], "half\ndone");
    assert_eq!(line["span"], "decode");
    assert_eq!(line["format"], "png");
    assert_eq!(line["width"], 640);
    assert_eq!(line["left"], 0.5);
    assert_eq!(line["ratio"], "NaN");
    assert_eq!(line["operation"], "process image");
    let keys = ["timestamp", "level", "trace_id", "span_id", "request_id", "user_id", "session_id", "message"];
    let places: Vec<usize> = keys.iter().map(|key| kept.text().find(&format!("\"{key}\"")).unwrap()).collect();
    assert!(places.is_sorted(), "{}", kept.text());
    assert_eq!(line["timestamp"].as_str().unwrap().len(), "2026-01-01T00:00:00.000000Z".len());
}

#[test]
fn each_key_stands_once_and_the_nearest_value_wins() {
    let (_, kept) = logged(
        |logs| logs,
        || {
            let _outer = info_span!("outer", key = "outer", step = 1).entered();
            let _inner = info_span!("inner", key = "inner").entered();
            info!("from the span");
            info!(key = "event", level = "mine", "from the event");
        },
    );
    let lines = kept.lines();
    assert_eq!((&lines[0]["key"], &lines[0]["step"]), (&"inner".into(), &1.into()));
    assert_eq!(lines[1]["key"], "event");
    assert_eq!(lines[1]["level"], "INFO");
    assert_eq!(lines[1]["field.level"], "mine");
    assert_eq!(kept.text().lines().nth(1).unwrap().matches("\"key\"").count(), 1);
}

#[test]
fn a_child_s_lines_have_the_trace_id_of_the_request() {
    let (_, kept) = logged(
        |logs| logs,
        || {
            let root = RequestContext::new().request_id("r-1").span("process");
            root.in_scope(|| info!("outer"));
            let child = info_span!(parent: &root, "child");
            drop(root);
            child.in_scope(|| info!("inner"));
            RequestContext::new().span("other").in_scope(|| info!("other"));
        },
    );
    let lines = kept.lines();
    assert_eq!(lines[0]["trace_id"], lines[1]["trace_id"]);
    assert_ne!(lines[0]["span_id"], lines[1]["span_id"]);
    assert_eq!(lines[1]["request_id"], "r-1");
    assert_ne!(lines[0]["trace_id"], lines[2]["trace_id"]);
    assert!(lines[2].get("request_id").is_none());
}

#[test]
fn the_filter_removes_lines_but_never_the_spans_that_carry_ids() {
    let (telemetry, kept) = logged(
        |logs| logs.filter("error,it::other=debug"),
        || {
            let _request = RequestContext::new().request_id("r-1").span("process").entered();
            info!("too low");
            debug!(target: "it::other", "low, but asked for");
            error!("kept");
        },
    );
    let lines = kept.lines();
    assert_eq!(lines.len(), 2, "{}", kept.text());
    assert!(lines.iter().all(|line| line["request_id"] == "r-1"));
    assert_eq!(telemetry.metrics().total.requests, 1);
}

#[test]
fn secrets_are_never_written() {
    let (_, kept) = logged(
        |logs| logs.redact("Card"),
        || {
            let _span = info_span!("pay", password = "hunter2").entered();
            info!(card = "4111", Authorization = "Bearer x", amount = 3, "paid");
        },
    );
    let line = &kept.lines()[0];
    for field in ["password", "card", "Authorization"] {
        assert_eq!(line[field], "[redacted]");
    }
    assert_eq!(line["amount"], 3);
    assert!(!kept.text().contains("hunter2"));
}

#[test]
fn the_pretty_form_is_one_readable_line() {
    let kept = Kept::default();
    let logs = Logs::pretty().writer(kept.clone());
    let telemetry = Observability::builder("test").logs(logs).build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        info!(hits = 3, token = "x", "two\nlines");
    });
    assert!(telemetry.shutdown(Duration::from_secs(10)).flushed);
    let text = kept.text();
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("INFO"), "{text}");
    assert!(text.ends_with("it::logs: two lines hits=3 token=\"[redacted]\"\n"), "{text}");
}

/// A target that takes nothing until the other end is dropped, as a pipe that nobody reads.
struct Stuck(Receiver<()>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        assert!(self.0.recv().is_err());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_target_costs_lines_and_never_time() {
    let (open, stuck) = channel();
    let logs = Logs::json().queue(4).writer(Stuck(stuck));
    let telemetry = Observability::builder("test").logs(logs).build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        for index in 0..100 {
            info!(index, "line");
        }
    });
    assert_eq!(telemetry.log_stats().dropped, 96);
    let report = telemetry.shutdown(Duration::from_millis(20));
    assert!(!report.flushed && !report.logs.flushed);

    drop(open);
    let report = telemetry.shutdown(Duration::from_secs(10));
    assert_eq!((report.flushed, report.logs.stats.written), (true, 4));
}

/// A target that is closed.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_the_target_refuses_are_counted() {
    let logs = Logs::json().writer(Closed);
    let telemetry = Observability::builder("test").logs(logs).build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || info!("line"));
    let report = telemetry.shutdown(Duration::from_secs(10));
    assert_eq!((report.logs.stats.written, report.logs.stats.failed), (0, 1));
    tracing::dispatcher::with_default(&telemetry.dispatch(), || info!("late"));
    assert_eq!(telemetry.log_stats().dropped, 1);
}

/// Takes what fits into the half of a line, then nothing for once: a pipe that does not block.
struct Halting(Kept, u32);

impl Write for Halting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1 += 1;
        match self.1 {
            1 => self.0.write(bytes.get(..20).unwrap()),
            2 => Err(io::ErrorKind::WouldBlock.into()),
            _ => self.0.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_that_broke_off_does_not_break_the_next() {
    let kept = Kept::default();
    let telemetry = Observability::builder("test").logs(Logs::json().writer(Halting(kept.clone(), 0))).build().unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        info!("first");
        info!("second");
    });
    let report = telemetry.shutdown(Duration::from_secs(10));
    assert_eq!((report.logs.stats.written, report.logs.stats.failed), (1, 1));
    let text = kept.text();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["message"], text.lines().count()), (&"second".into(), 2));
}

#[test]
fn huge_lines_that_wait_are_bounded_by_bytes() {
    let (let_go, held) = channel();
    let telemetry = Observability::builder("test").logs(Logs::json().writer(Stuck(held))).build().unwrap();
    let huge = "x".repeat(4_000);
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        for _ in 0..8_000 {
            info!(a = huge, b = huge, "much");
        }
    });
    let dropped = telemetry.log_stats().dropped;
    assert!((6_000..8_000).contains(&dropped), "{dropped}");
    drop(let_go);
}
