//! From the last request to the last record.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bedplate_storage::{Interaction, Status};
use serde::Serialize;
use tokio::time::{Instant, timeout};

use crate::settings::Recording;
use crate::system::System;

/// How a system ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Requests that ended before the shutdown or during it.
    pub requests: u64,
    /// Requests that were cut off because the time was up.
    pub cut_off: u64,
    /// Records that are in the store.
    pub records_written: u64,
    /// Records that are not.
    pub records_lost: u64,
    /// Log lines that were dropped since the start; 0 where the log is not this system's.
    pub log_lines_dropped: u64,
    /// How long the shutdown took.
    pub took: Duration,
}

impl ShutdownReport {
    /// Returns whether nothing was lost.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.cut_off == 0 && self.records_lost == 0 && self.log_lines_dropped == 0
    }
}

impl fmt::Display for ShutdownReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "shut down in {:.1?}: {} requests ended, {} cut off; {} records written, {} lost; {} log lines dropped",
            self.took, self.requests, self.cut_off, self.records_written, self.records_lost, self.log_lines_dropped
        )
    }
}

impl System {
    /// Ends everything in the order in which the parts need one another: requests, pools, checks, records, store, log.
    pub(crate) async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let begun = Instant::now();
        let left = || deadline.saturating_sub(begun.elapsed());
        self.close();
        let _drained = timeout(left(), self.drained()).await;
        let requests = self.pool.shutdown(left()).await;
        self.threads.shutdown(left()).await;
        self.health.shutdown().await;
        // Whoever was cut off above still has its record to leave.
        let _left = timeout(left().min(Duration::from_millis(100)), self.drained()).await;
        let records = self.recorder.shutdown(left().max(Duration::from_millis(100))).await;
        self.store.close().await;
        let log_lines_dropped = if self.owns_telemetry {
            let telemetry = self.telemetry.clone();
            let limit = left().max(Duration::from_millis(100));
            let ended = tokio::task::spawn_blocking(move || telemetry.shutdown(limit)).await;
            ended.map_or(0, |report| report.stats.dropped)
        } else {
            0
        };
        ShutdownReport {
            requests: self.counters().requests,
            cut_off: requests.cancelled + requests.abandoned,
            records_written: records.written,
            records_lost: records.lost + self.counters().records_dropped,
            log_lines_dropped,
            took: begun.elapsed(),
        }
    }
}

/// A request that is under way: in the count of those, and with a record that is written even if the request's future is
/// dropped before its end.
pub(crate) struct Unrecorded {
    system: Arc<System>,
    pub(crate) interaction: Interaction,
    pub(crate) begun: Instant,
    open: bool,
}

impl Unrecorded {
    pub(crate) fn new(system: Arc<System>, interaction: Interaction, begun: Instant) -> Self {
        system.began();
        Self { system, interaction, begun, open: true }
    }

    /// Hands the record over, as the settings say.
    pub(crate) async fn record(mut self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let record = self.close();
        let recorder = &self.system.recorder;
        let taken = match self.system.settings().recording.when {
            Recording::BestEffort => recorder.try_record(record).is_ok(),
            Recording::Batched => {
                matches!(timeout(PATIENCE, recorder.record(record)).await, Ok(Ok(())))
            }
            Recording::BeforeReply => {
                let limit = self.system.settings().recovery.total_timeout;
                let written = timeout(limit, async {
                    recorder.record(record).await?;
                    recorder.flush().await
                });
                // Time that is up leaves the record with the recorder, which tries on.
                !matches!(written.await, Ok(Err(_)))
            }
        };
        if !taken {
            self.system.record_dropped();
        }
    }

    /// Counts how the request ended, and returns its record.
    fn close(&mut self) -> Interaction {
        self.open = false;
        let record = self.interaction.clone();
        let operation = format!("process {}", known_modality(&record.modality));
        let failed = record.status == Status::Failed;
        self.system.telemetry.operations().record(&operation, record.duration, failed);
        self.system.ended(record.status);
        record
    }
}

impl Drop for Unrecorded {
    fn drop(&mut self) {
        if self.open {
            self.interaction.duration = self.begun.elapsed();
            self.interaction.status = Status::Failed;
            self.interaction.quality = 0.0;
            self.interaction.error_kind = Some("cancelled".to_owned());
            self.interaction.error = Some("the caller gave up waiting".to_owned());
            let record = self.close();
            if self.system.recorder.try_record(record).is_err() {
                self.system.record_dropped();
            }
        }
        self.system.left();
    }
}

/// Operations are counted by name, so the name must not come from the caller.
fn known_modality(name: &str) -> &str {
    if name.parse::<bedplate_media::Modality>().is_ok() { name } else { "unknown" }
}
