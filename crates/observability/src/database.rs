//! Calls to databases, by OpenTelemetry's conventions for database clients (1.44), around any client.
//!
//! A call is one span of kind CLIENT and one value of the histogram `db.client.operation.duration`, which Prometheus knows
//! as `db_client_operation_duration_seconds`. A layer over one client was rejected: sqlx, redis and others have no place
//! for one in common, and what a call is about, its operation and collection, is known best where it is made.

use std::borrow::Cow;
use std::fmt::Debug;
use std::future::Future;
use std::time::Instant;

use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::clock;
use crate::error_type::error_name;
use crate::layer::{DATABASE_CLIENT, record_client};

/// What a call to a database is about; all texts but the query's are to have few values.
///
/// It is plain data: keep one with the system, namespace and server, and copy it for each call.
///
/// # Examples
/// ```
/// use bedplate_observability::database::DatabaseCall;
/// use bedplate_observability::Observability;
/// use tracing::instrument::WithSubscriber as _;
///
/// async fn fetch() -> Result<u32, std::io::Error> {
///     Ok(7) // `sqlx::query("…").fetch_all(&pool).await`, for one
/// }
///
/// # #[derive(Debug)] struct Wrong;
/// # let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// # runtime.block_on(async {
/// let telemetry = Observability::builder("checkout").build()?;
/// let jobs = DatabaseCall::new("postgresql").namespace("shop").server("db.internal", 5432);
/// let select = jobs.operation("SELECT").collection("jobs");
/// let found = select.run(fetch()).with_subscriber(telemetry.dispatch()).await?;
/// assert_eq!(found, 7);
/// assert_eq!(telemetry.metrics().operations["SELECT jobs"].requests, 1);
/// assert!(telemetry.prometheus().contains("db_client_operation_duration_seconds_count{db_system_name=\"postgresql\""));
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it does nothing until it is run or started"]
pub struct DatabaseCall<'a> {
    system: &'a str,
    namespace: Option<&'a str>,
    collection: Option<&'a str>,
    operation: Option<&'a str>,
    summary: Option<&'a str>,
    text: Option<&'a str>,
    /// Of two or more; one is no batch.
    batch: Option<u64>,
    server: Option<(&'a str, u16)>,
}

impl<'a> DatabaseCall<'a> {
    /// Names the system by the conventions' word for it, as `postgresql`, `redis`, `mysql` or `sqlite`.
    pub const fn new(system: &'a str) -> Self {
        Self {
            system,
            namespace: None,
            collection: None,
            operation: None,
            summary: None,
            text: None,
            batch: None,
            server: None,
        }
    }

    /// Names the database within its server, as `shop`; for Redis its number.
    pub const fn namespace(mut self, name: &'a str) -> Self {
        self.namespace = Some(name);
        self
    }

    /// Names the one table or collection that the call is about.
    pub const fn collection(mut self, name: &'a str) -> Self {
        self.collection = Some(name);
        self
    }

    /// Names the one operation or command, as `SELECT` or `HSET`.
    pub const fn operation(mut self, name: &'a str) -> Self {
        self.operation = Some(name);
        self
    }

    /// Sums up the query where one operation and collection do not say it, as `INSERT jobs SELECT orders`; it is the span's
    /// name then. At most 255 bytes of it are taken.
    pub const fn query_summary(mut self, summary: &'a str) -> Self {
        self.summary = Some(summary);
        self
    }

    /// Records the query's text, which otherwise is in no span: one with placeholders for its values, never with the
    /// values in it. It is cut like any text, by [`Traces::value_bytes`](crate::Traces::value_bytes).
    pub const fn query_text(mut self, text: &'a str) -> Self {
        self.text = Some(text);
        self
    }

    /// Says that the call is so many operations at once; with two or more, the operation is called `BATCH` and by its name.
    pub const fn batch_size(mut self, operations: u64) -> Self {
        self.batch = if operations > 1 { Some(operations) } else { None };
        self
    }

    /// Says which server is called: its name or address, or the path of its socket with port 0.
    pub const fn server(mut self, address: &'a str, port: u16) -> Self {
        self.server = Some((address, port));
        self
    }

    /// Runs the call in its span, a child of the span that is current at the first poll, and records how it ended. An
    /// error's name is that of its type and, where its `Debug` is derived, of its variant, as `Error::PoolTimedOut`.
    ///
    /// # Errors
    /// The future's own error.
    ///
    /// # Cancel safety
    /// As the future's; a call that is dropped is marked `cancelled`, and is no error.
    pub async fn run<T, E: Debug>(self, call: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        self.run_with_code(call, |_| None).await
    }

    /// Runs the call as [`run`](Self::run) does, and asks for the database's own code of an error, as PostgreSQL's
    /// `23505`; it is recorded as `db.response.status_code` and, as the conventions want it, as the error's name.
    ///
    /// With sqlx it is `|error| error.as_database_error()?.code().map(|code| code.into_owned())`, and with redis
    /// `|error| error.code().map(str::to_owned)`.
    ///
    /// # Errors
    /// The future's own error.
    ///
    /// # Cancel safety
    /// As the future's; a call that is dropped is marked `cancelled`, and is no error.
    pub async fn run_with_code<T, E: Debug>(
        self,
        call: impl Future<Output = Result<T, E>>,
        code: impl FnOnce(&E) -> Option<String>,
    ) -> Result<T, E> {
        let started = self.start();
        let result = call.instrument(started.span().clone()).await;
        match &result {
            Ok(_) => started.succeeded(),
            Err(error) => match code(error) {
                Some(code) => started.failed_with_code(&code),
                None => started.failed(&error_name(error)),
            },
        }
        result
    }

    /// Begins the span of a call that is no future, or whose result is no `Result`; a child of the current span.
    pub fn start(self) -> DatabaseSpan<'a> {
        let operation = self.operation_name();
        let name = self.name(operation.as_deref());
        let span = tracing::info_span!(
            target: "bedplate_observability::database",
            "database call",
            otel.name = &*name,
            otel.kind = "client",
            otel.status_code = Empty,
            operation = &*name,
            db.system.name = self.system,
            db.namespace = self.namespace,
            db.collection.name = self.collection,
            db.operation.name = operation.as_deref(),
            db.operation.batch.size = self.batch,
            db.query.summary = self.summary.map(cut),
            db.query.text = self.text,
            db.response.status_code = Empty,
            server.address = self.server.map(|(address, _)| address),
            server.port = self.port(),
            error.type = Empty,
            error = Empty,
            cancelled = Empty,
        );
        DatabaseSpan { span, began: clock::now(), call: self, operation, ended: false }
    }

    fn operation_name(&self) -> Option<Cow<'a, str>> {
        match (self.operation, self.batch) {
            (Some(operation), Some(_)) if !operation.starts_with("BATCH") => {
                Some(Cow::Owned(format!("BATCH {operation}")))
            }
            (None, Some(_)) => Some(Cow::Borrowed("BATCH")),
            (operation, _) => operation.map(Cow::Borrowed),
        }
    }

    /// The summary, else operation and target, else what there is of them, else the system.
    fn name(&self, operation: Option<&str>) -> Cow<'a, str> {
        if let Some(summary) = self.summary {
            return Cow::Borrowed(cut(summary));
        }
        let server = || {
            let (address, _) = self.server?;
            Some(self.port().map_or(Cow::Borrowed(address), |port| Cow::Owned(format!("{address}:{port}"))))
        };
        let target = self.collection.or(self.namespace).map(Cow::Borrowed).or_else(server);
        match (operation, target) {
            (Some(operation), Some(target)) => Cow::Owned(format!("{operation} {target}")),
            (Some(operation), None) => Cow::Owned(operation.to_owned()),
            (None, Some(target)) => target,
            (None, None) => Cow::Borrowed(self.system),
        }
    }

    /// A socket has none.
    fn port(&self) -> Option<u16> {
        self.server.map(|(_, port)| port).filter(|port| *port > 0)
    }
}

/// The span of a call that goes on. Dropped without a result, as when its caller gave up, it is marked `cancelled` and is no
/// error.
///
/// # Examples
/// ```
/// use bedplate_observability::database::DatabaseCall;
/// let call = DatabaseCall::new("sqlite").operation("INSERT").collection("jobs").start();
/// let done: Result<(), &str> = call.span().in_scope(|| Err("database is locked"));
/// match done {
///     Ok(()) => call.succeeded(),
///     Err(_) => call.failed_with_code("SQLITE_BUSY"),
/// }
/// ```
#[derive(Debug)]
#[must_use = "dropped at once, the call is recorded as cancelled"]
pub struct DatabaseSpan<'a> {
    span: Span,
    began: Instant,
    call: DatabaseCall<'a>,
    operation: Option<Cow<'a, str>>,
    ended: bool,
}

impl DatabaseSpan<'_> {
    /// Returns the span, to run the call in it.
    #[must_use]
    pub const fn span(&self) -> &Span {
        &self.span
    }

    /// Ends the call well.
    pub fn succeeded(mut self) {
        self.ended = true;
        self.measure("", "");
    }

    /// Ends the call with an error that the database has no code for; `kind` is a word of few values, such as `timeout`.
    pub fn failed(mut self, kind: &str) {
        self.ended = true;
        self.error(cut(kind));
        self.measure("", cut(kind));
    }

    /// Ends the call with the database's own code of the error.
    pub fn failed_with_code(mut self, code: &str) {
        self.ended = true;
        let code = cut(code);
        self.span.record("db.response.status_code", code);
        self.error(code);
        self.measure(code, code);
    }

    fn error(&self, kind: &str) {
        self.span.record("error.type", kind);
        self.span.record("otel.status_code", "ERROR");
        self.span.record("error", true);
    }

    fn measure(&self, status: &str, error: &str) {
        let took = clock::now().saturating_duration_since(self.began).as_secs_f64();
        let Self { call, operation, .. } = self;
        let port = call.port().map(|port| port.to_string());
        let labels = [
            call.system,
            call.namespace.unwrap_or_default(),
            call.collection.unwrap_or_default(),
            operation.as_deref().unwrap_or_default(),
            call.summary.map(cut).unwrap_or_default(),
            status,
            error,
            call.server.map(|(address, _)| address).unwrap_or_default(),
            port.as_deref().unwrap_or_default(),
        ];
        record_client(&self.span, &DATABASE_CLIENT, &labels, took);
    }
}

impl Drop for DatabaseSpan<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.span.record("cancelled", true);
        }
    }
}

/// What an attribute of few values may hold.
fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(255)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_conventions() {
        let call = DatabaseCall::new("postgresql");
        let name = |call: DatabaseCall<'static>| call.name(call.operation_name().as_deref()).into_owned();
        assert_eq!(name(call), "postgresql");
        let server = call.server("db", 5432);
        assert_eq!(name(server), "db:5432");
        assert_eq!(name(call.server("/run/db.sock", 0)), "/run/db.sock");
        assert_eq!(name(server.operation("SELECT")), "SELECT db:5432");
        assert_eq!(name(server.operation("CREATE").namespace("shop")), "CREATE shop");
        assert_eq!(name(server.namespace("shop").collection("jobs")), "jobs");
        assert_eq!(name(call.operation("SELECT")), "SELECT");
        let select = server.namespace("shop").operation("SELECT").collection("jobs");
        assert_eq!(name(select), "SELECT jobs");
        assert_eq!(name(select.query_summary("SELECT jobs orders")), "SELECT jobs orders");
        assert_eq!(name(select.batch_size(1)), "SELECT jobs");
        assert_eq!(name(select.batch_size(2)), "BATCH SELECT jobs");
        assert_eq!(name(call.batch_size(2)), "BATCH");
        assert_eq!(cut(&"\u{e9}".repeat(200)).len(), 254);
    }
}
