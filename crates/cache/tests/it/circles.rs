//! Loads that wait for one another are told instead of waiting for ever.

use std::sync::Arc;
use std::time::Duration;

use bedplate_cache::{Cache, LoadError};
use tokio::sync::Barrier;
use tokio::time::{sleep, timeout};

type Numbers = Cache<u64, u64>;
type Answer = Result<u64, LoadError<Told>>;

/// What a loader of a circle is told by the next.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    Reentrant,
    ByTheNext,
}

fn numbers(name: &str) -> Numbers {
    Cache::builder(name).build().unwrap()
}

/// Loads `key` of `from` by asking for `next` of `of`, once all of the circle have begun.
async fn link((from, key): (Numbers, u64), (of, next): (Numbers, u64), begun: Arc<Barrier>, later: Duration) -> Answer {
    let load = move |_| async move {
        begun.wait().await;
        sleep(later).await;
        let asked = of.get_or_load(next, |_| async { Err(Told::ByTheNext) }).await;
        asked.map(|fetched| fetched.into_value() + 1).map_err(|error| match error {
            LoadError::Reentrant => Told::Reentrant,
            _ => Told::ByTheNext,
        })
    };
    from.get_or_load(key, load).await.map(bedplate_cache::Fetched::into_value)
}

/// Runs a circle, each link in a task and a cache of its own, and returns what each was told.
async fn circle(links: u64, pause: Duration) -> Vec<Told> {
    let caches: Vec<Numbers> = (0..links).map(|at| numbers(&format!("cache {at}"))).collect();
    let begun = Arc::new(Barrier::new(caches.len()));
    let tasks: Vec<_> = (0u32..)
        .zip(&caches)
        .zip(caches.iter().cycle().skip(1))
        .map(|((at, cache), next)| {
            let (cache, next) = ((cache.clone(), 7), (next.clone(), 7));
            tokio::spawn(link(cache, next, Arc::clone(&begun), pause * at))
        })
        .collect();
    let mut told = Vec::new();
    for task in tasks {
        let answer = timeout(Duration::from_mins(1), task).await.unwrap().unwrap();
        told.push(answer.unwrap_err().loader_error().unwrap().clone());
    }
    told
}

#[tokio::test(start_paused = true)]
async fn two_loads_that_wait_for_each_other_are_told() {
    // The one that would close the circle is told, the other shares its failure.
    assert_eq!(circle(2, Duration::from_secs(1)).await, [Told::ByTheNext, Told::Reentrant]);
}

#[tokio::test(start_paused = true)]
async fn so_are_three_and_eight() {
    for links in [3, 8] {
        let told = circle(links, Duration::from_secs(1)).await;
        let (last, others) = told.split_last().unwrap();
        assert_eq!(*last, Told::Reentrant);
        assert!(others.iter().all(|told| *told == Told::ByTheNext));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circle_that_closes_at_once_from_all_sides_is_found() {
    for _ in 0..200 {
        assert!(circle(3, Duration::ZERO).await.contains(&Told::Reentrant));
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_inside_of_a_load_is_part_of_the_circle() {
    let cache = numbers("nested");
    let (outer, other) = (cache.clone(), cache.clone());
    // 1 runs 2, which waits for 3; 3 asks for 1, which nobody has joined but which cannot end.
    let first = tokio::spawn(async move {
        let inner = outer.clone();
        let load = move |_| async move {
            let innermost = inner.clone();
            let nested = move |_| async move {
                sleep(Duration::from_secs(1)).await;
                let asked = innermost.get_or_load(3, |_| async { Ok::<_, Told>(3) }).await;
                Ok::<_, Told>(asked.map_or(0, |fetched| *fetched.value()))
            };
            let value = inner.get_or_load(2, nested).await.map_err(|_| Told::ByTheNext)?;
            Ok::<_, Told>(*value.value())
        };
        outer.get_or_load(1, load).await.map(|fetched| *fetched.value())
    });
    let second = tokio::spawn(async move {
        let inner = other.clone();
        let load = move |_| async move {
            sleep(Duration::from_secs(2)).await;
            let asked = inner.get_or_load(1, |_| async { Ok::<_, Told>(0) }).await;
            Ok::<_, Told>(if matches!(asked, Err(LoadError::Reentrant)) { 99 } else { 0 })
        };
        other.get_or_load(3, load).await.map(|fetched| *fetched.value())
    });
    let both = async { (first.await.unwrap().unwrap(), second.await.unwrap().unwrap()) };
    assert_eq!(timeout(Duration::from_mins(1), both).await.unwrap(), (99, 99));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_was_given_up_is_no_part_of_a_circle() {
    let cache = numbers("given up");
    let (one, two) = (cache.clone(), cache.clone());
    let first = tokio::spawn(async move {
        let inner = one.clone();
        let load = move |_| async move {
            sleep(Duration::from_millis(1)).await;
            let asked = inner.get_or_load(2, |_| async { Ok::<_, Told>(0) });
            assert!(timeout(Duration::from_secs(1), asked).await.is_err(), "2 takes longer");
            sleep(Duration::from_secs(10)).await;
            Ok::<_, Told>(1)
        };
        one.get_or_load(1, load).await.map(|fetched| *fetched.value())
    });
    let second = tokio::spawn(async move {
        let inner = two.clone();
        let load = move |_| async move {
            sleep(Duration::from_secs(5)).await;
            let asked = inner.get_or_load(1, |_| async { Ok::<_, Told>(0) }).await;
            Ok::<_, Told>(asked.map_or(0, |fetched| *fetched.value()) + 1)
        };
        two.get_or_load(2, load).await.map(|fetched| *fetched.value())
    });
    assert_eq!((first.await.unwrap().unwrap(), second.await.unwrap().unwrap()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn who_is_inside_of_no_load_waits_for_a_load_that_waits() {
    let cache = numbers("chain");
    let (inner, third) = (cache.clone(), cache.clone());
    let slow = tokio::spawn(async move {
        let load = |_| async {
            sleep(Duration::from_secs(5)).await;
            Ok::<_, Told>(1)
        };
        third.get_or_load(1, load).await.map(|fetched| *fetched.value())
    });
    tokio::task::yield_now().await;
    let load = move |_| async move {
        let asked = inner.get_or_load(1, |_| async { Ok::<_, Told>(0) }).await;
        Ok::<_, Told>(asked.map_or(0, |fetched| *fetched.value()) + 1)
    };
    assert_eq!(*cache.get_or_load(2, load).await.unwrap().value(), 2);
    assert_eq!(slow.await.unwrap().unwrap(), 1);
}

#[test]
fn threads_that_wait_for_each_other_are_told() {
    let cache = numbers("threads");
    let begun = Arc::new(std::sync::Barrier::new(2));
    let threads = [(1, 2), (2, 1)].map(|(key, next)| {
        let (cache, begun) = (cache.clone(), Arc::clone(&begun));
        std::thread::spawn(move || {
            let load = |_| {
                begun.wait();
                match cache.get_or_load_blocking(next, |_| Ok::<_, Told>(0)) {
                    Err(LoadError::Reentrant) => Ok(99),
                    other => Ok::<_, Told>(other.map_or(0, bedplate_cache::Fetched::into_value)),
                }
            };
            cache.get_or_load_blocking(key, load).map(bedplate_cache::Fetched::into_value)
        })
    });
    let answers = threads.map(|thread| thread.join().unwrap().unwrap());
    assert_eq!(answers, [99, 99], "one is told, and its answer is the other's");
}
