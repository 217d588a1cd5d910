//! The tier behind the memory.

use std::sync::Arc;
use std::time::Duration;

use bedplate_cache::remote::testing::{Manner, Unruly};
use bedplate_cache::remote::{
    FlightConfig, JsonCodec, KeyMatcher, MemoryTier, RemoteError, RemoteTier, Stamp, StoreOutcome, Write,
};
use bedplate_cache::{Cache, EntryOptions, Invalidation, Source, WriteMode};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::{Node, World, flushed, impatient, settle};

#[tokio::test(start_paused = true)]
async fn a_load_asks_the_tier_before_the_loader_and_keeps_times_and_tags() {
    let world = World::new();
    let (one, two) = (world.node("one").await, world.node("two").await);
    assert_eq!(world.source(&one, "k", 1).await, (1, Source::Loaded));
    flushed(&one).await;
    sleep(Duration::from_secs(40)).await;
    let found = world.load(&two, "k", 2).await;
    assert_eq!((*found.value(), found.source()), (1, Source::Remote));
    assert!(found.age().unwrap() >= Duration::from_secs(40), "{:?}", found.age());
    assert_eq!((two.stats().remote_hits, world.calls()), (1, 1));
    // It lives on for what was left of its time, not for another minute.
    sleep(Duration::from_secs(19)).await;
    assert_eq!(two.get("k"), Some(1));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(world.source(&two, "k", 2).await, (2, Source::Loaded));
    flushed(&two).await;
    assert_eq!(world.source(&one, "k", 3).await, (2, Source::Remote));
    // Its tags came along.
    one.invalidate_tag("t");
    assert_eq!(one.get("k"), None);
}

#[tokio::test(start_paused = true)]
async fn what_is_written_here_is_found_there() {
    let world = World::new();
    let (one, two) = (world.node("one").await, world.node("two").await);
    one.insert("k".to_owned(), 1);
    flushed(&one).await;
    assert_eq!(world.source(&two, "k", 9).await, (1, Source::Remote));
    one.insert("k".to_owned(), 2);
    flushed(&one).await;
    assert_eq!(two.get("k"), None, "what it holds is old");
    assert_eq!(world.source(&two, "k", 9).await, (2, Source::Remote));
    assert_eq!(one.get("k"), Some(2), "a node does not take its own word for another's");
}

#[tokio::test(start_paused = true)]
async fn a_removed_value_does_not_come_back_while_word_of_it_is_under_way() {
    type Invalidate = fn(&Cache<String, u64>);
    let ways: [(&str, Invalidate); 6] = [
        ("key", |cache| assert_eq!(cache.remove("key 1"), Some(1))),
        ("expiry", |cache| assert!(cache.expire("key 1"))),
        ("tag", |cache| cache.invalidate_tag("t")),
        ("prefix", |cache| cache.invalidate_prefix("key")),
        ("glob", |cache| cache.invalidate_glob("k?y *").unwrap()),
        ("all", |cache| cache.clear()),
    ];
    for (what, invalidate) in ways {
        let world = World::new();
        let (one, two) = (world.node("one").await, world.node("two").await);
        one.insert_with("key 1".to_owned(), 1, EntryOptions::new().tag("t"));
        flushed(&one).await;
        assert_eq!(world.source(&two, "key 1", 9).await, (1, Source::Remote), "{what}");
        world.tier.set(Manner::Slow(Duration::from_millis(300)));
        invalidate(&one);
        assert_eq!(world.source(&one, "key 1", 2).await, (2, Source::Loaded), "{what}: here");
        world.tier.set(Manner::Well);
        flushed(&one).await;
        assert_eq!(two.get("key 1"), None, "{what}: there");
        assert_eq!(world.source(&two, "key 1", 9).await, (2, Source::Remote), "{what}: the newer one stays");
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_reaches_what_no_memory_holds() {
    let world = World::new();
    let (one, two) = (world.node("one").await, world.node("two").await);
    one.insert("k".to_owned(), 1);
    flushed(&one).await;
    assert_eq!(two.remove("k"), None);
    flushed(&two).await;
    assert_eq!(one.get("k"), None);
    assert_eq!(world.source(&two, "k", 2).await, (2, Source::Loaded));
}

#[tokio::test(start_paused = true)]
async fn an_eager_refresh_looks_at_the_tier_and_takes_only_what_is_newer() {
    let world = World::new();
    let eager = |name| world.builder(name).eager_refresh(0.5);
    let (one, two) = (eager("one").build().unwrap(), eager("two").build().unwrap());
    settle().await;
    world.load(&one, "k", 1).await;
    flushed(&one).await;
    sleep(Duration::from_secs(31)).await;
    // The tier has what is held: the loader is asked.
    assert_eq!(world.source(&one, "k", 2).await, (1, Source::Fresh));
    flushed(&one).await;
    assert_eq!((one.get("k"), world.calls()), (Some(2), 2));
    // Another node refreshed it meanwhile, and word of it was lost: the tier has what is newer.
    let alone = world.builder("three").eager_refresh(0.5).backplane(bedplate_cache::remote::MemoryBackplane::default());
    let deaf = alone.build().unwrap();
    settle().await;
    assert_eq!(world.source(&deaf, "k", 9).await, (2, Source::Remote));
    sleep(Duration::from_secs(20)).await;
    one.insert("k".to_owned(), 3);
    flushed(&one).await;
    assert_eq!(two.get("k"), None);
    sleep(Duration::from_secs(15)).await;
    assert_eq!(world.source(&deaf, "k", 9).await, (2, Source::Fresh));
    settle().await;
    assert_eq!((deaf.get("k"), world.calls()), (Some(3), 2));
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_with_the_tier_is_a_counted_miss_in_bounded_time() {
    let newer = b"BPCE\x09whatever follows".to_vec();
    for (what, manner, planted) in [
        ("garbage", Manner::Garbage, None),
        ("an envelope of a newer version", Manner::Well, Some(newer)),
        ("no envelope", Manner::Well, Some(b"hello".to_vec())),
        ("down", Manner::Down, None),
        ("stuck", Manner::Stuck, None),
        ("slow", Manner::Slow(Duration::from_mins(1)), None),
    ] {
        let world = World::new();
        let node = world.builder("n").node(impatient()).build().unwrap();
        settle().await;
        if let Some(planted) = planted {
            world.raw.plant(b"=k", planted);
        }
        world.tier.set(manner);
        let began = Instant::now();
        assert_eq!(world.source(&node, "k", 1).await, (1, Source::Loaded), "{what}");
        assert!(began.elapsed() <= Duration::from_millis(250), "{what}: {:?}", began.elapsed());
        let stats = node.remote_stats().unwrap();
        assert_eq!(stats.hits, 0, "{what}");
        assert!(stats.unreadable + stats.failures > 0, "{what}: {stats:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_past_its_time_in_the_tier_is_given_where_the_loader_fails() {
    let world = World::new();
    let node = |name| world.builder(name).stale_if_error(Duration::from_mins(10)).build().unwrap();
    let (one, two) = (node("one"), node("two"));
    settle().await;
    world.load(&one, "k", 1).await;
    flushed(&one).await;
    sleep(Duration::from_mins(2)).await;
    let failing = || two.get_or_load("k".to_owned(), |_| async { Err(std::io::Error::other("down")) });
    assert_eq!(failing().await.unwrap().into_parts(), (1, Source::StaleOnError));
    assert_eq!(two.get("k"), None, "it is stale");
    sleep(Duration::from_mins(9)).await;
    assert!(failing().await.is_err(), "its time is over for good");
}

#[tokio::test(start_paused = true)]
async fn the_knowledge_that_there_is_no_value_is_shared() {
    let world = World::new();
    let node = |name| world.builder(name).negative_ttl(Duration::from_secs(10)).build().unwrap();
    let (one, two) = (node("one"), node("two"));
    settle().await;
    let absent = one.get_or_load_optional("k".to_owned(), |_| async { Ok::<_, std::io::Error>(None) });
    assert_eq!(absent.await.unwrap().into_parts(), (None, Source::Loaded));
    flushed(&one).await;
    let find = || two.get_or_load_optional("k".to_owned(), |_| async { Ok::<_, std::io::Error>(Some(1)) });
    assert_eq!(find().await.unwrap().into_parts(), (None, Source::Remote));
    sleep(Duration::from_secs(11)).await;
    assert_eq!(find().await.unwrap().into_parts(), (Some(1), Source::Loaded));
}

#[tokio::test(start_paused = true)]
async fn a_batch_asks_for_all_at_once_and_loads_the_rest() {
    let world = World::new();
    let (one, two) = (world.node("one").await, world.node("two").await);
    for (key, value) in [("a", 1), ("b", 2)] {
        one.insert(key.to_owned(), value);
    }
    flushed(&one).await;
    let before = world.tier.calls();
    let keys = ["a", "b", "c"].map(str::to_owned);
    let batch = two.get_many_or_load(keys.clone(), |missing, _| async move {
        assert_eq!(missing, ["c"]);
        Ok::<_, std::io::Error>([("c".to_owned(), 3)])
    });
    let batch = batch.await;
    assert_eq!(keys.each_ref().map(|key| batch.get(key).copied()), [Some(1), Some(2), Some(3)]);
    let sources = keys.each_ref().map(|key| batch.found()[key].source());
    assert_eq!(sources, [Source::Remote, Source::Remote, Source::Loaded]);
    assert!(world.tier.calls() - before <= 2, "one question and one write");
    flushed(&two).await;
    assert_eq!(world.source(&one, "c", 9).await, (3, Source::Remote));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_without_a_runtime_asks_the_tier_too() {
    let world = World::new();
    let (one, two) = (world.node("one").await, world.node("two").await);
    one.insert("k".to_owned(), 1);
    assert!(one.flush(Duration::from_secs(5)).await.is_complete());
    let asked = std::thread::spawn(move || {
        let known = two.get_or_load_blocking("k".to_owned(), |_| Ok::<_, std::io::Error>(9)).unwrap();
        let new = two.get_or_load_blocking("new".to_owned(), |_| Ok::<_, std::io::Error>(2)).unwrap();
        (two, known.into_parts(), new.into_parts())
    });
    let (two, known, new) = tokio::task::spawn_blocking(|| asked.join().unwrap()).await.unwrap();
    assert_eq!((known, new), ((1, Source::Remote), (2, Source::Loaded)));
    assert!(two.flush(Duration::from_secs(5)).await.is_complete());
    assert_eq!(world.source(&one, "new", 9).await, (2, Source::Remote));
}

#[tokio::test(start_paused = true)]
async fn of_many_nodes_that_miss_one_loads() {
    let world = World::new();
    let node = |name: &str| {
        let turns = world.builder(name).single_flight(world.raw.clone(), FlightConfig::default());
        turns.build().unwrap()
    };
    let nodes: Vec<_> = (0..5).map(|n| node(&format!("node {n}"))).collect();
    settle().await;
    let mut loads = tokio::task::JoinSet::new();
    for node in &nodes {
        let (node, calls) = (node.clone(), Arc::clone(&world.calls));
        loads.spawn(async move {
            let load = node.get_or_load("k".to_owned(), move |_| async move {
                sleep(Duration::from_millis(500)).await;
                Ok::<_, std::io::Error>(calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst))
            });
            load.await.unwrap().into_parts()
        });
    }
    let mut sources = loads.join_all().await;
    sources.sort_by_key(|(_, source)| *source != Source::Loaded);
    assert_eq!(sources[0], (0, Source::Loaded));
    assert_eq!(sources[1..], [(0, Source::Remote); 4]);
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn behind_the_last_word_per_key_counts() {
    let world = World::new();
    let mut config = impatient();
    config.writes = WriteMode::Behind;
    let node = world.builder("n").node(config).build().unwrap();
    settle().await;
    world.manner(Manner::Slow(Duration::from_millis(100)));
    let before = world.tier.calls();
    for value in 0..1000 {
        node.insert("k".to_owned(), value);
    }
    flushed(&node).await;
    assert!(world.tier.calls() - before < 5, "{} calls", world.tier.calls() - before);
    world.manner(Manner::Well);
    assert_eq!(world.source(&world.node("other").await, "k", 0).await, (999, Source::Remote));
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_on_when_the_cache_is_gone() {
    let tier = Arc::new(MemoryTier::new());
    let plane = Arc::new(bedplate_cache::remote::MemoryBackplane::default());
    let node: Cache<u64, u64> = Cache::builder("short-lived")
        .remote(Arc::clone(&tier), JsonCodec::new())
        .backplane(Arc::clone(&plane))
        .build()
        .unwrap();
    settle().await;
    node.insert(1, 1);
    settle().await;
    drop(node);
    settle().await;
    assert_eq!((Arc::strong_count(&tier), Arc::strong_count(&plane)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_flush_says_what_is_left() {
    let world = World::new();
    let node = world.builder("n").node(impatient()).build().unwrap();
    settle().await;
    world.manner(Manner::Down);
    for key in 0..7 {
        node.insert(key.to_string(), key);
    }
    let began = Instant::now();
    let flushed = node.flush(Duration::from_secs(2)).await;
    assert_eq!((flushed.left, flushed.is_complete()), (7, false));
    assert!(began.elapsed() < Duration::from_millis(2_100));
    world.manner(Manner::Well);
    assert!(node.close(Duration::from_secs(10)).await.is_complete());
}

#[test]
fn a_node_without_a_runtime_and_turns_without_a_tier_are_refused() {
    let refused = Cache::<u64, u64>::builder("n").remote(MemoryTier::new(), JsonCodec::new()).build().unwrap_err();
    assert_eq!(refused.field(), "remote");
    let refused = Cache::<u64, u64>::builder("n").single_flight(MemoryTier::new(), FlightConfig::default());
    assert_eq!(refused.build().unwrap_err().field(), "single_flight");
}

#[tokio::test]
async fn turns_that_never_pause_or_give_up_too_early_are_refused() {
    let field = |change: fn(&mut FlightConfig)| {
        let mut config = FlightConfig::default();
        change(&mut config);
        let builder = Cache::<u64, u64>::builder("n").remote(MemoryTier::new(), JsonCodec::new());
        builder.single_flight(MemoryTier::new(), config).build().err().map(|error| error.field())
    };
    assert_eq!(field(|_| ()), None);
    assert_eq!(field(|config| config.lease = Duration::ZERO), Some("lease"));
    assert_eq!(field(|config| config.first_pause = Duration::ZERO), Some("first_pause"));
    assert_eq!(field(|config| config.max_pause = Duration::from_millis(9)), Some("max_pause"));
    assert_eq!(field(|config| config.patience = Duration::from_secs(9)), Some("patience"));
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_refuses_or_panics_harms_nobody() {
    #[derive(Debug)]
    struct Moody;
    impl bedplate_cache::remote::Codec<u64> for Moody {
        fn id(&self) -> u8 {
            200
        }
        fn encode(&self, value: &u64) -> Result<Vec<u8>, bedplate_cache::remote::CodecError> {
            assert_ne!(*value, 13, "a planted panic");
            if *value == 14 {
                return Err(bedplate_cache::remote::CodecError::Encode("a planted refusal".into()));
            }
            Ok(value.to_be_bytes().to_vec())
        }
        fn decode(&self, bytes: &[u8]) -> Result<u64, bedplate_cache::remote::CodecError> {
            let value = u64::from_be_bytes(bytes.try_into().unwrap());
            assert_ne!(value, 15, "a planted panic");
            Ok(value)
        }
    }
    let tier = Unruly::new(MemoryTier::new());
    let node = || Cache::<u64, u64>::builder("n").remote(tier.clone(), Moody).build().unwrap();
    let (one, two) = (node(), node());
    for value in [13, 14, 15] {
        one.insert(1, 7);
        assert!(one.flush(Duration::from_secs(1)).await.is_complete());
        let load = one.insert(1, value);
        assert!(load.is_stored());
        assert!(one.flush(Duration::from_secs(1)).await.is_complete());
        let found = two.get_or_load(1, |_| async { Ok::<_, std::io::Error>(8) }).await.unwrap();
        assert_eq!(found.into_parts(), (8, Source::Loaded), "{value}: the older value came back");
        assert!(two.flush(Duration::from_secs(1)).await.is_complete());
        two.remove(&1);
        assert!(two.flush(Duration::from_secs(1)).await.is_complete());
    }
}

#[tokio::test(start_paused = true)]
async fn who_wants_a_value_does_not_take_the_absence_that_another_node_knows_of() {
    let world = World::new();
    let negative = |name| world.builder(name).negative_ttl(Duration::from_mins(1)).build().unwrap();
    let (one, two, three) = (negative("one"), negative("two"), negative("three"));
    settle().await;
    let absent = one.get_or_load_optional("k".to_owned(), |_| async { Ok::<_, std::io::Error>(None) });
    assert_eq!(absent.await.unwrap().into_parts(), (None, Source::Loaded));
    flushed(&one).await;
    assert_eq!(world.source(&two, "k", 5).await, (5, Source::Loaded));
    flushed(&two).await;
    one.remove("k");
    let absent = one.get_or_load_optional("k".to_owned(), |_| async { Ok::<_, std::io::Error>(None) });
    assert_eq!(absent.await.unwrap().into_parts(), (None, Source::Loaded));
    flushed(&one).await;
    let blocking = move || {
        let loaded = three.get_or_load_blocking("k".to_owned(), |_| Ok::<_, std::io::Error>(6));
        loaded.map(bedplate_cache::Fetched::into_parts).map_err(|error| error.to_string())
    };
    assert_eq!(tokio::task::spawn_blocking(blocking).await.unwrap(), Ok((6, Source::Loaded)));
}

#[tokio::test(start_paused = true)]
async fn who_knows_of_a_change_is_not_answered_by_the_tier() {
    let world = World::new();
    let (one, two) = (world.node("one").await, world.node("two").await);
    one.insert("k".to_owned(), 1);
    flushed(&one).await;
    let fresh = two.refresh("k".to_owned(), |_| async { Ok::<_, std::io::Error>(2) }).await.unwrap();
    assert_eq!(fresh.into_parts(), (2, Source::Loaded));
    flushed(&two).await;
    assert_eq!(world.source(&one, "k", 9).await, (2, Source::Remote));
}

#[tokio::test(start_paused = true)]
async fn no_value_in_the_tier_outlives_the_word_that_would_make_it_old() {
    let world = World::new();
    let mut config = impatient();
    config.link.tombstone_ttl = Duration::from_mins(1);
    let one = world.builder("one").node(config).build().unwrap();
    let two = world.node("two").await;
    one.insert_with("k".to_owned(), 1, EntryOptions::new().ttl(Duration::from_hours(1)));
    flushed(&one).await;
    sleep(Duration::from_secs(61)).await;
    assert_eq!(world.source(&two, "k", 2).await, (2, Source::Loaded));
}

/// Where another node's word arrives.
type Heard = (Node, Invalidation<String>);

/// A tier in which something happens between its answer and the return of that.
#[derive(Debug)]
struct Meanwhile {
    inner: MemoryTier,
    heard: Arc<Mutex<Option<Heard>>>,
}

#[async_trait::async_trait]
impl RemoteTier for Meanwhile {
    async fn load(&self, key: &[u8]) -> Result<Option<Bytes>, RemoteError> {
        self.inner.load(key).await
    }

    async fn load_many(&self, keys: &[Bytes]) -> Result<Vec<Option<Bytes>>, RemoteError> {
        let found = self.inner.load_many(keys).await;
        let meanwhile = self.heard.lock().take();
        if let Some((node, invalidation)) = meanwhile {
            // What another node has said.
            node.apply(&invalidation);
        }
        found
    }

    async fn store(&self, write: Write<'_>) -> Result<StoreOutcome, RemoteError> {
        self.inner.store(write).await
    }

    async fn remove(&self, key: &[u8]) -> Result<bool, RemoteError> {
        self.inner.remove(key).await
    }

    async fn purge(&self, matches: KeyMatcher<'_>, before: Stamp) -> Result<u64, RemoteError> {
        self.inner.purge(matches, before).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_value_of_the_tier_is_not_kept_if_it_was_made_untrue_on_its_way() {
    let tag = Invalidation::Tag("t".into());
    let glob = Invalidation::Glob(bedplate_cache::Glob::new("k*").unwrap());
    for meanwhile in [None, Some(Invalidation::Key("k".to_owned())), Some(tag), Some(glob), Some(Invalidation::Clear)] {
        let world = World::new();
        let builder = |name| world.builder(name).stale_if_error(Duration::from_mins(10));
        let one = builder("one").build().unwrap();
        settle().await;
        world.load(&one, "k", 1).await;
        flushed(&one).await;
        sleep(Duration::from_mins(2)).await;
        let hook = Arc::new(Mutex::new(None));
        let tier = Meanwhile { inner: world.raw.clone(), heard: Arc::clone(&hook) };
        let two = builder("two").remote(tier, JsonCodec::new()).build().unwrap();
        settle().await;
        *hook.lock() = meanwhile.clone().map(|invalidation| (two.clone(), invalidation));
        let failed = two.get_or_load("k".to_owned(), |_| async { Err(std::io::Error::other("down")) }).await;
        two.maintain();
        if meanwhile.is_some() {
            assert!(failed.is_err(), "{meanwhile:?}: {failed:?}");
            assert_eq!(two.len(), 0, "{meanwhile:?}");
        } else {
            assert_eq!(failed.unwrap().into_parts(), (1, Source::StaleOnError));
        }
    }
}
