//! Both text formats as others read them.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use bedplate_observability::{DURATION_BOUNDS, Metric, MetricKind, Observability, Sample, TextFormat};

fn telemetry() -> Observability {
    let telemetry = Observability::builder("test").build().unwrap();
    telemetry.operations().record("charge \"card\"\\\n", Duration::from_millis(20), true);
    let orders = telemetry.counter("orders_total", "Orders \"taken\".\nAll of them.", &["kind", "state"]).unwrap();
    orders.with(&["gift\\", "\"new\"\n"]).add(3);
    orders.with(&["plain", ""]).add(1);
    telemetry.gauge("queue_depth", "Waiting tasks.", &[]).unwrap().with(&[]).set(1e-9);
    let wait = telemetry.histogram("wait_seconds", "Waiting time.", &["pool"], &DURATION_BOUNDS).unwrap();
    tracing::dispatcher::with_default(&telemetry.dispatch(), || {
        let _span = tracing::info_span!("work").entered();
        for value in [0.001, 0.3, 2.0, 1e9] {
            wait.with(&["a"]).record(value);
        }
    });
    telemetry
        .register(Metric::new("hits_total", MetricKind::Counter, "Hits.", || vec![Sample::count(u64::MAX)]))
        .unwrap();
    telemetry
}

/// Prometheus' own check (Debian's package `prometheus`).
#[test]
fn promtool_accepts_the_text() {
    let spawned = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match spawned {
        Ok(promtool) => promtool,
        Err(error) => {
            let required = std::env::var_os("BEDPLATE_REQUIRE_SERVICES").is_some();
            assert!(!required, "promtool cannot be run: {error}");
            crate::show(format_args!(
                "SKIPPED: promtool cannot be run ({error}), so no other program has read the text"
            ));
            return;
        }
    };
    let text = telemetry().prometheus();
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    crate::show(format_args!("promtool check metrics: {}", output.status));
    assert!(output.status.success() && said.is_empty(), "{}: {said}\n{text}", output.status);
}

#[test]
fn an_exemplar_names_the_span_in_which_it_was_seen() {
    let text = telemetry().metrics_text(TextFormat::OpenMetrics);
    let buckets: Vec<&str> = text.lines().filter(|line| line.starts_with("wait_seconds_bucket")).collect();
    assert_eq!(buckets.len(), 15);
    let exemplars: Vec<&str> = buckets.iter().filter_map(|line| line.split_once(" # ")).map(|(_, one)| one).collect();
    assert_eq!(exemplars.len(), 4);
    for exemplar in exemplars {
        let (labels, rest) = exemplar.split_once("} ").unwrap();
        assert!(labels.starts_with("{trace_id=\"") && labels.len() < 128, "{exemplar}");
        assert_eq!(rest.split(' ').count(), 2, "{exemplar}");
    }
    assert!(text.contains("orders_total{kind=\"gift\\\\\",state=\"\\\"new\\\"\\n\"} 3\n"), "{text}");
    assert!(text.contains("# TYPE orders counter\n# HELP orders Orders \\\"taken\\\".\\nAll of them.\n"), "{text}");
}

#[test]
fn the_format_is_negotiated() {
    let telemetry = telemetry();
    let answer = telemetry.exposition(Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert_eq!(answer.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(answer.body.ends_with("\n# EOF\n"));
    let answer = telemetry.exposition(None);
    assert_eq!(answer.content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert!(!answer.body.contains("EOF") && !answer.body.contains(" # {"));
}

#[test]
fn counting_from_many_threads_loses_nothing() {
    let telemetry = telemetry();
    let counter = telemetry.counter("jobs_total", "Jobs.", &["worker"]).unwrap();
    let sizes = telemetry.histogram("job_bytes", "Sizes.", &[], &[10.0, 100.0]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (counter, sizes) = (counter.with(&["a"]), sizes.with(&[]));
                for value in 0..10_000 {
                    counter.add(1);
                    sizes.record_in(f64::from(value % 200), None);
                }
            });
        }
    });
    assert_eq!(counter.with(&["a"]).value(), 40_000);
    assert_eq!(sizes.with(&[]).count(), 40_000);
    assert!((sizes.with(&[]).sum() - 40_000.0 * 99.5).abs() < 1e-6);
}

#[test]
fn a_million_label_values_are_two_thousand_series_and_one() {
    let telemetry = telemetry();
    let jobs = telemetry.counter("jobs_total", "Jobs.", &["user"]).unwrap();
    for user in 0..1_000_000 {
        jobs.with(&[&user.to_string()]).add(1);
    }
    let text = telemetry.prometheus();
    assert_eq!(text.matches("\njobs_total{").count(), 2_001);
    assert!(text.contains("\njobs_total{user=\"_other\"} 998000\n"));
    assert!(text.contains("\nobservability_metric_overflow_total{metric=\"jobs_total\"} 998000\n"));
}

#[cfg(feature = "tokio")]
#[tokio::test]
async fn the_runtime_s_tasks_are_counted() {
    let telemetry = telemetry();
    telemetry.register_runtime(&tokio::runtime::Handle::current()).unwrap();
    let task = tokio::spawn(std::future::pending::<()>());
    assert!(telemetry.prometheus().contains("\ntokio_runtime_alive_tasks 1\n"), "{}", telemetry.prometheus());
    task.abort();
    assert_eq!(telemetry.register_runtime(&tokio::runtime::Handle::current()).unwrap_err().field, "metric.name");
}

/// One part's mistake must not cost the whole text.
#[test]
fn a_supplied_metric_that_is_wrong_costs_itself_alone() {
    let telemetry = Observability::builder("test").build().unwrap();
    let register = |name, read: fn() -> Vec<Sample>| {
        telemetry.register(Metric::new(name, MetricKind::Gauge, "Help.", read)).unwrap();
    };
    register("bad_label", || {
        vec![Sample::count(1).label("no-name", "x").label("le", "1").label("a", "1").label("a", "2")]
    });
    register("panics", || panic!("a bug"));
    register("twice", || {
        vec![
            Sample::count(1).label("a", "1").label("b", "2"),
            Sample::count(2).label("b", "2").label("a", "1"),
            Sample::count(3),
            Sample::count(4).label("a", ""),
        ]
    });
    register("z_fine", || vec![Sample::count(7)]);
    let text = telemetry.prometheus();
    assert!(text.contains("\nbad_label{a=\"1\"} 1\n"), "{text}");
    assert_eq!(text.matches("\ntwice").count(), 2, "{text}");
    assert!(text.contains("# HELP panics") && text.contains("\nz_fine 7\n"), "{text}");
}

#[test]
fn names_that_would_stand_twice_in_a_text_are_refused() {
    let telemetry = Observability::builder("test").build().unwrap();
    telemetry.histogram("wait_seconds", "Help.", &[], &[1.0]).unwrap();
    telemetry.counter("jobs_total", "Help.", &[]).unwrap();
    for name in
        ["wait_seconds_count", "wait_seconds_bucket", "jobs", "operation_duration_seconds_sum", "operation_errors"]
    {
        assert_eq!(telemetry.gauge(name, "Help.", &[]).unwrap_err().field, "metric.name", "{name}");
    }
    telemetry.gauge("depth", "Help.", &[]).unwrap();
    assert_eq!(telemetry.counter("depth_total", "Help.", &[]).unwrap_err().field, "metric.name");
    telemetry.gauge("size_sum", "Help.", &[]).unwrap();
    assert_eq!(telemetry.histogram("size", "Help.", &[], &[1.0]).unwrap_err().field, "metric.name");
    // The same again is the same; with other bounds it is another.
    telemetry.histogram("wait_seconds", "Help.", &[], &[1.0]).unwrap();
    assert_eq!(telemetry.histogram("wait_seconds", "Help.", &[], &[2.0]).unwrap_err().field, "metric.bounds");
}
