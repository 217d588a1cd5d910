use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::sync::{Notify, broadcast};
use tokio::time::sleep;
use uuid::Uuid;

use crate::id::TaskId;
use crate::store::error::StoreError;
use crate::store::postgres::arrays::micros;
use crate::store::postgres::failure::{failed, is_broken, is_conflict};
use crate::store::signal::Signal;

/// The connections to one pair of schemas, and who is told what came over them; a clone is a handle to the same.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) pool: PgPool,
    pub(super) schema: Arc<str>,
    pub(super) engine: Arc<str>,
    /// Names this process in what it tells the others.
    pub(super) me: Arc<str>,
    pub(super) age_after: i64,
    pub(super) poll: Duration,
    pub(super) signals: broadcast::Sender<Signal>,
    pub(super) ready: Arc<Notify>,
    /// Whether notifications arrive.
    pub(super) pushes: Arc<AtomicBool>,
}

impl Link {
    pub(super) fn new(options: PgConnectOptions, schema: &str, engine: &str, most: u32, patience: Duration) -> Self {
        let pool = PgPoolOptions::new()
            .max_connections(most)
            .acquire_timeout(patience)
            // A ping per call would double its way; one that rested may have lost its server.
            .test_before_acquire(false)
            .before_acquire(|connection, rest| {
                Box::pin(async move {
                    if rest.idle_for > RESTED {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Self {
            pool,
            schema: schema.into(),
            engine: engine.into(),
            me: Uuid::from_u64_pair(fastrand::u64(..), 0)
                .simple()
                .to_string()
                .chars()
                .take(16)
                .collect::<String>()
                .into(),
            age_after: 0,
            poll: Duration::from_secs(1),
            signals: broadcast::Sender::new(SIGNALS),
            ready: Arc::new(Notify::new()),
            pushes: Arc::new(AtomicBool::new(false)),
        }
    }

    pub(super) fn ageing(self, after: Duration) -> Self {
        Self { age_after: micros(after), ..self }
    }

    pub(super) fn poll(self, poll: Duration) -> Self {
        Self { poll, ..self }
    }

    /// A statement with the names of the schemas in their places.
    pub(super) fn sql(&self, text: &str) -> AssertSqlSafe<String> {
        AssertSqlSafe(text.replace("@side@", &self.schema).replace("@engine@", &self.engine))
    }

    pub(super) fn pushes(&self) -> bool {
        self.pushes.load(Ordering::Relaxed)
    }

    pub(super) fn tell(&self, signal: Signal) {
        // Nobody listens: that is fine.
        drop(self.signals.send(signal));
    }

    pub(super) fn tell_ended(&self, ids: impl IntoIterator<Item = Uuid>) {
        for id in ids {
            self.tell(Signal::Ended(TaskId::from_uuid(id)));
        }
    }

    pub(super) fn wake(&self) {
        self.ready.notify_waiters();
    }

    /// Does what may be done twice, again if another call or a lost connection came between.
    pub(super) async fn repeat<T, F>(&self, mut work: impl FnMut(bool) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let (mut broken, mut tries) = (false, 0);
        loop {
            match work(broken).await {
                Err(error) if tries < TRIES && (is_conflict(&error) || is_broken(&error)) => {
                    tries += 1;
                    broken |= is_broken(&error);
                    sleep(Duration::from_millis(fastrand::u64(1..20) << tries)).await;
                }
                answer => return answer.map_err(failed),
            }
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("schema", &self.schema).field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// After this time a connection is asked whether it still works.
const RESTED: Duration = Duration::from_millis(500);
/// How many times a call is repeated; all connections may have been lost at once.
const TRIES: u32 = 4;
/// How many signals a slow reader may lag behind.
const SIGNALS: usize = 4_096;
