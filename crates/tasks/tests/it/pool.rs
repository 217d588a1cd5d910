use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedplate_tasks::{CancelReason, FailReason, Priority, SubmitError, Task, TaskError, TaskId, TaskPool, TaskState};
use futures_util::StreamExt as _;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::support::{Crowd, Fault, MS, hang, pool, settle};

#[tokio::test(start_paused = true)]
async fn a_task_gives_its_value_or_its_error() {
    let pool = pool(2, 8);
    let mut good = pool.submit(Task::new("good", |_| async { Ok::<_, Fault>(7) })).await.unwrap();
    let bad = pool.submit(Task::new("bad", |_| async { Err::<(), _>("no") })).await.unwrap();
    assert_eq!((&mut good).await.unwrap(), 7);
    assert_eq!(good.status(), TaskState::Completed);
    assert!(matches!((&mut good).await, Err(TaskError::ResultTaken)));
    assert_eq!(bad.await, Err(TaskError::Failed("no")));
    let stats = pool.stats();
    assert_eq!((stats.submitted, stats.completed, stats.failed, stats.running), (2, 1, 1, 0));
}

struct Bomb;

#[expect(clippy::panic, reason = "it is a bomb")]
impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in the drop");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_result_and_the_worker_lives() {
    let pool = pool(1, 64);
    for round in 0..20 {
        let task = Task::infallible("boom", move |_| async move {
            assert!(round < 0, "round {round}");
        });
        let message = format!("round {round}");
        let handle = pool.submit(task).await.unwrap();
        assert_eq!(handle.await, Err(TaskError::Panicked { message }));
    }
    // Before the first await and in a drop are other places to panic.
    let early = Task::<(), Fault>::new("early", |cx| {
        assert!(cx.is_cancelled(), "at once");
        async { Ok(()) }
    });
    assert!(matches!(pool.submit(early).await.unwrap().await, Err(TaskError::Panicked { .. })));
    let late = Task::<(), Fault>::new("late", |_| async {
        let _bomb = Bomb;
        std::future::pending().await
    });
    let late = pool.submit(late.timeout(MS)).await.unwrap().await;
    assert!(matches!(late, Err(TaskError::TimedOut { .. } | TaskError::Panicked { .. })));
    let next = pool.submit(Task::infallible("next", |_| async { 1 })).await.unwrap();
    assert_eq!(next.await, Ok(1));
    assert_eq!(pool.stats().panicked + pool.stats().timed_out, 22);
}

#[tokio::test(start_paused = true)]
async fn a_task_out_of_time_is_dropped_and_frees_its_worker() {
    let pool = TaskPool::builder("t").workers(1).default_timeout(100 * MS).build().unwrap();
    let crowd = Crowd::default();
    let inside = crowd.clone();
    let start = Instant::now();
    let hung = Task::<(), Fault>::new("hung", move |_| async move {
        let _inside = inside.enter();
        std::future::pending().await
    });
    let hung = pool.submit(hung).await.unwrap();
    let own = pool.submit(hang().timeout(30 * MS)).await.unwrap();
    assert!(matches!(hung.await, Err(TaskError::TimedOut { after }) if after == 100 * MS));
    assert_eq!(crowd.inside(), 0, "the future was dropped");
    assert!(matches!(own.await, Err(TaskError::TimedOut { after }) if after == 30 * MS));
    assert!(start.elapsed() >= 130 * MS && start.elapsed() < 140 * MS);
    assert_eq!(pool.stats().timed_out, 2);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_counts_while_running_and_while_waiting() {
    let pool = pool(1, 8);
    let at = |ms: u32| (Instant::now() + ms * MS).into_std();
    let first = pool.submit(hang().deadline(at(50))).await.unwrap();
    let ran = Arc::new(Mutex::new(false));
    let flag = Arc::clone(&ran);
    let second = Task::infallible("late", move |_| async move { *flag.lock().unwrap() = true });
    let second = pool.submit(second.deadline(at(20))).await.unwrap();
    assert!(matches!(first.await, Err(TaskError::TimedOut { .. })));
    assert!(matches!(second.await, Err(TaskError::TimedOut { .. })));
    assert!(!*ran.lock().unwrap(), "it was over before its turn");
}

#[tokio::test(start_paused = true)]
async fn cancel_before_running_frees_the_slot_at_once() {
    let pool = pool(1, 1);
    let running = pool.submit(hang()).await.unwrap();
    settle().await;
    let waiting = pool.submit(hang()).await.unwrap();
    assert_eq!((running.status(), waiting.status()), (TaskState::Running, TaskState::Pending));
    assert!(pool.try_submit(hang()).is_err());
    waiting.cancel();
    assert_eq!(waiting.status(), TaskState::Cancelled(CancelReason::Requested));
    let next = pool.try_submit(hang()).unwrap();
    assert_eq!(waiting.await, Err(TaskError::Cancelled { reason: CancelReason::Requested }));
    running.cancel();
    assert!(matches!(running.await, Err(TaskError::Cancelled { .. })));
    settle().await;
    assert_eq!(next.status(), TaskState::Running);
    assert_eq!(pool.stats().cancelled, 2);
}

#[tokio::test(start_paused = true)]
async fn cancelling_again_and_again_grows_nothing() {
    let pool = pool(1, 4);
    let _running = pool.submit(hang()).await.unwrap();
    settle().await;
    let _first = pool.submit(hang()).await.unwrap();
    for _ in 0..10_000 {
        pool.try_submit(hang()).unwrap().cancel();
    }
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.cancelled), (1, 10_000));
}

#[tokio::test(start_paused = true)]
async fn cancel_while_running_drops_the_future() {
    let pool = pool(1, 1);
    let crowd = Crowd::default();
    let inside = crowd.clone();
    let task = Task::<(), Fault>::new("x", move |_| async move {
        let _inside = inside.enter();
        std::future::pending().await
    });
    let handle = pool.submit(task).await.unwrap();
    settle().await;
    assert_eq!(crowd.inside(), 1);
    handle.cancel();
    handle.cancel();
    assert!(matches!(handle.await, Err(TaskError::Cancelled { .. })));
    assert_eq!(crowd.inside(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_handle_detaches_unless_it_was_told_to_cancel() {
    let pool = pool(2, 8);
    let (done, wait) = oneshot::channel();
    drop(
        pool.submit(Task::infallible("detached", |_| async {
            sleep(MS).await;
            done.send(()).unwrap();
        }))
        .await
        .unwrap(),
    );
    wait.await.unwrap();
    let tied = pool.submit(hang()).await.unwrap().cancel_on_drop();
    settle().await;
    drop(tied);
    settle().await;
    assert_eq!((pool.stats().cancelled, pool.stats().running), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_gives_the_task_back_and_submit_waits() {
    let pool = pool(1, 2);
    let gate = pool.submit(Task::infallible("gate", |_| sleep(10 * MS))).await.unwrap();
    settle().await;
    let waiting = [pool.try_submit(hang()).unwrap(), pool.try_submit(hang()).unwrap()];
    let mine = TaskId::generate();
    let refused = pool.try_submit(Task::infallible("mine", |_| async { 5 }).id(mine)).unwrap_err();
    assert!(matches!(refused, SubmitError::Full { .. }));
    let start = Instant::now();
    let handle = pool.submit(refused.into_task()).await.unwrap();
    assert_eq!(start.elapsed(), 10 * MS, "it waited for the slot");
    assert_eq!(handle.id(), mine);
    gate.await.unwrap();
    for hung in waiting {
        hung.cancel();
    }
    assert_eq!(handle.await, Ok(5));
    assert_eq!(pool.stats().rejected, 1);
}

#[tokio::test(start_paused = true)]
async fn a_submit_that_is_dropped_while_waiting_loses_no_slot() {
    let pool = pool(1, 1);
    let running = pool.submit(hang()).await.unwrap();
    settle().await;
    let waiting = pool.submit(hang()).await.unwrap();
    for _ in 0..100 {
        assert!(tokio::time::timeout(MS, pool.submit(hang())).await.is_err());
    }
    waiting.cancel();
    let next = pool.try_submit(hang()).unwrap();
    assert!(pool.try_submit(hang()).is_err());
    drop((running, next));
}

#[tokio::test(start_paused = true)]
async fn urgent_tasks_go_first_and_equals_in_order() {
    let pool = pool(1, 64);
    let gate = pool.submit(Task::infallible("gate", |_| sleep(MS))).await.unwrap();
    settle().await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut handles = Vec::new();
    for (n, priority) in [
        (0, Priority::Low),
        (1, Priority::Normal),
        (2, Priority::Critical),
        (3, Priority::Normal),
        (4, Priority::High),
        (5, Priority::Critical),
    ] {
        let order = Arc::clone(&order);
        let task = Task::infallible("n", move |_| async move { order.lock().unwrap().push(n) });
        handles.push(pool.submit(task.priority(priority)).await.unwrap());
    }
    gate.await.unwrap();
    for handle in handles {
        handle.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [2, 5, 4, 1, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_low_task_does_not_starve() {
    let pool = TaskPool::builder("a").workers(1).age_after(10 * MS).build().unwrap();
    let busy = || Task::infallible("busy", |_| sleep(5 * MS)).priority(Priority::Critical);
    let _first = pool.submit(busy()).await.unwrap();
    let low = pool.submit(Task::infallible("low", |_| async {}).priority(Priority::Low)).await.unwrap();
    let feed = async {
        loop {
            drop(pool.submit(busy()).await.unwrap());
            sleep(4 * MS).await;
        }
    };
    let feed = std::pin::pin!(feed);
    let race = futures_util::future::select(low, feed);
    let fed = tokio::time::timeout(Duration::from_secs(1), race).await.is_ok();
    assert!(fed, "the low task ran although critical ones never ceased");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_tasks_over_twenty_workers() {
    let pool = pool(20, 100);
    let crowd = Crowd::default();
    let mut handles = Vec::new();
    for n in 0..10_000_u32 {
        let crowd = crowd.clone();
        let task = Task::new("n", move |_| async move {
            let _inside = crowd.enter();
            tokio::task::yield_now().await;
            if n % 10 == 0 { Err(n) } else { Ok(n) }
        });
        handles.push(pool.submit(task).await.unwrap());
    }
    let ids: HashSet<_> = handles.iter().map(bedplate_tasks::TaskHandle::id).collect();
    assert_eq!(ids.len(), 10_000);
    for (n, handle) in (0..).zip(handles) {
        let expected = if n % 10 == 0 { Err(TaskError::Failed(n)) } else { Ok(n) };
        assert_eq!(handle.await, expected);
    }
    assert!(crowd.most() <= 20, "{} at a time", crowd.most());
    let stats = pool.stats();
    assert_eq!((stats.completed, stats.failed, stats.submitted), (9_000, 1_000, 10_000));
    assert_eq!(stats.queued, 0);
}

#[tokio::test(start_paused = true)]
async fn progress_is_streamed_and_ends_with_the_task() {
    let pool = pool(1, 1);
    let task = Task::infallible("p", |cx| async move {
        for step in 1..=4 {
            cx.progress(f64::from(step) / 4.0, format!("step {step}"));
            sleep(MS).await;
        }
        cx.progress(f64::NAN, "odd");
        cx.progress(7.0, "too far");
    });
    let handle = pool.submit(task).await.unwrap();
    let seen: Vec<_> = handle.progress().map(|p| (p.fraction, p.message.to_string())).collect().await;
    let told: Vec<_> = seen.iter().map(|(_, message)| message.as_str()).collect();
    assert_eq!(told, ["step 1", "step 2", "step 3", "step 4", "too far"]);
    assert!(seen.iter().all(|(fraction, _)| (0.0..=1.0).contains(fraction)));
    assert!((handle.latest_progress().unwrap().fraction - 1.0).abs() < f64::EPSILON);
    handle.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_and_running_show_in_the_stats() {
    let pool = pool(1, 8);
    let running = pool.submit(hang()).await.unwrap();
    settle().await;
    let _waiting = pool.submit(hang()).await.unwrap();
    sleep(40 * MS).await;
    let stats = pool.stats();
    assert_eq!((stats.queued, stats.running, stats.workers), (1, 1, 1));
    assert_eq!(stats.oldest_wait, Some(40 * MS));
    let workers = pool.workers();
    assert_eq!((workers[0].task, &*workers[0].kind, workers[0].since), (running.id(), "hang", 40 * MS));
    assert_eq!(TaskState::Failed(FailReason::TimedOut).as_str(), "timed_out");
}
