use std::time::Duration;

use tokio::time::sleep;

use super::{MS, Subject, complete, end, eventually, job, put, record, take};
use crate::store::{Enqueued, Failure, FailureKind, JobState, NewJob, Retention, Settlement, Unique, UniqueScope};

fn with(scope: UniqueScope) -> NewJob {
    job().unique(Unique::key("image-7").scope(scope))
}

async fn is_duplicate(store: &Subject, job: NewJob) -> bool {
    store.enqueue(vec![job]).await.unwrap()[0].is_duplicate()
}

/// A duplicate is not taken in, and its submitter learns of the first.
pub async fn a_duplicate_gets_the_first_ones_id(store: Subject) {
    let first = put(&store, with(UniqueScope::Unfinished)).await;
    let answers = store.enqueue(vec![with(UniqueScope::Unfinished)]).await.unwrap();
    assert_eq!(answers, [Enqueued::Duplicate(first)]);
    put(&store, job().unique(Unique::key("image-8"))).await;
    assert_eq!(store.stats().await.unwrap().unfinished(), 2);
}

/// Which states of the first make a second one a duplicate.
pub async fn scopes_of_unique_keys(store: Subject) {
    for (scope, name, while_running, when_completed, when_failed) in [
        (UniqueScope::Pending, "pending", false, false, false),
        (UniqueScope::Unfinished, "unfinished", true, false, false),
        (UniqueScope::NotFailed, "not-failed", true, true, false),
        (UniqueScope::Any, "any", true, true, true),
    ] {
        let probe = |suffix: &str| job().unique(Unique::key(format!("{name}-{suffix}")).scope(scope));
        put(&store, probe("a")).await;
        assert!(is_duplicate(&store, probe("a")).await, "{name}: pending");
        let claim = take(&store).await;
        let again = is_duplicate(&store, probe("a")).await;
        assert_eq!(again, while_running, "{name}: running");
        complete(&store, &claim).await;
        if again {
            assert_eq!(is_duplicate(&store, probe("a")).await, when_completed, "{name}: completed");
        }
        put(&store, probe("b")).await;
        let mut claim = take(&store).await;
        // What was let in above waits too.
        while claim.job.unique.as_ref().unwrap().key.ends_with("-a") {
            complete(&store, &claim).await;
            claim = take(&store).await;
        }
        end(&store, &claim, Settlement::Failed(Failure::new(FailureKind::Error, "no"))).await;
        let after = is_duplicate(&store, probe("b")).await;
        assert_eq!(after, when_failed, "{name}: failed");
        if !after {
            let claim = take(&store).await;
            complete(&store, &claim).await;
        }
    }
}

/// The window counts from the first one's coming, and does not depend on how long that is remembered.
pub async fn a_unique_window_ends_and_outlives_the_job(store: Subject) {
    let probe = || {
        let unique = Unique::key("report").scope(UniqueScope::Any).within(2_000 * MS);
        job().unique(unique).retention(Retention::both(Duration::ZERO))
    };
    let first = put(&store, probe()).await;
    let claim = take(&store).await;
    complete(&store, &claim).await;
    sleep(300 * MS).await;
    store.maintain().await.unwrap();
    assert_eq!(store.enqueue(vec![probe()]).await.unwrap(), [Enqueued::Duplicate(first)]);
    sleep(2_000 * MS).await;
    assert!(!is_duplicate(&store, probe()).await, "the window is over");
    eventually(&store, "the first is forgotten", async |store| store.job(first).await.unwrap().is_none()).await;
}

/// The second request of a caller that repeats itself changes nothing.
pub async fn an_idempotency_key_holds_whatever_becomes_of_the_job(store: Subject) {
    let probe = || job().unique(Unique::idempotency("request-1", Duration::from_mins(10)));
    let first = put(&store, probe()).await;
    let claim = take(&store).await;
    end(&store, &claim, Settlement::Failed(Failure::new(FailureKind::Error, "no"))).await;
    assert_eq!(store.enqueue(vec![probe()]).await.unwrap(), [Enqueued::Duplicate(first)]);
    assert_eq!(record(&store, first).await.state, JobState::Failed);
}

/// What another one has taken the place of is not taken up again beside it.
pub async fn a_replay_makes_no_second_one_of_a_key(store: Subject) {
    let first = put(&store, with(UniqueScope::Unfinished)).await;
    let claim = take(&store).await;
    end(&store, &claim, Settlement::Failed(Failure::new(FailureKind::Error, "no"))).await;
    let second = put(&store, with(UniqueScope::Unfinished)).await;
    assert_eq!(store.replay(&[first]).await.unwrap(), 0, "the key is taken");
    assert_eq!(record(&store, first).await.state, JobState::Failed);
    let claim = take(&store).await;
    assert_eq!(claim.job.id, second);
    complete(&store, &claim).await;
    assert_eq!(store.replay(&[first]).await.unwrap(), 1, "the key is free");
    let third = store.enqueue(vec![with(UniqueScope::Unfinished)]).await.unwrap();
    assert_eq!(third, [Enqueued::Duplicate(first)], "the key is taken by the one that waits again");
    let claim = take(&store).await;
    assert_eq!(claim.job.id, first);
    complete(&store, &claim).await;
}

/// Within one call the first counts.
pub async fn duplicates_within_one_call(store: Subject) {
    let (one, two) = (with(UniqueScope::Unfinished), with(UniqueScope::Unfinished));
    let other = job();
    let answers = store.enqueue(vec![one.clone(), two, other.clone(), other.clone()]).await.unwrap();
    let expected =
        [Enqueued::New(one.id), Enqueued::Duplicate(one.id), Enqueued::New(other.id), Enqueued::Duplicate(other.id)];
    assert_eq!(answers, expected);
    assert_eq!(store.stats().await.unwrap().unfinished(), 2);
    assert_eq!(store.enqueue(Vec::new()).await.unwrap(), []);
}
