//! A limit that was raised holds back nobody by what it was before, on stores whose claims let one after another try.
use std::time::Duration;

use bedplate_tasks::store::{ClaimRequest, End, JobStore, KeyLimit, MemoryStore, NewJob, Settled, Settlement};

async fn fills_what_was_raised(store: &dyn JobStore) {
    let request = ClaimRequest::new("worker-1", ["a.v1"], 10, Duration::from_mins(1));
    let put = async |most, times: usize| {
        let job = || NewJob::new("a.v1", b"1".to_vec()).limit(KeyLimit::concurrency("host-1", most));
        store.enqueue((0..times).map(|_| job()).collect()).await.unwrap();
    };
    let take = async || store.claim(&request).await.unwrap();
    let end = async |claims: Vec<_>| {
        let done = |claim: &bedplate_tasks::store::Claim| End::new(claim.lease, Settlement::Completed(b"1".to_vec()));
        for claim in &claims {
            assert_eq!(store.settle(&[done(claim)]).await.unwrap(), [Settled::Accepted]);
        }
    };
    put(1, 2).await;
    let first = take().await;
    assert_eq!((first.len(), take().await.len()), (1, 0));
    put(3, 6).await;
    let second = take().await;
    assert_eq!((second.len(), take().await.len()), (2, 0));
    let mut alone = Vec::new();
    for claim in first.into_iter().chain(second) {
        assert_eq!(alone.len(), 0);
        end(vec![claim]).await;
        alone = take().await;
    }
    assert_eq!(alone.len(), 1, "that which may only run alone comes before the others");
    end(alone).await;
    for left in [3, 1] {
        let rest = take().await;
        assert_eq!(rest.len(), left);
        end(rest).await;
    }
}

#[tokio::test]
async fn in_memory() {
    fills_what_was_raised(&MemoryStore::default()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let store = bedplate_tasks::store::SqliteStore::builder(folder.path().join("jobs.db")).open().await.unwrap();
    fills_what_was_raised(&store).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_redis() {
    let Some(url) = crate::redis_support::url() else { return };
    fills_what_was_raised(&crate::redis_support::store_at(&url, &crate::redis_support::prefix()).await).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    let Some(sandbox) = crate::postgres_support::Sandbox::new() else { return };
    fills_what_was_raised(&sandbox.store().await).await;
}
