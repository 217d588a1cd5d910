//! The remote goes away and comes back.

use std::time::Duration;

use bedplate_cache::remote::testing::Manner;
use bedplate_cache::{EntryOptions, Source};
use tokio::time::{Instant, sleep};

use super::{World, flushed, impatient, settle};

#[tokio::test(start_paused = true)]
async fn an_outage_degrades_to_memory_and_every_word_arrives_after_it() {
    for manner in [Manner::Down, Manner::Stuck, Manner::Mute] {
        let world = World::new();
        let node =
            |name| world.builder(name).node(impatient()).stale_if_error(Duration::from_mins(10)).build().unwrap();
        let (one, two) = (node("one"), node("two"));
        settle().await;
        for key in ["tagged", "globbed:1", "removed", "written", "kept"] {
            let options = if key == "tagged" { EntryOptions::new().tag("t") } else { EntryOptions::new() };
            one.insert_with(key.to_owned(), 1, options);
        }
        flushed(&one).await;
        for key in ["tagged", "globbed:1", "removed", "written", "kept"] {
            assert_eq!(world.source(&two, key, 9).await, (1, Source::Remote));
        }

        world.manner(manner);
        let began = Instant::now();
        one.invalidate_tag("t");
        one.invalidate_glob("globbed:*").unwrap();
        one.remove("removed");
        one.insert("written".to_owned(), 2);
        // Memory serves, and loads go to the origin in bounded time.
        assert_eq!(one.get("kept"), Some(1));
        assert_eq!(world.source(&one, "new", 5).await, (5, Source::Loaded));
        assert!(began.elapsed() < Duration::from_secs(1), "{manner:?}: {:?}", began.elapsed());
        sleep(Duration::from_secs(20)).await;
        assert_eq!(one.get("written"), Some(2));

        world.manner(Manner::Well);
        flushed(&one).await;
        sleep(Duration::from_secs(1)).await;
        for key in ["tagged", "globbed:1", "removed"] {
            assert_eq!(two.get(key), None, "{manner:?}: {key}");
            assert_eq!(world.source(&two, key, 7).await, (7, Source::Loaded), "{manner:?}: {key}");
        }
        assert_eq!(world.source(&two, "written", 9).await, (2, Source::Remote), "{manner:?}");
        assert_eq!(world.source(&two, "new", 9).await, (5, Source::Remote), "{manner:?}");
        assert_eq!(one.remote_stats().unwrap().waiting, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replayed_word_does_not_undo_what_another_node_wrote_since() {
    let world = World::new();
    // The first node's remote is away, the second one's is not.
    let theirs = bedplate_cache::remote::testing::Unruly::new(world.raw.clone());
    let cut_off = world.builder("one").node(impatient());
    let one = cut_off.remote(theirs.clone(), bedplate_cache::remote::JsonCodec::new()).build().unwrap();
    let two = world.node("two").await;
    theirs.set(Manner::Down);
    one.insert("k".to_owned(), 1);
    sleep(Duration::from_secs(1)).await;
    two.insert("k".to_owned(), 2);
    flushed(&two).await;
    theirs.set(Manner::Well);
    flushed(&one).await;
    assert_eq!(two.get("k"), Some(2));
    assert_eq!(world.source(&one, "k", 9).await.0, 2);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_overflows_ends_in_suspicion_and_not_in_what_is_old() {
    let world = World::new();
    let mut config = impatient();
    config.link.recovery.max_items = 10;
    let one = world.builder("one").node(config).build().unwrap();
    let two = world.node("two").await;
    for key in 0..50 {
        one.insert(key.to_string(), 1);
    }
    flushed(&one).await;
    for key in 0..50 {
        assert_eq!(world.source(&two, &key.to_string(), 9).await, (1, Source::Remote));
    }
    world.manner(Manner::Down);
    for key in 0..50 {
        one.remove(&key.to_string());
    }
    sleep(Duration::from_secs(5)).await;
    world.manner(Manner::Well);
    flushed(&one).await;
    sleep(Duration::from_secs(1)).await;
    assert!(one.remote_stats().unwrap().lost > 0);
    for key in 0..50 {
        assert_eq!(world.source(&two, &key.to_string(), 3).await, (3, Source::Loaded), "key {key}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_waits_holds_although_what_was_known_of_tags_was_given_up() {
    let world = World::new();
    let one = world.builder("one").node(impatient()).build().unwrap();
    settle().await;
    world.load(&one, "k", 1).await;
    flushed(&one).await;
    world.manner(Manner::Down);
    one.invalidate_tag("t");
    // Nobody hears anything for a while: what is known by hearsay is given up.
    sleep(Duration::from_mins(2)).await;
    world.tier.set(Manner::Well);
    assert_eq!(world.source(&one, "k", 2).await, (2, Source::Loaded));
}

#[tokio::test(start_paused = true)]
async fn a_value_that_ran_out_in_the_queue_does_not_leave_the_older_one() {
    let world = World::new();
    let one = world.builder("one").node(impatient()).build().unwrap();
    let two = world.builder("two").node(impatient()).build().unwrap();
    settle().await;
    one.insert_with("k".to_owned(), 1, EntryOptions::new().ttl(Duration::from_hours(1)));
    flushed(&one).await;
    world.manner(Manner::Down);
    // The removal waits, and then in its place a value that is not worth writing any more.
    one.remove("k");
    one.insert_with("k".to_owned(), 2, EntryOptions::new().ttl(Duration::from_secs(5)));
    sleep(Duration::from_secs(20)).await;
    world.manner(Manner::Well);
    flushed(&one).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.source(&two, "k", 3).await, (3, Source::Loaded), "the removed value came back");
}

#[tokio::test(start_paused = true)]
async fn a_value_that_is_expired_at_once_does_not_leave_the_older_one() {
    let world = World::new();
    let (one, two) = (world.node("one").await, world.node("two").await);
    one.insert("k".to_owned(), 1);
    flushed(&one).await;
    one.insert_with("k".to_owned(), 2, EntryOptions::new().ttl(Duration::ZERO));
    flushed(&one).await;
    assert_eq!(world.source(&two, "k", 3).await, (3, Source::Loaded));
}

#[tokio::test(start_paused = true)]
async fn a_backplane_that_fails_says_nothing_against_the_tier() {
    let world = World::new();
    let (one, two) = (world.node("one").await, world.node("two").await);
    one.insert("k".to_owned(), 1);
    flushed(&one).await;
    world.backplane.set(Manner::Down);
    // Its word is in the tier, and tried again and again on the backplane.
    two.insert("other".to_owned(), 1);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.source(&two, "k", 9).await, (1, Source::Remote));
}
