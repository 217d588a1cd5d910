use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::Quality;
use crate::breaker::BreakerState;
use crate::class::ErrorClass;
use crate::failure::{Rejection, TimeoutScope};
use crate::retry::GiveUp;

/// Hears what the policies decide.
///
/// Dispatch is static: a pipeline without an observer compiles to no call at all. An observer runs inside the
/// call, outside every lock, and must neither block nor panic.
pub trait Observer: Send + Sync {
    /// Receives one event.
    fn observe(&self, event: &RecoveryEvent<'_>);
}

/// What happened in a pipeline, a breaker or a fall-back chain.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RecoveryEvent<'a> {
    /// An attempt failed and another follows.
    AttemptFailed {
        /// The pipeline's name.
        pipeline: &'a str,
        /// The number of the attempt that failed, from 1.
        attempt: u32,
        /// What its failure means.
        class: ErrorClass,
        /// The wait before the next attempt.
        retry_in: Duration,
    },
    /// The last attempt failed and none follows.
    GaveUp {
        /// The pipeline's name.
        pipeline: &'a str,
        /// How many attempts were made.
        attempts: u32,
        /// What the last failure means.
        class: ErrorClass,
        /// Why no further attempt is made.
        reason: GiveUp,
    },
    /// Another attempt was started beside one that takes long.
    Hedged {
        /// The pipeline's name.
        pipeline: &'a str,
        /// Its number, from 1.
        hedge: u32,
    },
    /// A time limit ended an attempt or a call.
    TimedOut {
        /// The pipeline's name.
        pipeline: &'a str,
        /// Which limit it was.
        scope: TimeoutScope,
        /// The limit.
        after: Duration,
    },
    /// A policy refused a call without making it.
    Rejected {
        /// The name of what refused.
        by: &'a str,
        /// Why.
        reason: Rejection,
        /// When it may admit a call again.
        retry_after: Option<Duration>,
    },
    /// A breaker changed its state.
    BreakerChanged {
        /// The breaker's name.
        breaker: &'a str,
        /// The state before.
        from: BreakerState,
        /// The state now.
        to: BreakerState,
    },
    /// A fall-back source gave the answer.
    FellBack {
        /// The source's name.
        source: &'a str,
        /// The quality of its answer.
        quality: Quality,
        /// What kept the first source from answering.
        class: ErrorClass,
    },
    /// A fall-back source failed as well.
    SourceFailed {
        /// The source's name.
        source: &'a str,
        /// What its failure means.
        class: ErrorClass,
    },
}

/// The observer that hears nothing and costs nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its own constructor")]
pub struct NoObserver;

impl Observer for NoObserver {
    fn observe(&self, _event: &RecoveryEvent<'_>) {}
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, event: &RecoveryEvent<'_>) {
        (**self).observe(event);
    }
}

/// An observer made of a closure.
#[derive(Clone)]
pub struct FnObserver<F>(F);

impl<F: Fn(&RecoveryEvent<'_>) + Send + Sync> FnObserver<F> {
    /// Wraps `hear`.
    pub const fn new(hear: F) -> Self {
        Self(hear)
    }
}

impl<F: Fn(&RecoveryEvent<'_>) + Send + Sync> Observer for FnObserver<F> {
    fn observe(&self, event: &RecoveryEvent<'_>) {
        (self.0)(event);
    }
}

impl<F> fmt::Debug for FnObserver<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnObserver").finish_non_exhaustive()
    }
}
