use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What a client has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GitHubStats {
    /// Requests that were sent, repetitions and redirects counted.
    pub requests: u64,
    /// Calls that succeeded.
    pub succeeded: u64,
    /// Calls that failed.
    pub failed: u64,
    /// Requests that a rate limit refused, by the server or by the client, which knew of it.
    pub rate_limited: u64,
    /// Writes whose outcome is unknown.
    pub outcome_unknown: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) succeeded: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) rate_limited: AtomicU64,
    pub(crate) outcome_unknown: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> GitHubStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        GitHubStats {
            requests: read(&self.requests),
            succeeded: read(&self.succeeded),
            failed: read(&self.failed),
            rate_limited: read(&self.rate_limited),
            outcome_unknown: read(&self.outcome_unknown),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
