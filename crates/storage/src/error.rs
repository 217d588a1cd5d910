use std::error::Error;

/// What a store refuses or fails to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// A row that the call needs does not exist.
    #[error("no {entity} has the id {id}")]
    NotFound {
        /// The kind of row: `user`, `session`, `interaction`.
        entity: &'static str,
        /// The id that was looked for.
        id: String,
    },
    /// A row with the same unique value exists already.
    #[error("a {entity} with this {field} exists already: {value:?}")]
    Conflict {
        /// The kind of row.
        entity: &'static str,
        /// The unique field.
        field: &'static str,
        /// The value that is taken.
        value: String,
    },
    /// A value that no store takes.
    #[error("{field} is {value}, expected {expected}")]
    Invalid {
        /// The field or setting.
        field: &'static str,
        /// What was given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A stored value that this version cannot read.
    #[error("{entity} {id} holds an unreadable {field}")]
    Corrupt {
        /// The kind of row.
        entity: &'static str,
        /// Its id.
        id: String,
        /// The column.
        field: &'static str,
    },
    /// The store or the recorder is closed.
    #[error("the store is closed")]
    Closed,
    /// The recorder's queue is full; the interaction was not taken.
    #[error("the recorder's queue is full ({capacity} interactions)")]
    QueueFull {
        /// The queue's bound.
        capacity: usize,
    },
    /// The database file cannot be opened; it is created where it is missing, the folders above it are not.
    #[error("database {path} cannot be opened")]
    Unopened {
        /// The file.
        path: String,
        /// The driver's error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The database failed.
    #[error("{operation} failed in the database")]
    Database {
        /// What was being done, as "record interactions".
        operation: &'static str,
        /// Whether the same call may succeed later: the database was busy or out of reach.
        transient: bool,
        /// The driver's error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The schema could not be brought to this version.
    #[error("the database schema could not be migrated")]
    Migration {
        /// The driver's error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl StorageError {
    /// Returns whether the same call may succeed when it is made again later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database { transient, .. } => *transient,
            Self::QueueFull { .. } => true,
            _ => false,
        }
    }
}
