//! Storing, finding, expiring, removing.

use std::sync::Arc;
use std::time::Duration;

use bedplate_cache::{
    Cache, CacheBuilder, CacheConfig, CacheEvent, CacheStats, ConfigError, EntryOptions, Fetched, Insertion,
    LoadContext, LoadError, ManualClock, Source, TokioClock,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn timed(ttl: Option<Duration>) -> (Cache<String, u64>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new());
    let mut builder = Cache::builder("timed").clock(Arc::<ManualClock>::clone(&clock));
    if let Some(ttl) = ttl {
        builder = builder.ttl(ttl);
    }
    (builder.build().unwrap(), clock)
}

#[test]
fn an_insert_says_what_happened() {
    let cache: Cache<String, u64> = Cache::builder("plain").build().unwrap();
    assert_eq!(cache.insert("a".to_owned(), 1), Insertion::Inserted);
    assert_eq!(cache.insert("a".to_owned(), 2), Insertion::Replaced { previous: 1 });
    assert_eq!(cache.get("a"), Some(2));
    assert_eq!(cache.remove("a"), Some(2));
    assert_eq!(cache.remove("a"), None);
    assert_eq!(cache.get("a"), None);
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses_absent, stats.inserts, stats.entries, stats.bytes), (1, 1, 2, 0, 0));
}

#[test]
fn an_entry_is_served_up_to_its_time_to_live() {
    let (cache, clock) = timed(Some(seconds(10)));
    cache.insert("own".to_owned(), 1);
    cache.insert_with("short".to_owned(), 2, EntryOptions::new().ttl(seconds(3)));
    cache.insert_with("for ever".to_owned(), 3, EntryOptions::new().without_expiry());
    cache.insert_with("never".to_owned(), 4, EntryOptions::new().ttl(Duration::ZERO));
    assert_eq!(cache.get("never"), None);
    clock.advance(Duration::from_nanos(2_999_999_999));
    assert_eq!(cache.get("short"), Some(2));
    clock.advance(Duration::from_nanos(1));
    assert!(!cache.contains("short"));
    assert_eq!(cache.get("short"), None);
    clock.advance(seconds(7));
    assert_eq!((cache.get("own"), cache.get("for ever")), (None, Some(3)));
    let stats = cache.stats();
    assert_eq!((stats.misses_expired, stats.misses_absent, stats.expirations, stats.entries), (3, 0, 3, 1));
}

#[test]
fn an_expired_value_is_given_back_to_nobody() {
    let (cache, clock) = timed(Some(seconds(1)));
    cache.insert("removed".to_owned(), 1);
    cache.insert("written".to_owned(), 1);
    clock.advance(seconds(1));
    assert_eq!(cache.remove("removed"), None);
    assert_eq!(cache.insert("written".to_owned(), 2), Insertion::Inserted);
    assert_eq!(cache.stats().expirations, 2);
}

#[test]
fn maintenance_drops_the_expired_and_only_them() {
    let (cache, clock) = timed(None);
    assert_eq!(cache.maintain(), 0);
    for n in 0..20 {
        cache.insert_with(format!("{n}"), n, EntryOptions::new().ttl(seconds(n + 1)));
    }
    clock.advance(seconds(15));
    assert_eq!((cache.len(), cache.maintain(), cache.len()), (20, 15, 5));
    assert_eq!(cache.get("15"), Some(15));
    cache.clear();
    assert_eq!((cache.len(), cache.bytes(), cache.is_empty()), (0, 0, true));
}

#[tokio::test(start_paused = true)]
async fn the_default_clock_follows_paused_time() {
    let cache: Cache<u64, u64> = Cache::builder("paused").ttl(seconds(60)).jitter_percent(0).build().unwrap();
    cache.insert(1, 1);
    tokio::time::advance(seconds(59)).await;
    assert_eq!(cache.get(&1), Some(1));
    tokio::time::advance(seconds(1)).await;
    assert_eq!(cache.get(&1), None);
}

#[test]
fn settings_out_of_bounds_are_named() {
    let error = Cache::<u64, u64>::builder("zero").max_bytes(0).build().unwrap_err();
    assert_eq!((error.field(), error.value()), ("max_bytes", "0"));
    let error = Cache::<u64, u64>::builder("contradiction").max_bytes(1000).max_entry_bytes(2000).build().unwrap_err();
    assert_eq!(error.to_string(), "invalid max_entry_bytes `2000`: expected from 136 bytes to max_bytes (1000)");
    assert_eq!(Cache::<u64, u64>::builder("").build().unwrap_err().field(), "name");
}

#[test]
fn a_configuration_survives_a_file_and_typing_errors_do_not() {
    let cache: Cache<u64, u64> =
        Cache::builder("configured").max_bytes(1 << 20).shards(3).ttl(seconds(5)).build().unwrap();
    let text = serde_json::to_string(cache.config()).unwrap();
    let read: CacheConfig = serde_json::from_str(&text).unwrap();
    assert_eq!(&read, cache.config());
    assert_eq!((read.shards, read.max_entry_bytes), (Some(4), Some(1 << 20)));
    assert!(serde_json::from_str::<CacheConfig>(r#"{ "max_byte": 5 }"#).is_err());
    let again: Cache<u64, u64> = Cache::builder("again").config(read).build().unwrap();
    assert_eq!(again.config(), cache.config());
}

#[test]
fn nothing_of_the_contents_is_shown() {
    let cache: Cache<String, String> = Cache::builder("secrets").build().unwrap();
    cache.insert("token".to_owned(), "hunter2".to_owned());
    let shown = format!("{cache:?}");
    assert!(shown.contains("secrets") && !shown.contains("token") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn everything_that_should_crosses_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    fn owned<T: Send + Sync>() {}
    fn sent<T: Send>(_: &T) {}
    let cache: Cache<u64, u64> = Cache::builder("shared").build().unwrap();
    shared(&cache);
    sent(&cache.get_or_load(1, |_| async { Ok::<_, std::io::Error>(1) }));
    owned::<(CacheBuilder<u64, u64>, CacheConfig, CacheStats, CacheEvent, ConfigError, EntryOptions, Insertion<u64>)>();
    owned::<(Fetched<u64>, LoadContext, LoadError<std::io::Error>, ManualClock, TokioClock, Source)>();
}

#[test]
fn the_coarse_clock_moves_forward_and_ends_entries() {
    use bedplate_cache::{Clock as _, CoarseClock, TokioClock};
    let (coarse, exact) = (CoarseClock::new(), TokioClock::new());
    let cache: Cache<u64, u64> =
        Cache::builder("coarse").ttl(Duration::from_millis(30)).clock(Arc::new(coarse.clone())).build().unwrap();
    cache.insert(1, 1);
    cache.insert_with(2, 2, EntryOptions::new().ttl(Duration::from_hours(1)));
    let mut last = coarse.now();
    // No sleep: the clock has to run while this does.
    while exact.now() < Duration::from_millis(60) {
        let now = coarse.now();
        assert!(now >= last && now < exact.now() + Duration::from_millis(20));
        last = now;
    }
    assert_eq!((cache.get(&1), cache.get(&2)), (None, Some(2)));
}
