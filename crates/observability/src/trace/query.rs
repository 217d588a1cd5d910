use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::ids::TraceId;
use crate::trace::finished::{FinishedTrace, Resource};
use crate::trace::{Engine, KeepReason, otlp_json};

/// What to look for among finished traces; all of it must hold.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Query {
    error: Option<bool>,
    operation: Option<String>,
    longer_than: Option<Duration>,
    reason: Option<KeepReason>,
    kept: bool,
    attribute: Option<(String, String)>,
    since: Option<SystemTime>,
    limit: Option<usize>,
}

impl Query {
    /// Looks for any trace.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks for traces in which a span failed, or for those in which none did.
    pub const fn error(mut self, failed: bool) -> Self {
        self.error = Some(failed);
        self
    }

    /// Looks for traces with a span of this operation or name.
    pub fn operation(mut self, name: impl Into<String>) -> Self {
        self.operation = Some(name.into());
        self
    }

    /// Looks for traces that took longer than this; with an operation, for those in which it did.
    pub const fn longer_than(mut self, duration: Duration) -> Self {
        self.longer_than = Some(duration);
        self
    }

    /// Looks for traces kept for this reason.
    pub const fn reason(mut self, reason: KeepReason) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Looks for kept traces only.
    pub const fn kept(mut self) -> Self {
        self.kept = true;
        self
    }

    /// Looks for traces with a span that has this attribute, by its text; ids of the request are attributes too.
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attribute = Some((name.into(), value.into()));
        self
    }

    /// Looks for traces that ended after this.
    pub const fn since(mut self, time: SystemTime) -> Self {
        self.since = Some(time);
        self
    }

    /// Returns at most this many, the latest; default 100.
    pub const fn limit(mut self, traces: usize) -> Self {
        self.limit = Some(traces);
        self
    }

    /// What can be told from the decision without making a trace of them.
    fn may_match(&self, kept: Option<KeepReason>) -> bool {
        (!self.kept || kept.is_some()) && self.reason.is_none_or(|reason| kept == Some(reason))
    }

    fn matches(&self, trace: &FinishedTrace) -> bool {
        let named = |span: &&crate::FinishedSpan| {
            self.operation.as_ref().is_none_or(|name| span.name == *name || span.operation.as_ref() == Some(name))
        };
        let long = self.longer_than.is_none_or(|least| {
            let took = match self.operation {
                Some(_) => {
                    trace.spans.iter().filter(named).map(crate::FinishedSpan::duration).max().unwrap_or_default()
                }
                None => trace.duration(),
            };
            took > least
        });
        let attributed = self.attribute.as_ref().is_none_or(|(name, value)| {
            trace.spans.iter().any(|span| span.attribute(name).is_some_and(|own| own.to_string() == *value))
        });
        self.error.is_none_or(|failed| trace.is_error() == failed)
            && trace.spans.iter().any(|span| named(&span))
            && long
            && attributed
            && self.since.is_none_or(|since| trace.spans.iter().any(|span| span.end > since))
    }
}

/// The finished traces that are held in memory: what happened of late, also where nothing was exported.
///
/// # Examples
/// ```
/// use bedplate_observability::{Observability, Query};
/// let telemetry = Observability::builder("checkout").build()?;
/// tracing::dispatcher::with_default(&telemetry.dispatch(), || {
///     let _charge = tracing::info_span!("charge", operation = "charge card", error = "declined").entered();
/// });
/// let failed = telemetry.recorder().find(Query::new().error(true).operation("charge card").limit(20));
/// assert_eq!(failed.len(), 1);
/// println!("{}", failed[0]); // a tree with a waterfall
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Recorder {
    pub(crate) engine: Arc<Engine>,
    pub(crate) resource: Arc<Resource>,
}

impl Recorder {
    /// Returns the traces that match, latest first. It copies what it looks at: for people and tests, not for hot paths.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "a query is written where it is asked")]
    pub fn find(&self, query: Query) -> Vec<FinishedTrace> {
        let mut found = self.gather(|_, kept| query.may_match(kept));
        found.retain(|trace| query.matches(trace));
        found.sort_by_key(|trace| std::cmp::Reverse(trace.spans.iter().map(|span| span.end).max()));
        found.truncate(query.limit.unwrap_or(100));
        found
    }

    /// Returns a trace by its id, with what has ended of it so far.
    #[must_use]
    pub fn trace(&self, id: TraceId) -> Option<FinishedTrace> {
        self.gather(|one, _| one == id).pop()
    }

    /// Returns everything that is held, as OTLP/JSON (an `ExportTraceServiceRequest`), which many tools read.
    #[must_use]
    pub fn dump(&self) -> String {
        let traces = self.gather(|_, _| true);
        otlp_json::request(&self.resource, &traces).to_string()
    }

    fn gather(&self, wanted: impl Fn(TraceId, Option<KeepReason>) -> bool) -> Vec<FinishedTrace> {
        self.engine.sweep(self.engine.clock.nanos());
        let mut found: HashMap<TraceId, FinishedTrace> = HashMap::new();
        self.engine.each_finished(wanted, |rows| {
            let Some(trace) = FinishedTrace::new(rows) else { return };
            match found.entry(trace.id) {
                std::collections::hash_map::Entry::Occupied(mut known) => known.get_mut().join(trace),
                std::collections::hash_map::Entry::Vacant(empty) => {
                    empty.insert(trace);
                }
            }
        });
        found.into_values().collect()
    }
}
