use std::collections::HashSet;
use std::time::Duration;

use bedplate_tasks::TaskId;
use tokio::time::{Instant, sleep};

use super::{Scene, to_u64};
use crate::Fail;
use crate::child::Task;
use crate::diary::{PUT, read};
use crate::report::Report;

/// C4: a producer is killed again and again; what it was told exists.
pub(super) async fn run(scene: &Scene) -> Result<Report, Fail> {
    let mut report = scene.report();
    let mut producer = scene.child(Task::Produce)?;
    let (began, mut kills) = (Instant::now(), 0);
    while began.elapsed() < scene.time {
        sleep(Duration::from_millis(fastrand::u64(100..600))).await;
        producer.kill()?;
        kills += 1;
        producer.start_again()?;
    }
    producer.kill()?;
    let told: HashSet<TaskId> =
        read(&scene.diary)?.into_iter().filter(|entry| entry.what == PUT).map(|entry| entry.job).collect();
    let known: HashSet<TaskId> = scene.records().await?.iter().map(|record| record.job.id).collect();
    report.figure("kills", kills);
    report.at_least("told", to_u64(told.len()), 1);
    report.figure("stored", known.len());
    report.at_most("lost", to_u64(told.difference(&known).count()), 0);
    Ok(report)
}
