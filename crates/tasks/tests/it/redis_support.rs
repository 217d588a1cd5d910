use std::sync::Arc;

use bedplate_tasks::TaskId;
use bedplate_tasks::store::{RedisStore, Store};
use redis::aio::MultiplexedConnection;

/// Says why a test is skipped, and fails it where services are required.
#[expect(clippy::print_stderr, reason = "a test that is skipped says why")]
pub(crate) fn skip<T>(why: &str) -> Option<T> {
    assert!(std::env::var_os("BEDPLATE_REQUIRE_SERVICES").is_none(), "{why}");
    eprintln!("skipped: {why}");
    None
}

/// The server's URL, if this run has one.
pub(crate) fn url() -> Option<String> {
    std::env::var_os("BEDPLATE_REDIS_URL")
        .and_then(|url| url.into_string().ok())
        .or_else(|| skip("BEDPLATE_REDIS_URL is not set; `scripts/services.sh up` starts a Redis, its `env` names it"))
}

/// A prefix of its own for each test, whose name tells when it was made.
pub(crate) fn prefix() -> String {
    format!("test-{}", TaskId::generate())
}

pub(crate) async fn store_at(url: &str, prefix: &str) -> RedisStore {
    RedisStore::builder(url).prefix(prefix).connect().await.unwrap()
}

/// An empty store, or none where there is no server.
pub(crate) async fn fresh() -> Option<Arc<dyn Store>> {
    let url = url()?;
    Some(Arc::new(store_at(&url, &prefix()).await))
}

pub(crate) async fn commands(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}
