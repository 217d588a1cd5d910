use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::breaker::window::WindowCounts;
use crate::class::ErrorClass;

/// What a breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BreakerState {
    /// Admits every call and watches the results.
    Closed,
    /// Refuses every call until the break is over.
    Open,
    /// Admits a few calls to learn whether the callee is back.
    HalfOpen,
    /// Refuses every call until a person closes it.
    Isolated,
    /// Admits every call and watches nothing.
    Disabled,
    /// Admits every call, watches the results and never opens.
    MetricsOnly,
}

impl BreakerState {
    /// Names the state with a fixed word, fit for a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::Isolated => "isolated",
            Self::Disabled => "disabled",
            Self::MetricsOnly => "metrics_only",
        }
    }
}

/// How an admitted call ended, as far as the breaker cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The callee did its work.
    Success,
    /// The callee failed.
    Failure,
    /// The result says nothing about the callee: the place is given back.
    Ignored,
}

impl From<ErrorClass> for Outcome {
    /// A mistake or a cancel of the caller is ignored, everything else is a failure.
    fn from(class: ErrorClass) -> Self {
        match class {
            ErrorClass::CallerFault | ErrorClass::Cancelled => Self::Ignored,
            _ => Self::Failure,
        }
    }
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transition {
    /// The state before.
    pub from: BreakerState,
    /// The state now.
    pub to: BreakerState,
}

/// The leave to make one call, given by [`BreakerMachine::try_acquire`](crate::BreakerMachine::try_acquire).
///
/// It is plain data: whoever holds it owes the machine a `record` or a `release`. The shared handle gives out
/// [`Permit`](crate::Permit)s instead, which settle that by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an unsettled ticket keeps its place until it expires"]
pub struct Ticket {
    pub(super) generation: u64,
    pub(super) probe: Option<u64>,
    pub(super) admitted: Option<Instant>,
}

impl Ticket {
    /// Says whether the call is one of the few that decide in half-open.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.probe.is_some()
    }
}

/// A breaker's refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The state that refused.
    pub state: BreakerState,
    /// When the breaker may admit a call again; `None` when only a person can say so.
    pub retry_after: Option<Duration>,
}

/// What a breaker has seen and done.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct BreakerStats {
    /// The state as it was stored; see
    /// [`effective_state`](crate::CircuitBreaker::effective_state) for the one that the next call meets.
    pub state: BreakerState,
    /// The results now in the window that decides (in half-open: those of the probes).
    pub window: WindowCounts,
    /// The share of failures in that window; `None` below the minimum of calls.
    pub failure_rate: Option<f64>,
    /// The share of slow calls in that window; `None` below the minimum of calls.
    pub slow_rate: Option<f64>,
    /// How many calls were refused.
    pub refused: u64,
    /// How many times the circuit opened.
    pub opened: u64,
    /// How many results came after their generation was over, and were dropped.
    pub late_results: u64,
    /// How many admitted calls were dropped without a result.
    pub abandoned: u64,
    /// How many half-open probes expired.
    pub expired_probes: u64,
}
