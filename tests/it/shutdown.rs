//! The end of a system: nothing is lost, or the loss is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::Sender;
use std::time::Duration;

use bedplate::storage::{Interactions as _, SqliteStore, Status, StorageError, Store as _};
use bedplate::{Bedplate, ErrorKind, Request};

use crate::support::{Scripted, done};

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_under_load_finishes_what_was_begun_and_records_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it.db");
    let system = Bedplate::builder().database(&path).build().await.unwrap();
    let mut requests = tokio::task::JoinSet::new();
    for index in 0..200 {
        let own = system.clone();
        requests.spawn(async move { own.process(Request::text(format!("text number {index}"))).await });
    }
    while system.counters().requests < 20 {
        tokio::task::yield_now().await;
    }
    let report = system.shutdown(Duration::from_secs(20)).await;
    assert!(report.is_clean(), "{report}");

    let (mut answered, mut refused) = (0, 0);
    while let Some(ended) = requests.join_next().await {
        match ended.unwrap() {
            Ok(_) => answered += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ShuttingDown);
                refused += 1;
            }
        }
    }
    assert_eq!(answered + refused, 200);
    let store = SqliteStore::open(&path).await.unwrap();
    let counts = store.interaction_counts().await.unwrap();
    assert_eq!(counts.succeeded, answered, "every answer is recorded");
    store.close().await;

    let late = system.process(Request::text("late")).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::ShuttingDown);
    assert!(matches!(system.store().ping().await, Err(StorageError::Closed)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_cannot_end_is_cut_off_and_told() {
    let (system, release, calls) = gated().await;
    let own = system.clone();
    let stuck = tokio::spawn(async move { own.process(Request::text("t")).await });
    while calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let report = system.shutdown(Duration::from_millis(100)).await;
    assert_eq!(report.cut_off, 1, "{report}");
    assert!(report.took < Duration::from_secs(2), "nobody waits for a thread that does not come back: {report}");
    assert!(!report.is_clean());
    assert_eq!(stuck.await.unwrap().unwrap_err().kind(), ErrorKind::ShuttingDown);
    drop(release);
}

/// A system whose text processor waits for the sender's word, or its end, and how often that was called.
async fn gated() -> (Bedplate, Sender<()>, Arc<AtomicU32>) {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let processor = Scripted::new(move |_| {
        let _released = gate.lock().unwrap().recv();
        done()
    });
    let calls = processor.calls();
    (Bedplate::builder().processor(processor).build().await.unwrap(), release, calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_gives_up_leaves_a_record_and_a_cached_answer() {
    let (system, release, calls) = gated().await;
    let request = Request::text("t");
    let id = request.id();
    let own = system.clone();
    let caller = tokio::spawn(async move { own.process(request).await });
    while calls.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    system.flush_records().await;
    let record = system.store().interaction(id).await.unwrap().unwrap();
    assert_eq!((record.status, record.error_kind.as_deref()), (Status::Failed, Some("cancelled")));
    assert_eq!(system.counters().in_flight, 0);

    drop(release);
    let again = system.process(Request::text("t")).await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 1, "what was begun went on: {:?}", again.cache);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_the_wait_and_not_the_work() {
    let (system, release, calls) = gated().await;
    let hurried = Request::text("t").deadline(Duration::from_millis(20));
    let error = system.process(hurried).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.message(), "no answer within 20ms");
    drop(release);
    system.process(Request::text("t")).await.unwrap();
    assert_eq!(system.cache_stats().loads, 1);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn handles_share_one_system_and_the_last_one_ends_it() {
    let store = Arc::new(bedplate::storage::MemoryStore::new());
    let system = Bedplate::builder().store(Arc::clone(&store) as _).build().await.unwrap();
    let other = system.clone();
    drop(system);
    other.process(Request::text("t")).await.unwrap();
    assert!(other.shutdown(Duration::from_secs(5)).await.is_clean());
    assert_eq!(other.counters().requests, 1);
}
