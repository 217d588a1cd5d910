//! Tags, prefixes, globs and clear: active at once, and against loads under way.

use std::io;
use std::sync::{Arc, Mutex};

use bedplate_cache::{
    Cache, CacheKey as _, EntryOptions, Fetched, Invalidation, InvalidationSink, LoadContext, Source, Tag,
};
use proptest::prelude::*;
use tokio::sync::oneshot;

fn cache() -> Cache<String, u64> {
    Cache::builder("invalidation").shards(4).build().unwrap()
}

fn fill(cache: &Cache<String, u64>, keys: &[(&str, &[&str])]) {
    for (number, (key, tags)) in (0..).zip(keys) {
        cache.insert_with((*key).to_owned(), number, EntryOptions::new().tags(tags.iter().copied()));
    }
}

fn left<'k>(cache: &Cache<String, u64>, keys: &[&'k str]) -> Vec<&'k str> {
    keys.iter().copied().filter(|key| cache.contains(*key)).collect()
}

#[test]
fn a_tag_hits_its_entries_at_once_and_no_others() {
    let cache = cache();
    fill(&cache, &[("a", &["red"]), ("b", &["red", "round"]), ("c", &["round"]), ("d", &[])]);
    cache.invalidate_tag("red");
    assert_eq!(left(&cache, &["a", "b", "c", "d"]), ["c", "d"]);
    assert_eq!((cache.get("a"), cache.get("c"), cache.get("d")), (None, Some(2), Some(3)));
    assert_eq!((cache.stats().misses_invalidated, cache.stats().invalidated), (1, 1));
    // What is stored afterwards is true.
    cache.insert_with("a".to_owned(), 9, EntryOptions::new().tag("red"));
    assert_eq!((cache.get("a"), cache.get("b")), (Some(9), None));
    assert_eq!(cache.remove("c"), Some(2));
}

#[test]
fn a_sweep_finds_all_that_is_untrue_and_keeps_the_order_of_use() {
    let each = 104;
    let cache: Cache<u64, u64> = Cache::builder("swept")
        .policy(bedplate_cache::EvictionPolicy::Lru)
        .shards(1)
        .max_bytes(each * 12_000)
        .build()
        .unwrap();
    for key in 0..6000 {
        let options = if key % 3 == 0 { EntryOptions::new().tag("third") } else { EntryOptions::new() };
        cache.insert_with(key, key, options);
    }
    cache.invalidate_tag("third");
    cache.invalidate_prefix("5");
    let is_left = |key: &u64| !key.is_multiple_of(3) && !key.to_string().starts_with('5');
    let left = (0..6000).filter(is_left).count();
    let before = cache.len();
    assert_eq!((cache.maintain(), cache.maintain()), (before - left, 0));
    // Nothing is left that the tombstones, which are given up now, would have to be known for.
    assert!((0..6000).all(|key| cache.contains(&key) == is_left(&key)));
    // What was used last stays longest, as before the sweep.
    assert_eq!(cache.get(&1), Some(1));
    for key in 0..12_000 - 1 {
        cache.insert(10_000 + key, key);
    }
    assert_eq!((0..6000).filter(|key| cache.contains(key)).collect::<Vec<u64>>(), [1]);
}

#[test]
fn prefixes_and_globs_are_matched_against_the_text_of_keys() {
    let cache = cache();
    let keys = ["user:1:name", "user:1:mail", "user:2:name", "order:1"];
    fill(&cache, &keys.map(|key| (key, &[] as &[&str])));
    cache.invalidate_glob("user:*:name").unwrap();
    assert_eq!(left(&cache, &keys), ["user:1:mail", "order:1"]);
    cache.invalidate_prefix("user:");
    assert_eq!(left(&cache, &keys), ["order:1"]);
    let error = cache.invalidate_glob("order:[").unwrap_err();
    assert_eq!((error.at(), cache.get("order:1")), (6, Some(3)), "nothing was invalidated");
    assert_eq!(cache.remove("user:1:mail"), None, "what was untrue is not given back");
    assert_eq!(cache.insert("user:2:name".to_owned(), 5), bedplate_cache::Insertion::Inserted);
}

#[test]
fn numbers_have_a_text_too() {
    let cache: Cache<u64, u64> = Cache::builder("numbers").build().unwrap();
    for key in 95..105 {
        cache.insert(key, key);
    }
    assert_eq!(100u64.text(), "100");
    cache.invalidate_glob("10?").unwrap();
    assert_eq!((95..105).filter(|key| cache.contains(key)).count(), 5);
}

#[test]
fn a_sweep_frees_the_memory_of_what_is_untrue() {
    let cache = cache();
    fill(&cache, &[("a", &["red"]), ("b", &[]), ("c", &["red"])]);
    cache.invalidate_tag("red");
    cache.invalidate_prefix("b");
    assert_eq!(cache.len(), 3);
    assert_eq!((cache.maintain(), cache.len(), cache.bytes()), (3, 0, 0));
    assert_eq!(cache.maintain(), 0);
}

#[test]
fn tags_are_part_of_the_weight() {
    let cache = cache();
    cache.insert("key".to_owned(), 1);
    let plain = cache.bytes();
    cache.insert_with("key".to_owned(), 1, EntryOptions::new().tag("x".repeat(1000)));
    assert!(cache.bytes() > plain + 1000);
}

#[test]
fn more_tags_than_are_remembered_are_all_in_effect() {
    let cache: Cache<u64, u64> = Cache::builder("many").build().unwrap();
    for key in 0..10_000 {
        cache.insert_with(key, key, EntryOptions::new().tag(key.to_string()));
    }
    for key in (0..10_000).step_by(2) {
        cache.invalidate_tag(key.to_string());
    }
    assert_eq!(
        (0..10_000).filter(|key| cache.contains(key)).collect::<Vec<_>>(),
        (1..10_000).step_by(2).collect::<Vec<_>>()
    );
    assert!(cache.len() < 6_000, "no sweep ran: {}", cache.len());
}

/// A load of "key" that names its tag at the end, stopped in the middle.
struct Halted {
    caller: tokio::task::JoinHandle<Fetched<u64>>,
    go_on: oneshot::Sender<()>,
}

async fn halted(cache: &Cache<String, u64>, value: u64) -> Halted {
    let (entered, inside) = oneshot::channel();
    let (go_on, halt) = oneshot::channel::<()>();
    let cache = cache.clone();
    let caller = tokio::spawn(async move {
        let load = cache.get_or_load("key".to_owned(), move |cx: LoadContext| async move {
            entered.send(()).unwrap();
            halt.await.unwrap();
            cx.tag("red");
            Ok::<_, io::Error>(value)
        });
        load.await.unwrap()
    });
    inside.await.unwrap();
    Halted { caller, go_on }
}

type Act = fn(&Cache<String, u64>);

#[tokio::test]
async fn a_load_that_began_before_an_invalidation_is_not_stored_after_it() {
    let acts: [Act; 6] = [
        |cache| cache.invalidate_tag("red"),
        |cache| cache.invalidate_prefix("k"),
        |cache| cache.invalidate_glob("*y").unwrap(),
        Cache::clear,
        |cache| assert!(!cache.expire("key")),
        |cache| {
            cache.invalidate_tag("red");
            cache.maintain();
        },
    ];
    for (number, act) in acts.into_iter().enumerate() {
        let cache = cache();
        let load = halted(&cache, 1).await;
        act(&cache);
        load.go_on.send(()).unwrap();
        assert_eq!(load.caller.await.unwrap().into_value(), 1, "its caller had asked before");
        assert_eq!((number, cache.get("key"), cache.len()), (number, None, 0));
    }
}

#[tokio::test]
async fn a_load_is_stored_if_the_invalidation_is_not_about_it() {
    let acts: [Act; 4] = [
        |cache| cache.invalidate_tag("blue"),
        |cache| cache.invalidate_prefix("x"),
        |cache| cache.invalidate_glob("?").unwrap(),
        |cache| {
            cache.invalidate_tag("blue");
            cache.maintain();
        },
    ];
    for act in acts {
        let cache = cache();
        let load = halted(&cache, 1).await;
        act(&cache);
        load.go_on.send(()).unwrap();
        load.caller.await.unwrap();
        assert_eq!(cache.get("key"), Some(1));
    }
}

#[tokio::test]
async fn who_asks_after_the_invalidation_does_not_get_what_was_loaded_before() {
    let cache = cache();
    let old = halted(&cache, 1).await;
    cache.invalidate_tag("red");
    // The load cannot yet be known to be of that tag, so this caller joins it and finds out.
    let after = tokio::spawn({
        let cache = cache.clone();
        async move {
            let load = cache.get_or_load("key".to_owned(), |_| async { Ok::<_, io::Error>(2) });
            load.await.unwrap().into_parts()
        }
    });
    while cache.stats().coalesced == 0 {
        tokio::task::yield_now().await;
    }
    old.go_on.send(()).unwrap();
    assert_eq!(old.caller.await.unwrap().into_value(), 1);
    assert_eq!(after.await.unwrap(), (2, Source::Loaded));
    assert_eq!(cache.get("key"), Some(2));
}

#[tokio::test]
async fn tags_set_by_a_loader_can_be_invalidated_later() {
    let cache = cache();
    let load = halted(&cache, 1).await;
    load.go_on.send(()).unwrap();
    load.caller.await.unwrap();
    assert_eq!(cache.get("key"), Some(1));
    cache.invalidate_tag("red");
    assert_eq!(cache.get("key"), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_invalidated_is_not_given_for_a_failure() {
    let second = std::time::Duration::from_secs(1);
    let cache: Cache<String, u64> =
        Cache::builder("failsafe").ttl(second).stale_if_error(second * 100).build().unwrap();
    let ask = || cache.get_or_load("key".to_owned(), |_| async { Err::<u64, _>(io::Error::other("down")) });
    cache.insert_with("key".to_owned(), 1, EntryOptions::new().tag("red"));
    tokio::time::advance(second).await;
    assert_eq!(ask().await.unwrap().source(), Source::StaleOnError);
    cache.invalidate_tag("red");
    assert!(ask().await.is_err());
}

#[derive(Debug, Default)]
struct Wire(Mutex<Vec<Invalidation<String>>>);

impl InvalidationSink<String> for Wire {
    fn publish(&self, invalidation: &Invalidation<String>) {
        self.0.lock().unwrap().push(invalidation.clone());
    }
}

#[test]
fn one_cache_tells_another() {
    let wire = Arc::new(Wire::default());
    let here: Cache<String, u64> = Cache::builder("here").invalidation_sink(Arc::clone(&wire)).build().unwrap();
    let there = cache();
    for cache in [&here, &there] {
        fill(cache, &[("a", &["red"]), ("pre:b", &[]), ("glob:c", &[]), ("d", &[]), ("e", &[])]);
    }
    here.invalidate_tag("red");
    here.invalidate_prefix("pre:");
    here.invalidate_glob("g*:?").unwrap();
    here.invalidate(Invalidation::Key("d".to_owned()));
    let sent = std::mem::take(&mut *wire.0.lock().unwrap());
    assert_eq!(sent.first(), Some(&Invalidation::Tag(Tag::from("red"))));
    for message in &sent {
        there.apply(message);
    }
    for cache in [&here, &there] {
        assert_eq!(left(cache, &["a", "pre:b", "glob:c", "d", "e"]), ["e"]);
    }
    here.clear();
    assert_eq!(wire.0.lock().unwrap().as_slice(), [Invalidation::Clear]);
    here.apply(&Invalidation::Clear);
    assert_eq!(wire.0.lock().unwrap().len(), 1, "what comes in does not go out again");
}

#[derive(Debug, Clone)]
enum Op {
    Insert(u8, Vec<u8>),
    Remove(u8),
    Tag(u8),
    Prefix(u8),
    Glob(u8),
    Clear,
    Maintain,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..20u8, proptest::collection::vec(0..4u8, 0..3)).prop_map(|(key, tags)| Op::Insert(key, tags)),
        1 => (0..20u8).prop_map(Op::Remove),
        2 => (0..4u8).prop_map(Op::Tag),
        1 => (0..3u8).prop_map(Op::Prefix),
        1 => (0..10u8).prop_map(Op::Glob),
        1 => Just(Op::Clear),
        1 => Just(Op::Maintain),
    ]
}

proptest! {
    #[test]
    fn the_cache_holds_what_a_list_would(ops in proptest::collection::vec(op(), 1..60)) {
        let cache = cache();
        let mut model: Vec<(String, u64, Vec<u8>)> = Vec::new();
        for (step, op) in (0u64..).zip(ops) {
            match op {
                Op::Insert(key, tags) => {
                    let key = format!("{key:02}");
                    let options = EntryOptions::new().tags(tags.iter().map(u8::to_string));
                    cache.insert_with(key.clone(), step, options);
                    model.retain(|(held, ..)| *held != key);
                    model.push((key, step, tags));
                }
                Op::Remove(key) => {
                    let key = format!("{key:02}");
                    let held = model.iter().find(|(held, ..)| *held == key).map(|(_, value, _)| *value);
                    prop_assert_eq!(cache.remove(&key), held);
                    model.retain(|(held, ..)| *held != key);
                }
                Op::Tag(tag) => {
                    cache.invalidate_tag(tag.to_string());
                    model.retain(|(.., tags)| !tags.contains(&tag));
                }
                Op::Prefix(digit) => {
                    cache.invalidate_prefix(digit.to_string());
                    model.retain(|(key, ..)| !key.starts_with(&digit.to_string()));
                }
                Op::Glob(digit) => {
                    cache.invalidate_glob(&format!("?{digit}")).unwrap();
                    model.retain(|(key, ..)| !key.ends_with(&digit.to_string()));
                }
                Op::Clear => {
                    cache.clear();
                    model.clear();
                }
                Op::Maintain => {
                    cache.maintain();
                    prop_assert_eq!(cache.len(), model.len());
                }
            }
            for key in 0..20 {
                let key = format!("{key:02}");
                let held = model.iter().find(|(held, ..)| *held == key).map(|(_, value, _)| *value);
                prop_assert_eq!(cache.contains(&key), held.is_some());
                if step % 3 == 0 {
                    prop_assert_eq!(cache.get(&key), held);
                }
            }
        }
    }
}

/// An entry that was compared with the tombstones and found true is not compared again, until there is a newer one.
#[test]
fn an_entry_found_true_once_is_still_reached_by_the_next_word() {
    let cache: Cache<String, u32> = Cache::builder("tagged").build().unwrap();
    let tagged = |tag: &'static str| EntryOptions::new().tag(tag);
    cache.insert_with("a".to_owned(), 1, tagged("red"));
    cache.insert_with("b".to_owned(), 2, tagged("blue"));
    cache.invalidate_tag("green");
    for _ in 0..3 {
        assert_eq!((cache.get("a"), cache.get("b")), (Some(1), Some(2)));
    }
    cache.invalidate_tag("red");
    assert_eq!((cache.get("a"), cache.get("b")), (None, Some(2)));
    cache.invalidate_prefix("b");
    assert_eq!(cache.get("b"), None);
    cache.insert_with("c".to_owned(), 3, tagged("red"));
    cache.invalidate_tag("green");
    assert_eq!(cache.get("c"), Some(3));
    cache.clear();
    assert_eq!(cache.get("c"), None);
}
