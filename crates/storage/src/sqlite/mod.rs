//! The store in a SQLite file.
//!
//! # One writer
//!
//! SQLite lets one connection write at a time. A pool of equals makes the others wait and, in deferred transactions,
//! fail with "database is locked" although they had already begun (15 of 25 concurrent writes in rustrak/rustrak#131,
//! none with one writer). So every write goes through a pool of exactly one connection and begins `IMMEDIATE`, and
//! reads go through read-only connections that the write-ahead log never blocks. The alternative, a retry loop around
//! `SQLITE_BUSY`, trades an error for a stall of unknown length.

mod interactions;
mod migrations;
mod model_cache;
mod sessions;
mod users;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row as _, Sqlite, Transaction};

use crate::{StorageError, Store, Timestamp};

/// The settings of a [`SqliteStore`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SqliteConfig {
    /// The database file; it and nothing above it is created where it is missing. Default `bedplate.db`.
    pub path: PathBuf,
    /// The read-only connections, 1 to 64, default 4. Each costs a thread and up to 2 MiB of page cache; too few make
    /// reads wait for one another, too many only cost memory.
    pub readers: u32,
    /// How long a call waits for a connection or for another process that writes, default 5 s. Too short fails under
    /// a burst, too long hides a stuck process.
    pub busy_timeout: Duration,
    /// Whether a commit survives a loss of power. Default [`Durability::Normal`].
    pub durability: Durability,
}

/// What a commit to the SQLite file survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Durability {
    /// The end of the process at any point; the last commits may be undone by a loss of power, the file stays whole
    /// (`synchronous = NORMAL` with a write-ahead log).
    #[default]
    Normal,
    /// A loss of power too, for one sync of the file per commit (`synchronous = FULL`).
    Full,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("bedplate.db"),
            readers: 4,
            busy_timeout: Duration::from_secs(5),
            durability: Durability::Normal,
        }
    }
}

/// A store in a SQLite file with a write-ahead log.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the file at `path` with the default settings, creating it where it is missing, and brings its schema to
    /// this version.
    ///
    /// # Errors
    /// [`StorageError::Database`] if the file cannot be opened, [`StorageError::Migration`] if it holds a newer or
    /// altered schema.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        Self::with_config(SqliteConfig { path: path.as_ref().to_path_buf(), ..SqliteConfig::default() }).await
    }

    /// Opens a file with these settings.
    ///
    /// # Errors
    /// [`StorageError::Invalid`] for a setting out of bounds, else as [`open`](Self::open).
    pub async fn with_config(config: SqliteConfig) -> Result<Self, StorageError> {
        if !(1..=64).contains(&config.readers) {
            return Err(StorageError::Invalid {
                field: "sqlite.readers",
                value: config.readers.to_string(),
                expected: "1 to 64 connections",
            });
        }
        let path = config.path.to_string_lossy();
        if path.is_empty() || path == ":memory:" || path.starts_with("file:") {
            return Err(StorageError::Invalid {
                field: "sqlite.path",
                value: format!("{path:?}"),
                expected: "the path of a file; a MemoryStore keeps records in memory",
            });
        }
        let options = SqliteConnectOptions::new()
            .filename(&config.path)
            .foreign_keys(true)
            .busy_timeout(config.busy_timeout)
            .synchronous(match config.durability {
                Durability::Normal => SqliteSynchronous::Normal,
                Durability::Full => SqliteSynchronous::Full,
            });
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(config.busy_timeout)
            .connect_with(options.clone().create_if_missing(true).journal_mode(SqliteJournalMode::Wal))
            .await
            .map_err(|source| unopened(&config.path, source))?;
        migrations::run(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(config.readers)
            .acquire_timeout(config.busy_timeout)
            .connect_with(options.read_only(true))
            .await
            .map_err(|source| failed("open the database for reading", source))?;
        Ok(Self { writer, readers })
    }

    async fn begin(&self, operation: &'static str) -> Result<Transaction<'static, Sqlite>, StorageError> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(|source| failed(operation, source))
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    async fn ping(&self) -> Result<(), StorageError> {
        let write = self.begin("ping").await?;
        write.rollback().await.map_err(|source| failed("ping", source))?;
        sqlx::query("SELECT 1").execute(&self.readers).await.map(drop).map_err(|source| failed("ping", source))
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn unopened(path: &Path, source: sqlx::Error) -> StorageError {
    StorageError::Unopened { path: path.display().to_string(), source: Box::new(source) }
}

/// Names the operation that failed, and tells a busy or closed database from a broken one.
fn failed(operation: &'static str, source: sqlx::Error) -> StorageError {
    let transient = match &source {
        sqlx::Error::PoolClosed => return StorageError::Closed,
        sqlx::Error::PoolTimedOut | sqlx::Error::Io(_) => true,
        // Primary result codes, which extended ones keep in their low byte: busy, locked, read-only, interrupted, I/O error,
        // full, cannot open and protocol are of the moment; all others, as a broken constraint, are of the row.
        sqlx::Error::Database(error) => error
            .code()
            .and_then(|code| code.parse::<u32>().ok())
            .is_some_and(|code| matches!(code & 0xff, 5 | 6 | 8 | 9 | 10 | 13 | 14 | 15)),
        _ => false,
    };
    StorageError::Database { operation, transient, source: Box::new(source) }
}

fn corrupt(entity: &'static str, id: &str, field: &'static str) -> StorageError {
    StorageError::Corrupt { entity, id: id.to_owned(), field }
}

/// Reads one column, naming the row in the error.
fn column<'r, T>(row: &'r SqliteRow, entity: &'static str, id: &str, field: &'static str) -> Result<T, StorageError>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(field).map_err(|_| corrupt(entity, id, field))
}

fn id_column(row: &SqliteRow, entity: &'static str, field: &'static str) -> Result<String, StorageError> {
    column(row, entity, "?", field)
}

fn millis(timestamp: Option<i64>) -> Option<Timestamp> {
    timestamp.map(Timestamp::from_millis)
}

fn migration_error(source: impl Into<Box<dyn Error + Send + Sync>>) -> StorageError {
    StorageError::Migration { source: source.into() }
}
