use std::fmt;
use std::sync::Arc;

use sqlx::PgConnection;
use sqlx::postgres::PgConnectOptions;

use crate::store::error::StoreError;
use crate::store::new_job::{Enqueued, NewJob};
use crate::store::postgres::config::PostgresBuilder;
use crate::store::postgres::enqueue::Columns;
use crate::store::postgres::failure::failed;
use crate::store::postgres::intake::Intake;
use crate::store::postgres::io::Io;
use crate::store::postgres::link::Link;
use crate::store::postgres::listen::listen;
use crate::store::validate;

/// Jobs in PostgreSQL, on the Graphile Worker engine: durable, shared by any number of hosts, taken in within transactions
/// of the caller's own.
///
/// A clone is a handle to the same connections. When the last one is dropped, what was asked for is still done.
///
/// # Examples
/// ```no_run
/// use bedplate_tasks::store::{JobStore, NewJob, PostgresStore};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::connect("postgres://app:secret@localhost/shop").await?;
/// let id = store.enqueue(vec![NewJob::new("greet.v1", b"\"world\"".to_vec())]).await?[0].id();
/// assert!(store.job(id).await?.is_some());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct PostgresStore {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) io: Io,
    pub(super) link: Link,
    pub(super) intake: Intake,
}

impl PostgresStore {
    /// Connects with the default settings, making the schemas if they are not there.
    ///
    /// # Errors
    /// As [`PostgresBuilder::connect`].
    pub async fn connect(url: impl Into<String>) -> Result<Self, StoreError> {
        Self::builder(url).connect().await
    }

    /// Makes or renews the schemas with their default names, and connects no further.
    ///
    /// # Errors
    /// As [`PostgresBuilder::connect`].
    pub async fn migrate(url: impl Into<String>) -> Result<(), StoreError> {
        Self::builder(url).migrate().await
    }

    /// Sets up a store on the server at this URL, `postgres://user:password@host:port/database`.
    pub fn builder(url: impl Into<String>) -> PostgresBuilder {
        PostgresBuilder::new(url.into())
    }

    pub(super) fn start(io: Io, link: Link, listen_to: &PgConnectOptions) -> Self {
        io.background(listen(link.clone(), listen_to.clone()));
        let intake = Intake::start(&io, &link);
        Self { shared: Arc::new(Shared { io, link, intake }) }
    }

    /// Takes jobs in within a transaction of the caller's: they exist if and only if it commits. Workers hear of them with
    /// the commit.
    ///
    /// # Errors
    /// As [`JobStore::enqueue`](crate::store::JobStore::enqueue); the transaction can only be rolled back then.
    ///
    /// # Cancel safety
    /// Roll the transaction back if the call was dropped.
    ///
    /// # Examples
    /// ```no_run
    /// use bedplate_tasks::sqlx::{self, Connection, PgConnection};
    /// use bedplate_tasks::store::{NewJob, PostgresStore};
    ///
    /// # async fn example(store: PostgresStore, mut mine: PgConnection) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut transaction = mine.begin().await?;
    /// sqlx::query("insert into orders values (7)").execute(&mut *transaction).await?;
    /// let id = store.enqueue_in(&mut transaction, vec![NewJob::new("ship.v1", b"7".to_vec())]).await?[0].id();
    /// transaction.commit().await?;
    /// # let _ = id; Ok(()) }
    /// ```
    pub async fn enqueue_in(
        &self,
        transaction: &mut PgConnection,
        jobs: Vec<NewJob>,
    ) -> Result<Vec<Enqueued>, StoreError> {
        validate::jobs(&jobs)?;
        Columns::new(jobs)?.enqueue(&self.shared.link, transaction).await.map_err(failed)
    }

    /// Lets waiting claims of this process look at once.
    pub fn notify(&self) {
        self.shared.link.wake();
    }

    /// Does what was asked for, and closes the connections; every later call fails with [`StoreError::Closed`].
    pub async fn close(&self) {
        self.shared.link.wake();
        let link = self.shared.link.clone();
        let goodbye = async move {
            let sql = link.sql("delete from @side@.listeners where id = $1");
            sqlx::query(sql).bind(&*link.me).execute(&link.pool).await.map(drop).map_err(failed)
        };
        // Who cannot say goodbye is forgotten soon.
        drop(self.shared.io.run(goodbye).await);
        self.shared.intake.close();
        self.shared.io.close().await;
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let link = &self.shared.link;
        f.debug_struct("PostgresStore")
            .field("schema", &link.schema)
            .field("engine_schema", &link.engine)
            .finish_non_exhaustive()
    }
}
