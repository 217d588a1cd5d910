use std::time::SystemTime;

use tokio::time::sleep;

use super::{MS, Subject, complete, end, job, nothing, put, record, refused, take};
use crate::id::TaskId;
use crate::store::{Enqueued, Failure, FailureKind, JobState, OnDependencyFailure, Settlement, StoreError, Unique};

fn failed() -> Settlement {
    Settlement::Failed(Failure::new(FailureKind::Error, "no"))
}

/// A diamond: the last begins when both in the middle are done.
pub async fn a_job_waits_for_all_that_it_depends_on(store: Subject) {
    let top = job();
    let (left, right) = (job().depends_on([top.id]), job().depends_on([top.id]));
    let bottom = job().depends_on([left.id, right.id]);
    let ids = [top.id, left.id, right.id, bottom.id];
    if !store.capabilities().dependencies {
        return refused(&store.enqueue(vec![top, left, right, bottom]).await);
    }
    store.enqueue(vec![top, left, right, bottom]).await.unwrap();
    assert_eq!(record(&store, ids[3]).await.waiting_for, 2);
    let claim = take(&store).await;
    assert_eq!(claim.job.id, ids[0]);
    nothing(&store).await;
    complete(&store, &claim).await;
    let one = take(&store).await;
    let two = take(&store).await;
    nothing(&store).await;
    complete(&store, &two).await;
    nothing(&store).await;
    assert_eq!(record(&store, ids[3]).await.waiting_for, 1);
    complete(&store, &one).await;
    let last = take(&store).await;
    assert_eq!((last.job.id, last.attempt), (ids[3], 1));
    complete(&store, &last).await;
    assert_eq!(store.stats().await.unwrap().completed, 4);
}

/// What can never begin is cancelled, down to the last.
pub async fn a_failure_cancels_what_depends(store: Subject) {
    if !store.capabilities().dependencies {
        return;
    }
    let top = job();
    let middle = job().depends_on([top.id]);
    let bottom = job().depends_on([middle.id]);
    let ids = [middle.id, bottom.id];
    store.enqueue(vec![top, middle, bottom]).await.unwrap();
    let claim = take(&store).await;
    end(&store, &claim, failed()).await;
    for id in ids {
        let ended = record(&store, id).await;
        assert_eq!(ended.state, JobState::Cancelled);
        assert!(ended.cancel.unwrap().contains("depends"), "it says why");
    }
    nothing(&store).await;
}

/// One that is not worth starting takes those along that depend on it; each ends once.
pub async fn a_deadline_of_one_cancels_what_depends(store: Subject) {
    if !store.capabilities().dependencies {
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "a deadline is a time of the calendar")]
    let now = SystemTime::now();
    let top = job().deadline(now + 200 * MS);
    let bottom = job().deadline(now + 300 * MS).depends_on([top.id]);
    let ids = [top.id, bottom.id];
    store.enqueue(vec![top, bottom]).await.unwrap();
    sleep(500 * MS).await;
    store.maintain().await.unwrap();
    assert_eq!(record(&store, ids[0]).await.state, JobState::Failed);
    let bottom = record(&store, ids[1]).await;
    assert_eq!((bottom.state, bottom.failure), (JobState::Cancelled, None));
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.failed, stats.cancelled, stats.unfinished()), (1, 1, 0));
}

/// One that is another one's duplicate is in the call all the same: whoever depends on it waits for the other.
pub async fn a_dependency_on_a_duplicate_is_one_on_the_first(store: Subject) {
    if !store.capabilities().dependencies {
        return;
    }
    let unique = || job().unique(Unique::key("image-7"));
    let first = put(&store, unique()).await;
    let (twin, triplet) = (unique(), unique());
    let last = job().depends_on([twin.id, triplet.id]);
    let last_id = last.id;
    let answers = store.enqueue(vec![twin, triplet, last]).await.unwrap();
    assert_eq!(answers, [Enqueued::Duplicate(first), Enqueued::Duplicate(first), Enqueued::New(last_id)]);
    let claim = take(&store).await;
    assert_eq!(claim.job.id, first);
    nothing(&store).await;
    complete(&store, &claim).await;
    let claim = take(&store).await;
    assert_eq!(claim.job.id, last_id);
    complete(&store, &claim).await;
}

/// One that cleans up runs however the others ended.
pub async fn a_dependent_may_run_nevertheless(store: Subject) {
    if !store.capabilities().dependencies {
        return;
    }
    let (good, bad) = (job(), job());
    let cleanup = job().depends_on([good.id, bad.id]).on_dependency_failure(OnDependencyFailure::Run);
    let (good_id, cleanup_id) = (good.id, cleanup.id);
    store.enqueue(vec![good, bad, cleanup]).await.unwrap();
    for _ in 0..2 {
        nothing_of(&store, cleanup_id).await;
        let claim = take(&store).await;
        if claim.job.id == good_id {
            complete(&store, &claim).await;
        } else {
            end(&store, &claim, failed()).await;
        }
    }
    let claim = take(&store).await;
    assert_eq!(claim.job.id, cleanup_id);
    complete(&store, &claim).await;
}

async fn nothing_of(store: &Subject, id: TaskId) {
    assert_eq!(record(store, id).await.state, JobState::Pending);
}

/// One that is over already is not waited for; one that failed already is not hoped for.
pub async fn dependencies_that_are_over(store: Subject) {
    if !store.capabilities().dependencies {
        return;
    }
    let done = put(&store, job()).await;
    let claim = take(&store).await;
    complete(&store, &claim).await;
    let next = put(&store, job().depends_on([done])).await;
    let claim = take(&store).await;
    assert_eq!(claim.job.id, next);
    end(&store, &claim, failed()).await;
    let doomed = put(&store, job().depends_on([done, next])).await;
    assert_eq!(record(&store, doomed).await.state, JobState::Cancelled);
    let stubborn = put(&store, job().depends_on([next]).on_dependency_failure(OnDependencyFailure::Run)).await;
    let claim = take(&store).await;
    assert_eq!(claim.job.id, stubborn);
    complete(&store, &claim).await;
}

/// Nothing is taken in if one of them cannot be.
pub async fn an_unknown_dependency_is_refused_whole(store: Subject) {
    if !store.capabilities().dependencies {
        return;
    }
    let (fine, lost) = (job(), job().depends_on([TaskId::generate()]));
    let fine_id = fine.id;
    let answer = store.enqueue(vec![fine, lost]).await;
    assert!(matches!(answer, Err(StoreError::Invalid { field: "depends_on", .. })), "{answer:?}");
    assert!(store.job(fine_id).await.unwrap().is_none(), "all or none");
    let (first, second) = (job(), job());
    let backwards = first.depends_on([second.id]);
    let answer = store.enqueue(vec![backwards, second]).await;
    assert!(matches!(answer, Err(StoreError::Invalid { field: "depends_on", .. })), "no cycles: {answer:?}");
    nothing(&store).await;
}

/// One that was cancelled and taken up again waits for nobody, and what it waited for gives it out no second time.
pub async fn a_replayed_dependent_is_given_out_once(store: Subject) {
    if !store.capabilities().dependencies {
        return;
    }
    let top = put(&store, job()).await;
    let dependent = put(&store, job().depends_on([top])).await;
    assert_eq!(store.cancel(dependent, "no").await.unwrap(), JobState::Cancelled);
    assert_eq!(store.replay(&[dependent]).await.unwrap(), 1);
    let (one, two) = (take(&store).await, take(&store).await);
    let (first, second) = if one.job.id == top { (one, two) } else { (two, one) };
    assert_eq!((first.job.id, second.job.id), (top, dependent));
    complete(&store, &first).await;
    nothing(&store).await;
    assert_eq!(record(&store, dependent).await.state, JobState::Running);
    complete(&store, &second).await;
}
