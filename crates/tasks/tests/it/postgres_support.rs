//! A pair of schemas of each test's own on the server that `BEDPLATE_POSTGRES_URL` names.

use std::io::Write as _;

use bedplate_tasks::TaskId;
use bedplate_tasks::sqlx::{AssertSqlSafe, Connection as _, PgConnection, query_as, raw_sql};
use bedplate_tasks::store::{PostgresBuilder, PostgresStore};

pub(crate) struct Sandbox {
    pub(crate) url: String,
    pub(crate) schema: String,
    pub(crate) engine: String,
}

/// Says past the test runner's capture that a test did not run; where services are required, a failure.
pub(crate) fn skip(why: &str) {
    assert!(std::env::var_os("BEDPLATE_REQUIRE_SERVICES").is_none(), "{why}");
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let mut past_the_capture = std::io::stderr();
    writeln!(past_the_capture, "SKIPPED {test}: {why}").unwrap();
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let sql = self.sql("drop schema if exists @side@ cascade; drop schema if exists @engine@ cascade");
        let url = self.url.clone();
        // A thread of its own: this one may be within a runtime, or at its end.
        let drops = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                if let Ok(mut connection) = PgConnection::connect(&url).await {
                    drop(raw_sql(sql).execute(&mut connection).await);
                }
            });
        });
        drop(drops.join());
    }
}

impl Sandbox {
    pub(crate) fn new() -> Option<Self> {
        let url = std::env::var_os("BEDPLATE_POSTGRES_URL").and_then(|url| url.into_string().ok());
        let Some(url) = url else {
            skip("BEDPLATE_POSTGRES_URL is not set; `scripts/services.sh up` starts a PostgreSQL, its `env` names it");
            return None;
        };
        Some(Self::on(url))
    }

    pub(crate) fn on(url: String) -> Self {
        let id = TaskId::generate().as_uuid().simple().to_string();
        Self { url, schema: format!("bt_{id}"), engine: format!("gw_{id}") }
    }

    pub(crate) fn builder(&self) -> PostgresBuilder {
        PostgresStore::builder(&self.url).schema(&self.schema).engine_schema(&self.engine)
    }

    /// Connects; the schemas are dropped with the sandbox, so that it is to be kept.
    pub(crate) async fn store(&self) -> PostgresStore {
        self.builder().connect().await.unwrap()
    }

    pub(crate) async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// A statement with the names of the schemas in their places.
    pub(crate) fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(text.replace("@side@", &self.schema).replace("@engine@", &self.engine))
    }

    pub(crate) async fn execute(&self, text: &str) {
        raw_sql(self.sql(text)).execute(&mut self.connection().await).await.unwrap();
    }

    pub(crate) async fn number(&self, text: &str) -> i64 {
        let (number,): (i64,) = query_as(self.sql(text)).fetch_one(&mut self.connection().await).await.unwrap();
        number
    }
}
