use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::{
    KIND, MS, SHORT, SOON, Subject, TERM, beat, complete, end, eventually, info, job, nothing, put, record, request,
    short, take, take_by,
};
use crate::store::{
    Beat, ClaimRequest, End, Failure, FailureKind, JobProgress, JobState, LeaseState, Settled, Settlement,
};

/// Claims once the sweep has given the job free.
async fn rescue(store: &Subject, request: &ClaimRequest) -> crate::store::Claim {
    let began = Instant::now();
    loop {
        store.maintain().await.unwrap();
        if let Some(claim) = store.claim(request).await.unwrap().pop() {
            return claim;
        }
        assert!(began.elapsed() < SOON, "the job is not rescued");
        sleep(20 * MS).await;
    }
}

/// One accepted end, by the one who has the lease.
pub async fn an_expired_lease_goes_to_another_and_fences_the_first(store: Subject) {
    let id = put(&store, job()).await;
    let zombie = take_by(&store, &short(1)).await;
    nothing(&store).await;
    sleep(SHORT).await;
    let other = ClaimRequest::new("worker-2", [KIND], 1, TERM).wait(50 * MS);
    let heir = rescue(&store, &other).await;
    assert_eq!((heir.job.id, heir.attempt), (id, 2));
    assert_ne!(heir.lease, zombie.lease);
    assert_eq!(beat(&store, &zombie, TERM).await, LeaseState::Lost);
    let late = JobProgress::new(1, 99, b"\"zombie\"".to_vec());
    store.beat(&Beat::new(info(), TERM).progress(vec![(zombie.lease, late)])).await.unwrap();
    assert_eq!(record(&store, id).await.progress, None);
    for settlement in [
        Settlement::Completed(b"\"zombie\"".to_vec()),
        Settlement::Returned,
        Settlement::Cancelled("zombie".into()),
        Settlement::Snoozed(MS),
    ] {
        assert_eq!(end(&store, &zombie, settlement).await, Settled::LeaseLost);
    }
    let held = record(&store, id).await;
    assert_eq!((held.state, held.worker.as_deref()), (JobState::Running, Some("worker-2")));
    assert_eq!(beat(&store, &heir, TERM).await, LeaseState::Held);
    assert_eq!(end(&store, &heir, Settlement::Completed(b"\"heir\"".to_vec())).await, Settled::Accepted);
    assert_eq!(record(&store, id).await.output.as_deref(), Some(&b"\"heir\""[..]));
}

/// What comes when the lease is over by the store's clock is refused, whether or not a sweep came first: that the job is
/// still nobody else's is luck, and a worker that could count on it would count on how often others sweep.
pub async fn an_end_after_the_lease_is_refused_before_any_sweep(store: Subject) {
    for settlement in [
        Settlement::Completed(b"1".to_vec()),
        Settlement::Failed(Failure::new(FailureKind::Error, "late")),
        Settlement::Snoozed(MS),
        Settlement::Returned,
    ] {
        let id = put(&store, job()).await;
        let late = take_by(&store, &short(1)).await;
        sleep(SHORT + 100 * MS).await;
        assert_eq!(end(&store, &late, settlement.clone()).await, Settled::LeaseLost, "{settlement:?}");
        assert_eq!(beat(&store, &late, TERM).await, LeaseState::Lost);
        let heir = rescue(&store, &request(1)).await;
        assert_eq!((heir.job.id, heir.attempt), (id, 2));
        complete(&store, &heir).await;
    }
}

/// Each end stands for itself, also where one call brings a lost and a held lease of the same job.
pub async fn a_lost_lease_does_not_hinder_the_held_one(store: Subject) {
    put(&store, job()).await;
    let lost = take_by(&store, &short(1)).await;
    sleep(SHORT).await;
    let held = rescue(&store, &request(1)).await;
    let ends = [&lost, &held].map(|claim| End::new(claim.lease, Settlement::Completed(b"1".to_vec())));
    assert_eq!(store.settle(&ends).await.unwrap(), [Settled::LeaseLost, Settled::Accepted]);
}

/// What was taken from dead workers is told by the sweep, once, whichever call found it.
pub async fn every_rescue_is_told_once(store: Subject) {
    put(&store, job()).await;
    put(&store, job().max_attempts(1)).await;
    assert_eq!(store.claim(&short(2)).await.unwrap().len(), 2);
    sleep(SHORT + 100 * MS).await;
    // Whoever looks for work or at the numbers may find them first.
    store.stats().await.unwrap();
    let mut claims = store.claim(&request(1)).await.unwrap();
    let mut told = (0, 0);
    eventually(&store, "it is given out again", async |store| {
        let did = store.maintain().await.unwrap();
        told = (told.0 + did.rescued, told.1 + did.crashed);
        claims.extend(store.claim(&request(1)).await.unwrap());
        !claims.is_empty()
    })
    .await;
    let did = store.maintain().await.unwrap();
    assert_eq!((told.0 + did.rescued, told.1 + did.crashed), (1, 1));
    complete(&store, &claims[0]).await;
}

/// A job that lay with a dead worker was due before those that came meanwhile.
pub async fn a_rescued_job_keeps_its_place(store: Subject) {
    let id = put(&store, job()).await;
    take_by(&store, &short(1)).await;
    put(&store, job()).await;
    sleep(SHORT + 100 * MS).await;
    store.maintain().await.unwrap();
    assert_eq!(rescue(&store, &request(1)).await.job.id, id);
}

/// As long as there is a sign of life nobody takes the job.
pub async fn a_beat_keeps_a_lease(store: Subject) {
    put(&store, job()).await;
    let claim = take_by(&store, &short(1)).await;
    for _ in 0..6 {
        sleep(SHORT / 3).await;
        assert_eq!(beat(&store, &claim, SHORT).await, LeaseState::Held);
        store.maintain().await.unwrap();
        nothing(&store).await;
    }
    complete(&store, &claim).await;
}

/// A job that takes its workers down is given out as often as it may be tried.
pub async fn a_poison_job_ends(store: Subject) {
    let id = put(&store, job().max_attempts(2)).await;
    let first = take_by(&store, &short(1)).await;
    assert_eq!(first.attempt, 1);
    sleep(SHORT).await;
    let second = rescue(&store, &short(1)).await;
    assert_eq!(second.attempt, 2);
    eventually(&store, "it fails", async |store| record(store, id).await.state == JobState::Failed).await;
    nothing(&store).await;
    let dead = record(&store, id).await;
    assert_eq!((dead.attempts, dead.failure.unwrap().kind), (2, FailureKind::Crashed));
}

/// The latest report counts, whatever the order of arrival.
pub async fn progress_is_kept_and_fenced(store: Subject) {
    let id = put(&store, job()).await;
    let claim = take(&store).await;
    for (number, text, expected) in
        [(1, "10", "10"), (3, "30", "30"), (2, "20", "30"), (4, "{\"done\":4}", "{\"done\":4}")]
    {
        let report = JobProgress::new(1, number, text.into());
        let states = store.beat(&Beat::new(info(), TERM).progress(vec![(claim.lease, report)])).await.unwrap();
        assert!(states.is_empty(), "no lease was to be prolonged");
        let progress = record(&store, id).await.progress.unwrap();
        assert_eq!((progress.attempt, String::from_utf8(progress.value).unwrap().as_str()), (1, expected));
    }
    complete(&store, &claim).await;
    let kept = record(&store, id).await.progress.unwrap();
    assert_eq!(kept.number, 4, "the last report outlives the work");
}

/// A claim ends once, also within one call.
pub async fn a_settled_lease_is_over(store: Subject) {
    for _ in 0..2 {
        put(&store, job()).await;
    }
    let claims = store.claim(&request(2)).await.unwrap();
    let [one, two] = &claims[..] else { panic!("two jobs wait, not {claims:?}") };
    let done = || Settlement::Completed(b"1".to_vec());
    let ends = [End::new(one.lease, done()), End::new(one.lease, Settlement::Returned), End::new(two.lease, done())];
    let answers = store.settle(&ends).await.unwrap();
    assert_eq!(answers, [Settled::Accepted, Settled::LeaseLost, Settled::Accepted]);
    assert_eq!(beat(&store, one, TERM).await, LeaseState::Lost);
    nothing(&store).await;
}

/// Eight workers at once: each job is given out once, and ends.
pub async fn many_workers_share_without_repeating(store: Subject) {
    const JOBS: usize = 400;
    let ids: BTreeSet<_> =
        store.enqueue((0..JOBS).map(|_| job()).collect()).await.unwrap().iter().map(|one| one.id()).collect();
    assert_eq!(ids.len(), JOBS);
    let workers = (0..8).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let request = ClaimRequest::new(format!("worker-{number}"), [KIND], 7, TERM).wait(200 * MS);
            let mut done = Vec::new();
            loop {
                let claims = store.claim(&request).await.unwrap();
                if claims.is_empty() {
                    return done;
                }
                let ends: Vec<End> =
                    claims.iter().map(|claim| End::new(claim.lease, Settlement::Completed(b"0".to_vec()))).collect();
                let answers = store.settle(&ends).await.unwrap();
                assert!(answers.iter().all(|answer| *answer == Settled::Accepted), "{answers:?}");
                done.extend(claims.into_iter().map(|claim| claim.job.id));
            }
        })
    });
    let mut done = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        done.extend(worker.await.unwrap());
    }
    assert_eq!(done.len(), JOBS, "each was given out once");
    assert_eq!(done.into_iter().collect::<BTreeSet<_>>(), ids);
    assert_eq!(store.stats().await.unwrap().completed, JOBS as u64);
}
