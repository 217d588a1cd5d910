use std::sync::Arc;

use tracing::Span;

use crate::span_context::current_span_context;

/// The names under which a request's ids are spoken of in spans and log lines, in the order of a log line.
pub(crate) const CORRELATION_FIELDS: [&str; 3] = ["request_id", "user_id", "session_id"];

/// Who a request comes from: ids that every span and log line below it inherits.
///
/// They are fields of the request's root span, so whatever carries the span (an instrumented future, a task submitted
/// with the current span) carries them too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct RequestContext {
    request: Option<Arc<str>>,
    user: Option<Arc<str>>,
    session: Option<Arc<str>>,
}

impl RequestContext {
    /// Returns a context without ids.
    pub const fn new() -> Self {
        Self { request: None, user: None, session: None }
    }

    /// Sets the request's id.
    pub fn request_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.request = Some(id.into());
        self
    }

    /// Sets the user's id.
    pub fn user_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.user = Some(id.into());
        self
    }

    /// Sets the session's id.
    pub fn session_id(mut self, id: impl Into<Arc<str>>) -> Self {
        self.session = Some(id.into());
        self
    }

    /// Returns a span of level INFO that carries the ids and is counted as this operation: its duration, and whether
    /// `error` was recorded on it.
    #[must_use]
    pub fn span(&self, operation: &str) -> Span {
        let span = tracing::info_span!(
            "request",
            operation,
            request_id = tracing::field::Empty,
            user_id = tracing::field::Empty,
            session_id = tracing::field::Empty,
            error = tracing::field::Empty,
        );
        let ids = [&self.request, &self.user, &self.session];
        for (name, id) in CORRELATION_FIELDS.into_iter().zip(ids) {
            if let Some(id) = id {
                span.record(name, &**id);
            }
        }
        span
    }
}

/// Returns the trace id of the current span, in 32 hexadecimal digits; `None` outside of a span, or where no
/// [`TelemetryLayer`](crate::TelemetryLayer) listens.
#[must_use]
pub fn current_trace_id() -> Option<String> {
    current_span_context().map(|context| context.trace_id().to_string())
}
