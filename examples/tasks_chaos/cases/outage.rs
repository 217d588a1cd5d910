use std::process::Command;
use std::time::Duration;

use bedplate_tasks::store::JobState;
use tokio::time::sleep;

use super::{Scene, in_state, to_u64};
use crate::Fail;
use crate::diary::{ACCEPTED, count, now_ms, read};
use crate::report::Report;
use crate::store::Place;

/// How long the store is away each time.
const AWAY: Duration = Duration::from_secs(3);

/// C3: the store goes away under load and comes back.
pub(super) async fn run(scene: &Scene) -> Result<Report, Fail> {
    let mut report = scene.report();
    let outages = (scene.time.as_secs() / 6).clamp(1, 5);
    // Enough that work is left when the store is back for the last time: 60 hands do some 150 of these per second.
    let number = (outages * 5 + 3) * 150;
    let ids = scene.submit(number, 200..=600).await?;
    let _workers = scene.workers(3)?;
    let mut returns = Vec::new();
    for _ in 0..outages {
        sleep(Duration::from_secs(2)).await;
        away(scene).await?;
        returns.push(now_ms());
    }
    let left = scene.drained(0, Duration::from_mins(10)).await?;
    sleep(Duration::from_millis(500)).await;
    let entries = read(&scene.diary)?;
    let completed = in_state(&scene.records().await?, JobState::Completed);
    let recovery = |back: &u64| {
        let next =
            entries.iter().filter(|entry| entry.what == ACCEPTED && entry.at >= *back).map(|entry| entry.at).min();
        next.map_or(u64::MAX, |next| next - back)
    };
    let twice = count(&entries, crate::diary::DONE).values().filter(|times| **times > 1).count();
    let stale = count(&entries, ACCEPTED).values().filter(|times| **times > 1).count();
    report.figure("jobs", ids.len());
    report.figure("outages", outages);
    report.at_most("lost", to_u64(ids.len()).saturating_sub(completed).max(left), 0);
    report.figure("twice", twice);
    report.at_most("stale_acks", to_u64(stale), 0);
    report.at_most("back_within_ms", returns.iter().map(recovery).max().unwrap_or(0), 2_000);
    Ok(report)
}

/// Lets the store be away; returns when it is back.
async fn away(scene: &Scene) -> Result<(), Fail> {
    match &scene.place {
        Place::Sqlite(path) => {
            // A foreign program that writes, and takes its time.
            let path = path.clone();
            let hold = move || {
                let foreign = bedplate_tasks::rusqlite::Connection::open(path)?;
                foreign.busy_timeout(Duration::from_secs(10))?;
                foreign.execute_batch("begin immediate")?;
                let (_, never) = std::sync::mpsc::channel::<()>();
                // Nobody speaks, so that this waits the time out.
                let _elapsed = never.recv_timeout(AWAY);
                foreign.execute_batch("rollback")?;
                Ok::<(), Fail>(())
            };
            tokio::task::spawn_blocking(hold).await?
        }
        Place::Redis { .. } => match &scene.server {
            Some(server) => {
                server.stop()?;
                sleep(AWAY).await;
                server.start()
            }
            None => Err("c3 needs a Redis of its own".into()),
        },
        Place::Postgres { url, .. } => {
            let cut = "select pg_terminate_backend(pid) from pg_stat_activity \
                       where datname = current_database() and pid <> pg_backend_pid()";
            let until = now_ms() + super::millis(AWAY);
            while now_ms() < until {
                let status = Command::new("psql").args([url, "-qAtc", cut]).output()?.status;
                if !status.success() {
                    return Err(format!("psql failed: {status}").into());
                }
                sleep(Duration::from_millis(50)).await;
            }
            Ok(())
        }
    }
}
