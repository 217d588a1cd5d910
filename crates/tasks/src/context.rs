use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::cell::Control;
use crate::id::TaskId;
use crate::progress::Progress;
use crate::state::CancelReason;

/// What a running task knows of itself, and how it speaks to those who wait for it.
///
/// A clone may be moved into whatever the task starts.
#[derive(Clone)]
pub struct TaskContext {
    control: Arc<dyn Control>,
}

impl TaskContext {
    pub(crate) const fn new(control: Arc<dyn Control>) -> Self {
        Self { control }
    }

    /// Returns the task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.control.core().id()
    }

    /// Returns the task's kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.control.core().kind
    }

    /// Returns the instant that the submitter set as the task's deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.control.core().deadline()
    }

    /// Says whether the task is to end: it was cancelled, its time is over, or the pool shuts down.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.control.core().cancel_reason().is_some() || self.control.state().is_final()
    }

    /// Fails once the task is to end; blocking work calls it in its loop.
    ///
    /// # Errors
    /// Returns [`Cancelled`], which the task's error type converts `From`.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() {
            return Err(Cancelled { reason: self.control.core().cancel_reason() });
        }
        Ok(())
    }

    /// Reports that `fraction` of the work is done.
    ///
    /// The fraction is brought within 0.0 and 1.0. Only the latest report is kept: a slow reader misses some and
    /// costs nothing.
    pub fn progress(&self, fraction: f64, message: impl Into<Arc<str>>) {
        let progress = Progress::new(fraction, message.into());
        self.control.core().report(progress);
    }
}

impl fmt::Debug for TaskContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskContext")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("cancelled", &self.is_cancelled())
            .finish()
    }
}

/// The news that a task is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("task is to end")]
#[non_exhaustive]
pub struct Cancelled {
    /// Who wants it; `None` if its time is over.
    pub reason: Option<CancelReason>,
}
