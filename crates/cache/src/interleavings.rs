//! The store under a scheduler that tries one interleaving of its locks and atomics after the
//! other. Run by `scripts/shuttle.sh`.

use std::sync::Arc;
use std::time::Duration;

use shuttle::thread;

use crate::{Cache, EntryOptions, EvictionPolicy, ManualClock};

/// Eight entries fit.
const BUDGET: u64 = 8 * NODE;
const NODE: u64 = 88;
const ROUNDS: usize = 2000;

fn cache(policy: EvictionPolicy, shards: usize) -> (Cache<u64, u64>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let cache = Cache::builder("interleaved")
        .policy(policy)
        .max_bytes(BUDGET)
        .max_entry_bytes(BUDGET)
        .shards(shards)
        .seed(3)
        .clock(Arc::<ManualClock>::clone(&clock))
        .weigher(|_: &u64, extra: &u64| *extra % 3 * NODE)
        .build()
        .unwrap();
    (cache, clock)
}

/// What must hold once all threads are done.
fn check(cache: &Cache<u64, u64>, keys: u64) {
    let stats = cache.stats();
    assert!(cache.bytes() <= BUDGET, "{} bytes at rest", cache.bytes());
    assert_eq!(stats.bytes, cache.bytes(), "the shards together are the total");
    assert_eq!(cache.len() as u64, stats.entries);
    let weights: u64 = (0..keys).filter_map(|key| cache.get(&key)).map(|extra| NODE + extra % 3 * NODE).sum();
    cache.maintain();
    assert_eq!(cache.bytes(), weights, "what is stored is what is counted");
}

#[test]
fn the_budget_holds_when_shards_grow_at_once() {
    for policy in [EvictionPolicy::S3Fifo, EvictionPolicy::Lru] {
        shuttle::check_random(
            move || {
                let (cache, _) = cache(policy, 4);
                let threads: Vec<_> = (0..3u64)
                    .map(|thread| {
                        let cache = cache.clone();
                        thread::spawn(move || {
                            for n in 0..6 {
                                cache.insert(thread * 6 + n, n);
                            }
                        })
                    })
                    .collect();
                threads.into_iter().for_each(|thread| thread.join().unwrap());
                assert_eq!(cache.stats().inserts, 18);
                check(&cache, 18);
            },
            ROUNDS,
        );
    }
}

/// Three threads look the same keys up, store them and take them out, and the first does something besides: each
/// lookup is counted once and finds the value of its key.
fn contend(cache: &Cache<u64, u64>, options: &EntryOptions, besides: impl Fn() + Send + Sync + 'static) {
    let besides = Arc::new(besides);
    let threads: Vec<_> = (0..3u64)
        .map(|thread| {
            let (cache, options, besides) = (cache.clone(), options.clone(), Arc::clone(&besides));
            thread::spawn(move || {
                for n in 0..4 {
                    let key = (thread + n) % 5;
                    if let Some(value) = cache.get(&key) {
                        assert_eq!(value / 3, key, "the value of another key");
                    }
                    cache.insert_with(key, key * 3, options.clone());
                    match thread {
                        0 => besides(),
                        1 => drop(cache.remove(&((key + 1) % 5))),
                        _ => drop(cache.maintain()),
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let stats = cache.stats();
    assert_eq!((stats.hits + stats.misses(), stats.inserts), (12, 12));
    check(cache, 5);
}

#[test]
fn every_lookup_is_counted_once_and_finds_the_value_of_its_key() {
    for policy in [EvictionPolicy::S3Fifo, EvictionPolicy::Lru] {
        shuttle::check_random(
            move || {
                let (cache, clock) = cache(policy, 2);
                let options = EntryOptions::new().ttl(Duration::from_secs(2));
                contend(&cache, &options, move || clock.advance(Duration::from_secs(1)));
            },
            ROUNDS,
        );
    }
}

/// By the cache's own clock, so that lookups go straight on.
fn straight(shards: usize) -> Cache<u64, u64> {
    let builder = Cache::builder("straight").max_bytes(BUDGET).max_entry_bytes(BUDGET).shards(shards).seed(3);
    builder.weigher(|_: &u64, extra: &u64| *extra % 3 * NODE).build().unwrap()
}

#[test]
fn a_lookup_that_goes_straight_on_is_counted_once_and_finds_the_value_of_its_key() {
    shuttle::check_random(
        || {
            let cache = straight(2);
            let cleared = cache.clone();
            contend(&cache, &EntryOptions::new(), move || cleared.clear());
        },
        ROUNDS,
    );
}

#[test]
fn a_writer_sees_what_it_wrote() {
    shuttle::check_random(
        || {
            let cache = straight(2);
            let reader = {
                let cache = cache.clone();
                thread::spawn(move || {
                    // Never back: once 2 was seen, 1 is not.
                    let seen: Vec<u64> = (0..4).filter_map(|_| cache.get(&7)).collect();
                    assert!(seen.is_sorted(), "{seen:?}");
                })
            };
            for value in 1..=3 {
                cache.insert(7, value);
                assert_eq!(cache.get(&7), Some(value));
            }
            reader.join().unwrap();
        },
        ROUNDS,
    );
}

#[test]
fn who_reads_by_a_note_and_who_writes_keep_one_another_out() {
    shuttle::check_random(
        || {
            let lock = Arc::new(crate::sync::RwLock::new(()));
            let pair = Arc::new([const { std::sync::atomic::AtomicU64::new(0) }; 2]);
            // Each half by itself, with a chance for others in between.
            let turn = thread::yield_now;
            let threads: Vec<_> = (0..3u64)
                .map(|thread| {
                    let (lock, pair) = (Arc::clone(&lock), Arc::clone(&pair));
                    thread::spawn(move || {
                        for n in 1..=4 {
                            if thread == 0 {
                                let written = lock.write();
                                pair[0].store(n, std::sync::atomic::Ordering::Relaxed);
                                turn();
                                pair[1].store(n, std::sync::atomic::Ordering::Relaxed);
                                drop(written);
                            } else {
                                let read = lock.read();
                                let first = pair[0].load(std::sync::atomic::Ordering::Relaxed);
                                turn();
                                assert_eq!(first, pair[1].load(std::sync::atomic::Ordering::Relaxed));
                                drop(read);
                            }
                        }
                    })
                })
                .collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            assert!(!lock.is_locked());
        },
        ROUNDS,
    );
}
