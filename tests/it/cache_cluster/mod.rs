//! Caches in processes of their own, over a real Redis: what one invalidates the other forgets, through an outage of
//! the server and a partition of a node.

mod node;
mod process;
mod proxy;
mod server;

use std::time::Duration;

use process::{Process, Setup, eventually};
use proxy::Proxy;
use server::Server;
use tokio::time::{Instant, sleep};

use crate::support;

/// Not a test of its own but the process that the others start: see [`Process`].
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_process_of_a_node() {
    if let Some(setup) = Setup::of_this_process() {
        node::run(setup).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_process_invalidates_the_other_forgets() {
    let Some(url) = support::service("BEDPLATE_REDIS_URL") else { return };
    let setup = Setup::new("invalidation", &url);
    let (mut one, mut two) = (Process::start(&setup), Process::start(&setup));
    for key in ["product:1:price", "product:1:stock", "user:1", "user:2"] {
        setup.origin(key, 1);
        assert_eq!(one.ask(&format!("load {key} {}", &key[..4])), "1 Loaded");
        assert_eq!(one.ask("flush 5000"), "left 0");
        assert_eq!(two.ask(&format!("load {key} {}", &key[..4])), "1 Remote", "{key}");
        setup.origin(key, 2);
    }
    // A node that was stopped for a while may doubt what it holds, and has it confirmed by the tier: the origin has
    // another value, so whoever says this one knows it to be in effect.
    let kept = |node: &mut Process, key: &str, tag: &str| {
        let answer = node.ask(&format!("load {key} {tag}"));
        assert!(["1 Fresh", "1 Remote"].contains(&&*answer), "{key}: {answer}");
    };
    kept(&mut two, "user:1", "user");

    assert_eq!(one.ask("glob product:*:price"), "done");
    eventually("the glob arrives", async || two.ask("get product:1:price") == "none").await;
    // It does not fit.
    kept(&mut two, "product:1:stock", "prod");
    assert_eq!(one.ask("flush 5000"), "left 0");
    assert_eq!(two.ask("load product:1:price prod"), "2 Loaded", "the tier must not bring the old value back");

    assert_eq!(two.ask("tag user"), "done");
    eventually("the tag arrives", async || one.ask("get user:1") == "none" && one.ask("get user:2") == "none").await;
    // It has another tag.
    kept(&mut one, "product:1:stock", "prod");
    assert_eq!(one.ask("load user:1 user"), "2 Loaded");
    assert_eq!(one.ask("flush 5000"), "left 0");
    assert_eq!(two.ask("load user:1 user"), "2 Remote");

    assert_eq!(one.ask("remove user:1"), "done");
    eventually("the removal arrives", async || two.ask("get user:1") == "none").await;
    assert_eq!(one.ask("clear"), "done");
    eventually("the clearing arrives", async || two.ask("get product:1:stock") == "none").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_gone_for_twenty_seconds_under_load() {
    let Some(mut server) = Server::start() else { return };
    let setup = Setup::new("outage", &server.url());
    let (mut one, mut two) = (Process::start(&setup), Process::start(&setup));
    let keys: Vec<String> = ["tagged", "globbed", "removed", "written", "kept"]
        .into_iter()
        .flat_map(|kind| (0..4).map(move |n| format!("{kind}:{n}")))
        .collect();
    for key in &keys {
        setup.origin(key, 1);
        let (kind, _) = key.split_once(':').unwrap();
        assert_eq!(one.ask(&format!("load {key} {kind}")), "1 Loaded");
    }
    assert_eq!(one.ask("flush 5000"), "left 0");
    for key in &keys {
        let (kind, _) = key.split_once(':').unwrap();
        assert_eq!(two.ask(&format!("load {key} {kind}")), "1 Remote");
    }
    for node in [&mut one, &mut two] {
        assert_eq!(node.ask(&format!("hammer {}", keys.join(" "))), "done");
    }

    // What it had it has again when it is back: old values are there to be served.
    server.kill();
    let gone = Instant::now();
    sleep(Duration::from_secs(2)).await;
    for key in keys.iter().filter(|key| !key.starts_with("kept")) {
        setup.origin(key, 2);
    }
    assert_eq!(one.ask("tag tagged"), "done");
    assert_eq!(one.ask("glob globbed:*"), "done");
    for n in 0..4 {
        assert_eq!(one.ask(&format!("remove removed:{n}")), "done");
        assert_eq!(one.ask(&format!("insert written:{n} 2 written")), "done");
    }
    // The origin fails as well, later on: what is stale is given.
    sleep(Duration::from_secs(8)).await;
    setup.break_origin();
    sleep(Duration::from_secs(5)).await;
    setup.mend_origin();
    sleep(Duration::from_secs(20).saturating_sub(gone.elapsed())).await;
    server.restart();

    for node in [&mut one, &mut two] {
        let drained = node.ask("flush 15000");
        assert_eq!(drained, "left 0", "every queued word arrives");
    }
    // Whoever was told reads the truth; the hammers go on meanwhile.
    let expected = |key: &str| if key.starts_with("kept") { "1" } else { "2" };
    for (name, node) in [("one", &mut one), ("two", &mut two)] {
        eventually(&format!("{name} reads the truth"), async || {
            keys.iter().all(|key| {
                let (kind, _) = key.split_once(':').unwrap();
                node.ask(&format!("load {key} {kind}")).split(' ').next() == Some(expected(key))
            })
        })
        .await;
    }
    // From then on nothing old comes back, from neither memory nor tier.
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        for key in &keys {
            let (kind, _) = key.split_once(':').unwrap();
            for node in [&mut one, &mut two] {
                let answer = node.ask(&format!("load {key} {kind}"));
                assert_eq!(answer.split(' ').next(), Some(expected(key)), "{key}: {answer}");
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    for (name, node) in [("one", &mut one), ("two", &mut two)] {
        let hammered = node.ask("rest");
        let (calls, errors) = hammered.split_once(' ').unwrap();
        assert_eq!(errors, "0", "{name}: callers saw errors in {calls} calls");
        assert!(calls.parse::<u64>().unwrap() > 1_000, "{name}: {calls} calls are no load");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_cut_off_from_the_backplane_ends_consistent() {
    let Some(url) = support::service("BEDPLATE_REDIS_URL") else { return };
    let proxy = Proxy::start(&url);
    let setup = Setup::new("partition", &url);
    let mut one = Process::start(&setup);
    let mut two = Process::start(&setup.clone().backplane(&proxy.url()));
    let keys: Vec<String> = (0..20).map(|n| format!("key:{n}")).collect();
    for key in &keys {
        setup.origin(key, 1);
        assert_eq!(one.ask(&format!("load {key} t")), "1 Loaded");
    }
    assert_eq!(one.ask("flush 5000"), "left 0");
    for key in &keys {
        assert_eq!(two.ask(&format!("load {key} t")), "1 Remote");
    }

    proxy.cut();
    for key in &keys {
        setup.origin(key, 2);
    }
    assert_eq!(one.ask("tag t"), "done");
    for key in &keys {
        assert_eq!(one.ask(&format!("load {key} t")), "2 Loaded");
    }
    assert_eq!(one.ask("flush 5000"), "left 0");
    // Its last signs of life were a while ago: it gives up trusting by itself, cut off as it is.
    eventually("doubt", async || keys.iter().all(|key| two.ask(&format!("get {key}")) == "none")).await;
    for key in &keys {
        assert_eq!(two.ask(&format!("load {key} t")).split(' ').next(), Some("2"), "{key}");
    }

    // What is changed while it is deaf and was loaded since is found out when it hears again.
    for key in &keys {
        setup.origin(key, 3);
    }
    assert_eq!(one.ask("glob key:*"), "done");
    assert_eq!(one.ask("flush 5000"), "left 0");
    proxy.mend();
    eventually("the truth", async || {
        keys.iter().all(|key| two.ask(&format!("load {key} t")).split(' ').next() == Some("3"))
    })
    .await;
    assert_eq!(one.ask(&format!("load {} t", keys[0])).split(' ').next(), Some("3"));
    // And it is heard, and hears, as before.
    assert_eq!(two.ask("tag t"), "done");
    eventually("its own word arrives", async || one.ask(&format!("get {}", keys[0])) == "none").await;
}
