use std::fmt;
use std::sync::Arc;

use super::caught::ErrorId;
use crate::class::ErrorClass;

/// Where a boundary records errors: a log, a tracker, a test.
///
/// It is called on the task that failed and must neither block nor panic; a panic is caught and logged.
pub trait ErrorSink: Send + Sync {
    /// Records one error.
    fn record(&self, report: &ErrorReport<'_>);
}

impl<S: ErrorSink + ?Sized> ErrorSink for Arc<S> {
    fn record(&self, report: &ErrorReport<'_>) {
        (**self).record(report);
    }
}

/// What a boundary knows of an error.
#[derive(Debug)]
#[non_exhaustive]
pub struct ErrorReport<'a> {
    /// The id that the caller is told too.
    pub id: ErrorId,
    /// The boundary's name.
    pub boundary: &'a str,
    /// What the error means.
    pub class: ErrorClass,
    /// The error and what caused it, each after a colon.
    pub message: &'a str,
    /// How many errors were not recorded since the last one that was, because there were too many.
    pub suppressed: u64,
}

/// Records errors as `tracing` events: those of the callee as warnings, everything unexpected as errors.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its own constructor")]
pub struct TracingSink;

impl ErrorSink for TracingSink {
    fn record(&self, report: &ErrorReport<'_>) {
        let ErrorReport { id, boundary, class, message, suppressed } = report;
        let class_name = class.as_str();
        if class.is_transient() {
            tracing::warn!(%id, boundary, class = class_name, suppressed, "{message}");
        } else {
            tracing::error!(%id, boundary, class = class_name, suppressed, "{message}");
        }
    }
}

/// An error with its causes in one line.
pub(super) struct Chain<'a>(pub(super) &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        // A chain that turns back on itself ends too.
        for _ in 0..32 {
            let Some(next) = cause else { break };
            write!(f, ": {next}")?;
            cause = next.source();
        }
        Ok(())
    }
}
