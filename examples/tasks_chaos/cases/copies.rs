use std::path::{Path, PathBuf};
use std::time::Duration;

use bedplate_tasks::Drain;
use bedplate_tasks::store::{SqliteStore, StoreControl as _};
use tokio::time::{Instant, sleep};

use super::{Scene, to_u64};
use crate::Fail;
use crate::child::Task;
use crate::diary::{PUT, read};
use crate::report::Report;
use crate::store::Place;

/// C6: the files of SQLite are copied at random instants; each copy is whole and has all that was acknowledged.
pub(super) async fn run(scene: &Scene) -> Result<Report, Fail> {
    let mut report = scene.report();
    let Place::Sqlite(path) = &scene.place else {
        report.figure("skipped", "the store is no file");
        return Ok(report);
    };
    // Only processes that can be stopped may write.
    scene.jobs.shutdown(Drain::default()).await;
    let writers = [scene.child(Task::Produce)?, scene.child(Task::Work)?];
    let (began, mut copies, mut broken, mut missing, mut checked) = (Instant::now(), 0, 0, 0, 0);
    while began.elapsed() < scene.time {
        sleep(Duration::from_millis(fastrand::u64(100..500))).await;
        // What was told before the copy began must be in it.
        let told: Vec<_> = read(&scene.diary)?.into_iter().filter(|entry| entry.what == PUT).collect();
        for writer in &writers {
            writer.signal("STOP")?;
        }
        let copy = copy(path, &scene.folder.path().join(format!("copy-{copies}")))?;
        for writer in &writers {
            writer.signal("CONT")?;
        }
        copies += 1;
        match SqliteStore::open(&copy).await {
            Ok(store) => {
                broken += u64::from(!store.check().await?);
                for entry in told.iter().rev().take(200) {
                    checked += 1;
                    missing += u64::from(bedplate_tasks::store::JobStore::job(&store, entry.job).await?.is_none());
                }
                store.workers().await?;
            }
            Err(_) => broken += 1,
        }
    }
    report.at_least("copies", to_u64(copies), 1);
    report.figure("checked", checked);
    report.at_most("broken", broken, 0);
    report.at_most("lost", missing, 0);
    Ok(report)
}

/// Copies the database and its log as they are at this instant, whatever their writers were about to do.
fn copy(path: &Path, folder: &Path) -> Result<PathBuf, Fail> {
    std::fs::create_dir_all(folder)?;
    let copy = folder.join("jobs.db");
    std::fs::copy(path, &copy)?;
    let log = |path: &Path| {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        PathBuf::from(name)
    };
    if log(path).exists() {
        std::fs::copy(log(path), log(&copy))?;
    }
    Ok(copy)
}
