//! Threads without a runtime.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::Duration;

use bedplate_cache::{Cache, EntryOptions, Fetched, LoadError, ManualClock, Source};

type Answer = Result<(u64, Source), LoadError<io::Error>>;

fn cache() -> Cache<u64, u64> {
    Cache::builder("blocking").build().unwrap()
}

/// Runs as many threads as given on key 1, and lets the one load end when all others wait for it.
fn herd(cache: &Cache<u64, u64>, threads: u64, answer: fn() -> Result<u64, io::Error>) -> (u64, Vec<Answer>) {
    let calls = AtomicU64::new(0);
    let answers = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let load = cache.get_or_load_blocking(1, |_| {
                        calls.fetch_add(1, Ordering::Relaxed);
                        while cache.stats().coalesced + 1 < threads {
                            thread::yield_now();
                        }
                        answer()
                    });
                    load.map(Fetched::into_parts)
                })
            })
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    (calls.into_inner(), answers)
}

#[test]
fn one_call_for_all_threads() {
    let (calls, answers) = herd(&cache(), 50, || Ok(7));
    assert_eq!((calls, answers.len()), (1, 50));
    assert!(answers.iter().all(|answer| matches!(answer, Ok((7, _)))));
    let (calls, answers) = herd(&cache(), 50, || Err(io::Error::other("down")));
    assert_eq!(calls, 1);
    assert!(answers.iter().all(|answer| matches!(answer, Err(LoadError::Loader(_)))));
    let (calls, answers) = herd(&cache(), 50, || panic!("broken"));
    assert_eq!(calls, 1);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Err(LoadError::Panicked { message, .. }) if &**message == "broken"))
    );
}

#[test]
fn a_loader_that_asks_for_its_own_key_is_told() {
    let cache = cache();
    let outer = cache.get_or_load_blocking(1, |_| {
        let middle = cache.get_or_load_blocking(2, |_| {
            let own = cache.get_or_load_blocking(1, |_| Ok::<_, io::Error>(0));
            assert!(matches!(own, Err(LoadError::Reentrant)), "{own:?}");
            Ok::<_, io::Error>(2)
        });
        Ok::<_, io::Error>(middle.unwrap().into_value() + 1)
    });
    assert_eq!(outer.unwrap().into_value(), 3);
    assert_eq!((cache.get(&1), cache.get(&2)), (Some(3), Some(2)));
}

#[test]
fn one_thread_refreshes_while_the_others_are_served_stale() {
    let clock = Arc::new(ManualClock::new());
    let cache: Cache<u64, u64> = Cache::builder("stale")
        .ttl(Duration::from_secs(10))
        .stale_while_revalidate(Duration::from_mins(1))
        .clock(Arc::<ManualClock>::clone(&clock))
        .build()
        .unwrap();
    cache.insert(1, 1);
    clock.advance(Duration::from_secs(10));
    let refreshed = cache.get_or_load_blocking(1, |_| {
        let other = thread::scope(|scope| {
            let ask = || cache.get_or_load_blocking(1, |_| Err(io::Error::other("not called"))).unwrap();
            scope.spawn(ask).join().unwrap()
        });
        assert_eq!(other.into_parts(), (1, Source::StaleRevalidating));
        Ok::<_, io::Error>(2)
    });
    assert_eq!(refreshed.unwrap().into_parts(), (2, Source::Loaded));
    clock.advance(Duration::from_secs(10));
    let failed = cache.get_or_load_blocking(1, |_| Err(io::Error::other("down"))).unwrap();
    assert_eq!((failed.source(), failed.age()), (Source::StaleRevalidating, Some(Duration::from_secs(10))));
}

#[test]
fn a_refresh_that_is_overtaken_serves_its_own_thread_and_no_later_one() {
    let clock = Arc::new(ManualClock::new());
    let cache: Cache<u64, u64> = Cache::builder("overtaken")
        .ttl(Duration::from_secs(10))
        .stale_while_revalidate(Duration::from_mins(1))
        .clock(Arc::<ManualClock>::clone(&clock))
        .build()
        .unwrap();
    cache.insert_with(1, 1, EntryOptions::new().tag("red"));
    clock.advance(Duration::from_secs(10));
    let refreshed = cache.get_or_load_blocking(1, |cx| {
        cx.tag("red");
        cache.invalidate_tag("red");
        Ok::<_, io::Error>(2)
    });
    // It asked before the invalidation, and what it gets is younger than what it would have got.
    assert_eq!(refreshed.unwrap().into_parts(), (2, Source::Loaded));
    assert_eq!((cache.get(&1), cache.stats().refreshes), (None, 1));
    let later = cache.get_or_load_blocking(1, |_| Ok::<_, io::Error>(3)).unwrap();
    assert_eq!(later.into_parts(), (3, Source::Loaded));
}

#[test]
fn who_waits_gives_up_at_the_hard_timeout() {
    let cache: Cache<u64, u64> = Cache::builder("slow").hard_timeout(Duration::from_millis(20)).build().unwrap();
    let (release, held) = mpsc::channel::<()>();
    let inside = Barrier::new(2);
    thread::scope(|scope| {
        let leader = scope.spawn(|| {
            cache.get_or_load_blocking(1, |_| {
                inside.wait();
                held.into_iter().next();
                Ok::<_, io::Error>(7)
            })
        });
        inside.wait();
        let waiting = cache.get_or_load_blocking(1, |_| Ok::<_, io::Error>(0));
        assert!(matches!(waiting, Err(LoadError::TimedOut { .. })), "{waiting:?}");
        release.send(()).unwrap();
        assert_eq!(leader.join().unwrap().unwrap().into_value(), 7);
    });
    assert_eq!((cache.get(&1), cache.stats().timeouts), (Some(7), 1));
}

#[test]
fn threads_and_tasks_share_a_load() {
    let cache = cache();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // A thread joins a task's load.
    let (release, gate) = tokio::sync::oneshot::channel::<()>();
    let task = runtime.spawn({
        let cache = cache.clone();
        async move {
            let load = cache.get_or_load(1, |_| async move {
                gate.await.unwrap();
                Ok::<_, io::Error>(1)
            });
            load.await.unwrap().into_parts()
        }
    });
    while cache.stats().loads == 0 {
        thread::yield_now();
    }
    let joined = thread::scope(|scope| {
        let thread = scope.spawn(|| cache.get_or_load_blocking(1, |_| Ok::<_, io::Error>(0)).unwrap().into_parts());
        while cache.stats().coalesced == 0 {
            thread::yield_now();
        }
        release.send(()).unwrap();
        thread.join().unwrap()
    });
    assert_eq!((joined, runtime.block_on(task).unwrap()), ((1, Source::Coalesced), (1, Source::Loaded)));
    // A task joins a thread's load.
    let led = cache.get_or_load_blocking(2, |_| {
        let task = runtime.spawn({
            let cache = cache.clone();
            async move { cache.get_or_load(2, |_| async { Ok::<_, io::Error>(0) }).await.unwrap().into_parts() }
        });
        while cache.stats().coalesced == 1 {
            thread::yield_now();
        }
        assert!(!task.is_finished());
        Ok::<_, io::Error>(2)
    });
    assert_eq!(led.unwrap().into_parts(), (2, Source::Loaded));
}
