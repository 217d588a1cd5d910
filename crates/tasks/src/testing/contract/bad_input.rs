use std::time::Duration;

use super::{Subject, TERM, job, nothing, text};
use crate::store::{ClaimRequest, KeyLimit, NewJob, Rate, Start, StoreError, Unique};

fn changed(change: impl FnOnce(&mut NewJob)) -> NewJob {
    let mut job = job();
    change(&mut job);
    job
}

/// The error names the field, and nothing is taken in.
pub async fn bad_jobs_are_refused_by_name(store: Subject) {
    let long = "k".repeat(256);
    let cases = [
        ("kind", changed(|job| job.kind = text(""))),
        ("kind", changed(|job| job.kind = long.clone().into())),
        ("queue", changed(|job| job.queue = text("a\nb"))),
        ("max_attempts", job().max_attempts(0)),
        ("max_attempts", job().max_attempts(1_000_001)),
        ("start", job().start(Start::In(Duration::MAX))),
        ("timeout", changed(|job| job.timeout = Some(Duration::ZERO))),
        ("unique.key", job().unique(Unique::key(""))),
        ("limit.key", job().limit(KeyLimit::concurrency(long, 1))),
        ("limit.concurrency", job().limit(KeyLimit::concurrency("k", 0))),
        ("limit.rate", job().limit(KeyLimit::rate("k", Rate::new(0, TERM)))),
        ("limit.rate", job().limit(KeyLimit::rate("k", Rate::new(1, Duration::ZERO)))),
        ("depends_on", changed(|job| job.depends_on = vec![job.id])),
    ];
    for (expected, bad) in cases {
        let good = job();
        let good_id = good.id;
        let answer = store.enqueue(vec![good, bad]).await;
        assert!(
            matches!(answer, Err(StoreError::Invalid { field, .. }) if field == expected),
            "{expected}: {answer:?}"
        );
        assert!(store.job(good_id).await.unwrap().is_none(), "{expected}: all or none");
    }
    nothing(&store).await;
    let answer = store.claim(&ClaimRequest::new("worker-1", ["x"], 1, Duration::ZERO)).await;
    assert!(matches!(answer, Err(StoreError::Invalid { field: "term", .. })), "{answer:?}");
}
