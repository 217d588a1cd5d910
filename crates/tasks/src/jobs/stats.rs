use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::jobs::event::AttemptEnd;
use crate::jobs::latency::{Latency, LatencyRecorder};
use crate::store::{FailureKind, StoreStats};

/// What the store holds and what this process has done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JobsStats {
    /// What the store holds, of all processes.
    pub store: StoreStats,
    /// How many jobs can run here at a time.
    pub slots: u64,
    /// How many run here.
    pub running: u64,
    /// Jobs taken in from here.
    pub submitted: u64,
    /// Those that were duplicates.
    pub duplicates: u64,
    /// Attempts begun here.
    pub started: u64,
    /// Jobs completed here.
    pub completed: u64,
    /// Attempts that failed here and are tried again.
    pub retried: u64,
    /// Jobs that failed for good here.
    pub failed: u64,
    /// Jobs cancelled while they ran here.
    pub cancelled: u64,
    /// Attempts that were put off.
    pub snoozed: u64,
    /// Attempts that went back to the store.
    pub returned: u64,
    /// Attempts that panicked.
    pub panicked: u64,
    /// Attempts that took too long.
    pub timed_out: u64,
    /// Attempts that were told to stop and did not in time.
    pub stuck: u64,
    /// Attempts whose lease was lost.
    pub leases_lost: u64,
    /// Jobs that this process's sweep took from workers without a sign of life.
    pub rescued: u64,
    /// Ends of jobs that were said again since the store could not be reached.
    pub settle_retries: u64,
    /// Ends of jobs that the store refused for good: what became of these jobs, it does not know from here.
    pub settle_lost: u64,
    /// Calls of the store that failed.
    pub store_errors: u64,
    /// Whether the store could be reached when it was last called.
    pub store_up: bool,
    /// How long jobs had been due when they began here.
    pub wait: Latency,
    /// How long attempts ran here.
    pub run: Latency,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) submitted: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) started: AtomicU64,
    completed: AtomicU64,
    retried: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    snoozed: AtomicU64,
    returned: AtomicU64,
    panicked: AtomicU64,
    timed_out: AtomicU64,
    pub(crate) stuck: AtomicU64,
    pub(crate) leases_lost: AtomicU64,
    pub(crate) rescued: AtomicU64,
    pub(crate) settle_retries: AtomicU64,
    pub(crate) settle_lost: AtomicU64,
    pub(crate) store_errors: AtomicU64,
    pub(crate) wait: LatencyRecorder,
    pub(crate) run: LatencyRecorder,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn ended(&self, end: &AttemptEnd) {
        count(match end {
            AttemptEnd::Completed => &self.completed,
            AttemptEnd::Retried { .. } => &self.retried,
            AttemptEnd::Failed { .. } => &self.failed,
            AttemptEnd::Cancelled => &self.cancelled,
            AttemptEnd::Snoozed { .. } => &self.snoozed,
            AttemptEnd::Returned => &self.returned,
        });
        if let AttemptEnd::Retried { kind, .. } | AttemptEnd::Failed { kind } = end {
            match kind {
                FailureKind::Panicked => count(&self.panicked),
                FailureKind::TimedOut | FailureKind::DeadlineExceeded => count(&self.timed_out),
                _ => {}
            }
        }
    }

    pub(crate) fn snapshot(&self, store: StoreStats, slots: u64, running: u64, store_up: bool) -> JobsStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        JobsStats {
            store,
            slots,
            running,
            submitted: read(&self.submitted),
            duplicates: read(&self.duplicates),
            started: read(&self.started),
            completed: read(&self.completed),
            retried: read(&self.retried),
            failed: read(&self.failed),
            cancelled: read(&self.cancelled),
            snoozed: read(&self.snoozed),
            returned: read(&self.returned),
            panicked: read(&self.panicked),
            timed_out: read(&self.timed_out),
            stuck: read(&self.stuck),
            leases_lost: read(&self.leases_lost),
            rescued: read(&self.rescued),
            settle_retries: read(&self.settle_retries),
            settle_lost: read(&self.settle_lost),
            store_errors: read(&self.store_errors),
            store_up,
            wait: self.wait.snapshot(),
            run: self.run.snapshot(),
        }
    }
}
