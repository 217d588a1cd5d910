//! Each mode has effects that can be seen from outside.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bedplate::health::Status as HealthStatus;
use bedplate::storage::{MemoryStore, Store};
use bedplate::{Bedplate, ErrorKind, Mode, ProcessorError, Request, SettingSource};

use crate::support::{Scripted, done};

/// How often a mode tries a processor that fails for now, and whether it then degrades.
async fn attempts(mode: Mode) -> (u32, bool) {
    let processor = Scripted::new(|_| Err(ProcessorError::transient("down")));
    let calls = processor.calls();
    let builder = Bedplate::builder().mode(mode).processor(processor);
    let system =
        builder.configure(|settings| settings.recovery.backoff = Duration::from_millis(1)).build().await.unwrap();
    let degraded = system.process(Request::text("t")).await.is_ok();
    (calls.load(Ordering::SeqCst), degraded)
}

#[tokio::test]
async fn modes_try_and_degrade_differently() {
    assert_eq!(attempts(Mode::Standard).await, (2, true));
    assert_eq!(attempts(Mode::Performance).await, (1, true));
    assert_eq!(attempts(Mode::Resilient).await, (4, true));
    assert_eq!(attempts(Mode::Development).await, (1, false));
}

#[tokio::test]
async fn resilient_and_development_record_before_they_reply() {
    let modes =
        [(Mode::Standard, false), (Mode::Performance, false), (Mode::Resilient, true), (Mode::Development, true)];
    for (mode, before) in modes {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let system = Bedplate::builder().mode(mode).store(Arc::clone(&store)).build().await.unwrap();
        let processed = system.process(Request::text("t")).await.unwrap();
        let recorded = store.interaction(processed.id).await.unwrap().is_some();
        assert_eq!(recorded, before, "{mode}");
    }
}

/// Sends more requests than fit, and says how many were refused as too many.
async fn refused(mode: Mode) -> usize {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let processor = Scripted::new(move |_| {
        // Each call waits for its turn.
        let _released = gate.lock().unwrap().recv();
        done()
    });
    let calls = processor.calls();
    let small = |settings: &mut bedplate::Settings| {
        settings.workers.workers = 1;
        settings.workers.queue = 1;
    };
    let system = Bedplate::builder().mode(mode).processor(processor).configure(small).build().await.unwrap();
    let mut requests = tokio::task::JoinSet::new();
    for index in 0..6 {
        let own = system.clone();
        requests.spawn(async move { own.process(Request::text(format!("text {index}"))).await });
    }
    // One runs; the others wait or are refused.
    while calls.load(Ordering::SeqCst) == 0 || system.counters().in_flight + system.counters().requests < 6 {
        tokio::task::yield_now().await;
    }
    for _ in 0..6 {
        release.send(()).unwrap();
    }
    let mut refused = 0;
    while let Some(ended) = requests.join_next().await {
        if let Err(error) = ended.unwrap() {
            assert_eq!(error.kind(), ErrorKind::Overloaded);
            assert!(error.is_transient());
            refused += 1;
        }
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn where_standard_refuses_resilient_waits() {
    assert!(refused(Mode::Standard).await > 0);
    assert_eq!(refused(Mode::Resilient).await, 0);
}

#[tokio::test]
async fn the_effective_settings_say_where_they_come_from() {
    let system = Bedplate::builder()
        .mode(Mode::Resilient)
        .config_text("service.toml", "[cache]\nttl = \"5m\"\nmax_bytes = 2097152\n[recovery]\nattempts = 7")
        .configure(|settings| settings.recovery.attempts = 9)
        .build()
        .await
        .unwrap();
    let explained = system.explain();
    let source = |key| explained.setting(key).unwrap().source.clone();
    assert_eq!(source("workers.workers"), SettingSource::Mode(Mode::Resilient));
    assert_eq!(source("cache.ttl"), SettingSource::File("service.toml".into()));
    assert_eq!(source("recovery.attempts"), SettingSource::Code);
    assert_eq!(explained.setting("cache.ttl").unwrap().value, "5m");
    assert_eq!(system.settings().cache.ttl, Duration::from_mins(5));
    assert_eq!(system.settings().recovery.attempts, 9);
    assert_eq!(system.cache_stats().max_bytes, 2_097_152);
    assert_eq!(system.tasks().stats().workers, 20);
    let table = explained.to_string();
    assert!(table.starts_with("mode RESILIENT\n"), "{table}");
    assert!(table.lines().any(|line| line.contains("cache.ttl") && line.ends_with("file service.toml")), "{table}");
}

#[tokio::test]
async fn every_mode_starts_healthy_with_six_subsystems() {
    for mode in Mode::ALL {
        let system = Bedplate::builder().mode(mode).build().await.unwrap();
        let health = system.health().check_all_now().await.unwrap();
        assert_eq!(health.status, HealthStatus::Healthy, "{mode}: {health}");
        let names: Vec<&str> = health.components.keys().map(String::as_str).collect();
        assert_eq!(names, ["cache", "collaboration", "observability", "recovery", "storage", "tasks"]);
    }
}
