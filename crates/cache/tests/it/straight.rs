//! The straight way of a lookup, which most caches take, against the general one, which an observer asks for.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bedplate_cache::{Cache, CacheEvent, EntryOptions, LatencyHistogram, Observer};
use proptest::prelude::*;
use tokio::time::Instant;

/// Hears everything and does nothing.
#[derive(Debug)]
struct Listener;

impl Observer for Listener {
    fn on_event(&self, _: &str, _: &CacheEvent) {}
}

#[derive(Debug, Clone)]
enum Op {
    Get(u8),
    Insert {
        key: u8,
        tag: Option<u8>,
    },
    InsertIdle(u8),
    /// Stores the knowledge that there is no value.
    Miss(u8),
    Remove(u8),
    Expire(u8),
    InvalidateTag(u8),
    InvalidatePrefix(u8),
    Maintain,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..24u8;
    let tag = 0..3u8;
    prop_oneof![
        12 => key.clone().prop_map(Op::Get),
        6 => (key.clone(), proptest::option::of(tag.clone())).prop_map(|(key, tag)| Op::Insert { key, tag }),
        1 => key.clone().prop_map(Op::InsertIdle),
        1 => key.clone().prop_map(Op::Miss),
        1 => key.clone().prop_map(Op::Remove),
        1 => key.prop_map(Op::Expire),
        1 => tag.prop_map(Op::InvalidateTag),
        1 => (0..3u8).prop_map(Op::InvalidatePrefix),
        1 => Just(Op::Maintain),
        1 => Just(Op::Clear),
    ]
}

fn key_of(number: u8) -> String {
    format!("{}:{number}", number % 3)
}

fn cache<V: Clone + Send + Sync + 'static>(listened: bool, timed: bool) -> Cache<String, V> {
    let builder = Cache::builder("either").max_bytes(2500).shards(2).seed(7).weigher(|_: &String, _: &V| 60);
    let (builder, hour) = (builder.negative_ttl(Duration::from_hours(1)), Duration::from_hours(1));
    let builder = if timed { builder.ttl(hour).stale_if_error(hour) } else { builder };
    if listened { builder.observer(Listener).build().unwrap() } else { builder.build().unwrap() }
}

/// What a step gives back, if it gives anything.
#[derive(Debug, PartialEq)]
enum Outcome<V> {
    Value(Option<V>),
    Expired(bool),
    Swept(usize),
    Done,
}

fn step<V: Clone + Send + Sync + 'static>(cache: &Cache<String, V>, op: &Op, value: V) -> Outcome<V> {
    match op {
        Op::Get(key) => return Outcome::Value(cache.get(&key_of(*key))),
        Op::Remove(key) => return Outcome::Value(cache.remove(&key_of(*key))),
        Op::Expire(key) => return Outcome::Expired(cache.expire(&key_of(*key))),
        Op::Maintain => return Outcome::Swept(cache.maintain()),
        Op::Insert { key, tag } => {
            let options = EntryOptions::new();
            let options = if let Some(tag) = tag { options.tag(format!("tag {tag}")) } else { options };
            cache.insert_with(key_of(*key), value, options);
        }
        Op::InsertIdle(key) => {
            let options = EntryOptions::new().time_to_idle(Duration::from_hours(1));
            cache.insert_with(key_of(*key), value, options);
        }
        Op::Miss(key) => {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let nothing = |_| async { Ok::<Option<V>, Infallible>(None) };
            return Outcome::Value(
                runtime.block_on(cache.get_or_load_optional(key_of(*key), nothing)).unwrap().value().clone(),
            );
        }
        Op::InvalidateTag(tag) => cache.invalidate_tag(format!("tag {tag}")),
        Op::InvalidatePrefix(prefix) => cache.invalidate_prefix(format!("{prefix}:")),
        Op::Clear => cache.clear(),
    }
    Outcome::Done
}

fn both_ways<V: Clone + fmt::Debug + PartialEq + Send + Sync + 'static>(
    ops: &[Op],
    timed: bool,
    value: fn(u32) -> V,
) -> Result<(), TestCaseError> {
    let caches: [Cache<String, V>; 2] = [cache(false, timed), cache(true, timed)];
    for (n, op) in (0u32..).zip(ops) {
        let [straight, general] = caches.each_ref().map(|cache| step(cache, op, value(n)));
        prop_assert_eq!(straight, general);
        let [straight, general] = caches.each_ref().map(|cache| {
            let mut stats = cache.stats();
            // How long loads took is the one thing that may differ.
            stats.load_latency = LatencyHistogram::default();
            stats
        });
        prop_assert_eq!(straight, general);
    }
    Ok(())
}

/// Of the tests' own making, so that the cache shares it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Value(u32);

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_ways_answer_count_and_evict_alike(ops in proptest::collection::vec(op(), 1..200), timed: bool) {
        both_ways(&ops, timed, Value)?;
        both_ways(&ops, timed, |n| n)?;
    }
}

/// By the cache's own clock, which nobody can set.
#[test]
fn the_own_clock_ends_an_entry() {
    const TTL: Duration = Duration::from_millis(60);
    /// More than the coarsest that the clock ticks.
    const TICK: Duration = Duration::from_millis(30);
    let cache: Cache<u64, Arc<str>> = Cache::builder("clock").ttl(TTL).build().unwrap();
    let (stored, value) = (Instant::now(), Arc::<str>::from("value"));
    cache.insert(1, Arc::clone(&value));
    cache.insert_with(2, Arc::clone(&value), EntryOptions::new().without_expiry());
    let mut hits = 0;
    while cache.get(&1).is_some() {
        hits += 1;
        assert!(stored.elapsed() < Duration::from_secs(20), "it never ends");
    }
    assert!(stored.elapsed() + TICK >= TTL, "ended after {:?}", stored.elapsed());
    assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(value)));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses_expired, stats.misses_absent), (hits + 1, 1, 1));
}
