use std::sync::Arc;
use std::time::Duration;

use crate::id::TaskId;
use crate::queue::Priority;
use crate::state::TaskState;

/// Hears what happens to tasks; it is called outside every lock and must neither block nor panic.
pub trait Observer: Send + Sync {
    /// Receives one event.
    fn observe(&self, event: &TaskEvent<'_>);
}

impl<O: Observer + ?Sized> Observer for Arc<O> {
    fn observe(&self, event: &TaskEvent<'_>) {
        (**self).observe(event);
    }
}

/// What happened to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TaskEvent<'a> {
    /// The pool took it.
    Submitted {
        /// The pool's name.
        pool: &'a str,
        /// The task.
        id: TaskId,
        /// Its kind.
        kind: &'a str,
        /// Its priority.
        priority: Priority,
    },
    /// The queue was full.
    Rejected {
        /// The pool's name.
        pool: &'a str,
        /// The task's kind.
        kind: &'a str,
    },
    /// A worker began it.
    Started {
        /// The pool's name.
        pool: &'a str,
        /// The task.
        id: TaskId,
        /// Its kind.
        kind: &'a str,
        /// How long it waited.
        waited: Duration,
    },
    /// It ended, in whatever way.
    Finished {
        /// The pool's name.
        pool: &'a str,
        /// The task.
        id: TaskId,
        /// Its kind.
        kind: &'a str,
        /// How it ended.
        state: TaskState,
        /// How long it ran; zero if it never did.
        ran: Duration,
    },
    /// Its worker went on without it, because its thread does not come back.
    Stuck {
        /// The pool's name.
        pool: &'a str,
        /// The task.
        id: TaskId,
        /// Its kind.
        kind: &'a str,
    },
}
