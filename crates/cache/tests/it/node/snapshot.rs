//! Warm starts.

use std::fs;
use std::time::Duration;

use bedplate_cache::remote::{JsonCodec, MemoryTier};
use bedplate_cache::snapshot::SnapshotError;
use bedplate_cache::{Cache, EntryOptions, Source};
use tokio::time::advance;

fn cache(bytes: u64) -> Cache<u64, String> {
    Cache::builder("warm").max_bytes(bytes).shards(1).jitter_percent(0).codec(JsonCodec::new()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_was_fresh_comes_back_with_its_time_and_tags() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let before = cache(1 << 20);
    let minute = EntryOptions::new().ttl(Duration::from_mins(1)).tag("t");
    before.insert_with(1, "a minute".to_owned(), minute);
    before.insert_with(2, "a second".to_owned(), EntryOptions::new().ttl(Duration::from_secs(1)));
    before.insert(3, "for ever".to_owned());
    advance(Duration::from_secs(30)).await;
    assert_eq!(before.snapshot(&path).unwrap().entries, 2);

    let after = cache(1 << 20);
    let warm = after.warm_from(&path).unwrap();
    assert_eq!((warm.entries, warm.expired, warm.unreadable, warm.no_room), (2, 0, 0, 0));
    assert_eq!((after.get(&1).as_deref(), after.get(&3).as_deref()), (Some("a minute"), Some("for ever")));
    advance(Duration::from_secs(29)).await;
    assert!(after.contains(&1));
    advance(Duration::from_millis(1_001)).await;
    assert!(!after.contains(&1));
    assert!(after.contains(&3));

    let tagged = cache(1 << 20);
    tagged.warm_from(&path).unwrap();
    tagged.invalidate_tag("t");
    assert_eq!((tagged.contains(&1), tagged.contains(&3)), (false, true));
}

#[test]
fn what_is_held_is_newer_than_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let cache = cache(1 << 20);
    cache.insert(1, "old".to_owned());
    cache.insert(2, "kept".to_owned());
    cache.snapshot(&path).unwrap();
    cache.insert(1, "new".to_owned());
    cache.remove(&2);
    let warm = cache.warm_from(&path).unwrap();
    assert_eq!((warm.entries, warm.held), (1, 1));
    assert_eq!((cache.get(&1).as_deref(), cache.get(&2).as_deref()), (Some("new"), Some("kept")));
}

#[test]
fn a_smaller_budget_takes_the_hottest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let before = cache(1 << 20);
    for key in 0..1000 {
        before.insert(key, "x".repeat(100));
    }
    for _ in 0..3 {
        for key in 400..450 {
            assert!(before.get(&key).is_some());
        }
    }
    assert_eq!(before.snapshot(&path).unwrap().entries, 1000);
    let after = cache(20_000);
    let warm = after.warm_from(&path).unwrap();
    assert!(warm.entries >= 50 && warm.no_room == 1000 - warm.entries, "{warm:?}");
    assert_eq!((400..450).filter(|key| after.contains(key)).count(), 50);
    assert_eq!(after.stats().evictions, 0);
}

#[test]
fn what_is_no_whole_snapshot_is_a_cold_start_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let before = cache(1 << 20);
    for key in 0..20 {
        before.insert(key, key.to_string());
    }
    before.snapshot(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    let with = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let after = cache(1 << 20);
        let error = after.warm_from(&path).unwrap_err();
        assert!(after.is_empty(), "{error}");
        error
    };
    let mut newer = whole.clone();
    newer[4] = 9;
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    assert!(matches!(with(&newer), SnapshotError::Newer { found: 9, known: 1, .. }));
    with(&flipped);
    assert!(matches!(with(&whole[..whole.len() - 30]), SnapshotError::Truncated { .. }));
    assert!(matches!(with(b"hello"), SnapshotError::NotASnapshot));
    fs::remove_file(&path).unwrap();
    assert!(matches!(cache(1 << 20).warm_from(&path).unwrap_err(), SnapshotError::Io(_)));
    let plain: Cache<u64, u64> = Cache::builder("plain").build().unwrap();
    assert!(matches!(plain.snapshot(&path).unwrap_err(), SnapshotError::NoCodec));
    assert!(!path.exists());
}

#[test]
fn keys_and_values_of_another_kind_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let texts: Cache<String, String> = Cache::builder("texts").codec(JsonCodec::new()).build().unwrap();
    texts.insert("seven".to_owned(), "7".to_owned());
    texts.insert("7".to_owned(), "seven".to_owned());
    texts.snapshot(&path).unwrap();
    let after = cache(1 << 20);
    let warm = after.warm_from(&path).unwrap();
    assert_eq!((warm.entries, warm.unreadable), (1, 1));
    assert_eq!(after.get(&7).as_deref(), Some("seven"));
}

#[tokio::test(start_paused = true)]
async fn a_node_takes_a_file_for_what_may_be_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("snapshot");
    let before = cache(1 << 20);
    before.insert(1, "from the file".to_owned());
    before.snapshot(&path).unwrap();
    let node: Cache<u64, String> = Cache::builder("node")
        .ttl(Duration::from_mins(1))
        .stale_if_error(Duration::from_hours(1))
        .remote(MemoryTier::new(), JsonCodec::new())
        .build()
        .unwrap();
    assert_eq!(node.warm_from(&path).unwrap().entries, 1);
    assert_eq!(node.get(&1), None);
    let failing = node.get_or_load(1, |_| async { Err(std::io::Error::other("down")) });
    assert_eq!(failing.await.unwrap().into_parts(), ("from the file".to_owned(), Source::StaleOnError));
    let loaded = node.get_or_load(2, |_| async { Ok::<_, std::io::Error>("new".to_owned()) });
    assert_eq!(loaded.await.unwrap().source(), Source::Loaded);
}
