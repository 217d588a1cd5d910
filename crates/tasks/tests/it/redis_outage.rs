//! A server that goes away and comes back.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bedplate_tasks::TaskId;
use bedplate_tasks::store::{
    ClaimRequest, End, JobState, JobStore as _, NewJob, RedisStore, Settled, Settlement, Signal, StoreControl as _,
};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::redis_support::{commands, prefix, skip, store_at, url};

const MS: Duration = Duration::from_millis(1);
const TERM: Duration = Duration::from_secs(2);

/// A Redis of its own, which keeps what it has in a file.
struct Server {
    port: u16,
    folder: tempfile::TempDir,
    process: Child,
}

impl Server {
    async fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let Ok(process) = spawn(port, &folder) else { return skip("redis-server is not installed") };
        let server = Self { port, folder, process };
        server.wait().await;
        Some(server)
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    async fn restart(&mut self) {
        self.process = spawn(self.port, &self.folder).unwrap();
        self.wait().await;
    }

    async fn wait(&self) {
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "the server does not answer");
            sleep(10 * MS).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn spawn(port: u16, folder: &tempfile::TempDir) -> std::io::Result<Child> {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"])
        .args(["--port", &port.to_string(), "--dir", folder.path().to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// What producers were told was taken in, and what workers were told was done.
#[derive(Default)]
struct Seen {
    acknowledged: Mutex<BTreeSet<TaskId>>,
    completed: Mutex<Vec<(TaskId, Instant)>>,
}

/// Submits until told to stop, and until what was begun is acknowledged.
async fn produce(store: RedisStore, seen: Arc<Seen>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let job = NewJob::new("a.v1", b"1".to_vec());
        loop {
            match store.enqueue(vec![job.clone()]).await {
                Ok(answers) => {
                    seen.acknowledged.lock().extend(answers.iter().map(|answer| answer.id()));
                    break;
                }
                Err(error) => assert!(error.is_transient(), "{error:?}"),
            }
            sleep(10 * MS).await;
        }
    }
}

async fn work(store: RedisStore, seen: Arc<Seen>, stop: CancellationToken) {
    let request = ClaimRequest::new("worker", ["a.v1"], 10, TERM).wait(100 * MS);
    while !stop.is_cancelled() {
        let claims = match store.claim(&request).await {
            Ok(claims) => claims,
            Err(error) => {
                assert!(error.is_transient(), "{error:?}");
                sleep(10 * MS).await;
                continue;
            }
        };
        let ends: Vec<End> =
            claims.iter().map(|claim| End::new(claim.lease, Settlement::Completed(b"1".to_vec()))).collect();
        match store.settle(&ends).await {
            Ok(answers) => {
                for (claim, answer) in claims.iter().zip(answers) {
                    if answer == Settled::Accepted {
                        seen.completed.lock().push((claim.job.id, Instant::now()));
                    }
                }
            }
            Err(error) => assert!(error.is_transient(), "{error:?}"),
        }
    }
}

async fn sweep(store: RedisStore, stop: CancellationToken) {
    while !stop.is_cancelled() {
        drop(store.maintain().await);
        sleep(200 * MS).await;
    }
}

/// Producers and workers run while `disturb` does; then all that was acknowledged is done, each once.
async fn under_load(url: &str, prefix: &str, disturb: impl AsyncFnOnce(&RedisStore, &Seen)) {
    let store = store_at(url, prefix).await;
    let seen = Arc::new(Seen::default());
    let (enough, stop) = (CancellationToken::new(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    let mut producers = JoinSet::new();
    for _ in 0..4 {
        producers.spawn(produce(store.clone(), Arc::clone(&seen), enough.clone()));
        tasks.spawn(work(store.clone(), Arc::clone(&seen), stop.clone()));
    }
    tasks.spawn(sweep(store.clone(), stop.clone()));
    disturb(&store, &seen).await;
    enough.cancel();
    while let Some(done) = producers.join_next().await {
        done.unwrap();
    }
    let began = Instant::now();
    while store.stats().await.unwrap().unfinished() > 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", store.stats().await);
        sleep(20 * MS).await;
    }
    stop.cancel();
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let acknowledged = std::mem::take(&mut *seen.acknowledged.lock());
    assert!(acknowledged.len() > 100, "there was some load: {}", acknowledged.len());
    for id in &acknowledged {
        assert_eq!(store.job(*id).await.unwrap().unwrap().state, JobState::Completed, "{id} is lost");
    }
    let completed = std::mem::take(&mut *seen.completed.lock());
    let different: BTreeSet<TaskId> = completed.iter().map(|(id, _)| *id).collect();
    assert_eq!(different.len(), completed.len(), "each has one accepted end");
}

/// Every connection is cut, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nothing() {
    let Some(mut server) = Server::start().await else { return };
    let url = server.url();
    under_load(&url, "bull", async |store, seen| {
        let mut signals = store.signals();
        for _ in 0..6 {
            sleep(200 * MS).await;
            let before = seen.completed.lock().len();
            let mut redis = commands(&url).await;
            for kind in ["normal", "pubsub"] {
                let () = redis::cmd("CLIENT")
                    .arg("KILL")
                    .arg("TYPE")
                    .arg(kind)
                    .arg("SKIPME")
                    .arg("yes")
                    .query_async::<i64>(&mut redis)
                    .await
                    .map(drop)
                    .unwrap();
            }
            let back = async { while signals.recv().await.is_ok_and(|signal| signal != Signal::Reconnected) {} };
            timeout(TERM, back).await.unwrap();
            let began = Instant::now();
            while seen.completed.lock().len() == before {
                assert!(began.elapsed() < TERM, "work does not go on");
                sleep(5 * MS).await;
            }
        }
    })
    .await;
    server.kill();
}

/// The server is killed without a word and comes back with what it had acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_loses_nothing_and_work_goes_on_within_two_seconds() {
    let Some(mut server) = Server::start().await else { return };
    let url = server.url();
    under_load(&url, "bull", async |store, seen| {
        for _ in 0..3 {
            sleep(300 * MS).await;
            server.kill();
            let error = timeout(Duration::from_secs(10), store.stats()).await.unwrap().unwrap_err();
            assert!(error.is_transient(), "{error:?}");
            sleep(500 * MS).await;
            server.restart().await;
            let back = Instant::now();
            while seen.completed.lock().last().is_none_or(|(_, at)| *at < back) {
                assert!(back.elapsed() < Duration::from_secs(2), "work does not go on");
                sleep(5 * MS).await;
            }
        }
    })
    .await;
}

/// A claim that nobody waits for any more costs a lease's time, not the job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_claims_come_back() {
    let Some(url) = url() else { return };
    let store = store_at(&url, &prefix()).await;
    store.enqueue((0..50).map(|_| NewJob::new("a.v1", b"1".to_vec())).collect()).await.unwrap();
    let request = ClaimRequest::new("worker", ["a.v1"], 1, 300 * MS);
    for micros in (0..50).map(|number| number * 20) {
        drop(timeout(Duration::from_micros(micros), store.claim(&request)).await);
    }
    let mut done = BTreeSet::new();
    let began = Instant::now();
    while done.len() < 50 {
        assert!(began.elapsed() < Duration::from_secs(10), "{}", done.len());
        store.maintain().await.unwrap();
        for claim in store.claim(&request).await.unwrap() {
            store.settle(&[End::new(claim.lease, Settlement::Completed(b"1".to_vec()))]).await.unwrap();
            done.insert(claim.job.id);
        }
    }
}

/// A runtime whose only thread is blocked does not hold up what was begun.
#[test]
fn a_blocked_runtime_does_not_hold_up_the_store() {
    let Some(url) = url() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = store_at(&url, &prefix()).await;
        let other = store.clone();
        let begun = tokio::spawn(async move { other.enqueue(vec![NewJob::new("a.v1", b"1".to_vec())]).await });
        tokio::task::yield_now().await;
        // The call has hopped over; this thread does nothing more.
        std::thread::park_timeout(300 * MS);
        let watcher = store.clone();
        let seen = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(watcher.stats()).unwrap().unfinished()
        });
        assert_eq!(seen.join().unwrap(), 1, "taken in while the runtime was blocked");
        begun.await.unwrap().unwrap();
    });
}

/// Callers go to the server together, and share what becomes of it: who stands behind many others does not wait for one
/// timeout after another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hangs_fails_all_who_wait_soon() {
    const CALLERS: usize = 10_000;
    let Some(server) = Server::start().await else { return };
    let store = RedisStore::builder(server.url()).prefix(prefix()).response_timeout(300 * MS).connect().await.unwrap();
    let signal = |what: &str| {
        let sent = Command::new("kill").args([what, &server.process.id().to_string()]).status().unwrap();
        assert!(sent.success());
    };
    signal("-STOP");
    let jobs: Vec<NewJob> = (0..CALLERS).map(|_| NewJob::new("a.v1", b"1".to_vec())).collect();
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for job in jobs.clone() {
        let store = store.clone();
        calls.spawn(async move { store.enqueue(vec![job]).await });
    }
    while let Some(answer) = calls.join_next().await {
        let error = answer.unwrap().unwrap_err();
        assert!(error.is_transient(), "{error:?}");
    }
    let took = began.elapsed();
    signal("-CONT");
    assert!(took < 2_000 * MS, "all have heard after {took:?}");
    // Whatever was sent and whatever was not: each is there once when it is said again.
    for jobs in jobs.chunks(50) {
        while let Err(error) = store.enqueue(jobs.to_vec()).await {
            assert!(error.is_transient(), "{error:?}");
            sleep(10 * MS).await;
        }
    }
    assert_eq!(store.stats().await.unwrap().unfinished(), u64::try_from(CALLERS).unwrap());
}
