//! Loads on demand.

use std::time::Duration;

use bedplate_cache::{Cache, LoadError, Source};
use tokio::time::sleep;

type Refused = &'static str;

fn builder() -> bedplate_cache::CacheBuilder<u64, u64> {
    Cache::builder("refresh").ttl(Duration::from_mins(1)).stale_if_error(Duration::from_hours(1))
}

async fn after(delay: Duration, answer: Result<u64, Refused>) -> Result<u64, Refused> {
    sleep(delay).await;
    answer
}

#[tokio::test(start_paused = true)]
async fn the_new_value_takes_the_place_of_a_fresh_one_that_is_served_until_then() {
    let cache = builder().build().unwrap();
    cache.insert(1, 10);
    let refreshing = tokio::spawn({
        let cache = cache.clone();
        async move { cache.refresh(1, |_| after(Duration::from_secs(5), Ok(11))).await }
    });
    sleep(Duration::from_secs(1)).await;
    assert_eq!(cache.get(&1), Some(10));
    let fetched = refreshing.await.unwrap().unwrap();
    assert_eq!((fetched.into_parts(), cache.get(&1)), ((11, Source::Loaded), Some(11)));
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_and_what_is_held_stays() {
    let cache = builder().hard_timeout(Duration::from_secs(2)).build().unwrap();
    cache.insert(1, 10);
    let failed = cache.refresh(1, |_| after(Duration::ZERO, Err("down"))).await;
    assert_eq!(failed.unwrap_err().loader_error(), Some(&"down"));
    // A stale value would do for others, and is no answer here.
    sleep(Duration::from_mins(2)).await;
    let slow = cache.refresh(1, |_| after(Duration::from_mins(1), Ok(11))).await;
    assert!(matches!(slow, Err(LoadError::TimedOut { waited, .. }) if waited == Duration::from_secs(2)));
    sleep(Duration::from_mins(1)).await;
    assert_eq!(cache.get(&1), Some(11), "it went on");
    assert_eq!(cache.stats().fallbacks, 0);
}

#[tokio::test(start_paused = true)]
async fn an_older_load_serves_its_callers_and_is_not_stored() {
    let cache = builder().build().unwrap();
    let older = tokio::spawn({
        let cache = cache.clone();
        async move { cache.get_or_load(1, |_| after(Duration::from_secs(10), Ok(1))).await }
    });
    sleep(Duration::from_secs(1)).await;
    let newer = cache.refresh(1, |_| after(Duration::from_secs(1), Ok(2))).await;
    assert_eq!(newer.unwrap().into_value(), 2);
    assert_eq!(older.await.unwrap().unwrap().into_value(), 1);
    assert_eq!(cache.get(&1), Some(2));
    assert_eq!(cache.stats().loads, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_invalidated_while_it_is_loaded_is_not_stored() {
    let cache = builder().build().unwrap();
    let refreshing = tokio::spawn({
        let cache = cache.clone();
        async move { cache.refresh(1, |_| after(Duration::from_secs(5), Ok(11))).await }
    });
    sleep(Duration::from_secs(1)).await;
    cache.remove(&1);
    assert_eq!(refreshing.await.unwrap().unwrap().into_value(), 11);
    assert_eq!(cache.get(&1), None);
}

#[test]
fn a_thread_needs_no_runtime_for_it() {
    let cache = builder().build().unwrap();
    assert_eq!(cache.refresh_blocking(1, |_| Ok::<_, Refused>(5)).unwrap().into_value(), 5);
    assert_eq!(cache.refresh_blocking(1, |_| Err("down")).unwrap_err().loader_error(), Some(&"down"));
    let panicked = cache.refresh_blocking(1, |_| -> Result<u64, Refused> { std::panic::panic_any("no") });
    assert!(matches!(panicked, Err(LoadError::Panicked { message, .. }) if &*message == "no"));
    assert_eq!(cache.get(&1), Some(5));
}
