//! What is known of a running system: the checks of its six subsystems, and its metrics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bedplate_cache::Cache;
use bedplate_collaboration::Hub;
use bedplate_health::{Component, Health, Outcome, Policy};
use bedplate_observability::{ConfigError, Metric, MetricKind, Observability, Sample};
use bedplate_recovery::{BreakerState, CircuitBreaker};
use bedplate_storage::Store;
use bedplate_tasks::{Priority, Task, TaskPool};

use crate::BuildError;
use crate::processed::Answered;
use crate::settings::HealthSettings;
use crate::system::System;

/// What the checks look at.
pub(crate) struct Watched {
    pub(crate) cache: Cache<String, Arc<Answered>>,
    pub(crate) pool: TaskPool,
    pub(crate) queue: u64,
    pub(crate) breakers: Vec<CircuitBreaker>,
    pub(crate) documents: Hub,
    pub(crate) telemetry: Observability,
    pub(crate) store: Arc<dyn Store>,
}

/// Starts the checks of the six subsystems.
pub(crate) fn health(watched: Watched, settings: HealthSettings) -> Result<Health, BuildError> {
    let Watched { cache, pool, queue, breakers, documents, telemetry, store } = watched;
    let policy = Policy::default().interval(settings.interval).timeout(settings.timeout);
    let patience = settings.timeout / 2;
    let lines_dropped = Arc::new(AtomicU64::new(0));
    Health::builder("bedplate")
        .policy(policy)
        .component(Component::new("cache").check_fn(move || std::future::ready(check_cache(&cache))))
        .component(Component::new("tasks").check_fn(move || check_tasks(pool.clone(), queue, patience)))
        .component(Component::new("recovery").check_fn(move || std::future::ready(check_recovery(&breakers))))
        .component(Component::new("collaboration").optional().check_fn(move || check_documents(documents.clone())))
        .component(
            Component::new("observability")
                .optional()
                .check_fn(move || std::future::ready(check_log(&telemetry, &lines_dropped))),
        )
        .component(Component::new("storage").check_fn(move || {
            let store = Arc::clone(&store);
            async move { store.ping().await }
        }))
        .start()
        .map_err(|error| BuildError::part("health", error))
}

/// The budget must hold, and what was stored must be found.
fn check_cache(cache: &Cache<String, Arc<Answered>>) -> Outcome {
    let stats = cache.stats();
    if stats.bytes > stats.max_bytes {
        return Outcome::fail(format!("{} bytes held of {} allowed", stats.bytes, stats.max_bytes));
    }
    // No answer's key is a single word.
    let probe = Answered {
        output: Arc::new(crate::Output::Json(serde_json::Value::Null)),
        served_by: "health".into(),
        quality: 1.0,
        attempts: 0,
        weight: 64,
    };
    cache.insert(PROBE.to_owned(), Arc::new(probe));
    let found = cache.contains(PROBE);
    cache.remove(PROBE);
    if found { Outcome::Pass } else { Outcome::degraded("a stored answer was not found again") }
}

const PROBE: &str = "health";

/// A task of the highest priority must come through, and the queue must have room.
async fn check_tasks(pool: TaskPool, queue: u64, patience: Duration) -> Outcome {
    let queued = pool.stats().queued;
    if queued * 10 >= queue * 9 {
        return Outcome::degraded(format!("{queued} of {queue} places in the queue are taken"));
    }
    let probe = Task::infallible("health", |_| async {}).priority(Priority::High);
    let Ok(handle) = pool.try_submit(probe) else {
        return Outcome::fail("the pool takes no tasks");
    };
    match tokio::time::timeout(patience, handle.cancel_on_drop()).await {
        Ok(Ok(())) => Outcome::Pass,
        Ok(Err(error)) => Outcome::fail(format!("the probe ended wrongly: {error}")),
        Err(_) => Outcome::degraded(format!("no worker was free within {patience:?}")),
    }
}

/// Breakers that are not closed keep processors from being called.
fn check_recovery(breakers: &[CircuitBreaker]) -> Outcome {
    let open: Vec<&str> = breakers
        .iter()
        .filter(|breaker| !matches!(breaker.state(), BreakerState::Closed))
        .map(CircuitBreaker::name)
        .collect();
    if open.is_empty() { Outcome::Pass } else { Outcome::degraded(format!("not calling {}", open.join(", "))) }
}

/// A document must take an edit and give it back.
async fn check_documents(documents: Hub) -> Outcome {
    Outcome::from(documents.self_check().await)
}

/// Log lines that were dropped since the last check.
fn check_log(telemetry: &Observability, seen: &AtomicU64) -> Outcome {
    let stats = telemetry.log_stats();
    let lost = stats.dropped + stats.failed;
    let new = lost.saturating_sub(seen.swap(lost, Ordering::Relaxed));
    if new == 0 { Outcome::Pass } else { Outcome::degraded(format!("{new} log lines were lost")) }
}

/// Supplies the system's figures to the Prometheus text. The telemetry must not keep the system alive.
pub(crate) fn register(system: &Arc<System>) -> Result<(), ConfigError> {
    use MetricKind::{Counter, Gauge};
    type Count = fn(&System) -> u64;
    type Labeled = fn(&System) -> Vec<(&'static str, u64)>;
    let counts: [(&'static str, MetricKind, &'static str, Count); 10] = [
        ("bedplate_requests_in_flight", Gauge, "Requests under way.", |system| system.counters().in_flight),
        ("bedplate_retries_total", Counter, "Attempts beyond the first.", |system| system.counters().retries),
        ("bedplate_cache_entries", Gauge, "Answers in the cache.", |system| system.cache.stats().entries),
        ("bedplate_cache_bytes", Gauge, "What the cached answers weigh.", |system| system.cache.stats().bytes),
        ("bedplate_cache_evictions_total", Counter, "Answers that gave way.", |system| system.cache.stats().evictions),
        ("bedplate_cache_load_failures_total", Counter, "Failed loads.", |system| system.cache.stats().load_failures),
        ("bedplate_tasks_queued", Gauge, "Requests that wait for a worker.", |system| system.pool.stats().queued),
        ("bedplate_tasks_running", Gauge, "Requests that hold a worker.", |system| system.pool.stats().running),
        ("bedplate_tasks_rejected_total", Counter, "Requests that found no room.", |system| {
            system.pool.stats().rejected
        }),
        ("bedplate_breakers_open", Gauge, "Breakers that are not closed.", |system| {
            system.guards().filter(|guard| !matches!(guard.breaker.state(), BreakerState::Closed)).count() as u64
        }),
    ];
    let labeled: [(&'static str, &'static str, &'static str, Labeled); 3] = [
        ("bedplate_requests_total", "status", "Requests that ended, by status.", |system| {
            let counters = system.counters();
            vec![("succeeded", counters.succeeded), ("degraded", counters.degraded), ("failed", counters.failed)]
        }),
        ("bedplate_cache_lookups_total", "result", "Lookups of answers, by result.", |system| {
            let stats = system.cache.stats();
            let loads = stats.misses().saturating_sub(stats.coalesced);
            vec![("hit", stats.hits), ("miss", loads), ("coalesced", stats.coalesced)]
        }),
        ("bedplate_records_total", "fate", "Records of requests, by fate.", |system| {
            let stats = system.recorder.stats();
            let dropped = system.counters().records_dropped;
            vec![("written", stats.written), ("refused", stats.refused), ("dropped", dropped)]
        }),
    ];
    for (name, kind, help, read) in counts {
        supply(system, name, kind, help, move |system| vec![Sample::count(read(system))])?;
    }
    for (name, label, help, read) in labeled {
        supply(system, name, Counter, help, move |system| {
            read(system).into_iter().map(|(value, count)| Sample::count(count).label(label, value)).collect()
        })?;
    }
    let help = "Status of each subsystem: 0 HEALTHY, 1 DEGRADED, 2 UNHEALTHY, 3 CRITICAL.";
    supply(system, "bedplate_health_status", Gauge, help, |system| {
        let components = system.health.snapshot().components.into_iter();
        components.map(|(name, one)| Sample::count(one.status as u64).label("component", name)).collect()
    })
}

fn supply(
    system: &Arc<System>,
    name: &'static str,
    kind: MetricKind,
    help: &'static str,
    read: impl Fn(&System) -> Vec<Sample> + Send + Sync + 'static,
) -> Result<(), ConfigError> {
    let weak: Weak<System> = Arc::downgrade(system);
    let values = move || weak.upgrade().map(|system| read(&system)).unwrap_or_default();
    system.telemetry.register(Metric::new(name, kind, help, values))
}
