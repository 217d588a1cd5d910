//! From the last request to the last record.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bedplate_storage::{Interaction, Status};
use serde::Serialize;
use tokio::task::JoinSet;
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
    /// Log lines that the telemetry dropped so far; its owner shuts it down last.
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
    /// Ends everything in the order in which the parts need one another: checks, requests, pools, records, store.
    pub(crate) async fn shutdown(&self, deadline: Duration) -> ShutdownReport {
        let begun = Instant::now();
        let left = || deadline.saturating_sub(begun.elapsed());
        self.close();
        // A check of a pool that is going down would only raise a false alarm.
        self.health.shutdown().await;
        let _drained = timeout(left(), self.drained()).await;
        let requests = self.pool.shutdown(left()).await;
        // All at once. Whoever waited for a thread that does not come back has been told already, so nobody waits on.
        let mut threads = JoinSet::new();
        for route in &self.routes {
            let (pool, left) = (route.threads.clone(), left());
            threads.spawn(async move { pool.shutdown(left).await });
        }
        let ended = async { while threads.join_next().await.is_some() {} };
        let _ended = timeout(left() + Duration::from_millis(100), ended).await;
        // Whoever was cut off above still has its record to leave.
        let _left = timeout(left().min(Duration::from_millis(100)), self.drained()).await;
        let records = self.recorder.shutdown(left().max(Duration::from_millis(100))).await;
        // A store that does not let go must not keep the process from its end.
        let _closed = timeout(left().max(Duration::from_millis(500)), self.store.close()).await;
        ShutdownReport {
            requests: self.counters().requests,
            cut_off: requests.cancelled + requests.abandoned,
            records_written: records.written,
            records_lost: records.lost + self.counters().records_dropped,
            log_lines_dropped: self.telemetry.log_stats().dropped,
            took: begun.elapsed(),
        }
    }
}

/// A request that is under way: in the count of those, and with a record that is handed over even if the request's future
/// is dropped before its end.
pub(crate) struct Unrecorded {
    system: Arc<System>,
    pub(crate) interaction: Interaction,
    pub(crate) begun: Instant,
    /// Whether the system failed, and not its caller.
    pub(crate) at_fault: bool,
    counted: bool,
    handed_over: bool,
}

impl Unrecorded {
    pub(crate) fn new(system: Arc<System>, interaction: Interaction, begun: Instant) -> Self {
        system.count(|counters| counters.in_flight += 1);
        Self { system, interaction, begun, at_fault: false, counted: false, handed_over: false }
    }

    /// Counts the request and hands its record over, as the settings say. What was not handed over when this ends, or is
    /// dropped, is tried once more and then counted as dropped.
    pub(crate) async fn record(mut self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        self.count();
        match self.system.settings().recording.when {
            Recording::BestEffort => {}
            Recording::Batched => self.hand_over(PATIENCE).await,
            Recording::BeforeReply => {
                let limit = self.system.settings().recovery.total_timeout;
                let begun = Instant::now();
                self.hand_over(limit).await;
                // Time that is up leaves the record with the recorder, which tries on.
                let left = limit.saturating_sub(begun.elapsed());
                let _written = timeout(left, self.system.recorder.flush()).await;
            }
        }
    }

    /// Waits for room in the recorder's queue.
    async fn hand_over(&mut self, patience: Duration) {
        let taken = timeout(patience, self.system.recorder.record(self.interaction.clone())).await;
        self.handed_over = matches!(taken, Ok(Ok(())));
    }

    /// Counts how the request ended.
    fn count(&mut self) {
        self.counted = true;
        let record = &self.interaction;
        let operation = format!("process {}", known_modality(&record.modality));
        self.system.telemetry.operations().record(&operation, record.duration, self.at_fault);
        let status = record.status;
        self.system.count(|counters| {
            counters.requests += 1;
            *match status {
                Status::Succeeded => &mut counters.succeeded,
                Status::Degraded => &mut counters.degraded,
                _ => &mut counters.failed,
            } += 1;
        });
    }
}

impl Drop for Unrecorded {
    fn drop(&mut self) {
        if !self.counted {
            self.interaction.duration = self.begun.elapsed();
            self.interaction.status = Status::Failed;
            self.interaction.quality = 0.0;
            self.interaction.error_kind = Some("cancelled".to_owned());
            self.interaction.error = Some("the caller gave up waiting".to_owned());
            self.count();
        }
        if !self.handed_over && self.system.recorder.try_record(self.interaction.clone()).is_err() {
            self.system.count(|counters| counters.records_dropped += 1);
        }
        self.system.count(|counters| counters.in_flight -= 1);
    }
}

/// Operations are counted by name, so the name must not come from the caller.
fn known_modality(name: &str) -> &str {
    if name.parse::<bedplate_media::Modality>().is_ok() { name } else { "unknown" }
}
