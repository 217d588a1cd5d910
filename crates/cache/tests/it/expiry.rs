//! Time to idle, jitter, sweeping, and who gives way first.

use std::sync::Arc;
use std::time::Duration;

use bedplate_cache::{Cache, CacheBuilder, EntryOptions, EvictionPolicy, Fetched, ManualClock, Source};

const STEP: Duration = Duration::from_millis(10);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn manual() -> (CacheBuilder<u64, u64>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    (Cache::builder("timed").clock(Arc::<ManualClock>::clone(&clock)), clock)
}

#[test]
fn an_entry_that_is_asked_for_lives_on_and_another_does_not() {
    for policy in [EvictionPolicy::S3Fifo, EvictionPolicy::Lru] {
        let (builder, clock) = manual();
        let cache = builder.policy(policy).time_to_idle(seconds(10)).build().unwrap();
        cache.insert(1, 1);
        cache.insert(2, 2);
        cache.insert_with(3, 3, EntryOptions::new().time_to_idle(seconds(30)));
        cache.insert_with(4, 4, EntryOptions::new().without_expiry());
        for _ in 0..3 {
            clock.advance(seconds(9));
            assert_eq!(cache.get(&1), Some(1));
        }
        assert!(!cache.contains(&2));
        assert_eq!((cache.get(&2), cache.get(&3), cache.get(&4)), (None, Some(3), Some(4)));
        clock.advance(seconds(10) + STEP);
        // To ask whether it is there does not keep it.
        assert!(!cache.contains(&1) && cache.contains(&3));
        assert_eq!(cache.maintain(), 1);
        assert_eq!((cache.stats().misses_expired, cache.len()), (1, 2));
    }
}

#[test]
fn the_time_to_live_ends_an_entry_in_use() {
    let (builder, clock) = manual();
    let cache = builder.time_to_idle(seconds(5)).ttl(seconds(8)).build().unwrap();
    cache.insert(1, 1);
    clock.advance(seconds(4));
    assert_eq!(cache.get(&1), Some(1));
    clock.advance(seconds(4));
    assert_eq!(cache.get(&1), None);
}

#[test]
fn what_was_stored_together_does_not_expire_together() {
    let (builder, clock) = manual();
    let cache = builder.ttl(seconds(100)).seed(5).build().unwrap();
    for key in 0..1000 {
        cache.insert(key, key);
    }
    clock.advance(Duration::from_millis(94_999));
    let live = |cache: &Cache<u64, u64>| (0..1000).filter(|key| cache.contains(key)).count();
    assert_eq!(live(&cache), 1000, "no more than five percent are cut off");
    let mut left = vec![1000];
    for _ in 0..5 {
        clock.advance(Duration::from_millis(1001));
        left.push(live(&cache));
    }
    assert_eq!(left.last(), Some(&0), "and nothing outlives its time");
    assert!(
        left.windows(2).all(|pair| matches!(pair, [before, after] if (120..280).contains(&(before - after)))),
        "{left:?}"
    );
}

#[test]
fn a_seed_makes_the_jitter_the_same_again_and_none_makes_it_exact() {
    let survivors = |seed: u64, percent: u8| {
        let (builder, clock) = manual();
        let cache = builder.ttl(seconds(100)).seed(seed).jitter_percent(percent).build().unwrap();
        for key in 0..200 {
            cache.insert(key, key);
        }
        clock.advance(seconds(97));
        (0..200).filter(|key| cache.contains(key)).collect::<Vec<u64>>()
    };
    assert_eq!(survivors(1, 5), survivors(1, 5));
    assert_ne!(survivors(1, 5), survivors(2, 5));
    assert_eq!(survivors(1, 0).len(), 200);
}

#[test]
fn what_has_expired_gives_way_first() {
    for policy in [EvictionPolicy::S3Fifo, EvictionPolicy::Lru] {
        let (builder, clock) = manual();
        let cache = builder.policy(policy).max_bytes(96 * 12).weigher(|_: &u64, _: &u64| 8).build().unwrap();
        for key in 0..12 {
            let options = EntryOptions::new();
            cache.insert_with(key, key, if key % 2 == 0 { options.ttl(seconds(1)) } else { options });
        }
        clock.advance(seconds(2));
        for key in 12..18 {
            cache.insert(key, key);
        }
        let kept: Vec<u64> = (0..18).filter(|key| cache.contains(key)).collect();
        assert_eq!(kept, [1, 3, 5, 7, 9, 11, 12, 13, 14, 15, 16, 17], "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_sweeps_and_keeps_nothing_alive() {
    let value = Arc::new(7u64);
    let cache: Cache<u64, Arc<u64>> = Cache::builder("swept").ttl(seconds(5)).sweep_every(seconds(1)).build().unwrap();
    for key in 0..3000 {
        cache.insert(key, Arc::clone(&value));
    }
    tokio::time::sleep(seconds(4)).await;
    assert_eq!(cache.len(), 3000);
    tokio::time::sleep(seconds(3)).await;
    assert_eq!((cache.len(), cache.bytes(), cache.stats().expirations), (0, 0, 3000));
    cache.insert(1, Arc::clone(&value));
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!((Arc::strong_count(&value), tasks), (2, 1));
    drop(cache);
    tokio::time::sleep(seconds(1)).await;
    let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    assert_eq!((Arc::strong_count(&value), tasks), (1, 0), "the task ended with the cache");
}

/// Panics in its `Drop`, if it is told to.
struct Bomb {
    armed: bool,
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.armed, "a drop that panics");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_goes_on_after_a_drop_that_panics() {
    let builder = Cache::<u64, Arc<Bomb>>::builder("mined").weigher(|_: &u64, _: &Arc<Bomb>| 16).shards(8);
    let cache = builder.ttl(seconds(5)).sweep_every(seconds(1)).build().unwrap();
    for round in 0..3 {
        for key in 0..500 {
            cache.insert(key, Arc::new(Bomb { armed: key == 200 + round }));
        }
        tokio::time::sleep(seconds(7)).await;
        assert_eq!((cache.len(), cache.bytes(), cache.stats().expirations), (0, 0, 500 * (round + 1)));
    }
}

#[test]
fn after_a_drop_that_panics_nothing_untrue_comes_back() {
    for policy in [EvictionPolicy::S3Fifo, EvictionPolicy::Lru] {
        let builder = Cache::<u64, Arc<Bomb>>::builder("mined").weigher(|_: &u64, _: &Arc<Bomb>| 16).shards(8);
        let cache = builder.policy(policy).build().unwrap();
        for key in 0..500 {
            let options = if key % 2 == 0 { EntryOptions::new().tag("even") } else { EntryOptions::new() };
            cache.insert_with(key, Arc::new(Bomb { armed: key == 200 }), options);
        }
        cache.invalidate_tag("even");
        let swept = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cache.maintain()));
        assert!(swept.is_err(), "who asks for the sweep gets its panic");
        assert!((0..500).all(|key| cache.contains(&key) == (key % 2 == 1)));
        cache.maintain();
        assert_eq!((cache.len(), cache.bytes(), cache.stats().invalidated), (250, 250 * (88 + 16), 250));
        assert!((0..500).all(|key| cache.get(&key).is_some() == (key % 2 == 1)));
    }
}

#[test]
fn what_is_idle_is_not_given_in_place_of_an_error() {
    let (builder, clock) = manual();
    let builder = builder.ttl(seconds(10)).time_to_idle(seconds(20)).stale_if_error(seconds(600));
    let cache = builder.jitter_percent(0).build().unwrap();
    let ask = || cache.get_or_load_blocking(1, |_| Err::<u64, _>("down")).map(Fetched::into_parts);
    cache.insert(1, 7);
    for _ in 0..3 {
        // Past its time to live, and each time kept from idling.
        clock.advance(seconds(15));
        assert_eq!(ask().unwrap(), (7, Source::StaleOnError));
        assert_eq!(cache.maintain(), 0);
    }
    clock.advance(seconds(20) + STEP);
    assert!(ask().is_err(), "the window of stale use has not ended, the idle time has");
    assert_eq!((cache.len(), cache.stats().expirations), (0, 1));
}

#[test]
fn a_sweep_without_a_runtime_is_refused() {
    let error = Cache::<u64, u64>::builder("alone").sweep_every(seconds(1)).build().unwrap_err();
    assert_eq!((error.field(), error.expected()), ("sweep_every", "a current tokio runtime when the cache is built"));
}
