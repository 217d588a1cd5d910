//! What runs in the process of a node.

use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bedplate_cache::remote::{JsonCodec, RedisBackplane, RedisBackplaneConfig, RedisTier, RedisTierConfig};
use bedplate_cache::{Cache, CacheEvent, EntryOptions, Fetched, NodeConfig, Observer};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::process::{ANSWER, Setup};

type Node = Cache<String, u64>;

/// Takes orders until there are no more.
pub(super) async fn run(setup: Setup) {
    let listening = Arc::new(Listening::default());
    let node = build(&setup, Arc::clone(&listening));
    let (sender, mut orders) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() || sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    let mut hammer = Hammer::default();
    while let Some(order) = orders.recv().await {
        let mut words = order.split(' ');
        let mut next = || words.next().unwrap_or_default().to_owned();
        let answer = match next().as_str() {
            "listen" => listening.wait().await,
            "load" => match load(&node, &setup, &next(), &next()).await {
                Ok(fetched) => format!("{} {:?}", fetched.value(), fetched.source()),
                Err(error) => format!("failed {error}"),
            },
            "get" => node.get(&*next()).map_or_else(|| "none".to_owned(), |value| value.to_string()),
            "insert" => {
                let (key, value, tag) = (next(), next().parse().unwrap(), next());
                node.insert_with(key, value, EntryOptions::new().tag(tag));
                "done".to_owned()
            }
            "remove" => {
                node.remove(&*next());
                "done".to_owned()
            }
            "tag" => {
                node.invalidate_tag(next());
                "done".to_owned()
            }
            "glob" => node.invalidate_glob(&next()).map_or_else(|error| error.to_string(), |()| "done".to_owned()),
            "clear" => {
                node.clear();
                "done".to_owned()
            }
            "flush" => {
                let limit = Duration::from_millis(next().parse().unwrap());
                format!("left {}", node.flush(limit).await.left)
            }
            "hammer" => {
                hammer.begin(&node, &setup, &words.map(str::to_owned).collect::<Vec<_>>());
                "done".to_owned()
            }
            "rest" => hammer.rest().await,
            unknown => format!("unknown {unknown}"),
        };
        let mut answers = std::io::stdout();
        writeln!(answers, "{ANSWER}{answer}").unwrap();
        answers.flush().unwrap();
    }
}

fn build(setup: &Setup, listening: Arc<Listening>) -> Node {
    let mut tier = RedisTierConfig::default();
    tier.prefix.clone_from(&setup.name);
    tier.timeout = Duration::from_millis(200);
    tier.connect_timeout = Duration::from_millis(200);
    let mut plane = RedisBackplaneConfig::default();
    plane.channel.clone_from(&setup.name);
    plane.ping_every = Duration::from_millis(500);
    plane.max_pause = Duration::from_millis(500);
    let mut config = NodeConfig::default();
    config.heartbeat = Duration::from_millis(500);
    config.second_purge = Duration::from_secs(1);
    config.link.breaker.max_open_for = Duration::from_secs(1);
    Cache::builder("cluster")
        .ttl(Duration::from_mins(5))
        .stale_if_error(Duration::from_mins(5))
        .error_backoff(Duration::from_millis(100))
        .remote(RedisTier::new(&setup.tier, tier).unwrap(), JsonCodec::new())
        .backplane(RedisBackplane::new(&setup.backplane, plane).unwrap())
        .node(config)
        .observer(listening)
        .build()
        .unwrap()
}

async fn load(node: &Node, setup: &Setup, key: &str, tag: &str) -> Result<Fetched<u64>, String> {
    let (setup, tag, asked) = (setup.clone(), tag.to_owned(), key.to_owned());
    let load = node.get_or_load(key.to_owned(), move |cx| async move {
        cx.tag(tag);
        setup.read(&asked)
    });
    load.await.map_err(|error| error.to_string())
}

/// Knows when the node began to hear: that is the first time that it doubts what it holds.
#[derive(Debug, Default)]
struct Listening(AtomicBool);

impl Listening {
    async fn wait(&self) -> String {
        for _ in 0..500 {
            if self.0.load(Ordering::SeqCst) {
                return "done".to_owned();
            }
            sleep(Duration::from_millis(20)).await;
        }
        "never".to_owned()
    }
}

impl Observer for Listening {
    fn on_event(&self, _: &str, event: &CacheEvent) {
        if matches!(event, CacheEvent::Suspected) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

/// Callers that never stop asking.
#[derive(Default)]
struct Hammer {
    callers: JoinSet<()>,
    calls: Arc<AtomicU64>,
    errors: Arc<AtomicU64>,
}

impl Hammer {
    fn begin(&mut self, node: &Node, setup: &Setup, keys: &[String]) {
        for at in 0..4 {
            let (node, setup, keys) = (node.clone(), setup.clone(), keys.to_vec());
            let (calls, errors) = (Arc::clone(&self.calls), Arc::clone(&self.errors));
            self.callers.spawn(async move {
                for key in keys.iter().cycle().skip(at * 5) {
                    let tag = key.split(':').next().unwrap_or_default();
                    if load(&node, &setup, key, tag).await.is_err() {
                        errors.fetch_add(1, Ordering::SeqCst);
                    }
                    calls.fetch_add(1, Ordering::SeqCst);
                    sleep(Duration::from_millis(2)).await;
                }
            });
        }
    }

    async fn rest(&mut self) -> String {
        self.callers.shutdown().await;
        format!("{} {}", self.calls.load(Ordering::SeqCst), self.errors.load(Ordering::SeqCst))
    }
}
