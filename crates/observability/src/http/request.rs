use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tracing::Span;
use tracing::field::Empty;

use super::attributes::{cut, host_and_port, method_name, version};
use super::layer::Settings;
use crate::context::is_id;
use crate::propagation::{Baggage, SpanBaggage as _};
use crate::{Gauge, SpanExt as _, TraceId, clock};

/// A request under way. Dropped before it is done, the client went away.
pub(super) struct Request {
    pub(super) span: Span,
    pub(super) id: HeaderValue,
    settings: Arc<Settings>,
    active: Gauge,
    began: Instant,
    method: &'static str,
    scheme: &'static str,
    route: String,
    status: Option<StatusCode>,
    error: Option<&'static str>,
    done: bool,
}

impl Request {
    pub(super) fn begin(settings: &Arc<Settings>, parts: &Parts) -> Self {
        let trusted = settings.trust.as_ref().is_none_or(|trust| trust(parts));
        let caller = settings.propagator.extract(&parts.headers);
        let route = settings.route.as_ref().and_then(|route| route(parts)).unwrap_or_default();
        let route = cut(&route, 256).to_owned();
        let method = method_name(&parts.method);
        let scheme = if parts.uri.scheme_str() == Some("https") { "https" } else { "http" };
        let span = span(parts, method, scheme, &route);
        if let Some(address) = settings.client_address.as_ref().and_then(|address| address(parts)) {
            span.record("client.address", cut(&address, 64));
        }
        match caller.context() {
            Some(context) if trusted => drop(span.set_parent(context)),
            Some(context) => drop(span.add_link(context.clone())),
            None => {}
        }
        let mut baggage = Baggage::new();
        if trusted {
            baggage = caller.baggage().filtered(|name| settings.propagator.allows(name));
        }
        let id = Some(parts).filter(|_| trusted).and_then(|parts| parts.headers.get(REQUEST_ID)?.to_str().ok());
        let id = id.or_else(|| baggage.get("request_id")).filter(|id| is_id(id));
        let id = id.map_or_else(|| TraceId::random().to_string(), str::to_owned);
        span.record("request_id", id.as_str());
        for name in ["user_id", "session_id"] {
            if let Some(value) = baggage.get(name).filter(|id| is_id(id)) {
                span.record(name, value);
            }
        }
        baggage.insert("request_id", &id);
        span.set_baggage(baggage);
        let active = settings.active.with(&[method, scheme]);
        active.add(1.0);
        Self {
            span,
            id: HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("invalid")),
            settings: Arc::clone(settings),
            active,
            began: clock::now(),
            method,
            scheme,
            route,
            status: None,
            error: None,
            done: false,
        }
    }

    pub(super) fn responded(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            self.fail(status.as_str());
        }
    }

    /// The service or the body ended with an error.
    pub(super) fn failed(&mut self, kind: &'static str) {
        self.error = Some(kind);
        self.fail(kind);
        self.done = true;
    }

    /// The last of the answer was handed over.
    pub(super) const fn done(&mut self) {
        self.done = true;
    }

    /// The service or the body panicked. What nobody answers must be found in the log too.
    fn panicked(&mut self, text: Option<&str>) {
        tracing::error!(
            target: "bedplate_observability::http",
            parent: &self.span,
            { error.type = "panic", exception.message = text },
            "panicked"
        );
        self.failed("panic");
    }

    fn fail(&self, kind: &str) {
        self.span.record("error.type", kind);
        self.span.record("otel.status_code", "ERROR");
        self.span.record("error", true);
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.active.add(-1.0);
        if !self.done {
            self.span.record("cancelled", true);
            self.settings.cancelled.with(&[self.method, &self.route]).add(1);
            if self.status.is_none() {
                // How long somebody was willing to wait is not how long the answer takes.
                return;
            }
        }
        let status = self.status.filter(|_| self.error.is_none() || self.error == Some("body"));
        let code = status.map(|status| status.as_u16().to_string()).unwrap_or_default();
        let server_error = status.is_some_and(|status| status.is_server_error());
        let error = self.error.unwrap_or(if server_error { code.as_str() } else { "" });
        let labels = [self.method, self.scheme, self.route.as_str(), code.as_str(), error];
        let took = clock::now().saturating_duration_since(self.began);
        self.settings.duration.with(&labels).record_in(took.as_secs_f64(), self.span.context().as_ref());
    }
}

/// Runs a part of a request within its span; a panic ends the request and goes on. Caught, it has a text, and is told from
/// the panic of somebody else who drops the request.
pub(super) fn caught<T>(request: &mut Option<Request>, work: impl FnOnce() -> T) -> T {
    let Some(own) = request else { return work() };
    // Nobody sees what the panic left half done: it goes on as if it had not been caught.
    match catch_unwind(AssertUnwindSafe(|| own.span.in_scope(work))) {
        Ok(done) => done,
        Err(panic) => {
            own.panicked(text_of(&*panic));
            *request = None;
            resume_unwind(panic)
        }
    }
}

/// What `panic!` was given, as the standard library's hook finds it.
fn text_of(panic: &(dyn Any + Send)) -> Option<&str> {
    panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}

fn span(parts: &Parts, method: &'static str, scheme: &str, route: &str) -> Span {
    let known = if method == "_OTHER" { "HTTP" } else { method };
    let operation = if route.is_empty() { known.to_owned() } else { format!("{known} {route}") };
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let authority = parts.uri.authority().map(http::uri::Authority::as_str).or_else(|| header("host"));
    let span = tracing::info_span!(
        target: "bedplate_observability::http",
        "http server",
        otel.name = operation.as_str(),
        otel.kind = "server",
        otel.status_code = Empty,
        operation = operation.as_str(),
        http.request.method = method,
        http.request.method_original = Empty,
        http.response.status_code = Empty,
        http.route = Empty,
        url.path = cut(parts.uri.path(), 1_024),
        url.scheme = scheme,
        server.address = Empty,
        server.port = Empty,
        client.address = Empty,
        network.protocol.version = version(parts.version),
        user_agent.original = Empty,
        request_id = Empty,
        user_id = Empty,
        session_id = Empty,
        error.type = Empty,
        error = Empty,
        cancelled = Empty,
    );
    if method == "_OTHER" {
        span.record("http.request.method_original", cut(parts.method.as_str(), 64));
    }
    if !route.is_empty() {
        span.record("http.route", route);
    }
    if let Some((host, port)) = authority.map(host_and_port) {
        span.record("server.address", cut(host, 256));
        if let Some(port) = port {
            span.record("server.port", port);
        }
    }
    if let Some(agent) = header("user-agent") {
        span.record("user_agent.original", cut(agent, 256));
    }
    span
}

pub(super) const REQUEST_ID: &str = "x-request-id";
