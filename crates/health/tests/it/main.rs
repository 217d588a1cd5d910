//! The public API of `bedplate-health`, in virtual time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bedplate_health::{Component, ConfigError, Health, HealthError, HealthEvent, History, Outcome, Policy, Status};
use tokio::time::sleep;

fn every_second() -> Policy {
    Policy::default().interval(Duration::from_secs(1)).timeout(Duration::from_millis(500))
}

/// A component that works while the switch is on.
fn switched(name: &str, works: &Arc<AtomicBool>) -> Component {
    let works = Arc::clone(works);
    Component::new(name).check_fn(move || {
        let works = works.load(Ordering::Relaxed);
        async move { if works { Ok(()) } else { Err("switched off") } }
    })
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_component_goes_down_step_by_step_and_comes_back() {
    let works = Arc::new(AtomicBool::new(true));
    let health = Health::builder("test").policy(every_second()).component(switched("db", &works)).start().unwrap();
    let mut changes = health.subscribe();
    assert_eq!(health.status(), Status::Degraded, "nothing is known yet");
    seconds(1).await;
    assert_eq!(health.status(), Status::Healthy);

    works.store(false, Ordering::Relaxed);
    seconds(5).await;
    let snapshot = health.snapshot();
    assert_eq!(snapshot.status, Status::Critical);
    assert_eq!(snapshot.component("db").unwrap().reason.as_deref(), Some("switched off"));

    works.store(true, Ordering::Relaxed);
    seconds(3).await;
    assert_eq!(health.status(), Status::Healthy);
    let mut seen = Vec::new();
    while let Ok((component, change)) = changes.try_recv() {
        assert_eq!(component, "db");
        seen.push(change.to);
    }
    assert_eq!(seen, [Status::Healthy, Status::Degraded, Status::Unhealthy, Status::Critical, Status::Healthy]);
}

#[tokio::test(start_paused = true)]
async fn an_optional_component_only_degrades_the_system() {
    let broken = Arc::new(AtomicBool::new(false));
    let works = Arc::new(AtomicBool::new(true));
    let health = Health::builder("test")
        .policy(every_second())
        .component(switched("db", &works))
        .component(switched("mail", &broken).optional())
        .start()
        .unwrap();
    seconds(10).await;
    let snapshot = health.snapshot();
    assert_eq!(snapshot.component("mail").unwrap().status, Status::Critical);
    assert_eq!(snapshot.status, Status::Degraded);
    assert_eq!(snapshot.counts().map(|(_, count)| count), [1, 0, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_or_panics_is_a_failure_and_holds_nobody() {
    let health = Health::builder("test")
        .policy(every_second())
        .component(Component::new("hangs").check_fn(std::future::pending::<Outcome>))
        .component(Component::new("panics").check_fn(|| async { panic_on_purpose() }))
        .component(Component::new("works").check_fn(|| async { Outcome::Pass }))
        .start()
        .unwrap();
    seconds(10).await;
    let snapshot = health.snapshot();
    assert_eq!(snapshot.component("hangs").unwrap().status, Status::Critical);
    assert_eq!(snapshot.component("hangs").unwrap().reason.as_deref(), Some("no outcome within 500ms"));
    assert_eq!(snapshot.component("panics").unwrap().reason.as_deref(), Some("the check panicked"));
    assert_eq!(snapshot.component("works").unwrap().status, Status::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_check_never_runs_twice_at_once() {
    let running = Arc::new(AtomicU32::new(0));
    let most = Arc::new(AtomicU32::new(0));
    let (inside, peak) = (Arc::clone(&running), Arc::clone(&most));
    let check = move || {
        let (running, most) = (Arc::clone(&inside), Arc::clone(&peak));
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            sleep(Duration::from_millis(300)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Outcome::Pass
        }
    };
    let health = Health::builder("test")
        .policy(every_second())
        .component(Component::new("slow").check_fn(check))
        .start()
        .unwrap();
    for _ in 0..10 {
        assert_eq!(health.check_now("slow").await.unwrap(), Outcome::Pass);
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_status_that_nothing_renews_grows_stale() {
    let works = Arc::new(AtomicBool::new(true));
    let health = Health::builder("test").policy(every_second()).component(switched("db", &works)).start().unwrap();
    seconds(2).await;
    health.shutdown().await;
    assert_eq!(health.status(), Status::Healthy);
    seconds(60).await;
    let snapshot = health.snapshot();
    assert!(snapshot.component("db").unwrap().stale);
    assert_eq!(snapshot.status, Status::Unhealthy);
    assert_eq!(health.check_now("db").await, Err(HealthError::Stopped));
    assert_eq!(health.check_all_now().await.unwrap_err(), HealthError::Stopped);
}

#[tokio::test(start_paused = true)]
async fn history_is_bounded_and_in_order() {
    let health = Health::builder("test")
        .policy(every_second())
        .component(Component::new("db").check_fn(|| async { Outcome::degraded("slow") }))
        .start()
        .unwrap();
    seconds(300).await;
    let snapshot = health.snapshot();
    let history = &snapshot.component("db").unwrap().history;
    assert_eq!(history.checks.len(), History::LIMIT);
    assert_eq!(history.transitions.len(), 1);
    assert_eq!(history.transitions[0].from, None);
}

#[tokio::test(start_paused = true)]
async fn the_observer_hears_checks_and_changes() {
    let checked = Arc::new(AtomicU32::new(0));
    let changed = Arc::new(AtomicU32::new(0));
    let (checks, changes) = (Arc::clone(&checked), Arc::clone(&changed));
    let health = Health::builder("test")
        .policy(every_second())
        .component(Component::new("db").check_fn(|| async { Outcome::Pass }))
        .observer(move |event: &HealthEvent<'_>| {
            let counter = match event {
                HealthEvent::Checked { .. } => &checks,
                HealthEvent::Changed { .. } => &changes,
                _ => return,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .start()
        .unwrap();
    health.check_all_now().await.unwrap();
    health.check_all_now().await.unwrap();
    assert!(checked.load(Ordering::Relaxed) >= 2);
    assert_eq!(changed.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_stops_the_checks() {
    let count = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&count);
    let health = Health::builder("test")
        .policy(every_second())
        .component(Component::new("db").check_fn(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Outcome::Pass }
        }))
        .start()
        .unwrap();
    seconds(3).await;
    drop(health);
    tokio::task::yield_now().await;
    let then = count.load(Ordering::Relaxed);
    seconds(10).await;
    assert_eq!(count.load(Ordering::Relaxed), then);
}

#[tokio::test]
async fn what_cannot_be_built_is_named() {
    let pass = || async { Outcome::Pass };
    let component = |name: &str| Component::new(name).check_fn(pass);
    let twice = Health::builder("test").component(component("db")).component(component("db")).start();
    assert_eq!(twice.unwrap_err(), ConfigError::DuplicateName { name: "db".to_owned() });
    let without = Health::builder("test").component(Component::new("db")).start();
    assert_eq!(without.unwrap_err(), ConfigError::MissingCheck { name: "db".to_owned() });
    let cases = [
        (Policy::default().interval(Duration::ZERO), "policy.interval"),
        (Policy::default().timeout(Duration::ZERO), "policy.timeout"),
        (Policy::default().unhealthy_after(0), "policy.unhealthy_after"),
        (Policy::default().critical_after(1), "policy.critical_after"),
        (Policy::default().healthy_after(0), "policy.healthy_after"),
    ];
    for (policy, expected) in cases {
        match Health::builder("test").component(component("db").policy(policy)).start() {
            Err(ConfigError::OutOfBounds { field, .. }) => assert_eq!(field, expected),
            other => panic!("expected {expected} out of bounds, got {other:?}"),
        }
    }
    let health = Health::builder("test").component(component("db")).start().unwrap();
    let error = health.check_now("dB").await.unwrap_err();
    assert_eq!(error.to_string(), "no component is named \"dB\", expected one of: db");
}

#[test]
fn outside_of_a_runtime_the_start_is_refused() {
    assert_eq!(Health::builder("test").start().unwrap_err(), ConfigError::NoRuntime);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_reads_back_from_json() {
    let works = Arc::new(AtomicBool::new(false));
    let health = Health::builder("test").policy(every_second()).component(switched("db", &works)).start().unwrap();
    sleep(Duration::from_millis(1_500)).await;
    let snapshot = health.snapshot();
    let json = serde_json::to_string(&snapshot).unwrap();
    assert!(json.contains("\"UNHEALTHY\""), "{json}");
    assert_eq!(serde_json::from_str::<bedplate_health::Snapshot>(&json).unwrap(), snapshot);
    assert!(snapshot.to_string().contains("db               UNHEALTHY switched off"));
}

#[test]
fn public_types_are_send_and_sync() {
    const fn check<T: Send + Sync + 'static>() {}
    check::<Health>();
    check::<Component>();
    check::<bedplate_health::Snapshot>();
}

#[expect(clippy::panic, reason = "the check of this test panics on purpose")]
fn panic_on_purpose() -> Outcome {
    panic!("on purpose")
}
