use futures_util::future::join;
use tokio::time::{sleep, timeout};

use super::{
    KIND, MS, SHORT, SOON, Subject, TERM, beat, complete, end, eventually, info, job, nothing, put, record, request,
    short, take, take_by, text,
};
use crate::id::TaskId;
use crate::store::{
    BatchId, Beat, Failure, FailureKind, JobQuery, JobState, LeaseState, Settled, Settlement, Signal, Start, StoreError,
};

/// What waits is given up at once.
pub async fn cancel_ends_what_waits(store: Subject) {
    let now = put(&store, job()).await;
    let later = put(&store, job().start(Start::In(TERM))).await;
    for id in [now, later, now] {
        assert_eq!(store.cancel(id, "user left").await.unwrap(), JobState::Cancelled);
    }
    nothing(&store).await;
    let ended = record(&store, later).await;
    assert_eq!((ended.state, ended.cancel.as_deref()), (JobState::Cancelled, Some("user left")));
    assert!(ended.ended_at.is_some());
    assert_eq!(store.replay(&[now]).await.unwrap(), 1);
    let claim = take(&store).await;
    assert_eq!(claim.job.id, now);
    assert_eq!(beat(&store, &claim, TERM).await, LeaseState::Held, "what was said before the replay is over");
    complete(&store, &claim).await;
}

/// The holder of what runs hears of it, by a signal and with its next beat, and has the last word.
pub async fn cancel_asks_the_holder(store: Subject) {
    let mut signals = store.signals();
    let id = put(&store, job()).await;
    let claim = take(&store).await;
    assert_eq!(store.cancel(id, "user left").await.unwrap(), JobState::Running);
    let heard = async { while signals.recv().await.unwrap() != Signal::Cancel(id) {} };
    timeout(SOON, heard).await.unwrap();
    assert_eq!(beat(&store, &claim, TERM).await, LeaseState::CancelRequested("user left".into()));
    assert_eq!(end(&store, &claim, Settlement::Cancelled("told to".into())).await, Settled::Accepted);
    let ended = record(&store, id).await;
    assert_eq!((ended.state, ended.cancel.as_deref()), (JobState::Cancelled, Some("user left")));

    let id = put(&store, job()).await;
    let claim = take(&store).await;
    store.cancel(id, "user left").await.unwrap();
    let retry = Settlement::Retry { failure: Failure::new(FailureKind::Error, "no"), after: MS };
    assert_eq!(end(&store, &claim, retry).await, Settled::Accepted);
    assert_eq!(record(&store, id).await.state, JobState::Cancelled, "it is not tried again");
    nothing(&store).await;
}

/// One terminal state, whoever comes first.
pub async fn cancel_races_completion(store: Subject) {
    for _ in 0..20 {
        let id = put(&store, job()).await;
        let claim = take(&store).await;
        let (cancelled, settled) =
            join(store.cancel(id, "race"), end(&store, &claim, Settlement::Completed(b"1".to_vec()))).await;
        assert_eq!(settled, Settled::Accepted, "a request to cancel does not take the lease");
        assert!(matches!(cancelled.unwrap(), JobState::Running | JobState::Completed));
        let ended = record(&store, id).await;
        assert_eq!((ended.state, ended.output.as_deref()), (JobState::Completed, Some(&b"1"[..])));
    }
    nothing(&store).await;
}

/// If the holder is gone, the sweep ends what is to be cancelled.
pub async fn cancel_of_a_dead_holders_job(store: Subject) {
    let id = put(&store, job()).await;
    take_by(&store, &short(1)).await;
    assert_eq!(store.cancel(id, "too late").await.unwrap(), JobState::Running);
    sleep(SHORT).await;
    eventually(&store, "it ends", async |store| record(store, id).await.state == JobState::Cancelled).await;
    nothing(&store).await;
}

/// The ended stay as they are, the unknown are said to be.
pub async fn cancel_of_the_unknown_and_the_ended(store: Subject) {
    let id = put(&store, job()).await;
    let claim = take(&store).await;
    complete(&store, &claim).await;
    assert_eq!(store.cancel(id, "late").await.unwrap(), JobState::Completed);
    assert_eq!(record(&store, id).await.cancel, None);
    let unknown = TaskId::generate();
    assert!(matches!(store.cancel(unknown, "what").await, Err(StoreError::Unknown(id)) if id == unknown));
    assert!(store.job(unknown).await.unwrap().is_none());
    assert_eq!(store.replay(&[unknown]).await.unwrap(), 0);
}

/// Those that run go on, those that wait go on waiting.
pub async fn a_paused_queue_gives_nothing(store: Subject) {
    put(&store, job()).await;
    let running = take(&store).await;
    store.set_paused("default", true).await.unwrap();
    let waiting = put(&store, job()).await;
    nothing(&store).await;
    complete(&store, &running).await;
    let stats = store.stats().await.unwrap();
    assert!(stats.queues.iter().any(|queue| queue.queue == "default" && queue.paused));
    let patient = request(1).wait(SOON);
    let (claims, ()) = join(store.claim(&patient), async {
        sleep(100 * MS).await;
        store.set_paused("default", false).await.unwrap();
    })
    .await;
    let claims = claims.unwrap();
    assert_eq!(claims[0].job.id, waiting);
    complete(&store, &claims[0]).await;
}

/// By state, kind, queue and set; page by page.
pub async fn jobs_are_listed_in_pages(store: Subject) {
    let batch = BatchId::generate();
    let mut ids = Vec::new();
    for number in 0..7 {
        let mut new = job();
        if number % 2 == 0 {
            new = new.batch(batch);
        }
        if number == 6 {
            new.kind = text("other.v1");
            new.queue = text("media");
        }
        ids.push(put(&store, new).await);
    }
    ids.sort();
    let mut listed = Vec::new();
    let mut query = JobQuery::new().limit(3);
    loop {
        let page = store.find(&query).await.unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        query = query.after(last.job.id);
        listed.extend(page.iter().map(|record| record.job.id));
    }
    assert_eq!(listed, ids);
    let count = async |query: JobQuery| store.find(&query).await.unwrap().len();
    assert_eq!(count(JobQuery::new().batch(batch)).await, 4);
    assert_eq!(count(JobQuery::new().kind("other.v1")).await, 1);
    assert_eq!(count(JobQuery::new().queue("default")).await, 6);
    assert_eq!(count(JobQuery::new().queue("default").batch(batch)).await, 3);
    let claim = take(&store).await;
    assert_eq!(count(JobQuery::new().state(JobState::Running)).await, 1);
    complete(&store, &claim).await;
    assert_eq!(count(JobQuery::new().state(JobState::Completed)).await, 1);
    assert_eq!(count(JobQuery::new().state(JobState::Pending).kind(KIND)).await, 5);
}

/// Numbers for a dashboard.
pub async fn stats_count_what_there_is(store: Subject) {
    for _ in 0..3 {
        put(&store, job()).await;
    }
    put(&store, job().start(Start::In(TERM))).await;
    let failing = take(&store).await;
    end(&store, &failing, Settlement::Failed(Failure::new(FailureKind::Error, "no"))).await;
    let running = take(&store).await;
    sleep(20 * MS).await;
    let stats = store.stats().await.unwrap();
    let depth = stats.queues.iter().find(|queue| queue.queue == "default").unwrap();
    assert_eq!((depth.ready, depth.scheduled, depth.running, depth.paused), (1, 1, 1, false));
    assert!(depth.oldest.unwrap() >= 10 * MS);
    assert_eq!((stats.completed, stats.failed, stats.cancelled, stats.unfinished()), (0, 1, 0, 3));
    complete(&store, &running).await;
    assert_eq!(store.stats().await.unwrap().completed, 1);
}

/// A worker that beats is listed, one that stopped is not any more.
pub async fn workers_are_seen(store: Subject) {
    store.beat(&Beat::new(info(), 300 * MS)).await.unwrap();
    let seen = store.workers().await.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!((&*seen[0].id, &*seen[0].host, seen[0].slots), ("worker-1", "host", 20));
    assert!(seen[0].seen_at.is_some());
    eventually(&store, "it is gone", async |store| store.workers().await.unwrap().is_empty()).await;
}
