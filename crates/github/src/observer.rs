use std::fmt;
use std::time::Duration;

use crate::GitHubError;

/// What happened in a client.
#[derive(Debug)]
#[non_exhaustive]
pub enum GitHubEvent<'a> {
    /// One request was answered.
    #[non_exhaustive]
    Answered {
        /// The operation: `issues.create`.
        operation: &'static str,
        /// The status.
        status: u16,
        /// How long it took.
        took: Duration,
    },
    /// A call failed for good.
    #[non_exhaustive]
    Failed {
        /// The operation.
        operation: &'static str,
        /// The error.
        error: &'a GitHubError,
    },
}

/// Hears what happens in a client, as to count it.
///
/// It is called outside of every lock, and must be quick.
pub trait Observer: Send + Sync + 'static {
    /// Hears one event.
    fn on_event(&self, event: &GitHubEvent<'_>);
}

impl<F: Fn(&GitHubEvent<'_>) + Send + Sync + 'static> Observer for F {
    fn on_event(&self, event: &GitHubEvent<'_>) {
        self(event);
    }
}

impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
