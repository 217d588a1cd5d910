//! Two caches as nodes of one: the second finds in the tier what the first loaded, hears of every invalidation, and
//! both survive an outage of what connects them. In one process over memory, or over Redis where `BEDPLATE_REDIS_URL`
//! names one.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedplate_cache::remote::{
    JsonCodec, MemoryBackplane, MemoryTier, NodeId, RedisBackplane, RedisBackplaneConfig, RedisTier, RedisTierConfig,
};
use bedplate_cache::{Cache, CacheBuilder, Source};
use tokio::time::{sleep, timeout};

type Prices = Cache<String, u64>;

/// An origin that counts how often it is asked, and whose prices rise.
#[derive(Clone, Default)]
struct Origin(Arc<AtomicU64>);

impl Origin {
    async fn price(&self) -> io::Result<u64> {
        sleep(Duration::from_millis(20)).await;
        Ok(100 + self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var_os("BEDPLATE_REDIS_URL").and_then(|url| url.into_string().ok());
    let (one, two) = if let Some(url) = &url {
        let name = format!("bedplate-example:{}:", NodeId::random());
        (redis_node(url, &name)?, redis_node(url, &name)?)
    } else {
        let (tier, plane) = (MemoryTier::new(), MemoryBackplane::default());
        let node = || builder().remote(tier.clone(), JsonCodec::new()).backplane(plane.clone()).build();
        (node()?, node()?)
    };
    println!(
        "two nodes over {}",
        if url.is_some() { "Redis" } else { "memory; BEDPLATE_REDIS_URL would name a Redis" }
    );
    // Both listen before anything is told.
    sleep(Duration::from_millis(200)).await;

    let origin = Origin::default();
    let first = ask(&one, &origin).await?;
    one.flush(Duration::from_secs(5)).await;
    let second = ask(&two, &origin).await?;
    println!("loaded by one:       one {first:?}, two {second:?}");

    two.invalidate_glob("product:*:price")?;
    let heard = gone(&one).await;
    two.flush(Duration::from_secs(5)).await;
    let third = ask(&one, &origin).await?;
    println!("invalidated by two:  one heard it {heard}, and loads {third:?}");

    one.flush(Duration::from_secs(5)).await;
    let again = ask(&two, &origin).await?;
    one.invalidate_tag("catalog");
    let heard_tag = gone(&two).await;
    let fourth = ask(&two, &origin).await?;
    println!("tag dropped by one:  two held {again:?}, of it {heard_tag}, and loads {fourth:?}");

    let left =
        [one.close(Duration::from_secs(5)).await, two.close(Duration::from_secs(5)).await].map(|flushed| flushed.left);
    println!("\n{:#?}", two.remote_stats());
    let sources = [first.1, second.1, third.1, again.1, fourth.1];
    let right = sources == [Source::Loaded, Source::Remote, Source::Loaded, Source::Remote, Source::Loaded]
        && first.0 == second.0
        && heard
        && heard_tag
        && left == [0, 0]
        && origin.0.load(Ordering::SeqCst) == 3;
    if right { Ok(()) } else { Err(format!("the nodes did not act as one: {sources:?}").into()) }
}

fn builder() -> CacheBuilder<String, u64> {
    Cache::builder("prices").ttl(Duration::from_mins(1)).stale_if_error(Duration::from_mins(10))
}

fn redis_node(url: &str, name: &str) -> Result<Prices, Box<dyn Error>> {
    let (mut tier, mut plane) = (RedisTierConfig::default(), RedisBackplaneConfig::default());
    name.clone_into(&mut tier.prefix);
    name.clone_into(&mut plane.channel);
    let tier = RedisTier::new(url, tier)?;
    Ok(builder().remote(tier, JsonCodec::new()).backplane(RedisBackplane::new(url, plane)?).build()?)
}

async fn ask(node: &Prices, origin: &Origin) -> Result<(u64, Source), Box<dyn Error>> {
    let origin = origin.clone();
    let price = node.get_or_load("product:7:price".to_owned(), |cx| async move {
        cx.tag("catalog");
        origin.price().await
    });
    Ok(price.await?.into_parts())
}

/// Waits until a node has heard that its price is old.
async fn gone(node: &Prices) -> bool {
    let heard = async {
        while node.contains("product:7:price") {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), heard).await.is_ok()
}
