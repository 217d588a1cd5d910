use std::collections::BTreeMap;
use std::fmt;

/// Carries the context of a trace from the submitter to the worker, in a job's headers.
///
/// The crate knows no tracing system; whoever has one implements this with its propagator.
pub trait Propagate: fmt::Debug + Send + Sync {
    /// Writes the current context into the headers of a job that is submitted.
    fn inject(&self, headers: &mut BTreeMap<String, String>);

    /// Joins the span of an attempt, which was just made, to the context in its job's headers.
    fn extract(&self, headers: &BTreeMap<String, String>, span: &tracing::Span);
}
