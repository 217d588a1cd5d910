use std::collections::HashMap;
use std::time::Duration;

use bedplate_tasks::TaskId;
use bedplate_tasks::store::JobState;
use tokio::time::sleep;

use super::{Scene, to_u64};
use crate::Fail;
use crate::diary::{ACCEPTED, STARTED, TOLD, count, now_ms, read};
use crate::job::{Chaos, What};
use crate::report::{Report, p99};

/// C8: jobs are cancelled from another process, while they wait, run, and end.
pub(super) async fn run(scene: &Scene) -> Result<Report, Fail> {
    let mut report = scene.report();
    let _workers = scene.workers(2)?;
    let number = scene.count.min(400);
    let mut racing = scene.submit(number, 20..=60).await?;
    // Some wait, some run, some have ended, and some do so at this very moment.
    fastrand::shuffle(&mut racing);
    for id in &racing {
        scene.jobs.cancel(*id, "chaos").await?;
        sleep(Duration::from_micros(fastrand::u64(..2_000))).await;
    }
    let endless = scene.jobs.submit_many((0..20).map(|_| Chaos { what: What::Endless })).await?;
    let begun = |diary: &[crate::diary::Entry]| {
        let starts = count(diary, STARTED);
        endless.iter().filter(|handle| starts.contains_key(&handle.id())).count()
    };
    while begun(&read(&scene.diary)?) < endless.len() {
        sleep(Duration::from_millis(50)).await;
    }
    let mut asked: HashMap<TaskId, u64> = HashMap::new();
    for handle in &endless {
        asked.insert(handle.id(), now_ms());
        handle.cancel("chaos").await?;
    }
    let left = scene.drained(0, Duration::from_mins(1)).await?;
    sleep(Duration::from_millis(500)).await;
    let entries = read(&scene.diary)?;
    let accepted = count(&entries, ACCEPTED);
    let (mut both, mut completed, mut cancelled) = (0, 0, 0);
    for record in scene.records().await? {
        let was_accepted = accepted.contains_key(&record.job.id);
        match record.state {
            JobState::Completed => completed += 1,
            JobState::Cancelled => cancelled += 1,
            _ => {}
        }
        both += u64::from(was_accepted != (record.state == JobState::Completed));
    }
    let told: Vec<u64> = entries
        .iter()
        .filter(|entry| entry.what == TOLD && entry.note.contains("Cancelled"))
        .filter_map(|entry| asked.get(&entry.job).map(|at| entry.at.saturating_sub(*at)))
        .collect();
    report.figure("completed", completed);
    report.figure("cancelled", cancelled);
    report.at_most("lost", left, 0);
    report.at_most("two_ends", both, 0);
    report.at_least("told", to_u64(told.len()), to_u64(endless.len()));
    report.at_most("told_p99_ms", p99(told), 1_000);
    Ok(report)
}
