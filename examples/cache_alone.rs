//! The cache by itself: 500 callers make one call, the next is a hit, entries expire, and a budget in bytes holds.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bedplate_cache::{Cache, Source};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const TTL: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pages: Cache<String, Arc<str>> = Cache::builder("pages").ttl(TTL).build()?;
    let calls = Arc::new(AtomicU32::new(0));

    // Single flight: all ask for one key at once, and share one load.
    let began = Instant::now();
    let mut visitors = JoinSet::new();
    for _ in 0..500 {
        let (pages, calls) = (pages.clone(), Arc::clone(&calls));
        visitors.spawn(async move {
            let page = pages.get_or_load("/home".to_owned(), |_| render(calls));
            page.await.map(|page| page.source())
        });
    }
    let mut loaded = 0;
    while let Some(visitor) = visitors.join_next().await {
        loaded += u32::from(visitor?? == Source::Loaded);
    }
    let first_calls = calls.load(Ordering::Relaxed);
    println!("single flight: 500 visitors, {first_calls} call of 50 ms, all served within {:?}", began.elapsed());

    // A hit: what is there is served without a call.
    let counted = Arc::clone(&calls);
    let visit = pages.get_or_load("/home".to_owned(), |_| render(counted));
    let visit = visit.await?.source();
    println!("hit:           asked again {visit:?}, still {} call", calls.load(Ordering::Relaxed));

    // Time to live: found until its time is over, then loaded anew.
    let before = pages.contains("/home");
    sleep(TTL + Duration::from_millis(50)).await;
    let after = pages.contains("/home");
    let again = pages.get_or_load("/home".to_owned(), |_| render(calls));
    let again = again.await?.source();
    println!("time to live:  there {before}, after {TTL:?} {after}, asked again {again:?}");

    // Budget: what did not prove itself gives way, and a value beyond all bounds is not stored.
    let blobs: Cache<u32, Vec<u8>> = Cache::builder("blobs").max_bytes(1 << 20).build()?;
    for key in 0..10_000 {
        blobs.insert(key, vec![0; 1_000]);
    }
    let refused = !blobs.insert(10_000, vec![0; 2 << 20]).is_stored();
    let full = blobs.stats();
    println!(
        "budget:        {} of 10000 entries kept in {} of {} bytes, {} evicted, 2 MiB refused {refused}",
        full.entries, full.bytes, full.max_bytes, full.evictions
    );
    let stats = pages.stats();
    println!("\n{stats:#?}");

    let single = first_calls == 1 && loaded == 1 && stats.coalesced + stats.hits == 500;
    let hit = visit == Source::Fresh && stats.hits >= 1;
    let expired = before && !after && again == Source::Loaded && stats.loads == 2;
    let bounded = refused && full.bytes <= full.max_bytes && full.entries + full.evictions == 10_000;
    if single && hit && expired && bounded { Ok(()) } else { Err("the cache did not do what it says".into()) }
}

async fn render(calls: Arc<AtomicU32>) -> io::Result<Arc<str>> {
    calls.fetch_add(1, Ordering::Relaxed);
    sleep(Duration::from_millis(50)).await;
    Ok("<h1>Home</h1>".into())
}
