//! The word between nodes, and what follows where it may have been lost.

use std::time::Duration;

use bedplate_cache::remote::testing::Manner;
use bedplate_cache::remote::{Backplane, Change, MemoryBackplane, NodeId, Notification, Stamp, Subscription};
use bedplate_cache::{Cache, EntryOptions, Source};
use tokio::time::sleep;

use super::{World, flushed, settle};

fn alone(name: &str, plane: &MemoryBackplane) -> Cache<u64, u64> {
    let builder = Cache::builder(name).ttl(Duration::from_mins(10)).stale_if_error(Duration::from_mins(10));
    builder.backplane(plane.clone()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn without_a_tier_invalidations_and_inserts_are_told_and_loads_are_not() {
    let plane = MemoryBackplane::default();
    let (one, two) = (alone("one", &plane), alone("two", &plane));
    settle().await;
    let fill = || two.insert_with(11, 1, EntryOptions::new().tag("t"));
    let ways: [fn(&Cache<u64, u64>); 5] = [
        |cache| assert_eq!(cache.remove(&11), None),
        |cache| cache.invalidate_tag("t"),
        |cache| cache.invalidate_prefix("1"),
        |cache| cache.invalidate_glob("1?").unwrap(),
        |cache| assert!(cache.insert(11, 2).is_stored()),
    ];
    for (at, invalidate) in ways.into_iter().enumerate() {
        fill();
        settle().await;
        assert_eq!(two.get(&11), Some(1), "{at}");
        invalidate(&one);
        settle().await;
        assert_eq!(two.get(&11), None, "{at}");
    }
    fill();
    settle().await;
    one.get_or_load(11, |_| async { Ok::<_, std::io::Error>(3) }).await.unwrap();
    settle().await;
    assert_eq!(two.get(&11), Some(1), "two nodes that load the same key must not drive one another");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_another_nodes_word_is_not_kept() {
    let plane = MemoryBackplane::default();
    let (one, two) = (alone("one", &plane), alone("two", &plane));
    settle().await;
    let loading = two.clone();
    let load = tokio::spawn(async move {
        let load = loading.get_or_load(1, |_| async {
            sleep(Duration::from_secs(1)).await;
            Ok::<_, std::io::Error>(1)
        });
        load.await.unwrap().into_value()
    });
    settle().await;
    one.remove(&1);
    assert_eq!(load.await.unwrap(), 1);
    assert_eq!(two.get(&1), None);
}

#[tokio::test(start_paused = true)]
async fn an_older_word_does_not_touch_what_is_newer() {
    let plane = MemoryBackplane::default();
    let node = alone("n", &plane);
    settle().await;
    node.insert(1, 1);
    let old = Notification::new(Stamp::new(5, 0, NodeId::new(9)), 1, Change::Removed("1".into()));
    plane.publish(&old).await.unwrap();
    settle().await;
    assert_eq!(node.get(&1), Some(1));
    let text = Notification::new(node_stamp(), 2, Change::Removed("no number".into()));
    plane.publish(&text).await.unwrap();
    settle().await;
    assert_eq!(node.get(&1), Some(1));
    let new = Notification::new(node_stamp(), 3, Change::Removed("1".into()));
    plane.publish(&new).await.unwrap();
    settle().await;
    assert_eq!(node.get(&1), None);
}

fn node_stamp() -> Stamp {
    use bedplate_cache::remote::WallClock as _;
    Stamp::new(bedplate_cache::remote::SystemWallClock::new().millis() + 1_000, 0, NodeId::new(9))
}

#[tokio::test(start_paused = true)]
async fn a_node_that_missed_something_trusts_nothing_and_asks_the_tier() {
    let world = World::new();
    let plane = MemoryBackplane::default();
    let node = |name| {
        let builder = world.builder(name).stale_if_error(Duration::from_mins(10));
        builder.backplane(plane.clone()).build().unwrap()
    };
    let (one, two) = (node("one"), node("two"));
    settle().await;
    world.load(&one, "k", 1).await;
    flushed(&one).await;
    world.load(&two, "k", 9).await;
    assert_eq!(two.get("k"), Some(1));
    // A hole in the sequence of a third node.
    for sequence in [1, 3] {
        let word =
            Notification::new(Stamp::new(1_000_001, sequence, NodeId::new(77)), u64::from(sequence), Change::Heartbeat);
        plane.publish(&word).await.unwrap();
    }
    settle().await;
    assert_eq!(two.get("k"), None, "it may be old");
    let failing = two.get_or_load("k".to_owned(), |_| async { Err(std::io::Error::other("not asked")) });
    assert_eq!(failing.await.unwrap().into_parts(), (1, Source::Remote), "the tier confirms it");
    assert_eq!(two.get("k"), Some(1));
    // Where nothing confirms it, it is what is given when the loader fails.
    plane.publish(&Notification::new(Stamp::new(1_000_002, 0, NodeId::new(77)), 9, Change::Heartbeat)).await.unwrap();
    settle().await;
    world.tier.set(Manner::Down);
    let failing = two.get_or_load("k".to_owned(), |_| async { Err(std::io::Error::other("down")) });
    assert_eq!(failing.await.unwrap().into_parts(), (1, Source::StaleOnError));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_hears_not_even_itself_does_not_trust_what_it_holds_for_long() {
    let world = World::new();
    let node = world.builder("n").ttl(Duration::from_hours(1)).build().unwrap();
    settle().await;
    node.insert("k".to_owned(), 1);
    sleep(Duration::from_mins(5)).await;
    assert_eq!(node.get("k"), Some(1), "it hears its own signs of life");
    world.backplane.set(Manner::Down);
    sleep(Duration::from_secs(25)).await;
    assert_eq!(node.get("k"), Some(1));
    sleep(Duration::from_secs(10)).await;
    assert_eq!(node.get("k"), None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_node_that_was_overrun_ends_with_what_is_true() {
    let world = World::new();
    let narrow = MemoryBackplane::new(2);
    let node = |name| world.builder(name).backplane(narrow.clone()).build().unwrap();
    let (one, two) = (node("one"), node("two"));
    settle().await;
    for key in 0..50 {
        one.insert(key.to_string(), 1);
    }
    flushed(&one).await;
    for key in 0..50 {
        world.load(&two, &key.to_string(), 9).await;
    }
    for key in 0..50 {
        one.insert(key.to_string(), 2);
    }
    flushed(&one).await;
    for key in 0..50 {
        assert_ne!(two.get(&key.to_string()), Some(1), "key {key}");
        assert_eq!(world.source(&two, &key.to_string(), 9).await.0, 2);
    }
}

/// Brings nothing.
#[derive(Debug)]
struct Deaf;

#[async_trait::async_trait]
impl Backplane for Deaf {
    async fn publish(&self, _: &Notification) -> Result<(), bedplate_cache::remote::RemoteError> {
        Ok(())
    }

    async fn subscribe(&self) -> Result<Subscription, bedplate_cache::remote::RemoteError> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let open = async move {
            sender.closed().await;
        };
        Ok(Subscription::from_channel(receiver, tokio::spawn(open)))
    }
}

#[tokio::test(start_paused = true)]
async fn a_deaf_node_asks_for_the_markers_of_tags_again() {
    let world = World::new();
    let mut config = bedplate_cache::NodeConfig::default();
    config.heartbeat = Duration::from_secs(1);
    config.link.marker_ttl = Duration::from_hours(1);
    let one = world.node("one").await;
    let two = world.builder("two").backplane(Deaf).node(config).build().unwrap();
    settle().await;
    world.load(&one, "k", 1).await;
    flushed(&one).await;
    assert_eq!(world.source(&two, "k", 9).await, (1, Source::Remote));
    // Word of the tag never gets there.
    one.invalidate_tag("t");
    flushed(&one).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(world.source(&two, "k", 2).await, (2, Source::Loaded), "what was known of the tag was kept");
}
