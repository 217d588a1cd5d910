use std::sync::Arc;

use bedplate_tasks::TaskId;
use bedplate_tasks::store::{RedisStore, Store};
use redis::aio::MultiplexedConnection;
use tokio::sync::OnceCell;

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

/// Removes what earlier runs left: their prefixes tell when they were made, and no run takes ten minutes.
async fn sweep(url: &str) {
    static SWEPT: OnceCell<()> = OnceCell::const_new();
    let old = |key: &str| {
        let made = key.strip_prefix("test-").and_then(|rest| rest.get(..36)?.parse::<TaskId>().ok());
        let now = TaskId::generate().as_uuid().get_timestamp().map_or(0, |time| time.to_unix().0);
        made.and_then(|id| id.as_uuid().get_timestamp()).is_some_and(|time| time.to_unix().0 + 600 < now)
    };
    let sweep = async || {
        let mut redis = commands(url).await;
        let keys: Vec<String> = redis::cmd("KEYS").arg("test-*").query_async(&mut redis).await.unwrap();
        let keys: Vec<String> = keys.into_iter().filter(|key| old(key)).collect();
        for keys in keys.chunks(1_000) {
            let _gone: i64 = redis::cmd("UNLINK").arg(keys).query_async(&mut redis).await.unwrap();
        }
    };
    SWEPT.get_or_init(sweep).await;
}

/// An empty store, or none where there is no server.
pub(crate) async fn fresh() -> Option<Arc<dyn Store>> {
    let url = url()?;
    sweep(&url).await;
    Some(Arc::new(store_at(&url, &prefix()).await))
}

pub(crate) async fn commands(url: &str) -> MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}
