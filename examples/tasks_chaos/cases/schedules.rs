use std::collections::HashMap;
use std::time::Duration;

use tokio::time::sleep;

use super::{Scene, to_u64};
use crate::Fail;
use crate::child::Task;
use crate::diary::{DONE, count, read};
use crate::report::Report;

/// C7: schedulers that do the same at once, one of them stopped for a while, one an hour ahead, one an hour behind.
pub(super) async fn run(scene: &Scene) -> Result<Report, Fail> {
    let mut report = scene.report();
    let _workers = scene.workers(1)?;
    let others =
        [scene.child(Task::Schedule(3_600))?, scene.child(Task::Schedule(-3_600))?, scene.child(Task::Schedule(0))?];
    let first = scene.child(Task::Schedule(0))?;
    let time = scene.time.max(Duration::from_secs(6));
    sleep(time / 3).await;
    first.signal("STOP")?;
    sleep(time / 3).await;
    first.signal("CONT")?;
    sleep(time / 3).await;
    let now = crate::diary::now_ms() / 1_000;
    drop((first, others));
    let left = scene.drained(0, Duration::from_mins(1)).await?;
    let done = count(&read(&scene.diary)?, DONE);
    // By tick: how often its job ran.
    let mut ticks: HashMap<u64, usize> = HashMap::new();
    for record in scene.records().await? {
        let tick = record.job.headers.get("bedplate-tick").and_then(|tick| tick.parse().ok());
        let ran = done.get(&record.job.id).copied().unwrap_or(0);
        *ticks.entry(tick.ok_or("a job of a schedule tells no tick")?).or_default() += ran;
    }
    // The seconds during which the two with the right time were there, without the first and the last.
    let from = now.saturating_sub(time.as_secs()) + 2;
    let missing = (from..now - 1).filter(|tick| ticks.get(tick).is_none_or(|ran| *ran == 0)).count();
    report.figure("ticks", ticks.len());
    report.at_most("lost", to_u64(missing).max(left), 0);
    report.at_most("twice", to_u64(ticks.values().filter(|times| **times > 1).count()), 0);
    report.at_least("checked", (now - 1).saturating_sub(from), 3);
    Ok(report)
}
