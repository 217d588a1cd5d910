use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;

use crate::store::error::StoreError;
use crate::store::postgres::io::Io;
use crate::store::postgres::link::Link;
use crate::store::postgres::schema;
use crate::store::postgres::store::PostgresStore;

/// Sets up a [`PostgresStore`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `connect` or `migrate`"]
pub struct PostgresBuilder {
    url: String,
    listen_url: Option<String>,
    schema: String,
    engine_schema: String,
    max_connections: u32,
    connect_timeout: Duration,
    poll: Duration,
    age_after: Duration,
    migrate: bool,
}

impl PostgresBuilder {
    pub(super) fn new(url: String) -> Self {
        Self {
            url,
            listen_url: None,
            schema: "bedplate_tasks".to_owned(),
            engine_schema: "graphile_worker".to_owned(),
            max_connections: 3,
            connect_timeout: Duration::from_secs(5),
            poll: Duration::from_secs(1),
            age_after: Duration::from_secs(30),
            migrate: true,
        }
    }

    /// Listens on a connection to this URL: the server itself where the other one leads through a pooler, which does not
    /// pass notifications on. Default the same URL.
    pub fn listen_url(mut self, url: impl Into<String>) -> Self {
        self.listen_url = Some(url.into());
        self
    }

    /// Sets the schema of what the engine does not keep; a plain name of 1 to 63 bytes, default `bedplate_tasks`.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// Sets the engine's schema; a plain name of 1 to 63 bytes, default `graphile_worker`. Each schema of ours has one of
    /// its own.
    pub fn engine_schema(mut self, name: impl Into<String>) -> Self {
        self.engine_schema = name.into();
        self
    }

    /// Sets how many connections there are at most besides the one that listens; at least 1, default 3. More make
    /// concurrent calls faster and cost the server memory; with one, a long call holds up all others.
    pub const fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets how long a call waits for a connection; default 5 s. Too short fails calls while the server starts, too long
    /// lets callers hang while it is away.
    pub const fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = time;
        self
    }

    /// Sets how often a waiting claim looks by itself; at least 10 ms, default 1 s. Notifications make that a net alone;
    /// where they do not arrive, it is how long a job waits, and what the server has to do while there is none.
    pub const fn poll(mut self, time: Duration) -> Self {
        self.poll = time;
        self
    }

    /// Sets how long a job waits until that is worth one priority; default 30 s, zero means that priorities are strict.
    /// All processes must agree.
    pub const fn age_after(mut self, time: Duration) -> Self {
        self.age_after = time;
        self
    }

    /// Leaves the schemas as they are, for a role that may not change them: [`migrate`](Self::migrate) was called by another.
    pub const fn without_migration(mut self) -> Self {
        self.migrate = false;
        self
    }

    /// Makes or renews the schemas, ours and the engine's, and connects no further. Any number may do so at a time.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn migrate(self) -> Result<(), StoreError> {
        let (io, link, _) = self.parts()?;
        let answer = io.run(async move { schema::migrate(&link).await }).await;
        io.close().await;
        answer
    }

    /// Connects, making the schemas if they are not there.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a setting out of its bounds, a URL that is none, a server older than 13, and a schema of
    /// a newer version; [`StoreError::Backend`] if the server cannot be reached, which is transient, or refuses.
    pub async fn connect(self) -> Result<PostgresStore, StoreError> {
        let migrates = self.migrate;
        let (io, link, listen) = self.parts()?;
        let prepared = link.clone();
        let prepare =
            async move { if migrates { schema::migrate(&prepared).await } else { schema::check(&prepared).await } };
        io.run(prepare).await?;
        Ok(PostgresStore::start(io, link, &listen))
    }

    fn parts(self) -> Result<(Io, Link, PgConnectOptions), StoreError> {
        plain_name("schema", &self.schema)?;
        plain_name("engine_schema", &self.engine_schema)?;
        if self.schema == self.engine_schema {
            return Err(StoreError::invalid("schema", &self.schema, "another one than the engine's"));
        }
        if self.max_connections == 0 {
            return Err(StoreError::invalid("max_connections", 0, "at least 1"));
        }
        if self.poll < Duration::from_millis(10) {
            return Err(StoreError::invalid("poll", format_args!("{:?}", self.poll), "at least 10 ms"));
        }
        let options = options("url", &self.url)?;
        let listen =
            self.listen_url.as_deref().map_or_else(|| Ok(options.clone()), |url| self::options("listen_url", url))?;
        let io = Io::start()?;
        let link = Link::new(options, &self.schema, &self.engine_schema, self.max_connections, self.connect_timeout)
            .ageing(self.age_after)
            .poll(self.poll);
        Ok((io, link, listen))
    }
}

/// The URL itself is not told: it may carry a password.
fn options(field: &'static str, url: &str) -> Result<PgConnectOptions, StoreError> {
    const EXPECTED: &str = "postgres://user:password@host:port/database";
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(StoreError::invalid(field, "another one", EXPECTED));
    }
    let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::invalid(field, "another one", EXPECTED))?;
    Ok(options.application_name("bedplate-tasks").disable_statement_logging())
}

/// Names that need no quotes stand in the statements.
fn plain_name(field: &'static str, name: &str) -> Result<(), StoreError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let begins = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    if begins && name.len() <= 63 && name.bytes().all(plain) && !name.starts_with("pg_") {
        return Ok(());
    }
    let shown: String = name.chars().take(32).collect();
    Err(StoreError::invalid(field, format_args!("{shown:?}"), "1 to 63 of a-z, 0-9 and _, not a digit first"))
}

impl fmt::Debug for PostgresBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBuilder")
            .field("schema", &self.schema)
            .field("engine_schema", &self.engine_schema)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}
