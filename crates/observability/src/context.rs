use std::future::Future;
use std::sync::Arc;

use tracing::{Instrument as _, Span};

use crate::layer;
use crate::span_context::current_span_context;

/// The names under which a request's ids are spoken of in spans and log lines, in the order of a log line.
pub(crate) const CORRELATION_FIELDS: [&str; 3] = ["request_id", "user_id", "session_id"];

/// Who a request comes from: ids that every span and log line below it inherits.
///
/// They are fields of the request's root span, so whatever carries the span (an instrumented future, a task submitted
/// with the current span) carries them too.
///
/// # Examples
/// ```
/// use bedplate_observability::{Observability, RequestContext};
/// let telemetry = Observability::builder("checkout").build()?;
/// tracing::dispatcher::with_default(&telemetry.dispatch(), || {
///     RequestContext::new().request_id("r-1").in_scope(|| {
///         let _charge = tracing::info_span!("charge").entered();
///         assert_eq!(RequestContext::current().request(), Some("r-1"));
///     });
/// });
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
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

    /// Returns the ids of the current span's request; without any outside of one.
    pub fn current() -> Self {
        layer::request_of(&Span::current()).as_deref().cloned().unwrap_or_default()
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

    /// Returns the request's id.
    #[must_use]
    pub fn request(&self) -> Option<&str> {
        self.request.as_deref()
    }

    /// Returns the user's id.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Returns the session's id.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Returns the ids that are known with the names of their fields, to hand them on with a message.
    pub fn ids(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let ids = [&self.request, &self.user, &self.session];
        CORRELATION_FIELDS.into_iter().zip(ids).filter_map(|(name, id)| Some((name, id.as_deref()?)))
    }

    /// Returns a span of level INFO that carries the ids, is called and counted as this operation: its duration, and whether
    /// `error` or `error.type` was recorded on it.
    #[must_use]
    pub fn span(&self, operation: &str) -> Span {
        let span = tracing::info_span!(
            "request",
            operation,
            otel.name = operation,
            otel.kind = tracing::field::Empty,
            otel.status_code = tracing::field::Empty,
            request_id = tracing::field::Empty,
            user_id = tracing::field::Empty,
            session_id = tracing::field::Empty,
            error = tracing::field::Empty,
            error.type = tracing::field::Empty,
        );
        self.record_on(&span);
        span
    }

    /// Runs a future so that its spans and lines carry the ids; it is not counted as an operation.
    ///
    /// # Cancel safety
    /// As that of the future itself.
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        future.instrument(self.bare_span())
    }

    /// Runs a closure so that its spans and lines carry the ids.
    pub fn in_scope<T>(&self, work: impl FnOnce() -> T) -> T {
        self.bare_span().in_scope(work)
    }

    /// Records the ids that are known on a span that has their fields.
    pub fn record_on(&self, span: &Span) {
        for (name, id) in self.ids() {
            span.record(name, id);
        }
    }

    fn bare_span(&self) -> Span {
        let span = tracing::info_span!(
            "request",
            request_id = tracing::field::Empty,
            user_id = tracing::field::Empty,
            session_id = tracing::field::Empty,
        );
        self.record_on(&span);
        span
    }

    pub(crate) fn set(&mut self, name: &str, id: &str) {
        let place = match name {
            "request_id" => &mut self.request,
            "user_id" => &mut self.user,
            "session_id" => &mut self.session,
            _ => return,
        };
        if place.as_deref() != Some(id) {
            *place = Some(id.into());
        }
    }
}

/// Whether a text from outside may be an id in our logs and headers.
pub(crate) fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Returns the trace id of the current span, in 32 hexadecimal digits; `None` outside of a span, or where no
/// [`TelemetryLayer`](crate::TelemetryLayer) listens.
#[must_use]
pub fn current_trace_id() -> Option<String> {
    current_span_context().map(|context| context.trace_id().to_string())
}

/// Starts a task within the current span and under the current subscriber, so that its spans and lines belong to the
/// request that started it. A plain `tokio::spawn` loses both.
///
/// # Panics
/// Outside of a tokio runtime, as `tokio::spawn` does.
#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub fn spawn_traced<F>(future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    use tracing::instrument::WithSubscriber as _;
    tokio::spawn(future.in_current_span().with_current_subscriber())
}

/// Starts a task in a trace of its own that is linked to the current span: for work that outlives its request by far. It
/// keeps the request's ids.
///
/// # Panics
/// Outside of a tokio runtime, as `tokio::spawn` does.
#[cfg(feature = "tokio")]
#[cfg_attr(docsrs, doc(cfg(feature = "tokio")))]
pub fn spawn_linked<F>(name: &str, future: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    use tracing::instrument::WithSubscriber as _;

    use crate::SpanExt as _;
    let span = tracing::info_span!(
        parent: None,
        "task",
        otel.name = name,
        request_id = tracing::field::Empty,
        user_id = tracing::field::Empty,
        session_id = tracing::field::Empty,
    );
    RequestContext::current().record_on(&span);
    if let Some(context) = current_span_context() {
        span.add_link(context);
    }
    tokio::spawn(future.instrument(span).with_current_subscriber())
}
