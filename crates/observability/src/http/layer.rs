use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use http::request::Parts;
use tower_layer::Layer;

use super::service::Server;
use crate::propagation::Propagator;
use crate::{ConfigError, CounterFamily, DURATION_BOUNDS, GaugeFamily, HistogramFamily, Observability};

/// Gives each request a SERVER span that continues the caller's trace, a request id, and a measured duration.
///
/// Works around any tower service over `http`. Outermost is the place: what is outside of it is not measured. With
/// axum, `Router::layer` runs it after routing, so that `matched_path` (feature `axum`) finds the route's template:
///
/// ```text
/// let app = router.layer(ServerLayer::new(&telemetry)?.matched_path());
/// ```
///
/// The span has the conventions' attributes as fields and counts as the operation `{method} {route}`; it ends with
/// the response's body. A 5xx, an error of the service, and a panic are errors, a 4xx is not. A client that went away
/// leaves a span marked `cancelled`, counted by `http_server_cancelled_requests_total`.
///
/// A panic of the service or of a body goes on, after an event at ERROR in the request's span, `panicked`, which has its
/// text as `exception.message`.
///
/// # Examples
/// ```
/// use bedplate_observability::{Observability, http::ServerLayer};
/// let telemetry = Observability::builder("checkout").build()?;
/// let layer = ServerLayer::new(&telemetry)?
///     .route(|request| request.uri.path().starts_with("/orders/").then_some("/orders/{id}".into()))
///     .exclude(["/health*", "/metrics", "/internal/*"]);
/// # let _layer = layer;
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct ServerLayer {
    pub(super) shared: Arc<Settings>,
}

type Route = dyn Fn(&Parts) -> Option<Cow<'static, str>> + Send + Sync;
type Address = dyn Fn(&Parts) -> Option<String> + Send + Sync;
type Trust = dyn Fn(&Parts) -> bool + Send + Sync;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) propagator: Propagator,
    pub(super) excluded: Vec<Box<str>>,
    pub(super) route: Option<Arc<Route>>,
    pub(super) client_address: Option<Arc<Address>>,
    pub(super) trust: Option<Arc<Trust>>,
    pub(super) duration: HistogramFamily,
    pub(super) active: GaugeFamily,
    pub(super) cancelled: CounterFamily,
}

impl ServerLayer {
    /// Returns the layer for this telemetry, whose metrics it adds: `http_server_request_duration_seconds`,
    /// `http_server_active_requests` and `http_server_cancelled_requests_total`. It leaves out requests to `/health*`,
    /// `/live*`, `/ready*` and `/metrics` ([`exclude`](Self::exclude)), and trusts every caller: it continues its trace and
    /// takes its request id and baggage. On a public address restrict that by [`trust`](Self::trust).
    ///
    /// # Errors
    /// [`ConfigError`] if one of the metrics' names is taken by another metric.
    pub fn new(telemetry: &Observability) -> Result<Self, ConfigError> {
        let duration = telemetry.histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP server requests.",
            &["http_request_method", "url_scheme", "http_route", "http_response_status_code", "error_type"],
            &DURATION_BOUNDS,
        )?;
        let active = telemetry.gauge(
            "http_server_active_requests",
            "HTTP server requests under way.",
            &["http_request_method", "url_scheme"],
        )?;
        let cancelled = telemetry.counter(
            "http_server_cancelled_requests_total",
            "HTTP server requests whose client went away before the end.",
            &["http_request_method", "http_route"],
        )?;
        let shared = Arc::new(Settings {
            propagator: Propagator::default(),
            excluded: ["/health*", "/live*", "/ready*", "/metrics"].map(Box::from).into(),
            route: None,
            client_address: None,
            trust: None,
            duration,
            active,
            cancelled,
        });
        Ok(Self { shared })
    }

    /// Reads headers by this propagator, default [`Propagator::default`].
    pub fn propagator(self, propagator: &Propagator) -> Self {
        self.change(|settings| settings.propagator = propagator.clone())
    }

    /// Asks `route` for a request's route template, such as `/orders/{id}`, default none. It becomes part of the span's
    /// name and a metric's label, so it must be one of few; never return the path.
    pub fn route(self, route: impl Fn(&Parts) -> Option<Cow<'static, str>> + Send + Sync + 'static) -> Self {
        self.change(|settings| settings.route = Some(Arc::new(route)))
    }

    /// Takes the route template from axum's `MatchedPath`; for layers put on by `Router::layer` or `route_layer`.
    #[cfg(feature = "axum")]
    #[cfg_attr(docsrs, doc(cfg(feature = "axum")))]
    pub fn matched_path(self) -> Self {
        self.route(|request| {
            request.extensions.get::<axum::extract::MatchedPath>().map(|path| Cow::Owned(path.as_str().to_owned()))
        })
    }

    /// Leaves out requests to these paths, in place of the default; a path that ends in `*` stands for all that begin so.
    /// They get neither span nor metric.
    pub fn exclude<P: Into<Box<str>>>(self, paths: impl IntoIterator<Item = P>) -> Self {
        let excluded = paths.into_iter().map(Into::into).collect();
        self.change(|settings| settings.excluded = excluded)
    }

    /// Asks `trust` whether a request comes from one of our own, default always. A stranger's trace is not continued but
    /// linked to, and its baggage and request id are not taken.
    pub fn trust(self, trust: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.change(|settings| settings.trust = Some(Arc::new(trust)))
    }

    /// Asks `address` for the client's address, default not recorded: only you know which proxy's headers are true.
    pub fn client_address(self, address: impl Fn(&Parts) -> Option<String> + Send + Sync + 'static) -> Self {
        self.change(|settings| settings.client_address = Some(Arc::new(address)))
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }
}

impl Settings {
    pub(super) fn excludes(&self, path: &str) -> bool {
        self.excluded.iter().any(|excluded| match excluded.strip_suffix('*') {
            Some(start) => path.starts_with(start),
            None => path == &**excluded,
        })
    }
}

impl<S> Layer<S> for ServerLayer {
    type Service = Server<S>;

    fn layer(&self, inner: S) -> Server<S> {
        Server { inner, settings: Arc::clone(&self.shared) }
    }
}

impl fmt::Debug for ServerLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerLayer")
            .field("propagator", &self.shared.propagator)
            .field("excluded", &self.shared.excluded)
            .finish_non_exhaustive()
    }
}
