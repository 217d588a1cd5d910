//! What one span tells another about itself across threads, processes and messages.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tracing::Span;

use crate::ids::{SpanId, TraceFlags, TraceId};
use crate::layer;

/// Names a span to whoever continues its trace: its trace, itself, the flags, and the vendors' `tracestate`.
///
/// # Examples
/// ```
/// use bedplate_observability::{SpanContext, SpanId, TraceFlags, TraceId};
/// let context = SpanContext::new(TraceId::random(), SpanId::random(), TraceFlags::SAMPLED);
/// assert!(context.flags().sampled() && !context.is_remote());
/// assert_eq!(context.state(), "");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpanContext {
    trace_id: TraceId,
    span_id: SpanId,
    flags: TraceFlags,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "valid_state")]
    state: Option<Arc<str>>,
    #[serde(default)]
    remote: bool,
}

impl SpanContext {
    /// Returns the context of a span of this process, without a `tracestate`.
    #[must_use]
    pub const fn new(trace_id: TraceId, span_id: SpanId, flags: TraceFlags) -> Self {
        Self { trace_id, span_id, flags, state: None, remote: false }
    }

    /// Returns the context as one that came from another process.
    #[must_use]
    pub const fn remote(mut self) -> Self {
        self.remote = true;
        self
    }

    /// Returns the context with a `tracestate` that is valid already; an empty one is none.
    pub(crate) fn with_valid_state(mut self, state: Option<Arc<str>>) -> Self {
        self.state = state.filter(|state| !state.is_empty());
        self
    }

    /// Returns the context with this member put first in its `tracestate`, as one who takes part in the trace does
    /// (level 2, section 3.5); a former member of the same key is removed, and the last one beyond 32. `None` if key or
    /// value is not a legal one.
    #[must_use]
    pub fn with_state_member(self, key: &str, value: &str) -> Option<Self> {
        let state = crate::propagation::with_member(self.state(), key, value)?;
        Some(self.with_valid_state(Some(state.into())))
    }

    /// Returns the trace's id.
    #[must_use]
    pub const fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Returns the span's id.
    #[must_use]
    pub const fn span_id(&self) -> SpanId {
        self.span_id
    }

    /// Returns the trace's flags.
    #[must_use]
    pub const fn flags(&self) -> TraceFlags {
        self.flags
    }

    /// Returns the `tracestate` as it goes on, members separated by commas; empty if there is none.
    #[must_use]
    pub fn state(&self) -> &str {
        self.state.as_deref().unwrap_or("")
    }

    /// Returns whether the context came from another process.
    #[must_use]
    pub const fn is_remote(&self) -> bool {
        self.remote
    }

    pub(crate) fn shared_state(&self) -> Option<Arc<str>> {
        self.state.clone()
    }
}

/// Serialized contexts come from outside; one with a `tracestate` that is none is read without it.
fn valid_state<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<str>>, D::Error> {
    let state = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    Ok(crate::propagation::parse_tracestate([state]).unwrap_or_default())
}

/// Returns the context of the current span, to hand to another process or to link to; `None` outside of a span, or
/// where no [`TelemetryLayer`](crate::TelemetryLayer) listens.
///
/// # Examples
/// ```
/// use bedplate_observability::{Observability, current_span_context};
/// let telemetry = Observability::builder("checkout").build()?;
/// tracing::dispatcher::with_default(&telemetry.dispatch(), || {
///     assert_eq!(current_span_context(), None);
///     let _charge = tracing::info_span!("charge").entered();
///     assert!(current_span_context().is_some());
/// });
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[must_use]
pub fn current_span_context() -> Option<SpanContext> {
    Span::current().context()
}

/// What this crate adds to [`tracing::Span`]: parents and links in other processes.
///
/// Where several telemetries stand over one registry, which is rare, this reaches one of them only.
///
/// # Examples
/// ```
/// use bedplate_observability::{Observability, SpanContext, SpanExt as _, SpanId, TraceFlags, TraceId};
/// let telemetry = Observability::builder("checkout").build()?;
/// tracing::dispatcher::with_default(&telemetry.dispatch(), || {
///     let caller = SpanContext::new(TraceId::random(), SpanId::random(), TraceFlags::SAMPLED).remote();
///     let span = tracing::info_span!("charge");
///     assert!(span.set_parent(&caller));
///     assert_eq!(span.context().map(|own| own.trace_id()), Some(caller.trace_id()));
/// });
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
pub trait SpanExt {
    /// Continues the caller's trace: the span takes its trace id, flags and `tracestate` and becomes its child. Call it
    /// before the span has children of its own, which keep the trace they were made in. Returns whether it was done: it
    /// is not where no [`TelemetryLayer`](crate::TelemetryLayer) took the span.
    fn set_parent(&self, parent: &SpanContext) -> bool;

    /// Links the span to another that caused it without being its parent, as a message's consumer is to its producer.
    /// Returns whether it was done; a span keeps up to 128 links.
    fn add_link(&self, link: SpanContext) -> bool;

    /// Returns the span's own context; `None` where no [`TelemetryLayer`](crate::TelemetryLayer) took the span or one
    /// around it.
    #[must_use]
    fn context(&self) -> Option<SpanContext>;
}

impl SpanExt for Span {
    fn set_parent(&self, parent: &SpanContext) -> bool {
        layer::change_parent(self, parent)
    }

    fn add_link(&self, link: SpanContext) -> bool {
        layer::add_link(self, link)
    }

    fn context(&self) -> Option<SpanContext> {
        layer::context_of(self)
    }
}
