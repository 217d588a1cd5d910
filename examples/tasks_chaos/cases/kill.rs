use std::collections::HashMap;
use std::time::Duration;

use bedplate_tasks::TaskId;
use bedplate_tasks::store::JobState;
use tokio::time::{Instant, sleep};

use super::{Scene, in_state, millis, to_u64};
use crate::Fail;
use crate::child::{LEASE, SWEEP};
use crate::diary::{ACCEPTED, DONE, Entry, STARTED, count, read};
use crate::report::{Report, p99};

/// C1: three workers of 20 hands, one of them killed every 0.3 to 0.8 s.
pub(super) async fn run(scene: &Scene) -> Result<Report, Fail> {
    let mut report = scene.report();
    let ids = scene.submit(scene.count, 20..=60).await?;
    let mut workers = scene.workers(3)?;
    // By process: when it was killed.
    let mut killed: HashMap<u32, u64> = HashMap::new();
    let began = Instant::now();
    while began.elapsed() < scene.time && scene.drained(0, Duration::ZERO).await? > 0 {
        sleep(Duration::from_millis(fastrand::u64(300..800))).await;
        let victim = fastrand::usize(..workers.len());
        if let Some(worker) = workers.get_mut(victim) {
            let pid = worker.pid();
            killed.insert(pid, worker.kill()?);
            worker.start_again()?;
        }
    }
    let left = scene.drained(0, Duration::from_mins(10)).await?;
    // The last accepted ends are still being written down.
    sleep(Duration::from_millis(500)).await;
    let entries = read(&scene.diary)?;
    let records = scene.records().await?;
    let completed = in_state(&records, JobState::Completed);
    let done = count(&entries, DONE);
    let undone = ids.iter().filter(|id| !done.contains_key(id)).count();
    let lost = to_u64(ids.len()).saturating_sub(completed).max(to_u64(undone)).max(left);
    let twice = to_u64(done.values().filter(|times| **times > 1).count());
    let accepted_twice = to_u64(count(&entries, ACCEPTED).values().filter(|times| **times > 1).count());
    let rescues = rescues(&entries, &killed);
    let limit = millis(LEASE + SWEEP * 2 + Duration::from_secs(1));
    report.figure("jobs", ids.len());
    report.figure("kills", killed.len());
    report.at_most("lost", lost, 0);
    report.at_most("twice", twice, (scene.count / 200).max(1));
    report.at_most("stale_acks", accepted_twice, 0);
    report.figure("rescues", rescues.len());
    report.at_most("rescue_p99_ms", p99(rescues), limit);
    report.figure(
        "extra_starts",
        entries.iter().filter(|entry| entry.what == STARTED).count() - ids.len().min(entries.len()),
    );
    Ok(report)
}

/// For each job that ran in a process when that was killed: how long until it ran again.
fn rescues(entries: &[Entry], killed: &HashMap<u32, u64>) -> Vec<u64> {
    let mut by_job: HashMap<TaskId, Vec<&Entry>> = HashMap::new();
    for entry in entries {
        by_job.entry(entry.job).or_default().push(entry);
    }
    let mut times = Vec::new();
    for story in by_job.values() {
        for (at, entry) in story.iter().enumerate().filter(|(_, entry)| entry.what == STARTED) {
            let Some(death) = killed.get(&entry.pid) else { continue };
            let ended = story.iter().any(|other| other.pid == entry.pid && other.what == DONE && other.at >= entry.at);
            let next = story.iter().skip(at + 1).find(|other| other.what == STARTED);
            if let (false, Some(next)) = (ended, next) {
                times.push(next.at.saturating_sub(*death));
            }
        }
    }
    times
}
