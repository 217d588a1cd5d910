//! A real Redis, and one that is stopped and started.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bedplate_cache::remote::testing::{backplane_contract, lock_contract, remote_contract};
use bedplate_cache::remote::{
    Backplane as _, BytesCodec, Change, Delivery, EnvelopeKind, EnvelopeMeta, GapReason, LinkConfig, Loaded, NodeId,
    Notification, RedisBackplane, RedisBackplaneConfig, RedisTier, RedisTierConfig, RemoteError, RemoteLink,
    RemoteTier as _, Stamp, Wire, Written,
};
use bytes::Bytes;

/// Says past the test runner's capture that a test did not run; where services are required, a failure.
fn skip(why: &str) {
    assert!(std::env::var_os("BEDPLATE_REQUIRE_SERVICES").is_none(), "{why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let mut past_the_capture = std::io::stderr();
    writeln!(past_the_capture, "SKIPPED {test}: {why}").unwrap();
}

fn url() -> Option<String> {
    let url = std::env::var_os("BEDPLATE_REDIS_URL").and_then(|url| url.into_string().ok());
    if url.is_none() {
        skip("BEDPLATE_REDIS_URL is not set; `scripts/services.sh up` starts a Redis, its `env` names it");
    }
    url
}

fn unique(what: &str) -> String {
    format!("bedplate-test:{what}*[?:{:016x}:", NodeId::random().get())
}

fn tier_config(what: &str) -> RedisTierConfig {
    let mut config = RedisTierConfig::default();
    config.prefix = unique(what);
    config
}

fn backplane_config(what: &str) -> RedisBackplaneConfig {
    let mut config = RedisBackplaneConfig::default();
    config.channel = unique(what);
    config.ping_every = Duration::from_millis(200);
    config
}

#[tokio::test]
async fn redis_keeps_the_contracts() {
    let Some(url) = url() else { return };
    let tier = RedisTier::new(&url, tier_config("tier")).unwrap();
    remote_contract(&tier).await.unwrap();
    lock_contract(&tier).await.unwrap();
    assert_eq!(tier.purge(&|_| true, Stamp::new(u64::MAX, 0, NodeId::new(0))).await.unwrap(), 0, "nothing is left");
    backplane_contract(&RedisBackplane::new(&url, backplane_config("plane")).unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_purge_looks_at_its_own_prefix_and_past_one_page() {
    let Some(url) = url() else { return };
    let (ours, theirs) = (tier_config("purge"), tier_config("purge"));
    let [ours, theirs] = [ours, theirs].map(|config| RedisTier::new(&url, config).unwrap());
    let meta = EnvelopeMeta::new(EnvelopeKind::Value, Stamp::new(1, 0, NodeId::new(1)));
    let sealed = Wire::<Bytes>::new(BytesCodec::new()).seal(&meta, None).unwrap();
    for key in 0..1_500_u32 {
        let key = format!("={key}");
        ours.store(bedplate_cache::remote::Write::new(key.as_bytes(), &sealed).ttl(Some(Duration::from_mins(1))))
            .await
            .unwrap();
    }
    theirs.store(bedplate_cache::remote::Write::new(b"=1", &sealed).ttl(Some(Duration::from_mins(1)))).await.unwrap();
    let later = Stamp::new(2, 0, NodeId::new(1));
    assert_eq!(ours.purge(&|key| key.ends_with(b"7"), later).await.unwrap(), 150);
    assert_eq!(ours.purge(&|_| true, later).await.unwrap(), 1_350);
    assert!(theirs.load(b"=1").await.unwrap().is_some());
    assert!(theirs.remove(b"=1").await.unwrap());
}

#[tokio::test]
async fn what_is_no_string_is_an_error_to_a_reader_and_gives_way_to_a_writer() {
    let Some(url) = url() else { return };
    let config = tier_config("foreign");
    let key = format!("{}=list", config.prefix);
    let tier = RedisTier::new(&url, config).unwrap();
    let mut connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let _: i64 = redis::cmd("RPUSH").arg(&key).arg("x").query_async(&mut connection).await.unwrap();
    assert!(matches!(tier.load(b"=list").await, Err(RemoteError::Refused(_))));
    let meta = EnvelopeMeta::new(EnvelopeKind::Value, Stamp::new(1, 0, NodeId::new(1)));
    let sealed = Wire::<Bytes>::new(BytesCodec::new()).seal(&meta, None).unwrap();
    tier.store(bedplate_cache::remote::Write::new(b"=list", &sealed)).await.unwrap();
    assert!(tier.remove(b"=list").await.unwrap());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_in_bounded_time() {
    // A port that was free a moment ago, and one that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for address in [silent.local_addr().unwrap(), closed] {
        let url = format!("redis://{address}");
        let mut config = tier_config("absent");
        (config.timeout, config.connect_timeout) = (Duration::from_millis(100), Duration::from_millis(200));
        let tier = RedisTier::new(&url, config).unwrap();
        let before = tokio::time::Instant::now();
        let error = tier.load(b"=k").await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
        assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    }
    assert!(RedisTier::new("not an address", tier_config("bad")).is_err());
    let mut config = tier_config("bad");
    config.timeout = Duration::ZERO;
    assert_eq!(RedisTier::new("redis://127.0.0.1:1", config).unwrap_err().field(), "timeout");
}

/// A Redis of this test alone.
struct Server {
    port: u16,
    process: Child,
}

impl Server {
    fn start(port: u16) -> Option<Self> {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { port, process })
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

async fn eventually<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), found).await;
    assert!(found.is_ok(), "never: {what}");
    found.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_was_killed_and_came_back_gets_all_and_everybody_hears() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let Some(mut server) = Server::start(port) else { return skip("redis-server is not installed") };
    let wire = Wire::<Bytes>::new(BytesCodec::new());
    let node = |id| {
        let mut config = LinkConfig::default();
        config.node = NodeId::new(id);
        config.breaker.open_for = Duration::from_millis(50);
        config.breaker.max_open_for = Duration::from_millis(200);
        let tier = RedisTier::new(&server.url(), tier_config("outage")).unwrap();
        drop(tier);
        let mut tier = RedisTierConfig::default();
        tier.prefix = "outage:".to_owned();
        tier.timeout = Duration::from_millis(200);
        let mut plane = backplane_config("x");
        plane.channel = "outage".to_owned();
        std::sync::Arc::new(
            RemoteLink::new(config)
                .unwrap()
                .tier(RedisTier::new(&server.url(), tier).unwrap())
                .backplane(RedisBackplane::new(&server.url(), plane).unwrap()),
        )
    };
    let (one, two) = (node(1), node(2));
    let mut at_two = eventually("a subscription", async || two.subscribe().await.ok().flatten()).await;
    let write = async |key: &str, value: &'static str| {
        let meta = EnvelopeMeta::new(EnvelopeKind::Value, one.stamp());
        let sealed = wire.seal(&meta, Some(&Bytes::from_static(value.as_bytes()))).unwrap();
        one.write(key.as_bytes(), sealed, None).await
    };
    eventually("a first write", async || (write("k", "before").await == Written::Stored).then_some(())).await;

    let url = server.url();
    server.kill();
    let recovering = std::sync::Arc::clone(&one);
    let recovery = tokio::spawn(async move { recovering.recover(|_| ()).await });
    for _ in 0..20 {
        assert_eq!(write("k", "during").await, Written::Queued);
        assert!(matches!(two.load(b"k", &wire).await, Loaded::Failed(_)));
    }
    let stamp = one.stamp();
    assert_eq!(one.invalidate(Change::Tag("t".to_owned()), stamp).await, Written::Queued);

    let server = Server::start(port).unwrap();
    assert_eq!(server.url(), url);
    let found = eventually("the replayed write", async || match two.load(b"k", &wire).await {
        Loaded::Found(opened) => opened.value,
        _ => None,
    });
    assert_eq!(found.await.as_ref(), b"during");
    eventually("an empty queue", async || (one.stats().waiting == 0).then_some(())).await;
    // Whatever the second node missed, it knows that it may have missed something.
    let gap = eventually("a gap", async || {
        let delivery = at_two.next().await?;
        (delivery == Delivery::Gap(GapReason::Reconnected)).then_some(())
    });
    gap.await;
    recovery.abort();
}

#[tokio::test]
async fn a_slow_subscriber_is_told_of_its_gap() {
    let Some(url) = url() else { return };
    let mut config = backplane_config("slow");
    config.capacity = 2;
    let backplane = RedisBackplane::new(&url, config).unwrap();
    let mut subscription = backplane.subscribe().await.unwrap();
    let word = |sequence| Notification::new(Stamp::new(1, 0, NodeId::new(1)), sequence, Change::Cleared);
    for sequence in 0..50 {
        backplane.publish(&word(sequence)).await.unwrap();
    }
    // The last one may itself fall into the gap: more are sent until one of them is heard.
    let (mut last, mut next, mut gaps, mut since) = (None, 50, 0, false);
    while last.is_none_or(|last| last < 50) {
        match tokio::time::timeout(Duration::from_millis(300), subscription.next()).await {
            Err(_) => {
                backplane.publish(&word(next)).await.unwrap();
                next += 1;
                assert!(next < 70, "nothing is heard any more");
            }
            Ok(Some(Delivery::Gap(reason))) => {
                assert_eq!(reason, GapReason::Overrun);
                gaps += 1;
                since = true;
            }
            Ok(Some(Delivery::Message(notification))) => {
                let follows = last.map_or(0, |last| last + 1);
                assert!(
                    notification.sequence == follows || since,
                    "{last:?} to {} without a word",
                    notification.sequence
                );
                (last, since) = (Some(notification.sequence), false);
            }
            other => panic!("the subscription ended: {other:?}"),
        }
    }
    assert!(gaps > 0, "two places do not hold fifty words");
}
