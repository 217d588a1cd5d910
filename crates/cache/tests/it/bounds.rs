//! What may cross threads.

use std::io;

use bedplate_cache::{Batch, Cache, CacheStats, Fetched, Glob, Invalidation, LatencyHistogram, LoadContext, Tag};

fn shared<T: Send + Sync + 'static>() {}

fn sendable<T: Send>(_: &T) {}

#[test]
fn types_and_futures_are_send() {
    shared::<Cache<String, String>>();
    shared::<Batch<String, String, io::Error>>();
    shared::<(Fetched<String>, LoadContext, CacheStats, LatencyHistogram)>();
    shared::<(Glob, Tag, Invalidation<String>)>();
    let cache: Cache<u64, u64> = Cache::builder("bounds").build().unwrap();
    sendable(&cache.get_or_load(1, |_| async { Ok::<_, io::Error>(1) }));
    sendable(&cache.get_or_load_optional(1, |_| async { Ok::<_, io::Error>(None) }));
    sendable(&cache.refresh(1, |_| async { Ok::<_, io::Error>(1) }));
    sendable(&cache.get_many_or_load([1], |_, _| async { Ok::<_, io::Error>([(1, 1)]) }));
}

#[test]
fn stats_are_data() {
    let stats = Cache::<u64, u64>::builder("data").build().unwrap().stats();
    let text = serde_json::to_string(&stats).unwrap();
    assert_eq!(serde_json::from_str::<CacheStats>(&text).unwrap(), stats);
}
