use std::time::{Duration, UNIX_EPOCH};

use futures_util::future::join;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    MS, SOON, Subject, beat, complete, end, eventually, info, job, nothing, put, record, request, take, take_by,
};
use crate::store::{
    Beat, Enqueued, Failure, FailureKind, JobProgress, JobState, Retention, Settled, Settlement, Signal, Start,
};

/// Taken in once, given out once, ended once.
pub async fn a_job_goes_through_its_life(store: Subject) {
    let new = job();
    let id = put(&store, new.clone()).await;
    assert_eq!(id, new.id);
    assert_eq!(store.enqueue(vec![new.clone()]).await.unwrap(), [Enqueued::Duplicate(id)], "known already");
    assert_eq!(record(&store, id).await.state, JobState::Pending);
    let claim = take(&store).await;
    assert_eq!((claim.job.id, claim.attempt, claim.lease.job), (id, 1, id));
    assert_eq!((&claim.job.kind, &claim.job.payload), (&new.kind, &new.payload));
    let running = record(&store, id).await;
    assert_eq!((running.state, running.attempts, running.worker.as_deref()), (JobState::Running, 1, Some("worker-1")));
    assert!(running.started_at.is_some());
    nothing(&store).await;
    assert_eq!(end(&store, &claim, Settlement::Completed(b"{\"small\":true}".to_vec())).await, Settled::Accepted);
    let done = record(&store, id).await;
    assert_eq!((done.state, done.attempts), (JobState::Completed, 1));
    assert_eq!(done.output.as_deref(), Some(&b"{\"small\":true}"[..]));
    assert!(done.ended_at.is_some() && done.failure.is_none());
    assert_eq!(end(&store, &claim, Settlement::Returned).await, Settled::LeaseLost, "it has one end");
    assert_eq!(record(&store, id).await.state, JobState::Completed);
}

fn failure() -> Failure {
    Failure::new(FailureKind::Error, "the disk is on fire").error(b"{\"code\":7}".to_vec())
}

/// A retry comes after its time, counts an attempt, and the last one fails.
pub async fn retries_count_and_wait(store: Subject) {
    let id = put(&store, job().max_attempts(2)).await;
    let first = take(&store).await;
    let retry = Settlement::Retry { failure: failure(), after: Duration::from_secs(1) };
    // Before the call: the store's clock ran while its answer was on the way.
    let began = Instant::now();
    assert_eq!(end(&store, &first, retry.clone()).await, Settled::Accepted);
    let waiting = record(&store, id).await;
    assert_eq!((waiting.state, waiting.attempts, waiting.failure), (JobState::Pending, 1, Some(failure())));
    nothing(&store).await;
    let second = take_by(&store, &request(1).wait(3_000 * MS)).await;
    assert!(began.elapsed() >= 900 * MS, "it came after {:?}", began.elapsed());
    assert_eq!(second.attempt, 2);
    assert_ne!(second.lease, first.lease);
    assert_eq!(end(&store, &second, retry).await, Settled::Accepted);
    let dead = record(&store, id).await;
    assert_eq!((dead.state, dead.attempts, dead.failure), (JobState::Failed, 2, Some(failure())));
    nothing(&store).await;
}

/// What was no attempt does not count as one.
pub async fn returned_and_snoozed_cost_no_attempt(store: Subject) {
    let id = put(&store, job().max_attempts(1)).await;
    for settlement in [Settlement::Returned, Settlement::Snoozed(100 * MS), Settlement::Returned] {
        let claim = take(&store).await;
        assert_eq!(claim.attempt, 1);
        assert_eq!(end(&store, &claim, settlement).await, Settled::Accepted);
        let waiting = record(&store, id).await;
        assert_eq!((waiting.state, waiting.attempts), (JobState::Pending, 0));
    }
    let claim = take(&store).await;
    complete(&store, &claim).await;
}

/// A failed job stays as it failed, and starts anew on request.
pub async fn a_failure_for_good_is_a_dead_letter_and_can_be_replayed(store: Subject) {
    let id = put(&store, job().max_attempts(3)).await;
    let claim = take(&store).await;
    assert_eq!(end(&store, &claim, Settlement::Failed(failure())).await, Settled::Accepted);
    let dead = record(&store, id).await;
    assert_eq!((dead.state, dead.failure.clone()), (JobState::Failed, Some(failure())));
    assert_eq!(dead.failure.unwrap().error.as_deref(), Some(&b"{\"code\":7}"[..]));
    assert_eq!(store.replay(&[id]).await.unwrap(), 1);
    assert_eq!(store.replay(&[id]).await.unwrap(), 0, "it waits already");
    let claim = take(&store).await;
    assert_eq!((claim.attempt, &claim.job.payload), (1, &job().payload));
    complete(&store, &claim).await;
    assert_eq!(store.replay(&[id]).await.unwrap(), 0, "it is done");
}

/// A store changes nothing of what it was given.
pub async fn what_goes_in_comes_out(store: Subject) {
    let mut new = job().deadline(UNIX_EPOCH + Duration::from_hours(2_016_144)).retention(Retention::both(60_000 * MS));
    new.version = 7;
    new.payload =
        "{\"text\":\"caf\u{e9} \u{1f980} \\\" \\u0001\",\"big\":12345678901234567,\"nested\":[null,{}]}".into();
    new.timeout = Some(1_234 * MS);
    new.headers.insert("traceparent".into(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    new.headers.insert("odd \" name".into(), "odd \n value".into());
    let id = put(&store, new.clone()).await;
    assert_eq!(*record(&store, id).await.job, new);
    let claim = take(&store).await;
    assert_eq!(*claim.job, new);
    complete(&store, &claim).await;
}

/// Not before its time, and then without anybody asking again.
pub async fn a_delayed_job_waits(store: Subject) {
    let began = Instant::now();
    let id = put(&store, job().start(Start::In(1_200 * MS))).await;
    nothing(&store).await;
    assert_eq!(record(&store, id).await.state, JobState::Pending);
    let claim = take_by(&store, &request(1).wait(SOON)).await;
    assert!(began.elapsed() >= 1_150 * MS, "it came after {:?}", began.elapsed());
    assert!(began.elapsed() < 3_000 * MS, "it came after {:?}", began.elapsed());
    complete(&store, &claim).await;
}

/// The past is now, the future is not.
pub async fn a_time_of_the_calendar_is_kept(store: Subject) {
    let past = put(&store, job().start(Start::At(UNIX_EPOCH))).await;
    let future = put(&store, job().start(Start::At(UNIX_EPOCH + Duration::from_hours(2_016_144)))).await;
    let claim = take(&store).await;
    assert_eq!(claim.job.id, past);
    complete(&store, &claim).await;
    nothing(&store).await;
    assert_eq!(record(&store, future).await.state, JobState::Pending);
}

/// Nobody waits for the next look.
pub async fn a_waiting_claim_wakes_for_a_job(store: Subject) {
    let waiting = request(1).wait(SOON * 2);
    let began = Instant::now();
    let (claims, ()) = join(store.claim(&waiting), async {
        sleep(300 * MS).await;
        put(&store, job()).await;
    })
    .await;
    let took = began.elapsed();
    assert_eq!(claims.unwrap().len(), 1);
    assert!(took < 1_800 * MS, "it woke after {took:?}");
}

/// A worker that leaves does not wait for the next job.
pub async fn a_waiting_claim_ends_when_told(store: Subject) {
    let stop = CancellationToken::new();
    let waiting = request(1).wait(SOON * 2).stop(stop.clone());
    let began = Instant::now();
    let (claims, ()) = join(store.claim(&waiting), async {
        sleep(300 * MS).await;
        stop.cancel();
    })
    .await;
    let took = began.elapsed();
    assert!(claims.unwrap().is_empty());
    assert!(took < 1_800 * MS, "it ended after {took:?}");
    put(&store, job()).await;
    take(&store).await;
}

/// After its time an ended job is unknown.
pub async fn ended_jobs_are_forgotten(store: Subject) {
    let brief = Retention::both(100 * MS);
    let id = put(&store, job().retention(brief)).await;
    let claim = take(&store).await;
    complete(&store, &claim).await;
    eventually(&store, "it is forgotten", async |store| store.job(id).await.unwrap().is_none()).await;
    let kept = put(&store, job()).await;
    let claim = take(&store).await;
    complete(&store, &claim).await;
    store.maintain().await.unwrap();
    assert_eq!(record(&store, kept).await.state, JobState::Completed);
}

/// A job that is not worth starting any more is not started.
pub async fn a_deadline_that_is_over_fails_the_job(store: Subject) {
    let id = put(&store, job().deadline(UNIX_EPOCH + Duration::from_secs(1))).await;
    nothing(&store).await;
    eventually(&store, "it fails", async |store| record(store, id).await.state == JobState::Failed).await;
    assert_eq!(record(&store, id).await.failure.unwrap().kind, FailureKind::DeadlineExceeded);
}

/// Whoever listens hears of it soon.
pub async fn signals_tell_of_ends_and_progress(store: Subject) {
    let mut signals = store.signals();
    let id = put(&store, job()).await;
    let claim = take(&store).await;
    let progress = JobProgress::new(1, 1, b"0.5".to_vec());
    store.beat(&Beat::new(info(), super::TERM).progress(vec![(claim.lease, progress)])).await.unwrap();
    complete(&store, &claim).await;
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let signal = timeout(SOON, signals.recv()).await.unwrap().unwrap();
        if matches!(signal, Signal::Ended(of) | Signal::Progress(of) if of == id) && !heard.contains(&signal) {
            heard.push(signal);
        }
    }
    assert!(heard.contains(&Signal::Ended(id)) && heard.contains(&Signal::Progress(id)));
    assert_eq!(beat(&store, &claim, super::TERM).await, crate::store::LeaseState::Lost);
}
