use std::time::Duration;

use bedplate_tasks::{CancelReason, Cancelled, SubmitError, Task, TaskError};
use tokio::time::{Instant, sleep};

use crate::support::{MS, hang, pool, settle};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_soft_shutdown_lets_everything_end() {
    let pool = pool(2, 64);
    let mut handles = Vec::new();
    for _ in 0..20 {
        handles.push(pool.submit(Task::infallible("x", |_| sleep(10 * MS))).await.unwrap());
    }
    let report = pool.shutdown(SECOND).await;
    assert_eq!((report.completed, report.cancelled, report.abandoned), (20, 0, 0));
    assert_eq!(report.took, 100 * MS);
    assert!(report.is_clean());
    for handle in handles {
        handle.await.unwrap();
    }
    assert!(matches!(pool.try_submit(hang()), Err(SubmitError::Closed { .. })));
    let refused = pool.submit(hang()).await.unwrap_err();
    assert!(!refused.is_transient());
}

#[tokio::test(start_paused = true)]
async fn a_hard_shutdown_cancels_the_rest_and_every_handle_resolves() {
    let pool = pool(3, 64);
    let mut handles = Vec::new();
    for n in 0..30 {
        let task = if n < 10 { Task::infallible("short", |_| sleep(MS)) } else { hang() };
        handles.push(pool.submit(task).await.unwrap());
    }
    let start = Instant::now();
    let report = pool.shutdown(50 * MS).await;
    assert_eq!(start.elapsed(), 50 * MS, "dropping futures takes no time");
    assert_eq!((report.completed, report.cancelled, report.abandoned), (10, 20, 0));
    let mut cancelled = 0;
    for handle in handles {
        match handle.await {
            Ok(()) => {}
            Err(TaskError::Cancelled { reason }) => {
                assert_eq!(reason, CancelReason::Shutdown);
                cancelled += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(cancelled, 20);
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.running), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_under_load_loses_nothing() {
    for round in 0..20 {
        let pool = pool(4, 16);
        let submitters: Vec<_> = (0..4)
            .map(|_| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    let mut handles = Vec::new();
                    loop {
                        let task = Task::infallible("x", |_| tokio::task::yield_now());
                        match pool.submit(task).await {
                            Ok(handle) => handles.push(handle),
                            Err(SubmitError::Closed { .. }) => return handles,
                            Err(other) => panic!("{other}"),
                        }
                    }
                })
            })
            .collect();
        for _ in 0..round * 10 {
            tokio::task::yield_now().await;
        }
        let within = if round % 2 == 0 { SECOND } else { Duration::ZERO };
        pool.shutdown(within).await;
        let (mut good, mut cancelled) = (0, 0);
        for submitter in submitters {
            for handle in submitter.await.unwrap() {
                match tokio::time::timeout(10 * SECOND, handle).await.unwrap() {
                    Ok(()) => good += 1,
                    Err(TaskError::Cancelled { .. }) => cancelled += 1,
                    Err(other) => panic!("{other}"),
                }
            }
        }
        let stats = pool.stats();
        assert_eq!((stats.completed, stats.cancelled), (good, cancelled));
        assert_eq!(stats.submitted, good + cancelled);
        assert_eq!((stats.queued, stats.running), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_of_the_pool_cancels_what_is_left() {
    let pool = pool(1, 8);
    let running = pool.submit(hang()).await.unwrap();
    let waiting = pool.submit(hang()).await.unwrap();
    settle().await;
    let second = pool.clone();
    drop(pool);
    settle().await;
    assert!(!running.status().is_final(), "another handle is left");
    drop(second);
    let expected = Err(TaskError::Cancelled { reason: CancelReason::PoolDropped });
    assert_eq!(waiting.await, expected);
    assert_eq!(running.await, expected);
}

#[test]
fn a_runtime_that_ends_resolves_the_handles() {
    let first = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (pool, running, waiting) = first.block_on(async {
        let pool = pool(1, 8);
        let running = pool.submit(hang().timeout(Duration::MAX).deadline(far())).await;
        let waiting = pool.submit(hang()).await.unwrap();
        (pool, running, waiting)
    });
    drop(first);
    drop(pool);
    let second = tokio::runtime::Builder::new_current_thread().build().unwrap();
    second.block_on(async {
        assert!(matches!(running.unwrap().await, Err(TaskError::Cancelled { .. })));
        assert!(matches!(waiting.await, Err(TaskError::Cancelled { .. })));
    });
}

fn far() -> std::time::Instant {
    Instant::now().into_std() + Duration::from_hours(1)
}

#[tokio::test]
async fn a_deaf_thread_is_reported_as_abandoned() {
    let pool = bedplate_tasks::TaskPool::builder("d").workers(1).stuck_after(20 * MS).build().unwrap();
    let (release, held) = std::sync::mpsc::channel::<()>();
    let deaf = Task::blocking("deaf", move |_| {
        let _released = held.recv();
        Ok::<_, Cancelled>(())
    });
    let handle = pool.submit(deaf).await.unwrap();
    while handle.status() != bedplate_tasks::TaskState::Running {
        tokio::task::yield_now().await;
    }
    let report = pool.shutdown(Duration::ZERO).await;
    assert!(report.abandoned == 1 && report.cancelled == 1, "{report:?}");
    assert!(matches!(handle.await, Err(TaskError::Cancelled { reason: CancelReason::Shutdown })));
    release.send(()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_second_shutdown_finds_nothing_to_do() {
    let pool = pool(1, 1);
    pool.shutdown(SECOND).await;
    let again = pool.shutdown(SECOND).await;
    assert_eq!((again.completed, again.cancelled, again.took), (0, 0, Duration::ZERO));
}
