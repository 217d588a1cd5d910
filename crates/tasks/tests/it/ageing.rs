//! What waits longer goes before what is more urgent, on every store.
use std::time::Duration;

use bedplate_tasks::Priority;
use bedplate_tasks::store::{ClaimRequest, JobStore, MemoryConfig, MemoryStore, NewJob};
use tokio::time::sleep;

const AGE: Duration = Duration::from_millis(800);

async fn ages(store: &dyn JobStore) {
    let request = ClaimRequest::new("worker-1", ["a.v1"], 1, Duration::from_mins(1)).wait(Duration::from_millis(100));
    let put = async |priority| {
        let job = NewJob::new("a.v1", b"1".to_vec()).priority(priority);
        let id = job.id;
        store.enqueue(vec![job]).await.unwrap();
        id
    };
    let take = async || store.claim(&request).await.unwrap().pop().unwrap().job.id;
    let (low, urgent) = (put(Priority::Low).await, put(Priority::Normal).await);
    assert_eq!(take().await, urgent, "it is more urgent");
    sleep(AGE + Duration::from_millis(100)).await;
    let urgent = put(Priority::Normal).await;
    assert_eq!(take().await, low, "it has waited for longer than a priority is worth");
    assert_eq!(take().await, urgent);
}

#[tokio::test]
async fn jobs_age_in_memory() {
    ages(&MemoryStore::new(MemoryConfig::default().age_after(AGE)).unwrap()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn jobs_age_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let builder = bedplate_tasks::store::SqliteStore::builder(folder.path().join("jobs.db"));
    ages(&builder.age_after(AGE).open().await.unwrap()).await;
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_age_on_redis() {
    let Some(url) = crate::redis_support::url() else { return };
    let builder = bedplate_tasks::store::RedisStore::builder(url).prefix(crate::redis_support::prefix());
    ages(&builder.age_after(AGE).connect().await.unwrap()).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_age_on_postgres() {
    let Some(sandbox) = crate::postgres_support::Sandbox::new() else { return };
    ages(&sandbox.builder().age_after(AGE).connect().await.unwrap()).await;
}
