//! The byte budget, and whose code runs where.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bedplate_cache::{Cache, CacheEvent, EvictionPolicy, Fetched, Insertion, ManualClock, Observer, Source};

#[test]
fn an_entry_of_the_greatest_weight_fits_whatever_the_number_of_shards() {
    for shards in [1, 4, 64, 1024] {
        let cache: Cache<u64, Vec<u8>> =
            Cache::builder("heavy").max_bytes(1 << 20).max_entry_bytes(1 << 20).shards(shards).build().unwrap();
        for key in 0..2000 {
            cache.insert(key, vec![0; 400]);
        }
        let inline = 88 + 8 + 24;
        let largest = vec![0; (1 << 20) - inline];
        assert_eq!(cache.insert(5000, largest.clone()), Insertion::Inserted, "{shards} shards");
        assert_eq!((cache.len(), cache.bytes()), (1, 1 << 20));
        assert_eq!(cache.get(&5000), Some(largest));
    }
}

#[test]
fn an_entry_too_heavy_is_given_back_and_what_it_was_to_replace_is_gone() {
    let cache: Cache<u64, Vec<u8>> =
        Cache::builder("refusing").max_bytes(10_000).max_entry_bytes(1000).build().unwrap();
    cache.insert(1, vec![1]);
    let Insertion::Refused { value, weight, limit } = cache.insert(1, vec![2; 1000]) else { panic!("it was stored") };
    assert_eq!((value.len(), weight, limit), (1000, 1000 + 88 + 8 + 24, 1000));
    assert_eq!(cache.get(&1), None, "the old value would be wrong");
    assert_eq!((cache.stats().refusals, cache.bytes()), (1, 0));
}

#[test]
fn a_weigher_that_lies_cannot_break_the_counts() {
    let cache: Cache<u64, u64> = Cache::builder("lying").weigher(|_: &u64, value: &u64| *value).build().unwrap();
    assert!(!cache.insert(1, u64::MAX).is_stored());
    assert!(cache.insert(2, 0).is_stored());
    assert_eq!(cache.bytes(), 88);
}

#[test]
fn the_heaviest_entry_is_a_byte_short_of_4_gib() {
    const MOST: u64 = u32::MAX as u64;
    let cache: Cache<u64, u64> =
        Cache::builder("vast").max_bytes(1 << 40).weigher(|_: &u64, value: &u64| *value).build().unwrap();
    assert!(cache.insert(1, MOST - 88).is_stored());
    assert_eq!(cache.bytes(), MOST);
    let refused = Insertion::Refused { value: MOST - 87, weight: MOST + 1, limit: MOST };
    assert_eq!(cache.insert(1, MOST - 87), refused);
    assert_eq!(cache.bytes(), 0);
}

#[test]
fn the_shares_of_the_shards_follow_the_keys() {
    // With a seed: of random ones, two in three thousand spread keys that count up so badly for a while that a third of
    // the newest is lost.
    let builder = Cache::builder("even").policy(EvictionPolicy::Lru).max_bytes(104 * 4096).shards(8).seed(1);
    let cache: Cache<u64, u64> = builder.build().unwrap();
    for key in 0..100_000 {
        cache.insert(key, key);
    }
    assert_eq!(cache.len(), 4096);
    // Were a shard starved, many of the newest keys would be missing.
    let newest = (100_000 - 2048..100_000).filter(|key| cache.contains(key)).count();
    assert!(newest > 1950, "only {newest} of the 2048 newest are left");
}

/// Calls the cache while it is dropped.
struct Caller {
    cache: Option<Cache<u64, Arc<Self>>>,
    dropped: Arc<AtomicU64>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if let Some(cache) = &self.cache {
            for key in 0..64 {
                // Touches every shard: if the lock of one were held here this would never return.
                assert!(!cache.contains(&(1000 + key)));
            }
        }
    }
}

#[test]
fn values_are_dropped_outside_of_the_locks() {
    let dropped = Arc::new(AtomicU64::new(0));
    let cache: Cache<u64, Arc<Caller>> = Cache::builder("reentrant")
        .max_bytes(1000)
        .max_entry_bytes(500)
        .shards(2)
        .weigher(|_: &u64, _: &Arc<Caller>| 12)
        .build()
        .unwrap();
    let value = || Arc::new(Caller { cache: Some(cache.clone()), dropped: Arc::clone(&dropped) });
    for key in 0..50 {
        cache.insert(key, value());
    }
    assert_eq!(dropped.load(Ordering::Relaxed), 40, "ten fit");
    cache.insert(49, value());
    assert_eq!(dropped.load(Ordering::Relaxed), 41);
    cache.remove(&49);
    cache.clear();
    assert_eq!(dropped.load(Ordering::Relaxed), 51);
}

#[test]
fn a_panicking_clone_leaves_the_cache_whole() {
    #[derive(Debug)]
    struct Fragile(Arc<AtomicU64>);
    impl Clone for Fragile {
        fn clone(&self) -> Self {
            assert_ne!(self.0.fetch_add(1, Ordering::Relaxed), 0, "the first clone breaks");
            Self(Arc::clone(&self.0))
        }
    }
    let cache: Cache<u64, Fragile> = Cache::builder("fragile").weigher(|_: &u64, _: &Fragile| 8).build().unwrap();
    cache.insert(1, Fragile(Arc::new(AtomicU64::new(0))));
    let broken = catch_unwind(AssertUnwindSafe(|| cache.get(&1)));
    assert!(broken.is_err());
    assert!(cache.get(&1).is_some());
    assert_eq!((cache.len(), cache.bytes()), (1, 96));
}

/// Calls the cache while it is cloned.
struct Talker {
    cache: Cache<u64, Self>,
    cloned: Arc<AtomicU64>,
}

impl Clone for Talker {
    fn clone(&self) -> Self {
        let cache = self.cache.clone();
        if self.cloned.fetch_add(1, Ordering::Relaxed) == 0 {
            for key in 100..164 {
                // Writes into every shard: under the lock of one this would never return.
                cache.remove(&key);
                cache.insert(key, Self { cache: cache.clone(), cloned: Arc::clone(&self.cloned) });
            }
            cache.clear();
        }
        Self { cache, cloned: Arc::clone(&self.cloned) }
    }
}

#[tokio::test]
async fn values_are_cloned_outside_of_the_locks() {
    for policy in [EvictionPolicy::S3Fifo, EvictionPolicy::Lru] {
        let weigher = |_: &u64, _: &Talker| 16;
        let cache: Cache<u64, Talker> =
            Cache::builder("talking").policy(policy).shards(2).weigher(weigher).build().unwrap();
        let talker = || Talker { cache: cache.clone(), cloned: Arc::new(AtomicU64::new(0)) };
        cache.insert(1, talker());
        assert!(cache.get(&1).is_some_and(|found| found.cloned.load(Ordering::Relaxed) == 1));
        assert!(cache.is_empty(), "the clone has cleared it");
        cache.insert(2, talker());
        assert!(cache.remove(&2).is_some());
        let value = talker();
        let loaded = cache.get_or_load(3, |_| async { Ok::<_, std::io::Error>(value) }).await.unwrap();
        assert!(loaded.value().cloned.load(Ordering::Relaxed) >= 1);
        cache.insert(4, talker());
        let hit = cache.get_or_load(4, |_| async { Err(std::io::Error::other("not asked for")) }).await.unwrap();
        assert_eq!(hit.value().cloned.load(Ordering::Relaxed), 1);
    }
}

#[tokio::test]
async fn values_served_stale_and_refreshed_are_cloned_outside_of_the_locks() {
    type Refused = &'static str;
    for policy in [EvictionPolicy::S3Fifo, EvictionPolicy::Lru] {
        let clock = Arc::new(ManualClock::new());
        let cache: Cache<u64, Talker> = Cache::builder("talking")
            .policy(policy)
            .shards(2)
            .ttl(Duration::from_secs(10))
            .stale_while_revalidate(Duration::from_secs(10))
            .stale_if_error(Duration::from_mins(1))
            .clock(Arc::<ManualClock>::clone(&clock))
            .weigher(|_: &u64, _: &Talker| 16)
            .build()
            .unwrap();
        let talker = || Talker { cache: cache.clone(), cloned: Arc::new(AtomicU64::new(0)) };
        let has_talked = |fetched: &Fetched<Talker>| fetched.value().cloned.load(Ordering::Relaxed) > 0;
        // Stale, while another is fetched.
        cache.insert(1, talker());
        clock.advance(Duration::from_secs(11));
        let newer = talker();
        let stale = cache.get_or_load(1, |_| async { Ok::<_, Refused>(newer) }).await.unwrap();
        assert!(stale.source() == Source::StaleRevalidating && has_talked(&stale));
        // Stale, instead of an error; on a thread too.
        cache.insert(2, talker());
        cache.insert(3, talker());
        clock.advance(Duration::from_secs(30));
        let held = cache.get_or_load_blocking(2, |_| Err::<Talker, _>("down")).unwrap();
        assert!(held.source() == Source::StaleOnError && has_talked(&held));
        cache.insert(4, talker());
        clock.advance(Duration::from_secs(30));
        let held = cache.get_or_load(4, |_| async { Err::<Talker, _>("down") }).await.unwrap();
        assert!(held.source() == Source::StaleOnError && has_talked(&held));
        // On demand.
        let newer = talker();
        let fetched = cache.refresh(5, |_| async { Ok::<_, Refused>(newer) }).await.unwrap();
        assert!(fetched.source() == Source::Loaded && has_talked(&fetched));
        let newer = talker();
        let fetched = cache.refresh_blocking(6, |_| Ok::<_, Refused>(newer)).unwrap();
        assert!(fetched.source() == Source::Loaded && has_talked(&fetched));
    }
}

#[test]
fn a_value_shared_by_the_cache_is_given_back_without_a_clone() {
    struct Never(u64);
    impl Clone for Never {
        fn clone(&self) -> Self {
            panic!("a value that nobody else holds was cloned")
        }
    }
    let cache: Cache<u64, Never> = Cache::builder("moved").weigher(|_: &u64, _: &Never| 16).build().unwrap();
    cache.insert(1, Never(7));
    let Insertion::Replaced { previous } = cache.insert(1, Never(8)) else { panic!("there was a value") };
    assert_eq!((previous.0, cache.remove(&1).map(|value| value.0)), (7, Some(8)));
}

/// Panics at the first event of a kind, once it is armed.
#[derive(Debug)]
struct Touchy {
    at: fn(&CacheEvent) -> bool,
    is_armed: AtomicBool,
}

impl Observer for Touchy {
    fn on_event(&self, _: &str, event: &CacheEvent) {
        assert!(!((self.at)(event) && self.is_armed.swap(false, Ordering::SeqCst)), "too much");
    }
}

#[test]
fn a_panic_of_the_users_code_leaves_the_budget_kept() {
    const SHARDS: u64 = 4;
    let at: [fn(&CacheEvent) -> bool; 2] =
        [|event| matches!(event, CacheEvent::Inserted { .. }), |event| matches!(event, CacheEvent::Evicted { .. })];
    for at in at {
        let observer = Arc::new(Touchy { at, is_armed: AtomicBool::new(false) });
        let cache: Cache<u64, u64> = Cache::builder("touchy")
            .max_bytes(100_000)
            .max_entry_bytes(50_000)
            .shards(usize::try_from(SHARDS).unwrap())
            .seed(1)
            .weigher(|_: &u64, weight: &u64| *weight)
            .observer(Arc::<Touchy>::clone(&observer))
            .build()
            .unwrap();
        for key in 0..500 {
            cache.insert(key, 100);
        }
        // Too much for the shard alone: others have to give way.
        observer.is_armed.store(true, Ordering::SeqCst);
        for heavy in 0..20 {
            let inserted = catch_unwind(AssertUnwindSafe(|| cache.insert(1000 + heavy, 45_000)));
            assert!(cache.bytes() <= 100_000, "{} bytes after the insert of {heavy}, {inserted:?}", cache.bytes());
        }
        assert!(!observer.is_armed.load(Ordering::SeqCst), "nothing has panicked");
    }
}
