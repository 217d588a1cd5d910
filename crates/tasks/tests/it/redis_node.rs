//! Jobs that go to and come from BullMQ for Node.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bedplate_tasks::TaskId;
use bedplate_tasks::store::{
    Beat, ClaimRequest, End, Failure, FailureKind, JobProgress, JobQuery, JobState, JobStore as _, NewJob, Settlement,
    Signal, StoreControl as _, WorkerInfo,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::redis_support::{prefix, skip, store_at, url};

const SOON: Duration = Duration::from_secs(30);

/// The folder with the scripts, once npm has installed what they need; for the whole run.
static SCRIPTS: OnceCell<bool> = OnceCell::const_new();

#[expect(clippy::print_stderr, reason = "a test that is skipped says why")]
async fn scripts() -> Option<()> {
    // No service of this machine: npm's registry is elsewhere, and may be out of reach.
    if std::env::var_os("BEDPLATE_NODE").is_none() {
        eprintln!("skipped: BEDPLATE_NODE is not set: BullMQ for Node is not installed and tried");
        return None;
    }
    let install = async || {
        let npm = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(folder())
            .stdin(Stdio::null())
            .output()
            .await;
        let Ok(npm) = npm else { return false };
        assert!(npm.status.success(), "npm ci: {}", String::from_utf8_lossy(&npm.stderr));
        true
    };
    if *SCRIPTS.get_or_init(install).await { Some(()) } else { skip("npm is not installed") }
}

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node")
}

fn node(script: &str, args: [&str; 3]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new("node")
        .arg(folder().join(script))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap()
}

fn job(kind: &'static str, n: u32) -> NewJob {
    NewJob::new(kind, json!({ "n": n }).to_string().into_bytes())
}

/// What a worker for Node does with our jobs shows in our records, releases what depends on it, and is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_for_node_takes_our_jobs() {
    let Some(url) = url() else { return };
    let Some(()) = scripts().await else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let mut signals = store.signals();
    let first = job("double.v1", 21);
    let (first_id, then) = (first.id, job("double.v1", 4).depends_on([first.id]));
    let then_id = then.id;
    let bad = job("bad.v1", 0).max_attempts(1);
    let bad_id = bad.id;
    let (mut worker, mut lines) = node("worker.mjs", [&url, &prefix, "default"]);
    assert_eq!(line(&mut lines).await, "ready");
    store.enqueue(vec![first, then, bad]).await.unwrap();
    let ended = async {
        let mut left = vec![first_id, then_id, bad_id];
        while !left.is_empty() {
            store.maintain().await.unwrap();
            while let Ok(Ok(signal)) = timeout(Duration::from_millis(100), signals.recv()).await {
                if let Signal::Ended(id) = signal {
                    left.retain(|other| *other != id);
                }
            }
        }
    };
    timeout(SOON, ended).await.unwrap();
    for (id, doubled) in [(first_id, 42), (then_id, 8)] {
        let record = store.job(id).await.unwrap().unwrap();
        assert_eq!((record.state, record.attempts), (JobState::Completed, 1));
        let output: Value = serde_json::from_slice(&record.output.unwrap()).unwrap();
        assert_eq!(output, json!({ "doubled": doubled, "name": "double.v1", "attempts": 25 }));
    }
    let record = store.job(bad_id).await.unwrap().unwrap();
    assert_eq!(record.state, JobState::Failed);
    let failure = record.failure.unwrap();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Error, "no such thing"));
    drop(worker.stdin.take());
    timeout(SOON, worker.wait()).await.unwrap().unwrap();
}

/// Jobs of a producer for Node are claimed and ended here, and it sees how.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_for_node_sees_what_became_of_its_jobs() {
    let Some(url) = url() else { return };
    let Some(()) = scripts().await else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let (mut producer, mut lines) = node("producer.mjs", [&url, &prefix, "default"]);
    let request = ClaimRequest::new("rust", ["sum.v1", "fail.v1"], 1, SOON).wait(SOON);
    let mut ids: Vec<TaskId> = Vec::new();
    for _ in 0..4 {
        let claim = store.claim(&request).await.unwrap().pop().unwrap();
        assert_eq!((claim.attempt, &*claim.job.queue), (1, "default"));
        ids.push(claim.job.id);
        if claim.job.kind == "fail.v1" {
            let failure = Failure::new(FailureKind::Error, "it cannot be");
            store.settle(&[End::new(claim.lease, Settlement::Failed(failure))]).await.unwrap();
            continue;
        }
        let payload: Value = serde_json::from_slice(&claim.job.payload).unwrap();
        let most = if payload["how"] == "plain" { 3 } else { 1 };
        assert_eq!(claim.job.max_attempts, most);
        let info = WorkerInfo::new("rust", "host", 1, std::time::UNIX_EPOCH);
        let report = vec![(claim.lease, JobProgress::new(1, 1, b"77".to_vec()))];
        store.beat(&Beat::new(info, SOON).progress(report)).await.unwrap();
        let sum = json!({ "sum": payload["n"].as_u64().unwrap() + 1 }).to_string().into_bytes();
        store.settle(&[End::new(claim.lease, Settlement::Completed(sum))]).await.unwrap();
    }
    for (how, sum) in [("plain", 21), ("priority", 31), ("delayed", 41)] {
        let seen: Value = serde_json::from_str(&line(&mut lines).await).unwrap();
        assert_eq!((&seen["how"], &seen["returnvalue"]), (&json!(how), &json!({ "sum": sum })), "{seen}");
        assert_eq!((&seen["state"], &seen["progress"]), (&json!("completed"), &json!(77)), "{seen}");
    }
    let seen: Value = serde_json::from_str(&line(&mut lines).await).unwrap();
    assert_eq!((&seen["error"], &seen["state"]), (&json!("it cannot be"), &json!("failed")), "{seen}");
    timeout(SOON, producer.wait()).await.unwrap().unwrap();
    // They are in our books like any other.
    ids.sort_unstable();
    let listed: Vec<TaskId> = store.find(&JobQuery::new()).await.unwrap().iter().map(|record| record.job.id).collect();
    assert_eq!(listed, ids);
}
