//! The store and the engine below it, at the same keys.

use std::sync::Arc;
use std::time::Duration;

use bedplate_tasks::TaskId;
use bedplate_tasks::store::{
    ClaimRequest, End, Enqueued, FailureKind, JobState, JobStore as _, KeyLimit, NewJob, QueueClaim, Rate, RedisStore,
    Settled, Settlement, Start, StoreControl as _, StoreError,
};
use bullmq::options::RedisConnectionOptions;
use bullmq::worker::ProcessorFn;
use bullmq::{Job, Queue, QueueOptions, Worker, WorkerOptions};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::redis_support::{commands, prefix, store_at, url};

const MS: Duration = Duration::from_millis(1);
const SOON: Duration = Duration::from_secs(10);
const TERM: Duration = Duration::from_mins(1);

fn connection(url: &str) -> RedisConnectionOptions {
    RedisConnectionOptions { url: url.to_owned(), ..RedisConnectionOptions::default() }
}

async fn queue(url: &str, prefix: &str, name: &str) -> Queue {
    let options = QueueOptions { connection: connection(url), prefix: prefix.to_owned(), ..QueueOptions::default() };
    Queue::with_options(name, options).await.unwrap()
}

async fn worker(url: &str, prefix: &str, name: &str) -> Worker {
    let mut options =
        WorkerOptions { connection: connection(url), prefix: prefix.to_owned(), ..WorkerOptions::default() };
    options.autorun = false;
    let work: ProcessorFn = Arc::new(|job: Job, _| Box::pin(async move { Ok(json!({ "got": job.data()["n"] })) }));
    Worker::with_options(name, work, options).await.unwrap()
}

fn request(kind: &'static str) -> ClaimRequest {
    ClaimRequest::new("worker", [kind], 10, TERM)
}

async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < SOON, "{what}");
        sleep(20 * MS).await;
    }
}

async fn state(store: &RedisStore, id: TaskId) -> JobState {
    store.job(id).await.unwrap().unwrap().state
}

/// Why jobs are not claimed by the engine's own call: it gives out what it comes to, and nobody can say which kinds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_does_not_choose_by_kind_and_its_workers_take_our_jobs() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let job = NewJob::new("only-here.v1", b"{\"n\":7}".to_vec());
    let id = job.id;
    store.enqueue(vec![job]).await.unwrap();
    let engine = worker(&url, &prefix, "default").await;
    let mut taken = engine.get_next_job_nonblocking("token").await.unwrap().unwrap();
    assert_eq!((taken.name(), taken.id()), ("only-here.v1", id.to_string().as_str()));
    assert_eq!(state(&store, id).await, JobState::Running, "with a worker of the engine's");
    assert!(store.claim(&request("only-here.v1")).await.unwrap().is_empty());
    taken.move_to_completed("seven").await.unwrap();
    let record = store.job(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.output.as_deref()), (JobState::Completed, Some(&b"\"seven\""[..])));
}

/// What a sweep looks through does not grow with every name that a queue ever had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_in_which_nothing_is_left_are_forgotten() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let mut redis = commands(&url).await;
    let names = async |redis: &mut redis::aio::MultiplexedConnection| -> Vec<String> {
        let mut names: Vec<String> =
            redis::cmd("SMEMBERS").arg(format!("{prefix}~tasks:queues")).query_async(redis).await.unwrap();
        names.sort_unstable();
        names
    };
    let job = |queue: &'static str| NewJob::new("tenant.v1", b"{}".to_vec()).queue(queue);
    let later = job("later").start(Start::In(TERM));
    let cancelled = job("cancelled");
    let gone = cancelled.id;
    store.enqueue(vec![job("done"), job("waits"), later, cancelled]).await.unwrap();
    store.enqueue(vec![job("plain")]).await.unwrap();
    store.set_paused("paused", true).await.unwrap();
    store.cancel(gone, "not wanted").await.unwrap();
    for queue in ["done", "plain"] {
        let claims = store.claim(&request("tenant.v1").queues(vec![QueueClaim::new(queue)])).await.unwrap();
        store.settle(&[End::new(claims[0].lease, Settlement::Completed(b"1".to_vec()))]).await.unwrap();
    }
    assert_eq!(names(&mut redis).await.len(), 6);
    store.maintain().await.unwrap();
    assert_eq!(names(&mut redis).await, ["later", "paused", "waits"]);
    // What is forgotten is found again.
    assert_eq!(store.replay(&[gone]).await.unwrap(), 1);
    store.enqueue(vec![job("plain")]).await.unwrap();
    assert_eq!(names(&mut redis).await, ["cancelled", "later", "paused", "plain", "waits"]);
}

/// A producer of the engine's own, with a delay, a priority and an id of its own making.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_the_engines_producers_are_claimed_by_kind() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let engine = queue(&url, &prefix, "media").await;
    let plain = engine.add("sum.v1", json!({ "n": 1 })).await.unwrap();
    engine.add("other.v1", json!({ "n": 2 })).await.unwrap();
    engine.add("sum.v1", json!({ "n": 3 })).priority(9).await.unwrap();
    engine.add("sum.v1", json!({ "n": 4 })).delay(200 * MS).job_id("mine").await.unwrap();
    let media = vec![QueueClaim::new("media")];
    let mut done = 0;
    eventually("all are claimed", async || {
        let claims = store.claim(&request("sum.v1").queues(media.clone()).wait(100 * MS)).await.unwrap();
        for claim in claims {
            assert_eq!(&*claim.job.queue, "media");
            assert_eq!(claim.job.id.as_uuid().get_version_num(), 8, "named by where it came from");
            let end = End::new(claim.lease, Settlement::Completed(claim.job.payload.clone()));
            assert_eq!(store.settle(&[end]).await.unwrap(), [Settled::Accepted]);
            done += 1;
        }
        done == 3
    })
    .await;
    let seen = engine.get_job(plain.id()).await.unwrap().unwrap();
    assert_eq!((seen.returnvalue(), seen.attempts_made()), ("{\"n\":1}", 1));
    assert!(seen.is_completed().await.unwrap() && seen.finished_on().is_some());
    assert_eq!(engine.get_completed_count().await.unwrap(), 3);
    let other = store.claim(&request("other.v1").queues(media)).await.unwrap();
    assert_eq!(other.len(), 1, "left for who knows it");
}

/// What the engine says of our jobs, wherever they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engine_sees_our_jobs_where_they_are() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let engine = queue(&url, &prefix, "default").await;
    let now = NewJob::new("a.v1", b"1".to_vec());
    let later = NewJob::new("a.v1", b"2".to_vec()).start(Start::In(TERM));
    let after = NewJob::new("a.v1", b"3".to_vec()).depends_on([now.id]);
    let ids = [now.id, later.id, after.id];
    store.enqueue(vec![now, later, after]).await.unwrap();
    let states = async || {
        let mut states = Vec::new();
        for id in ids {
            states.push(engine.get_job_state(&id.to_string()).await.unwrap().to_string());
        }
        states
    };
    assert_eq!(states().await, ["prioritized", "delayed", "waiting-children"]);
    store.set_paused("default", true).await.unwrap();
    assert!(engine.is_paused().await.unwrap());
    store.set_paused("default", false).await.unwrap();
    assert!(!engine.is_paused().await.unwrap());
    let claim = store.claim(&request("a.v1")).await.unwrap().pop().unwrap();
    assert_eq!(states().await[0], "active");
    store.settle(&[End::new(claim.lease, Settlement::Completed(b"null".to_vec()))]).await.unwrap();
    store.cancel(ids[1], "no more").await.unwrap();
    assert_eq!(states().await, ["completed", "failed", "prioritized"]);
    assert_eq!(engine.get_job(&ids[1].to_string()).await.unwrap().unwrap().failed_reason(), "no more");
}

/// A worker of the engine's that goes away leaves a job without a lock: the sweep brings it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_lost_worker_of_the_engines_held_comes_back() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let job = NewJob::new("a.v1", b"1".to_vec());
    let id = job.id;
    store.enqueue(vec![job]).await.unwrap();
    let engine = worker(&url, &prefix, "default").await;
    engine.get_next_job_nonblocking("token").await.unwrap().unwrap();
    store.maintain().await.unwrap();
    assert_eq!(state(&store, id).await, JobState::Running);
    let cancel = store.cancel(id, "nobody hears it").await;
    assert!(matches!(cancel, Err(StoreError::Unsupported { .. })), "{cancel:?}");
    let mut redis = commands(&url).await;
    let () = redis::cmd("DEL").arg(format!("{prefix}:default:{id}:lock")).query_async(&mut redis).await.unwrap();
    eventually("it comes back", async || {
        store.maintain().await.unwrap();
        store.claim(&request("a.v1")).await.unwrap().iter().any(|claim| claim.job.id == id)
    })
    .await;
}

/// The engine's check for lost locks may find one before our sweep does: the attempt counts, and no more than may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_engines_own_rescue_counts_as_ours() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let job = NewJob::new("a.v1", b"1".to_vec()).max_attempts(1);
    let id = job.id;
    store.enqueue(vec![job]).await.unwrap();
    let claim = store.claim(&request("a.v1")).await.unwrap().pop().unwrap();
    let mut redis = commands(&url).await;
    let key = |what: &str| format!("{prefix}:default:{what}");
    let mut pipe = redis::pipe();
    pipe.cmd("DEL").arg(key(&format!("{id}:lock"))).cmd("LREM").arg(key("active")).arg(1).arg(id.to_string());
    pipe.cmd("HSET").arg(key(&id.to_string())).arg("defa").arg("stalled").arg("stc").arg(2);
    pipe.cmd("RPUSH").arg(key("wait")).arg(id.to_string());
    drop(pipe.query_async::<Vec<redis::Value>>(&mut redis).await.unwrap());
    store.maintain().await.unwrap();
    let record = store.job(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.failure.unwrap().kind), (JobState::Failed, FailureKind::Crashed));
    let late = store.settle(&[End::new(claim.lease, Settlement::Completed(b"1".to_vec()))]).await.unwrap();
    assert_eq!(late, [Settled::LeaseLost]);
}

/// What is no job stops nobody; what breaks the store's own keys is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_in_keys_is_survived() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let mut redis = commands(&url).await;
    let key = |what: &str| format!("{prefix}:default:{what}");
    let mut pipe = redis::pipe();
    pipe.cmd("SET").arg(key("text")).arg("no hash").cmd("RPUSH").arg(key("wait")).arg("text").arg("gone").arg("0:0");
    pipe.cmd("ZADD").arg(key("prioritized")).arg(1).arg("text").arg(2).arg("missing");
    pipe.cmd("ZADD").arg(key("delayed")).arg(0).arg("text").arg(1).arg("lost");
    pipe.cmd("HSET").arg(key("odd")).arg("name").arg("a.v1").arg("data").arg("{no json").arg("opts").arg("[]]");
    pipe.cmd("HSET").arg(key("odd")).arg("timestamp").arg("soon").arg("priority").arg("high");
    pipe.cmd("LPUSH").arg(key("wait")).arg("odd").cmd("LPUSH").arg(key("active")).arg("nobody");
    drop(pipe.query_async::<Vec<redis::Value>>(&mut redis).await.unwrap());
    store.enqueue(vec![NewJob::new("a.v1", b"\xff not json".to_vec())]).await.unwrap();
    let claims = store.claim(&request("a.v1")).await.unwrap();
    let payloads: Vec<&[u8]> = claims.iter().map(|claim| &claim.job.payload[..]).collect();
    assert_eq!(payloads.len(), 2, "{payloads:?}");
    assert!(payloads.contains(&&b"{no json"[..]) && payloads.contains(&&b"\xff not json"[..]));
    let mine = claims.iter().find(|claim| claim.job.payload.starts_with(b"\xff")).unwrap().lease.job;
    let books: (String, String) =
        redis::cmd("HMGET").arg(key(&mine.to_string())).arg("data").arg("name").query_async(&mut redis).await.unwrap();
    assert_eq!(books, ("null".into(), "a.v1".into()), "what others read is JSON");
    store.maintain().await.unwrap();
    store.stats().await.unwrap();
    let () = redis::cmd("HSET")
        .arg(key(&mine.to_string()))
        .arg("b:fail")
        .arg("{")
        .arg("b:att")
        .arg("many")
        .query_async(&mut redis)
        .await
        .unwrap();
    assert_eq!(store.job(mine).await.unwrap().unwrap().failure.unwrap().message, "{");
    let () =
        redis::cmd("SET").arg(format!("{prefix}~tasks:leases")).arg("broken").query_async(&mut redis).await.unwrap();
    let error = store.claim(&request("a.v1")).await.unwrap_err();
    assert!(matches!(error, StoreError::Backend { transient: false, .. }), "{error:?}");
}

/// Callers go to the server together, but a queue that the server chokes on is the trouble of its own callers alone, and
/// what failed is not half there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_queue_harms_no_other_and_takes_jobs_once_it_is_mended() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let mut redis = commands(&url).await;
    let events = format!("{prefix}:broken:events");
    let _set: () = redis::cmd("SET").arg(&events).arg("no stream").query_async(&mut redis).await.unwrap();
    let job = |queue: &'static str| NewJob::new("x", b"{}".to_vec()).queue(queue);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..64 {
        let (store, broken) = (store.clone(), number % 16 == 7);
        let job = job(if broken { "broken" } else { "sound" });
        calls.spawn(async move { (broken, job.clone(), store.enqueue(vec![job]).await) });
    }
    let mut failed = Vec::new();
    while let Some(done) = calls.join_next().await {
        let (broken, job, answer) = done.unwrap();
        assert_eq!(answer.is_err(), broken, "{answer:?}");
        failed.extend(broken.then_some(job));
    }
    assert_eq!(failed.len(), 4);
    let _gone: i64 = redis::cmd("DEL").arg(&events).query_async(&mut redis).await.unwrap();
    for job in failed {
        let id = job.id;
        assert_eq!(store.enqueue(vec![job]).await.unwrap(), [Enqueued::New(id)]);
    }
    let request = ClaimRequest::new("worker", ["x"], 10, TERM).queues(vec![QueueClaim::new("broken")]);
    assert_eq!(store.claim(&request).await.unwrap().len(), 4);
}

/// Names with what the engine's keys are split at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_of_any_name_are_kept_apart() {
    let Some(url) = url() else { return };
    let store = store_at(&url, &prefix()).await;
    for name in ["a:b", "a%3Ab", "a", "ä ~ {x}"] {
        store.enqueue(vec![NewJob::new("a.v1", name.into()).queue(name)]).await.unwrap();
    }
    for name in ["a:b", "a%3Ab", "a", "ä ~ {x}"] {
        let queues = vec![QueueClaim::new(name)];
        let claims = store.claim(&request("a.v1").queues(queues)).await.unwrap();
        assert_eq!(claims.len(), 1);
        assert_eq!((&*claims[0].job.queue, &claims[0].job.payload[..]), (name, name.as_bytes()));
    }
}

#[tokio::test]
async fn settings_are_checked_and_no_password_is_shown() {
    let store = RedisStore::builder("redis://user:secret@127.0.0.1:1/0");
    assert!(!format!("{store:?}").contains("secret"));
    let error = store.connect().await.unwrap_err();
    assert!(error.is_transient() && !format!("{error:?} {error}").contains("secret"), "{error:?}");
    let cases = [
        ("url", RedisStore::builder("http://secret")),
        ("prefix", RedisStore::builder("redis://h").prefix("a:b")),
        ("response_timeout", RedisStore::builder("redis://h").response_timeout(MS)),
        ("poll", RedisStore::builder("redis://h").poll(Duration::ZERO)),
    ];
    for (expected, builder) in cases {
        let error = builder.connect().await.unwrap_err();
        assert!(matches!(error, StoreError::Invalid { field, .. } if field == expected), "{error:?}");
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[test]
fn a_store_goes_anywhere() {
    fn anywhere<T: Send + Sync + Clone + std::fmt::Debug + 'static>() {}
    anywhere::<RedisStore>();
    anywhere::<bedplate_tasks::store::RedisStoreBuilder>();
}

/// What waits for the window of its key comes up one by one when that opens, not all at once, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_does_not_wake_the_whole_backlog() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let window = Duration::from_secs(2);
    let limited = || NewJob::new("a.v1", b"1".to_vec()).limit(KeyLimit::rate("host-1", Rate::new(2, window)));
    store.enqueue((0..3_000).map(|_| limited()).collect()).await.unwrap();
    let request = request("a.v1").wait(Duration::from_millis(300));
    let mut redis = commands(&url).await;
    let mut ready = async || {
        let set = format!("{prefix}:default:prioritized");
        redis::cmd("ZCARD").arg(set).query_async::<u64>(&mut redis).await.unwrap()
    };
    assert_eq!(store.claim(&request).await.unwrap().len(), 2);
    assert!(store.claim(&request).await.unwrap().is_empty());
    assert_eq!(ready().await, 0, "all are out of the way");
    sleep(window).await;
    store.maintain().await.unwrap();
    assert_eq!(ready().await, 1);
    assert_eq!(store.claim(&request).await.unwrap().len(), 2, "the next follows the first");
    assert_eq!(ready().await, 0);
}

/// What is late ends in parts, so that no call keeps the server for long, however much of it there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_does_not_end_a_whole_backlog() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    #[expect(clippy::disallowed_methods, reason = "a deadline is a time of the calendar")]
    let soon = std::time::SystemTime::now() + 5 * MS;
    let late = || NewJob::new("a.v1", b"1".to_vec()).deadline(soon);
    store.enqueue(vec![NewJob::new("a.v1", b"1".to_vec())]).await.unwrap();
    store.enqueue((0..2_500).map(|_| late()).collect()).await.unwrap();
    sleep(10 * MS).await;
    assert_eq!(store.claim(&request("a.v1")).await.unwrap().len(), 1);
    let ended = store.stats().await.unwrap().failed;
    assert!((1..=1_000).contains(&ended), "{ended} at once");
    let last = NewJob::new("a.v1", b"2".to_vec());
    let id = last.id;
    store.enqueue(vec![last]).await.unwrap();
    let claims = store.claim(&request("a.v1")).await.unwrap();
    assert_eq!(
        claims.iter().map(|claim| claim.job.id).collect::<Vec<_>>(),
        [id],
        "what is late is no end of the backlog"
    );
    assert_eq!(store.stats().await.unwrap().failed, 2_500);
}

/// Who was to begin next of a key may be taken by a worker of the engine's and removed, of which nobody is told: the
/// others do not wait for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_of_a_key_comes_though_the_engine_removed_the_one_before() {
    let Some(url) = url() else { return };
    let prefix = prefix();
    let store = store_at(&url, &prefix).await;
    let limited = || NewJob::new("a.v1", b"1".to_vec()).limit(KeyLimit::rate("host-1", Rate::new(1, 300 * MS)));
    let jobs = [limited(), limited(), limited()];
    let [_, second, third] = [jobs[0].id, jobs[1].id, jobs[2].id];
    store.enqueue(jobs.to_vec()).await.unwrap();
    assert_eq!(store.claim(&request("a.v1")).await.unwrap().len(), 1);
    sleep(400 * MS).await;
    store.maintain().await.unwrap();
    let engine = worker(&url, &prefix, "default").await;
    let taken = engine.get_next_job_nonblocking("token").await.unwrap().unwrap();
    assert_eq!(taken.id(), second.to_string());
    let mut redis = commands(&url).await;
    let (of_queue, id) = (format!("{prefix}:default"), second.to_string());
    let () =
        redis::cmd("LREM").arg(format!("{of_queue}:active")).arg(0).arg(&id).query_async(&mut redis).await.unwrap();
    let gone = [format!("{of_queue}:{id}"), format!("{of_queue}:{id}:lock")];
    let () = redis::cmd("DEL").arg(&gone).query_async(&mut redis).await.unwrap();
    store.maintain().await.unwrap();
    assert!(store.job(second).await.unwrap().is_none());
    assert!(store.claim(&request("a.v1")).await.unwrap().is_empty(), "not at once");
    // A minute later.
    let keys: Vec<String> = redis::cmd("KEYS").arg(format!("{prefix}*:opens")).query_async(&mut redis).await.unwrap();
    let () = redis::cmd("ZADD").arg(&keys).arg("XX").arg(0).arg("host-1").query_async(&mut redis).await.unwrap();
    let claims = store.claim(&request("a.v1")).await.unwrap();
    assert_eq!(claims.iter().map(|claim| claim.job.id).collect::<Vec<_>>(), [third]);
}
