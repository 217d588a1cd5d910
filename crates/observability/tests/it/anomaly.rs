//! The detector over simulated loads: what it must not see, and how soon it must see what it must.

use std::time::{Duration, Instant};

use bedplate_observability::TraceId;
use bedplate_observability::anomaly::{Anomalies, Anomaly, AnomalyConfig, AnomalyKind, AnomalyState, Detector};
use proptest::prelude::*;

/// A seeded load of one operation.
struct Load {
    detector: Detector,
    random: fastrand::Rng,
    start: Instant,
    seconds: u64,
    found: Vec<(u64, Anomaly)>,
}

/// What a bucket of the load has.
#[derive(Clone, Copy)]
struct Bucket {
    mean_requests: f64,
    median_millis: f64,
    /// The deviation of the latencies' logarithm.
    sigma: f64,
    error_rate: f64,
}

const USUAL: Bucket = Bucket { mean_requests: 40.0, median_millis: 20.0, sigma: 0.7, error_rate: 0.01 };

impl Load {
    fn new(config: AnomalyConfig, seed: u64) -> Self {
        let (detector, random) = (Detector::new(config).unwrap(), fastrand::Rng::with_seed(seed));
        Self { detector, random, start: now(), seconds: 0, found: Vec::new() }
    }

    fn run(&mut self, buckets: u64, bucket: Bucket) -> &mut Self {
        for _ in 0..buckets {
            let now = self.start + Duration::from_secs(self.seconds);
            for _ in 0..self.poisson(bucket.mean_requests) {
                let millis = bucket.median_millis * (self.normal() * bucket.sigma).exp();
                let failed = self.random.f64() < bucket.error_rate;
                let took = Duration::from_secs_f64(millis / 1e3);
                self.detector.feed(now, "charge", took, failed, Some(TraceId::new(7).unwrap()));
            }
            self.seconds += 10;
            let found = self.detector.tick(self.start + Duration::from_secs(self.seconds));
            let number = self.seconds / 10;
            self.found.extend(found.into_iter().map(|anomaly| (number, anomaly)));
        }
        self
    }

    fn began(&self, kind: AnomalyKind) -> Vec<u64> {
        let began = |one: &&(u64, Anomaly)| one.1.kind == kind && one.1.state == AnomalyState::Began;
        self.found.iter().filter(began).map(|(number, _)| *number).collect()
    }

    fn normal(&mut self) -> f64 {
        let (radius, angle) = ((-2.0 * (1.0 - self.random.f64()).ln()).sqrt(), self.random.f64());
        radius * (std::f64::consts::TAU * angle).cos()
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        let (limit, mut product, mut count) = ((-mean).exp(), self.random.f64(), 0);
        while product > limit {
            product *= self.random.f64();
            count += 1;
        }
        count
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant serves as the origin of simulated time")]
fn now() -> Instant {
    Instant::now()
}

/// 10 loads of 100,000 buckets: over 115 days.
#[test]
fn a_million_stationary_buckets_raise_fewer_than_ten_false_alarms() {
    let (mut false_alarms, mut buckets) = (0, 0);
    let threads: Vec<_> = (0..2_u64)
        .map(|thread| {
            std::thread::spawn(move || {
                let (mut began, mut judged) = (0, 0);
                for seed in 0..5 {
                    let sigma = [0.3, 0.5, 0.7, 1.0, 1.4][usize::try_from(seed).unwrap()];
                    let mut load = Load::new(AnomalyConfig::default(), thread * 5 + seed);
                    load.run(100_000, Bucket { sigma, ..USUAL });
                    began += load.detector.stats().began;
                    judged += load.detector.stats().buckets;
                }
                (began, judged)
            })
        })
        .collect();
    for thread in threads {
        let (began, judged) = thread.join().unwrap();
        false_alarms += began;
        buckets += judged;
    }
    crate::show(format_args!(
        "anomaly: {false_alarms} false alarms in {buckets} stationary buckets, of five kinds each"
    ));
    assert_eq!(buckets, 1_000_000);
    assert!(false_alarms < 10, "{false_alarms}");
}

#[test]
fn a_threefold_latency_is_found_within_three_buckets() {
    let mut late = Vec::new();
    for seed in 0..200 {
        let mut load = Load::new(AnomalyConfig::default(), seed);
        load.run(60, USUAL);
        load.run(3, Bucket { median_millis: 60.0, ..USUAL });
        match load.began(AnomalyKind::Latency).as_slice() {
            [at] => late.push(at - 60),
            other => panic!("seed {seed}: {other:?}"),
        }
    }
    let mean = f64::from(u32::try_from(late.iter().sum::<u64>()).unwrap()) / 200.0;
    crate::show(format_args!(
        "anomaly: a threefold latency is found after {mean:.2} buckets on average, 3 at most, over 200 loads"
    ));
    assert!(late.iter().all(|delay| *delay <= 3));
}

#[test]
fn it_ends_when_the_fault_does_and_names_a_trace() {
    let mut load = Load::new(AnomalyConfig::default(), 1);
    load.run(60, USUAL);
    load.run(30, Bucket { median_millis: 60.0, ..USUAL });
    assert_eq!(load.detector.active(), [("charge", AnomalyKind::Latency)]);
    load.run(10, USUAL);
    assert_eq!(load.detector.active(), []);
    let latency: Vec<&Anomaly> = load.found.iter().map(|(_, anomaly)| anomaly).collect();
    let [began, ended] = latency.as_slice() else { panic!("{latency:?}") };
    assert_eq!((began.state, ended.state), (AnomalyState::Began, AnomalyState::Ended));
    assert_eq!(began.trace_id, TraceId::new(7));
    assert!((0.04..0.09).contains(&began.observed) && (0.015..0.025).contains(&began.expected), "{began:?}");
    assert_eq!(load.found.len(), 2);
}

#[test]
fn a_level_that_stays_becomes_the_usual_one() {
    let mut load = Load::new(AnomalyConfig::default(), 2);
    load.run(60, USUAL);
    load.run(100, Bucket { median_millis: 60.0, ..USUAL });
    assert_eq!(load.found.last().unwrap().1.state, AnomalyState::Ended);
    assert_eq!((load.found.len(), load.detector.active().len()), (2, 0));
    // From there a further shift is one again.
    load.run(3, Bucket { median_millis: 180.0, ..USUAL });
    assert_eq!(load.began(AnomalyKind::Latency).len(), 2);
}

#[test]
fn errors_and_traffic_are_found() {
    for (kind, bucket) in [
        (AnomalyKind::Errors, Bucket { error_rate: 0.4, ..USUAL }),
        (AnomalyKind::TrafficDrop, Bucket { mean_requests: 0.01, ..USUAL }),
        (AnomalyKind::TrafficSpike, Bucket { mean_requests: 200.0, ..USUAL }),
    ] {
        let mut load = Load::new(AnomalyConfig::default(), 3);
        load.run(120, USUAL);
        assert_eq!(load.found, []);
        load.run(3, bucket);
        assert_eq!(load.began(kind).len(), 1, "{kind:?}: {:?}", load.found);
    }
}

#[test]
fn a_budget_that_burns_is_told_even_where_errors_are_usual() {
    let mut load = Load::new(AnomalyConfig::default(), 4);
    load.run(400, Bucket { error_rate: 0.2, ..USUAL });
    assert_eq!(load.began(AnomalyKind::BurnRate).len(), 1);
    assert_eq!(load.began(AnomalyKind::Errors), [0_u64; 0]);
    // Within the promise nothing burns: 20 % may fail.
    let mut load = Load::new(AnomalyConfig::default().objective(0.8), 4);
    load.run(400, Bucket { error_rate: 0.2, ..USUAL });
    assert_eq!(load.found, []);
}

#[test]
fn the_clock_may_jump() {
    let mut load = Load::new(AnomalyConfig::default(), 5);
    load.run(60, USUAL);
    load.seconds += 3_600;
    load.run(60, USUAL);
    assert_eq!((load.found.len(), load.detector.stats().clock_jumps), (0, 1));
    assert!(load.detector.tick(load.start).is_empty());
    assert_eq!(load.detector.stats().clock_jumps, 2);
    // Ticks that come late close each bucket that passed, and their silence is a drop.
    let mut load = Load::new(AnomalyConfig::default(), 6);
    load.run(60, USUAL);
    let found = load.detector.tick(load.start + Duration::from_secs(load.seconds + 40));
    assert_eq!(found.iter().map(|anomaly| anomaly.kind).collect::<Vec<_>>(), [AnomalyKind::TrafficDrop]);
}

#[test]
fn operations_are_bounded() {
    let mut detector = Detector::new(AnomalyConfig::default().operations(10)).unwrap();
    let now = now();
    for index in 0..1_000 {
        detector.feed(now, &format!("op {index}"), Duration::from_millis(1), false, None);
    }
    assert_eq!(detector.stats().unwatched, 990);
    assert!(detector.tick(now + Duration::from_secs(10)).is_empty());
    assert_eq!(detector.stats().buckets, 10);
}

#[test]
fn listeners_and_health_see_the_same() {
    let anomalies = Anomalies::new(AnomalyConfig::default()).unwrap();
    let (sender, receiver) = std::sync::mpsc::sync_channel(8);
    let again = anomalies.clone();
    assert!(anomalies.subscribe(move |anomaly| {
        // A listener may ask back.
        assert!(!again.health().healthy);
        let _full = sender.try_send(anomaly.kind);
    }));
    let start = now();
    let tick = |bucket: u64, millis: u64| {
        let at = start + Duration::from_secs(10 * bucket);
        for request in 0..50 {
            anomalies.feed(at, "charge", Duration::from_millis(millis + request % 5), false, None);
        }
        drop(anomalies.tick(at + Duration::from_secs(10)));
    };
    (0..40).for_each(|bucket| tick(bucket, 20));
    assert!(receiver.try_recv().is_err());
    (40..43).for_each(|bucket| tick(bucket, 100));
    assert_eq!(receiver.try_recv(), Ok(AnomalyKind::Latency));
    assert_eq!(anomalies.health().active, [("charge".to_owned(), AnomalyKind::Latency)]);
    assert_eq!(anomalies.recent().len(), 1);
}

#[test]
fn a_listener_that_panics_keeps_nothing_from_the_others() {
    let anomalies = Anomalies::new(AnomalyConfig::default()).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    assert!(anomalies.subscribe(|_| assert!(std::hint::black_box(false), "a listener's own fault")));
    assert!(anomalies.subscribe(move |anomaly| sender.send(anomaly.kind).unwrap()));
    let start = now();
    for bucket in 0..43_u64 {
        let at = start + Duration::from_secs(10 * bucket);
        for request in 0..50 {
            let millis = if bucket < 40 { 20 } else { 100 } + request % 5;
            anomalies.feed(at, "charge", Duration::from_millis(millis), false, None);
        }
        drop(anomalies.tick(at + Duration::from_secs(10)));
    }
    assert_eq!(receiver.try_recv(), Ok(AnomalyKind::Latency));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_ever_nan(
        buckets in prop::collection::vec(
            (prop::collection::vec((any::<u64>(), any::<bool>()), 0..60), -20_i64..200), 40..120,
        ),
    ) {
        let config = AnomalyConfig::default().min_samples(5).warm_up(6).enter(3.0).leave(1.0);
        let (mut detector, start) = (Detector::new(config).unwrap(), now());
        let mut seconds = 1_000_000_i64;
        for (requests, passed) in buckets {
            let at = start + Duration::from_secs(seconds.unsigned_abs());
            for (nanos, failed) in requests {
                detector.feed(at, "op", Duration::from_nanos(nanos), failed, None);
            }
            seconds += passed;
            for anomaly in detector.tick(start + Duration::from_secs(seconds.unsigned_abs())) {
                prop_assert!(anomaly.observed.is_finite() && anomaly.expected.is_finite(), "{anomaly:?}");
                prop_assert!(anomaly.score.is_finite(), "{anomaly:?}");
            }
        }
    }
}
