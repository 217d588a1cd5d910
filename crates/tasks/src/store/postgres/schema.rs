use graphile_worker_database::{Database, Schema};
use graphile_worker_migrations::MigrateError;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use crate::store::error::StoreError;
use crate::store::postgres::NAME;
use crate::store::postgres::failure::failed;
use crate::store::postgres::link::Link;

/// The version of the schema that this code reads and writes.
const VERSION: i32 = 1;
/// The oldest server, as `server_version_num`.
const OLDEST_SERVER: i32 = 130_000;

const PARTS: [&str; 5] = [
    include_str!("sql/tables.sql"),
    include_str!("sql/finish.sql"),
    include_str!("sql/enqueue.sql"),
    include_str!("sql/claim.sql"),
    include_str!("sql/settle.sql"),
];

/// Makes the schemas, one process at a time.
pub(super) async fn migrate(link: &Link) -> Result<(), StoreError> {
    let mut connection = link.pool.acquire().await.map_err(failed)?.detach();
    let answer = migrate_alone(link, &mut connection).await;
    // The lock goes with the connection.
    drop(connection.close().await);
    answer
}

async fn migrate_alone(link: &Link, connection: &mut PgConnection) -> Result<(), StoreError> {
    server(connection).await?;
    let lock = link.sql("select pg_advisory_lock(hashtext('@engine@'), 0)");
    sqlx::query(lock).execute(&mut *connection).await.map_err(failed)?;
    match version(link, connection).await? {
        Some(VERSION) => return Ok(()),
        Some(other) => return Err(newer(other)),
        None => {}
    }
    engine(link).await?;
    let mut transaction = connection.begin().await.map_err(failed)?;
    let create = link.sql("create schema if not exists @side@");
    sqlx::raw_sql(create).execute(&mut *transaction).await.map_err(failed)?;
    for part in PARTS {
        // An index stands in its table's schema: its name tells whose it is.
        let index: String = format!("{}_others", link.schema).chars().take(63).collect();
        let AssertSqlSafe(sql) = link.sql(&part.replace("@index@", &index));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await.map_err(failed)?;
    }
    let insert = link.sql("insert into @side@.meta values ($1)");
    sqlx::query(insert).bind(VERSION).execute(&mut *transaction).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

/// The engine's own migrations.
async fn engine(link: &Link) -> Result<(), StoreError> {
    let migrated = graphile_worker_migrations::migrate(Database::from(&link.pool), Schema::new(&*link.engine)).await;
    migrated.map_err(|error| {
        let transient = matches!(&error, MigrateError::SqlError(error) if error.code().is_none());
        StoreError::backend(NAME, transient, error)
    })
}

/// Checks that the schemas are there.
pub(super) async fn check(link: &Link) -> Result<(), StoreError> {
    let mut connection = link.pool.acquire().await.map_err(failed)?;
    server(&mut connection).await?;
    match version(link, &mut connection).await? {
        Some(VERSION) => Ok(()),
        Some(other) => Err(newer(other)),
        None => Err(StoreError::invalid("schema", &link.schema, "one that was migrated")),
    }
}

async fn server(connection: &mut PgConnection) -> Result<(), StoreError> {
    let (number,): (i32,) = sqlx::query_as("select current_setting('server_version_num')::int")
        .fetch_one(connection)
        .await
        .map_err(failed)?;
    old_enough(number)
}

fn old_enough(number: i32) -> Result<(), StoreError> {
    if number < OLDEST_SERVER {
        return Err(StoreError::invalid("server version", number, "PostgreSQL 13 (130000) or newer"));
    }
    Ok(())
}

async fn version(link: &Link, connection: &mut PgConnection) -> Result<Option<i32>, StoreError> {
    let (there,): (bool,) = sqlx::query_as(link.sql("select to_regclass('@side@.meta') is not null"))
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !there {
        return Ok(None);
    }
    let version: Option<(i32,)> =
        sqlx::query_as(link.sql("select version from @side@.meta")).fetch_optional(connection).await.map_err(failed)?;
    Ok(version.map(|(version,)| version))
}

fn newer(version: i32) -> StoreError {
    StoreError::invalid("schema version", version, "at most 1, or a newer bedplate-tasks")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_server_is_refused() {
        assert!(matches!(old_enough(120_022), Err(StoreError::Invalid { field: "server version", .. })));
        assert!(old_enough(130_000).is_ok() && old_enough(150_018).is_ok());
    }
}
