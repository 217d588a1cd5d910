//! The thread that writes log lines, so that no request waits for a pipe that nobody reads.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::ConfigError;

/// What became of log lines so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogStats {
    /// Lines written to the target.
    pub written: u64,
    /// Lines dropped because the queue was full, or after the shutdown.
    pub dropped: u64,
    /// Lines the target refused.
    pub failed: u64,
}

/// How the log ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogReport {
    /// What became of all lines.
    pub stats: LogStats,
    /// Whether every line that was taken is written; `false` where the deadline passed first.
    pub flushed: bool,
}

#[derive(Debug)]
pub(super) struct Writer {
    lines: Mutex<Option<SyncSender<String>>>,
    ended: Mutex<Option<Receiver<()>>>,
    counts: Arc<Counts>,
    flushed: Mutex<bool>,
}

#[derive(Debug, Default)]
struct Counts {
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Writer {
    pub(super) fn start(target: Box<dyn Write + Send>, queue: usize) -> Result<Self, ConfigError> {
        let (lines, waiting) = sync_channel(queue);
        let (end, ended) = channel();
        let counts = Arc::<Counts>::default();
        let counted = Arc::clone(&counts);
        thread::Builder::new()
            .name("bedplate-log".to_owned())
            .spawn(move || {
                write_lines(&waiting, target, &counted);
                // Whoever waited may have given up.
                let _waiting = end.send(());
            })
            .map_err(|error| ConfigError {
                field: "logs",
                value: format!("without a thread: {error}"),
                expected: "a system that can start one more thread",
            })?;
        Ok(Self { lines: Mutex::new(Some(lines)), ended: Mutex::new(Some(ended)), counts, flushed: Mutex::new(false) })
    }

    pub(super) fn write(&self, line: String) {
        let sent = match &*self.lines.lock() {
            Some(lines) => lines.try_send(line),
            None => Err(TrySendError::Disconnected(line)),
        };
        if sent.is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn stats(&self) -> LogStats {
        LogStats {
            written: self.counts.written.load(Ordering::Relaxed),
            dropped: self.counts.dropped.load(Ordering::Relaxed),
            failed: self.counts.failed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn shutdown(&self, deadline: Duration) -> LogReport {
        drop(self.lines.lock().take());
        if let Some(ended) = self.ended.lock().take() {
            let in_time = !matches!(ended.recv_timeout(deadline), Err(RecvTimeoutError::Timeout));
            *self.flushed.lock() = in_time;
        }
        LogReport { stats: self.stats(), flushed: *self.flushed.lock() }
    }
}

impl Drop for Writer {
    /// Gives a short while to what is still waiting: the last lines of a process tell the most.
    fn drop(&mut self) {
        self.shutdown(Duration::from_millis(500));
    }
}

/// Writes until every sender is gone, flushing whenever the queue runs empty.
fn write_lines(waiting: &Receiver<String>, mut target: Box<dyn Write + Send>, counts: &Counts) {
    while let Ok(line) = waiting.recv() {
        count(&target.write_all(line.as_bytes()), counts);
        while let Ok(line) = waiting.try_recv() {
            count(&target.write_all(line.as_bytes()), counts);
        }
        if target.flush().is_err() {
            counts.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn count(written: &std::io::Result<()>, counts: &Counts) {
    let counter = if written.is_ok() { &counts.written } else { &counts.failed };
    counter.fetch_add(1, Ordering::Relaxed);
}
