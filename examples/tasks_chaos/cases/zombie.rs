use std::time::Duration;

use bedplate_tasks::store::JobState;
use tokio::time::sleep;

use super::{Scene, in_state, to_u64};
use crate::Fail;
use crate::child::{LEASE, SWEEP};
use crate::diary::{ACCEPTED, LOST, STARTED, count, latest, read};
use crate::job::{Chaos, What};
use crate::report::Report;

/// C2: a worker is stopped for longer than its leases, and goes on when others have its jobs.
pub(super) async fn run(scene: &Scene) -> Result<Report, Fail> {
    let mut report = scene.report();
    let mut workers = scene.workers(2)?;
    let rounds = (scene.time.as_secs() / 8).clamp(1, 5);
    let mut submitted = 0;
    let mut frozen = 0;
    for round in 0..rounds {
        // Long enough that the stopped worker has its hands full, short enough to end within its lease.
        let jobs = (0..60).map(|_| Chaos { what: What::Work(1_500) });
        submitted += to_u64(scene.jobs.submit_many(jobs).await?.len());
        sleep(Duration::from_millis(800)).await;
        let Some(worker) = workers.get_mut(usize::from(round % 2 == 0)) else { break };
        worker.signal("STOP")?;
        frozen += 1;
        sleep(LEASE + SWEEP * 2 + Duration::from_secs(1)).await;
        worker.signal("CONT")?;
        sleep(Duration::from_secs(1)).await;
    }
    let left = scene.drained(0, Duration::from_mins(2)).await?;
    sleep(Duration::from_millis(500)).await;
    let entries = read(&scene.diary)?;
    let records = scene.records().await?;
    let completed = in_state(&records, JobState::Completed);
    // Of a job that somebody else began since, only the latest attempt may end it, and once.
    let (accepted, begun) = (latest(&entries, ACCEPTED), latest(&entries, STARTED));
    let twice = count(&entries, ACCEPTED).values().filter(|times| **times > 1).count();
    let stale = twice + accepted.iter().filter(|(job, attempt)| begun.get(job) > Some(attempt)).count();
    let told = entries.iter().filter(|entry| entry.what == LOST).count();
    report.figure("jobs", submitted);
    report.figure("frozen", frozen);
    report.at_most("lost", submitted.saturating_sub(completed).max(left), 0);
    report.at_most("stale_acks", to_u64(stale), 0);
    report.at_least("lease_lost_told", to_u64(told), 1);
    Ok(report)
}
