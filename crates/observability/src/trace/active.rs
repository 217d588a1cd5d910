use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::clock::from_unix_nanos;
use crate::ids::{SpanId, TraceId};
use crate::trace::Engine;
use crate::trace::buffer::TraceBuffer;

/// A trace with open spans.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActiveTrace {
    /// The trace.
    pub id: TraceId,
    /// When its first span here began.
    pub since: SystemTime,
    /// How long ago that is.
    pub age: Duration,
    /// The open spans, oldest first; as many as a trace may have.
    pub open: Vec<OpenSpan>,
    /// How many ended.
    pub finished: usize,
}

/// A span that did not end yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenSpan {
    /// The span.
    pub id: SpanId,
    /// The span around it.
    pub parent: Option<SpanId>,
    /// Its name in the source.
    pub name: &'static str,
    /// The module it comes from.
    pub target: &'static str,
    /// Since when it is open.
    pub age: Duration,
}

/// What is going on at this moment.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use bedplate_observability::Observability;
/// let telemetry = Observability::builder("checkout").build()?;
/// tracing::dispatcher::with_default(&telemetry.dispatch(), || {
///     let _charge = tracing::info_span!("charge").entered();
///     let all = telemetry.active_traces().list();
///     assert_eq!(all[0].open[0].name, "charge");
///     assert!(telemetry.active_traces().older_than(Duration::from_secs(30)).is_empty());
/// });
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ActiveTraces {
    pub(crate) engine: Arc<Engine>,
}

impl ActiveTraces {
    /// Returns all traces with open spans, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<ActiveTrace> {
        self.older_than(Duration::ZERO)
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.engine.buffers().len()
    }

    /// Returns whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the traces that began longer ago than this, oldest first.
    #[must_use]
    pub fn older_than(&self, age: Duration) -> Vec<ActiveTrace> {
        let now = self.engine.clock.nanos();
        let anchor = self.engine.clock.anchor();
        let mut all: Vec<ActiveTrace> =
            self.engine.buffers().iter().map(|buffer| show(buffer, now, anchor)).filter(|one| one.age >= age).collect();
        all.sort_by_key(|one| std::cmp::Reverse(one.age));
        all
    }

    /// Returns the traces with a span that is open for longer than this, and only those spans: what is stuck.
    #[must_use]
    pub fn stuck(&self, longer_than: Duration) -> Vec<ActiveTrace> {
        let mut all = self.older_than(longer_than);
        for one in &mut all {
            one.open.retain(|span| span.age >= longer_than);
        }
        all.retain(|one| !one.open.is_empty());
        all
    }
}

fn show(buffer: &TraceBuffer, now: u64, anchor: u64) -> ActiveTrace {
    let state = buffer.state.lock();
    let mut open: Vec<OpenSpan> = state
        .open
        .iter()
        .map(|row| OpenSpan {
            id: row.span_id,
            parent: row.parent,
            name: row.metadata.name(),
            target: row.metadata.target(),
            age: Duration::from_nanos(now.saturating_sub(row.start)),
        })
        .collect();
    open.sort_by_key(|span| std::cmp::Reverse(span.age));
    ActiveTrace {
        id: buffer.id,
        since: from_unix_nanos(anchor.saturating_add(buffer.began)),
        age: Duration::from_nanos(now.saturating_sub(buffer.began)),
        open,
        finished: state.rows().map_or(0, |rows| rows.spans.len()),
    }
}
