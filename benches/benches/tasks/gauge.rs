use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use crate::Fail;

/// A queue under test, on a store of its own that is empty.
#[async_trait]
pub(crate) trait Gauge: Send + Sync {
    /// Takes in so many jobs by one call, each with this stamp.
    async fn put(&self, count: usize, stamp: u64) -> Result<(), Fail>;

    /// Starts 20 workers whose jobs call [`ran`].
    async fn start(&self) -> Result<(), Fail>;

    /// Stops and cleans up.
    async fn stop(&self);
}

static RAN: AtomicU64 = AtomicU64::new(0);
static WAITED: parking_lot::Mutex<Vec<u64>> = parking_lot::Mutex::new(Vec::new());
static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();

/// Nanoseconds since the first call, never 0.
pub(crate) fn stamp() -> u64 {
    let origin = *ORIGIN.get_or_init(Instant::now);
    u64::try_from(origin.elapsed().as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// What every job does: it counts, and a stamp tells how long ago it was submitted.
pub(crate) fn ran(submitted: u64) {
    if submitted > 0 {
        WAITED.lock().push(stamp().saturating_sub(submitted));
    }
    RAN.fetch_add(1, Ordering::Relaxed);
}

/// Says why a peer's worker ended by itself, if it did.
pub(crate) fn told<T, E: std::fmt::Display>(who: &str, end: Result<T, E>) {
    if let Err(error) = end {
        eprintln!("the worker of {who} ended: {error}");
    }
}

/// Begins to count anew.
pub(crate) fn reset() {
    RAN.store(0, Ordering::Relaxed);
    WAITED.lock().clear();
}

/// Waits until so many jobs have run; returns how many have when the time is over.
pub(crate) async fn wait_for(count: u64, limit: Duration) -> u64 {
    let began = Instant::now();
    loop {
        let ran = RAN.load(Ordering::Relaxed);
        if ran >= count || began.elapsed() > limit {
            return ran;
        }
        sleep(Duration::from_micros(200)).await;
    }
}

/// How long stamped jobs waited, in order.
pub(crate) fn waits() -> Vec<u64> {
    let mut waits = WAITED.lock().clone();
    waits.sort_unstable();
    waits
}

/// A folder on a disk: what is in memory only would make durable stores look fast.
pub(crate) fn folder() -> Result<tempfile::TempDir, Fail> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), std::path::PathBuf::from);
    std::fs::create_dir_all(&target)?;
    Ok(tempfile::Builder::new().prefix("bench-tasks").tempdir_in(target)?)
}
