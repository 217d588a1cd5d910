//! The stampede table: five hundred tasks at once on one key, and one call of the origin in each
//! row.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedplate_cache::{Cache, CacheBuilder, Fetched, LoadError, Source};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};

const TASKS: usize = 500;

type Answer = Result<(u64, Source), LoadError<io::Error>>;

#[derive(Clone, Copy)]
enum Loader {
    Good,
    Failing,
    Panicking,
    Endless,
}

#[expect(clippy::panic, reason = "a loader that panics is a row of the table")]
async fn load(loader: Loader, calls: Arc<AtomicU64>, gate: Arc<Semaphore>) -> Result<u64, io::Error> {
    calls.fetch_add(1, Ordering::Relaxed);
    // Not before all have come, however slow the machine is.
    gate.acquire().await.map_err(io::Error::other)?.forget();
    sleep(Duration::from_millis(5)).await;
    match loader {
        Loader::Good => Ok(7),
        Loader::Failing => Err(io::Error::other("down")),
        Loader::Panicking => panic!("broken"),
        Loader::Endless => std::future::pending().await,
    }
}

struct Row {
    calls: u64,
    answers: Vec<Answer>,
    took: Duration,
}

/// Runs a row; `aborted` of the first tasks are ended while they wait.
async fn row(cache: &Cache<u64, u64>, loader: Loader, aborted: usize) -> Row {
    let (calls, gate) = (Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    let mut handles = Vec::new();
    for _ in 0..TASKS {
        let (cache, calls, gate) = (cache.clone(), Arc::clone(&calls), Arc::clone(&gate));
        handles.push(tasks.spawn(async move {
            cache.get_or_load(1, move |_| load(loader, calls, gate)).await.map(Fetched::into_parts)
        }));
    }
    while cache.stats().coalesced + 1 < TASKS as u64 && cache.stats().hits_stale == 0 {
        tokio::task::yield_now().await;
    }
    for handle in handles.iter().take(aborted) {
        handle.abort();
    }
    gate.add_permits(TASKS);
    let mut answers = Vec::new();
    while let Some(answer) = tasks.join_next().await {
        answers.extend(answer.ok());
    }
    Row { calls: calls.load(Ordering::Relaxed), answers, took: began.elapsed() }
}

fn cache(set: impl FnOnce(CacheBuilder<u64, u64>) -> CacheBuilder<u64, u64>) -> Cache<u64, u64> {
    set(Cache::builder("stampede").ttl(Duration::from_secs(10))).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn good_failing_panicking() {
    let good = row(&cache(|builder| builder), Loader::Good, 0).await;
    assert_eq!((good.calls, good.answers.len()), (1, TASKS));
    assert!(good.answers.iter().all(|answer| matches!(answer, Ok((7, _)))));
    let failing = row(&cache(|builder| builder), Loader::Failing, 0).await;
    assert_eq!((failing.calls, failing.answers.len()), (1, TASKS));
    assert!(failing.answers.iter().all(|answer| matches!(answer, Err(LoadError::Loader(_)))));
    assert_eq!(failing.took, Duration::from_millis(5), "all are told at once");
    let panicking = row(&cache(|builder| builder), Loader::Panicking, 0).await;
    assert_eq!((panicking.calls, panicking.answers.len()), (1, TASKS));
    assert!(panicking.answers.iter().all(|answer| matches!(answer, Err(LoadError::Panicked { .. }))));
}

#[tokio::test(start_paused = true)]
async fn an_aborted_leader_and_a_hundred_of_its_followers() {
    let cache = cache(|builder| builder);
    let aborted = row(&cache, Loader::Good, 101).await;
    assert_eq!((aborted.calls, aborted.answers.len()), (1, TASKS - 101));
    assert!(aborted.answers.iter().all(|answer| matches!(answer, Ok((7, Source::Coalesced)))));
}

#[tokio::test(start_paused = true)]
async fn a_hanging_origin_and_a_hard_timeout() {
    let cache = cache(|builder| builder.hard_timeout(Duration::from_secs(2)));
    let hanging = row(&cache, Loader::Endless, 0).await;
    assert_eq!((hanging.calls, hanging.took), (1, Duration::from_secs(2)));
    assert!(hanging.answers.iter().all(|answer| matches!(answer, Err(LoadError::TimedOut { .. }))));
    assert_eq!(cache.stats().timeouts, TASKS as u64);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_origin_and_a_soft_timeout_over_something_stale() {
    let cache = cache(|builder| builder.stale_if_error(Duration::from_mins(1)).soft_timeout(Duration::from_secs(1)));
    cache.insert(1, 5);
    advance(Duration::from_secs(10)).await;
    let hanging = row(&cache, Loader::Endless, 0).await;
    assert_eq!((hanging.calls, hanging.took), (1, Duration::from_secs(1)));
    assert!(hanging.answers.iter().all(|answer| matches!(answer, Ok((5, Source::StaleOnTimeout)))));
}

#[tokio::test(start_paused = true)]
async fn a_failing_origin_over_something_stale() {
    for (set, source) in [
        (
            (|builder| builder.stale_if_error(Duration::from_mins(1))) as fn(CacheBuilder<_, _>) -> _,
            Source::StaleOnError,
        ),
        (|builder| builder.stale_while_revalidate(Duration::from_mins(1)), Source::StaleRevalidating),
    ] {
        let cache = cache(set);
        cache.insert(1, 5);
        advance(Duration::from_secs(10)).await;
        let failing = row(&cache, Loader::Failing, 0).await;
        sleep(Duration::from_millis(10)).await;
        assert_eq!((failing.calls, cache.stats().loads), (1, 1));
        assert!(failing.answers.iter().all(|answer| matches!(answer, Ok((5, from)) if *from == source)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_too() {
    for loader in [Loader::Good, Loader::Failing, Loader::Panicking] {
        let row = row(&cache(|builder| builder), loader, 0).await;
        assert_eq!(row.answers.len(), TASKS);
        assert_eq!(row.calls, 1);
    }
}
