use std::time::Duration;

use bedplate_recovery::{Classify, ErrorClass};

use crate::id::TaskId;

/// Why a store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No more jobs may wait.
    #[error("store is full: {capacity} jobs wait")]
    Full {
        /// How many may.
        capacity: usize,
    },
    /// The store does not have this job, or not any more.
    #[error("job {0} is unknown or expired")]
    Unknown(TaskId),
    /// Something of the request is not what it must be.
    #[error("{field} is {value}, expected {expected}")]
    Invalid {
        /// What.
        field: &'static str,
        /// What it is.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// The store has no such feature; see its [`Capabilities`](crate::store::Capabilities).
    #[error("{store} store cannot do {what}")]
    Unsupported {
        /// The store.
        store: &'static str,
        /// The feature.
        what: &'static str,
    },
    /// The engine behind the store failed or cannot be reached.
    #[error("{store} store failed")]
    Backend {
        /// The store.
        store: &'static str,
        /// Whether the same call may succeed later.
        transient: bool,
        /// What the engine says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store is closed.
    #[error("store is closed")]
    Closed,
}

impl StoreError {
    /// Says whether the same call may succeed later.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Backend { transient: true, .. })
    }

    /// Wraps a failure of the engine.
    #[must_use]
    pub fn backend(
        store: &'static str,
        transient: bool,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Backend { store, transient, source: source.into() }
    }

    pub(crate) fn invalid(field: &'static str, value: impl std::fmt::Display, expected: &'static str) -> Self {
        Self::Invalid { field, value: value.to_string(), expected }
    }
}

impl Classify for StoreError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Full { .. } => ErrorClass::Overload { after: None },
            Self::Backend { transient: true, .. } => ErrorClass::Transient,
            _ => ErrorClass::Permanent,
        }
    }
}

/// The longest delay that a store accepts.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_hours(24 * 366 * 10);
