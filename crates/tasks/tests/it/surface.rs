use std::time::Duration;

use bedplate_recovery::{Classify as _, ErrorClass};
use bedplate_tasks::store::{JobStore, MemoryStore};
use bedplate_tasks::{PoolConfig, SubmitError, Task, TaskContext, TaskError, TaskHandle, TaskPool, TaskStats};

use crate::support::{MS, hang, pool};

fn data<T: serde::Serialize>() {}

#[tokio::test]
async fn everything_is_send_and_what_is_shared_sync() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>(_: &T) {}
    shared::<TaskPool>();
    shared::<TaskHandle<u8, std::io::Error>>();
    shared::<TaskContext>();
    shared::<TaskError<std::io::Error>>();
    shared::<MemoryStore>();
    shared::<Box<dyn JobStore>>();
    let pool = pool(1, 1);
    let submit = pool.submit(hang());
    sent(&submit);
    let shutdown = pool.shutdown(MS);
    sent(&shutdown);
}

#[tokio::test]
async fn bad_settings_are_named_with_what_is_expected() {
    let cases = [
        (TaskPool::builder("x").workers(0), "pool.workers is 0, expected 1 to 10000"),
        (TaskPool::builder("x").workers(10_001), "pool.workers is 10001"),
        (TaskPool::builder("x").queue(0), "pool.queue is 0"),
        (TaskPool::builder("x").blocking_threads(0), "pool.blocking_threads is 0"),
        (TaskPool::builder("x").default_timeout(Duration::ZERO), "pool.default_timeout is 0ns"),
        (TaskPool::builder("x").age_after(Duration::MAX), "at most 366 days"),
    ];
    for (builder, expected) in cases {
        let told = builder.build().unwrap_err().to_string();
        assert!(told.contains(expected), "{told}");
    }
}

#[test]
fn a_pool_needs_a_runtime_and_says_so() {
    let told = TaskPool::builder("x").build().unwrap_err();
    assert_eq!(told.field, "runtime");
}

#[test]
fn settings_are_data_and_unknown_ones_are_refused() {
    let config: PoolConfig = serde_json::from_str(r#"{"workers":3,"default_timeout":null}"#).unwrap();
    assert_eq!((config.workers, config.queue, config.default_timeout), (3, 1_024, None));
    assert!(serde_json::from_str::<PoolConfig>(r#"{"worker":3}"#).is_err());
    data::<TaskStats>();
}

#[tokio::test]
async fn errors_speak_the_vocabulary_of_recovery() {
    let timed_out: TaskError<std::io::Error> = TaskError::TimedOut { after: MS };
    assert_eq!(timed_out.class(), ErrorClass::Timeout);
    assert!(timed_out.is_transient());
    let failed = TaskError::Failed(std::io::Error::from(std::io::ErrorKind::InvalidInput));
    assert_eq!(failed.class(), ErrorClass::CallerFault);
    assert_eq!(failed.to_string(), "task failed");
    let pool = pool(1, 1);
    let _running = pool.submit(hang()).await.unwrap();
    crate::support::settle().await;
    let _waiting = pool.try_submit(hang()).unwrap();
    let refused = pool.try_submit(hang()).unwrap_err();
    assert!(refused.is_transient() && matches!(refused, SubmitError::Full { retry_after: None, .. }));
    assert_eq!(refused.class(), ErrorClass::Overload { after: None });
    assert_eq!(refused.into_task().kind(), "hang");
    let _task: Task<(), std::convert::Infallible> = hang().deadline(tokio::time::Instant::now().into_std());
}
