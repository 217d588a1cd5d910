//! Tasks by themselves: 20 workers share the load, and progress, cancel, time-out, panic and shutdown each have an end.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use bedplate_tasks::{Task, TaskContext, TaskError, TaskPool};
use tokio::time::{Instant, sleep};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let pool = TaskPool::builder("media").workers(20).queue(256).build()?;

    let began = Instant::now();
    let mut handles = Vec::new();
    for _ in 0..200 {
        handles.push(pool.submit(Task::infallible("resize", resize)).await?);
    }
    let busy = pool.stats();
    for handle in handles {
        handle.await?;
    }
    let (took, most, queued) = (began.elapsed(), busy.running, busy.queued);
    println!("resize:    200 of 20 ms in {took:.0?}; at first {most} ran, {queued} waited");

    let encode = pool.submit(Task::infallible("encode", encode)).await?;
    let mut seen = Vec::new();
    while !encode.status().is_final() {
        sleep(Duration::from_millis(5)).await;
        seen.extend(encode.latest_progress().map(|news| news.message));
        seen.dedup();
    }
    println!("encode:    {seen:?}");

    let hung = || Task::infallible("hung", |_cx| pending::<()>());
    let unwanted = pool.submit(hung()).await?;
    unwanted.cancel();
    let cancelled = unwanted.await;
    let limited = hung().timeout(Duration::from_millis(50));
    let timed_out = pool.submit(limited).await?.await;
    println!("           next, a task panics on purpose; the pool lives on");
    let buggy = Task::infallible("buggy", |_cx| async { average(100, 0) });
    let panicked = pool.submit(buggy).await?.await;
    println!("cancelled: {cancelled:?}\ntimed out: {timed_out:?}\npanicked:  {panicked:?}");

    // Shutdown lets the short ones end and cuts off the one that never does.
    for n in 0..5 {
        let last = Task::infallible("last", move |_cx| sleep(Duration::from_millis(10 * n)));
        drop(pool.submit(last).await?);
    }
    drop(pool.submit(hung()).await?);
    let report = pool.shutdown(Duration::from_millis(300)).await;
    println!("shutdown:  {report:?}");

    let shared = most <= 20 && queued > 0 && took >= Duration::from_millis(200);
    let ended = matches!(cancelled, Err(TaskError::Cancelled { .. }))
        && matches!(timed_out, Err(TaskError::TimedOut { .. }))
        && matches!(panicked, Err(TaskError::Panicked { .. }));
    let shut = (report.completed, report.cancelled, report.abandoned) == (5, 1, 0);
    let right = (shared && seen.len() > 1 && ended && shut).then_some(());
    right.ok_or_else(|| "a task did not end as it should".into())
}

async fn encode(cx: TaskContext) {
    for part in 1..=4_u32 {
        sleep(Duration::from_millis(30)).await;
        cx.progress(f64::from(part) / 4.0, format!("part {part} of 4"));
    }
}

async fn resize(_cx: TaskContext) {
    sleep(Duration::from_millis(20)).await;
}

/// Has a bug that nobody thought of.
fn average(total: u32, parts: u32) -> u32 {
    total / parts
}
