use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::SqlitePool;

use super::migration_error;
use crate::StorageError;

/// Every version of the schema, in order. A migration that was ever released is never edited: its checksum is stored
/// in each database, and a changed one is refused.
const MIGRATIONS: &[(i64, &str, &str)] = &[(1, "initial", include_str!("../../migrations/0001_initial.sql"))];

/// Brings the database to the newest schema; does nothing where it is there already.
pub(super) async fn run(writer: &SqlitePool) -> Result<(), StorageError> {
    let migrations = MIGRATIONS
        .iter()
        .map(|&(version, name, sql)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    Migrator::with_migrations(migrations).run(writer).await.map_err(migration_error)
}
