//! Many threads, then the sums.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedplate_cache::{Cache, EntryOptions, Insertion, ManualClock};

const BUDGET: u64 = 40_000;

/// A small generator, so that a failing seed can be replayed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

#[test]
fn the_budget_and_every_count_hold_after_a_storm() {
    let clock = Arc::new(ManualClock::new());
    let cache: Cache<u64, Vec<u8>> = Cache::builder("storm")
        .max_bytes(BUDGET)
        .max_entry_bytes(20_000)
        .shards(8)
        .clock(Arc::<ManualClock>::clone(&clock))
        .build()
        .unwrap();
    let (inserted, refused, looked_up, replaced, removed) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for seed in 1..=4u64 {
            let (cache, clock) = (cache.clone(), Arc::clone(&clock));
            let (inserted, refused, looked_up, replaced, removed) =
                (&inserted, &refused, &looked_up, &replaced, &removed);
            scope.spawn(move || {
                let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                for _ in 0..20_000 {
                    let key = random.below(500);
                    match random.below(100) {
                        0..50 => {
                            looked_up.fetch_add(1, Ordering::Relaxed);
                            if let Some(value) = cache.get(&key) {
                                assert_eq!(u64::from(*value.first().unwrap()), key % 251, "the value of another key");
                            }
                        }
                        50..95 => {
                            let size = if random.below(200) == 0 {
                                30_000
                            } else {
                                1 + usize::try_from(random.below(900)).unwrap()
                            };
                            let value = vec![u8::try_from(key % 251).unwrap(); size];
                            let options = EntryOptions::new();
                            let options = if random.below(2) == 0 {
                                options
                            } else {
                                options.ttl(Duration::from_millis(random.below(50)))
                            };
                            match cache.insert_with(key, value, options) {
                                Insertion::Refused { .. } => refused.fetch_add(1, Ordering::Relaxed),
                                Insertion::Replaced { .. } => {
                                    replaced.fetch_add(1, Ordering::Relaxed);
                                    inserted.fetch_add(1, Ordering::Relaxed)
                                }
                                _ => inserted.fetch_add(1, Ordering::Relaxed),
                            };
                        }
                        95..97 => {
                            removed.fetch_add(u64::from(cache.remove(&key).is_some()), Ordering::Relaxed);
                        }
                        97..99 => clock.advance(Duration::from_millis(1)),
                        _ => {
                            cache.maintain();
                        }
                    }
                }
            });
        }
    });
    let stats = cache.stats();
    assert!(cache.bytes() <= BUDGET, "{} bytes at rest", cache.bytes());
    assert_eq!(stats.bytes, cache.bytes(), "the sum over the shards is the total");
    assert_eq!(stats.inserts, inserted.load(Ordering::Relaxed));
    assert!(stats.refusals >= 1 && stats.refusals == refused.load(Ordering::Relaxed));
    assert_eq!(stats.hits + stats.misses(), looked_up.load(Ordering::Relaxed));
    // A refusal also takes out what was stored under its key, which nobody counts.
    let left = stats.entries
        + stats.evictions
        + stats.expirations
        + replaced.load(Ordering::Relaxed)
        + removed.load(Ordering::Relaxed);
    assert!((left..=left + stats.refusals).contains(&stats.inserts), "{stats:?}");
    let weights: u64 = (0..500)
        .filter_map(|key| cache.get(&key))
        .map(|value| u64::try_from(value.capacity()).unwrap() + 88 + 8 + 24)
        .sum();
    cache.maintain();
    assert_eq!(weights, cache.bytes(), "what is stored is what is counted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_load_per_key_and_round_under_contention() {
    let cache: Cache<u64, u64> = Cache::builder("herd").build().unwrap();
    let calls = Arc::new(AtomicU64::new(0));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..400u64 {
        let (cache, calls) = (cache.clone(), Arc::clone(&calls));
        callers.spawn(async move {
            let mut sum = 0;
            for key in 0..25 {
                let key = (key + caller) % 25;
                let calls = Arc::clone(&calls);
                let loader = move |_| async move {
                    calls.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    Ok::<_, std::io::Error>(key * 10)
                };
                sum += cache.get_or_load(key, loader).await.unwrap().into_value();
            }
            sum
        });
    }
    while let Some(sum) = callers.join_next().await {
        assert_eq!(sum.unwrap(), 3000);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 25);
    let stats = cache.stats();
    assert_eq!((stats.loads, stats.hits + stats.loads + stats.coalesced), (25, 400 * 25));
}
