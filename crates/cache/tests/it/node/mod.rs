//! Caches as nodes: over a tier and a backplane that misbehave, in virtual time.

mod advisor;
mod backplane;
mod outage;
mod snapshot;
mod tier;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedplate_cache::remote::testing::{Manner, Unruly};
use bedplate_cache::remote::{JsonCodec, LinkConfig, MemoryBackplane, MemoryTier, WallClock};
use bedplate_cache::{Cache, CacheBuilder, Fetched, NodeConfig, Source};
use tokio::time::{Instant, sleep};

type Node = Cache<String, u64>;

/// A calendar that goes with tokio's time, paused or not.
#[derive(Debug)]
struct Calendar(Instant);

impl WallClock for Calendar {
    fn millis(&self) -> u64 {
        1_000_000 + u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }
}

/// What the nodes share, and an origin that counts its calls.
struct World {
    raw: MemoryTier,
    tier: Unruly<MemoryTier>,
    backplane: Unruly<MemoryBackplane>,
    calendar: Arc<Calendar>,
    calls: Arc<AtomicU64>,
}

impl World {
    fn new() -> Self {
        let raw = MemoryTier::new();
        Self {
            tier: Unruly::new(raw.clone()),
            raw,
            backplane: Unruly::new(MemoryBackplane::default()),
            calendar: Arc::new(Calendar(Instant::now())),
            calls: Arc::default(),
        }
    }

    fn builder(&self, name: &str) -> CacheBuilder<String, u64> {
        Cache::builder(name)
            .ttl(Duration::from_mins(1))
            .jitter_percent(0)
            .remote(self.tier.clone(), JsonCodec::new())
            .backplane(self.backplane.clone())
            .wall_clock(Arc::<Calendar>::clone(&self.calendar))
    }

    /// A node that has begun to listen.
    async fn node(&self, name: &str) -> Node {
        let node = self.builder(name).build().unwrap();
        settle().await;
        node
    }

    fn manner(&self, manner: Manner) {
        self.tier.set(manner);
        self.backplane.set(manner);
    }

    /// Loads a key, from the origin if need be, where it has this value and this tag.
    async fn load(&self, node: &Node, key: &str, value: u64) -> Fetched<u64> {
        let calls = Arc::clone(&self.calls);
        let load = node.get_or_load(key.to_owned(), move |cx| async move {
            calls.fetch_add(1, Ordering::SeqCst);
            cx.tag("t");
            Ok::<_, io::Error>(value)
        });
        load.await.unwrap()
    }

    async fn source(&self, node: &Node, key: &str, value: u64) -> (u64, Source) {
        self.load(node, key, value).await.into_parts()
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

fn impatient() -> NodeConfig {
    let mut link = LinkConfig::default();
    link.timeout = Duration::from_millis(200);
    link.breaker.open_for = Duration::from_millis(50);
    link.breaker.max_open_for = Duration::from_millis(200);
    let mut config = NodeConfig::default();
    config.link = link;
    config
}

/// Lets the tasks of all nodes do what there is to do.
async fn settle() {
    sleep(Duration::from_millis(20)).await;
}

async fn flushed(node: &Node) {
    assert!(node.flush(Duration::from_mins(1)).await.is_complete());
    settle().await;
}
