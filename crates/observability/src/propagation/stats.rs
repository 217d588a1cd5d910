use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What came in and went out by headers so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PropagationStats {
    /// Traces that were continued from a caller.
    pub continued: u64,
    /// Carriers without any trace.
    pub absent: u64,
    /// `traceparent` headers that were ignored: malformed, or more than one.
    pub invalid_traceparent: u64,
    /// `tracestate` headers that were dropped; their traces went on.
    pub invalid_tracestate: u64,
    /// Baggage members that were dropped: malformed, or beyond a limit.
    pub invalid_baggage: u64,
    /// `b3` headers that were ignored.
    pub invalid_b3: u64,
    /// Outgoing `tracestate` that was cut to the limit.
    pub truncated_tracestate: u64,
    /// Contexts that were written to a carrier.
    pub injected: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) continued: AtomicU64,
    pub(crate) absent: AtomicU64,
    pub(crate) invalid_traceparent: AtomicU64,
    pub(crate) invalid_tracestate: AtomicU64,
    pub(crate) invalid_baggage: AtomicU64,
    pub(crate) invalid_b3: AtomicU64,
    pub(crate) truncated_tracestate: AtomicU64,
    pub(crate) injected: AtomicU64,
}

impl Counts {
    pub(crate) fn snapshot(&self) -> PropagationStats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        PropagationStats {
            continued: read(&self.continued),
            absent: read(&self.absent),
            invalid_traceparent: read(&self.invalid_traceparent),
            invalid_tracestate: read(&self.invalid_tracestate),
            invalid_baggage: read(&self.invalid_baggage),
            invalid_b3: read(&self.invalid_b3),
            truncated_tracestate: read(&self.truncated_tracestate),
            injected: read(&self.injected),
        }
    }
}

pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
