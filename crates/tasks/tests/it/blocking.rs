use std::sync::mpsc;
use std::time::Duration;

use bedplate_tasks::{CancelReason, Cancelled, Task, TaskError, TaskPool};

use crate::support::Crowd;

/// Spins until told to stop, as a loop over pixels would.
fn obedient() -> Task<u64, Cancelled> {
    Task::blocking("spin", |cx| {
        let mut turns = 0;
        loop {
            cx.check()?;
            turns += 1;
            std::thread::yield_now();
            if turns == u64::MAX {
                return Ok(turns);
            }
        }
    })
}

#[tokio::test]
async fn blocking_work_runs_and_its_panic_is_a_result() {
    let pool = TaskPool::builder("b").workers(2).build().unwrap();
    let sum = pool.submit(Task::blocking("sum", |_| Ok::<u64, Cancelled>((0..1_000).sum()))).await.unwrap();
    assert_eq!(sum.await, Ok(499_500));
    let boom = Task::<(), Cancelled>::blocking("boom", |_| panic!("in a thread"));
    let message = "in a thread".to_owned();
    assert_eq!(pool.submit(boom).await.unwrap().await, Err(TaskError::Panicked { message }));
    assert_eq!(pool.stats().panicked, 1);
}

#[tokio::test]
async fn blocking_work_hears_cancel_and_time_out() {
    let pool = TaskPool::builder("b").workers(1).blocking_threads(1).build().unwrap();
    let handle = pool.submit(obedient()).await.unwrap();
    while handle.status() != bedplate_tasks::TaskState::Running {
        tokio::task::yield_now().await;
    }
    handle.cancel();
    assert_eq!(handle.await, Err(TaskError::Cancelled { reason: CancelReason::Requested }));
    let limit = Duration::from_millis(20);
    let late = pool.submit(obedient().timeout(limit)).await.unwrap();
    assert_eq!(late.await, Err(TaskError::TimedOut { after: limit }));
    // Both threads came back: the one place is free again.
    let next = pool.submit(Task::blocking("next", |_| Ok::<_, Cancelled>(1))).await.unwrap();
    assert_eq!(next.await, Ok(1));
    assert_eq!(pool.stats().stuck, 0);
}

#[tokio::test]
async fn a_thread_that_does_not_come_back_is_stuck_and_its_worker_goes_on() {
    let pool =
        TaskPool::builder("b").workers(1).blocking_threads(2).stuck_after(Duration::from_millis(10)).build().unwrap();
    let (release, held) = mpsc::channel::<()>();
    let deaf = Task::blocking("deaf", move |_| {
        let _released = held.recv();
        Ok::<_, Cancelled>(())
    });
    let handle = pool.submit(deaf.timeout(Duration::from_millis(10))).await.unwrap();
    assert!(matches!(handle.await, Err(TaskError::TimedOut { .. })));
    let next = pool.submit(Task::blocking("next", |_| Ok::<_, Cancelled>(1))).await.unwrap();
    assert_eq!(next.await, Ok(1), "the only worker went on");
    assert_eq!((pool.stats().stuck, pool.stats().timed_out), (1, 1));
    release.send(()).unwrap();
    while pool.stats().stuck > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.stats().completed, 1, "its late result was not counted");
}

#[tokio::test]
async fn blocking_threads_are_bounded() {
    let pool = TaskPool::builder("b").workers(8).blocking_threads(2).build().unwrap();
    let crowd = Crowd::default();
    let mut handles = Vec::new();
    for _ in 0..50 {
        let crowd = crowd.clone();
        let task = Task::blocking("x", move |_| {
            let _inside = crowd.enter();
            std::thread::yield_now();
            Ok::<_, Cancelled>(())
        });
        handles.push(pool.submit(task).await.unwrap());
    }
    for handle in handles {
        handle.await.unwrap();
    }
    assert!(crowd.most() <= 2);
}
