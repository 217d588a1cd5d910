use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Scene, to_u64};
use crate::Fail;
use crate::job::{Chaos, What};
use crate::report::{Report, p99};

/// Jobs per second.
const RATE: u64 = 200;

/// C10: a steady load; how long jobs wait, and how much memory the workers use, stays the same.
pub(super) async fn run(scene: &Scene) -> Result<Report, Fail> {
    let mut report = scene.report();
    let workers = scene.workers(2)?;
    let began = Instant::now();
    let (mut early, mut late, mut submitted) = (Vec::new(), Vec::new(), 0);
    let (mut memory_early, mut memory_late) = (0, 0);
    while began.elapsed() < scene.time {
        let tick = Instant::now();
        let jobs = (0..RATE / 10).map(|_| Chaos { what: What::Work(5) });
        submitted += to_u64(scene.jobs.submit_many(jobs).await?.len());
        if submitted % RATE == 0 {
            let probe = scene.jobs.submit(Chaos { what: What::Work(1) }).await?;
            let asked = Instant::now();
            probe.wait_timeout(Duration::from_secs(30)).await?;
            let took = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
            let resident = workers.iter().map(|worker| resident_kib(worker.pid())).sum::<u64>();
            // The first sixth is warming up.
            if began.elapsed() > scene.time / 6 && began.elapsed() < scene.time / 2 {
                early.push(took);
                memory_early = memory_early.max(resident);
            } else if began.elapsed() >= scene.time / 2 {
                late.push(took);
                memory_late = memory_late.max(resident);
            }
        }
        sleep(Duration::from_millis(100).saturating_sub(tick.elapsed())).await;
    }
    let left = scene.drained(0, Duration::from_mins(1)).await?;
    let (early, late) = (p99(early), p99(late));
    report.figure("jobs", submitted);
    report.at_most("lost", left, 0);
    report.figure("wait_p99_us_first_half", early);
    // Twice is far more than noise, and far less than what a table that grows would show.
    report.at_most("wait_p99_us_second_half", late, early.saturating_mul(2).max(50_000));
    report.figure("memory_kib_first_half", memory_early);
    report.at_most("memory_kib_second_half", memory_late, memory_early + memory_early / 5);
    Ok(report)
}

/// A process's resident memory where the system tells it in a file, in KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
