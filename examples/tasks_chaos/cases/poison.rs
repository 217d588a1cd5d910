use std::time::Duration;

use bedplate_tasks::store::{FailureKind, JobState};
use tokio::time::{Instant, sleep};

use super::{Scene, in_state, to_u64};
use crate::Fail;
use crate::diary::{STARTED, count, read};
use crate::job::{Chaos, What};
use crate::report::Report;

const ATTEMPTS: u32 = 3;

/// C5: jobs that take their process down, among others.
pub(super) async fn run(scene: &Scene) -> Result<Report, Fail> {
    let mut report = scene.report();
    let mut poison = Vec::new();
    for _ in 0..3 {
        poison.push(scene.jobs.submit(Chaos { what: What::Abort }).max_attempts(ATTEMPTS).await?.id());
    }
    let ids = scene.submit(scene.count.min(300), 20..=60).await?;
    let mut workers = scene.workers(2)?;
    let (began, mut crashes) = (Instant::now(), 0_u64);
    while scene.drained(0, Duration::ZERO).await? > 0 && began.elapsed() < Duration::from_mins(3) {
        for worker in &mut workers {
            crashes += u64::from(worker.keep_up()?);
        }
        sleep(Duration::from_millis(100)).await;
    }
    let starts = count(&read(&scene.diary)?, STARTED);
    let records = scene.records().await?;
    let most = poison.iter().filter_map(|id| starts.get(id)).max().copied().unwrap_or(0);
    let crashed = |record: &&bedplate_tasks::store::JobRecord| {
        poison.contains(&record.job.id)
            && record.state == JobState::Failed
            && record.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Crashed)
    };
    report.figure("jobs", ids.len());
    report.figure("crashes", crashes);
    report.at_most("lost", to_u64(ids.len()).saturating_sub(in_state(&records, JobState::Completed)), 0);
    report.at_most("poison_starts", to_u64(most), ATTEMPTS.into());
    report.at_least("poison_failed_as_crashed", to_u64(records.iter().filter(crashed).count()), to_u64(poison.len()));
    Ok(report)
}
