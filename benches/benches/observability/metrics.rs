//! Counters and histograms, by a handle that is kept and by labels that are looked up.

use std::hint::black_box;
use std::time::Duration;

use bedplate_benches::Suite;
use bedplate_observability::{DURATION_BOUNDS, Observability};
use metrics_exporter_prometheus::PrometheusBuilder;
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::OURS;
use crate::peers::NullMetrics;

const LABELS: [&str; 3] = ["method", "route", "status"];
const VALUES: [&str; 3] = ["GET", "/orders/{id}", "200"];
const METRICS: &str = "metrics";
const CLIENT: &str = "prometheus-client";
const SDK: &str = "opentelemetry_sdk";

type Key = Vec<(String, String)>;

pub(crate) fn run(suite: &mut Suite) {
    let telemetry = Observability::builder("bench").build().expect("valid settings");
    let counters = telemetry.counter("requests_total", "Requests.", &LABELS).expect("a free name");
    let histograms = telemetry.histogram("wait_seconds", "Waiting.", &LABELS, &DURATION_BOUNDS).expect("a free name");
    let recorder = PrometheusBuilder::new().set_buckets(&DURATION_BOUNDS).expect("bounds").build_recorder();
    let provider = SdkMeterProvider::builder().with_periodic_exporter(NullMetrics).build();
    let meter = provider.meter("bench");
    let (sdk_counter, sdk_histogram) = (
        meter.u64_counter("requests").build(),
        meter.f64_histogram("wait").with_boundaries(DURATION_BOUNDS.to_vec()).build(),
    );
    let pairs = || [0, 1, 2].map(|at| KeyValue::new(at_label(at), at_value(at)));
    let client_counters = Family::<Key, Counter>::default();
    let client_histograms =
        Family::<Key, Histogram>::new_with_constructor(|| Histogram::new(DURATION_BOUNDS.iter().copied()));
    let key =
        || -> Key { LABELS.iter().zip(VALUES).map(|(label, value)| ((*label).to_owned(), value.to_owned())).collect() };

    let own = counters.with(&VALUES);
    let theirs = metrics::with_local_recorder(
        &recorder,
        || metrics::counter!("requests", "method" => "GET", "route" => "/orders/{id}", "status" => "200"),
    );
    let client = client_counters.get_or_create_owned(&key());
    suite
        .case("counter_handle")
        .ours(OURS, |work| (0..work.iterations).for_each(|_| own.add(1)))
        .peer(METRICS, |work| (0..work.iterations).for_each(|_| theirs.increment(1)))
        .peer(CLIENT, |work| {
            (0..work.iterations).for_each(|_| {
                black_box(client.inc());
            });
        })
        .run();
    suite
        .case("counter_labels")
        .ours(OURS, |work| (0..work.iterations).for_each(|_| counters.with(black_box(&VALUES)).add(1)))
        .peer(METRICS, |work| {
            metrics::with_local_recorder(&recorder, || {
                for _ in 0..work.iterations {
                    let [method, route, status] = black_box(VALUES);
                    metrics::counter!("requests", "method" => method, "route" => route, "status" => status)
                        .increment(1);
                }
            });
        })
        .peer(CLIENT, |work| {
            (0..work.iterations).for_each(|_| {
                client_counters.get_or_create(&key()).inc();
            });
        })
        .peer(SDK, |work| (0..work.iterations).for_each(|_| sdk_counter.add(1, &pairs())))
        .run();

    let own = histograms.with(&VALUES);
    let theirs = metrics::with_local_recorder(
        &recorder,
        || metrics::histogram!("wait", "method" => "GET", "route" => "/orders/{id}", "status" => "200"),
    );
    let client = client_histograms.get_or_create_owned(&key());
    suite
        .case("histogram_handle")
        .ours(OURS, |work| (0..work.iterations).for_each(|_| own.record(black_box(0.02))))
        .peer(METRICS, |work| {
            (0..work.iterations).for_each(|_| theirs.record(black_box(0.02)));
            // It keeps every value until somebody reads them.
            recorder.handle().run_upkeep();
        })
        .peer(CLIENT, |work| (0..work.iterations).for_each(|_| client.observe(black_box(0.02))))
        .run();
    suite
        .case("histogram_labels")
        .ours(OURS, |work| (0..work.iterations).for_each(|_| histograms.with(black_box(&VALUES)).record(0.02)))
        .peer(METRICS, |work| {
            metrics::with_local_recorder(&recorder, || {
                for _ in 0..work.iterations {
                    let [method, route, status] = black_box(VALUES);
                    metrics::histogram!("wait", "method" => method, "route" => route, "status" => status).record(0.02);
                }
            });
            recorder.handle().run_upkeep();
        })
        .peer(CLIENT, |work| {
            (0..work.iterations).for_each(|_| client_histograms.get_or_create(&key()).observe(0.02));
        })
        .peer(SDK, |work| (0..work.iterations).for_each(|_| sdk_histogram.record(0.02, &pairs())))
        .run();

    // Count, error, duration: what an operation's end records.
    let operations = telemetry.operations();
    let took = Duration::from_millis(20);
    suite
        .case("operation")
        .ours(OURS, |work| (0..work.iterations).for_each(|_| operations.record(black_box("charge card"), took, false)))
        .peer(CLIENT, |work| {
            let name = || vec![("operation".to_owned(), "charge card".to_owned())];
            (0..work.iterations).for_each(|_| {
                client_counters.get_or_create(&name()).inc();
                client_histograms.get_or_create(&name()).observe(took.as_secs_f64());
            });
        })
        .peer(SDK, |work| {
            (0..work.iterations).for_each(|_| {
                let name = [KeyValue::new("operation", "charge card")];
                sdk_counter.add(1, &name);
                sdk_histogram.record(took.as_secs_f64(), &name);
            });
        })
        .run();
}

fn at_label(at: usize) -> &'static str {
    LABELS.get(at).copied().unwrap_or_default()
}

fn at_value(at: usize) -> &'static str {
    VALUES.get(at).copied().unwrap_or_default()
}
