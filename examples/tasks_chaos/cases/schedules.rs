use std::collections::HashMap;
use std::time::Duration;

use tokio::time::sleep;

use super::{Scene, to_u64};
use crate::Fail;
use crate::child::Task;
use crate::report::Report;

/// C7: schedulers that do the same at once, one of them stopped for a while, one an hour ahead, one an hour behind.
pub(super) async fn run(scene: &Scene) -> Result<Report, Fail> {
    let mut report = scene.report();
    let _ahead = scene.child(Task::Schedule(3_600))?;
    let _behind = scene.child(Task::Schedule(-3_600))?;
    let first = scene.child(Task::Schedule(0))?;
    let _second = scene.child(Task::Schedule(0))?;
    let time = scene.time.max(Duration::from_secs(6));
    sleep(time / 3).await;
    first.signal("STOP")?;
    sleep(time / 3).await;
    first.signal("CONT")?;
    sleep(time / 3).await;
    let mut ticks: HashMap<u64, u64> = HashMap::new();
    for record in scene.records().await? {
        let tick = record.job.headers.get("bedplate-tick").and_then(|tick| tick.parse().ok());
        *ticks.entry(tick.ok_or("a job of a schedule tells no tick")?).or_default() += 1;
    }
    let now = crate::diary::now_ms() / 1_000;
    // The seconds during which the two with the right time were there, without the first and the last.
    let from = now.saturating_sub(time.as_secs()) + 2;
    let missing = (from..now - 1).filter(|tick| !ticks.contains_key(tick)).count();
    report.figure("ticks", ticks.len());
    report.at_most("lost", to_u64(missing), 0);
    report.at_most("twice", to_u64(ticks.values().filter(|times| **times > 1).count()), 0);
    report.at_least("checked", (now - 1).saturating_sub(from), 3);
    Ok(report)
}
