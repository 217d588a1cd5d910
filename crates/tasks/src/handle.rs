use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::stream::unfold;

use crate::cell::{Cell, Control as _};
use crate::error::TaskError;
use crate::id::TaskId;
use crate::pool::Shared;
use crate::progress::Progress;
use crate::queue::Ticket;
use crate::state::{CancelReason, TaskState};

/// A submitted task: awaited it gives the result.
///
/// It always resolves, also when the task panics, is cancelled, or the pool or the runtime goes. Dropping it
/// detaches the task, which goes on; with [`cancel_on_drop`](Self::cancel_on_drop) it is cancelled instead.
///
/// # Cancel safety
/// Awaiting `&mut handle` and dropping that future loses nothing.
#[must_use = "a task goes on without its handle; await it, or drop it on purpose"]
pub struct TaskHandle<T: Send + 'static, E: Send + 'static> {
    cell: Arc<Cell<T, E>>,
    pool: Arc<Shared>,
    ticket: Ticket,
    cancel_on_drop: bool,
}

impl<T: Send + 'static, E: Send + 'static> TaskHandle<T, E> {
    pub(crate) const fn new(cell: Arc<Cell<T, E>>, pool: Arc<Shared>, ticket: Ticket) -> Self {
        Self { cell, pool, ticket, cancel_on_drop: false }
    }

    /// Returns the task's id.
    #[must_use]
    pub fn id(&self) -> TaskId {
        self.cell.core().id()
    }

    /// Returns where the task is in its life.
    #[must_use]
    pub fn status(&self) -> TaskState {
        self.cell.state()
    }

    /// Returns the latest report of the task, if it made one.
    #[must_use]
    pub fn latest_progress(&self) -> Option<Progress> {
        self.cell.core().progress().0
    }

    /// Streams the task's reports, from the latest on; the stream ends with the task.
    ///
    /// Only the latest report is kept, so that a slow reader misses some.
    pub fn progress(&self) -> impl Stream<Item = Progress> + Send + use<T, E> {
        let cell = Arc::clone(&self.cell);
        unfold((cell, 0), |(cell, seen)| async move {
            loop {
                let changed = cell.core.changed.notified();
                let mut changed = std::pin::pin!(changed);
                changed.as_mut().enable();
                if let (Some(progress), version) = cell.core.progress()
                    && version > seen
                {
                    return Some((progress, (Arc::clone(&cell), version)));
                }
                if cell.state().is_final() {
                    return None;
                }
                changed.await;
            }
        })
    }

    /// Gives the task up.
    ///
    /// A waiting task ends at once and frees its slot. A running one is dropped at its present await, a blocking
    /// one is told by [`TaskContext::check`](crate::TaskContext::check). A task that has ended stays as it is.
    pub fn cancel(&self) {
        self.pool.cancel(&*self.cell, self.ticket, CancelReason::Requested);
    }

    /// Cancels the task when this handle is dropped before the task has ended.
    pub const fn cancel_on_drop(mut self) -> Self {
        self.cancel_on_drop = true;
        self
    }
}

impl<T: Send + 'static, E: Send + 'static> Future for TaskHandle<T, E> {
    type Output = Result<T, TaskError<E>>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        self.cell.poll_result(task.waker())
    }
}

impl<T: Send + 'static, E: Send + 'static> Drop for TaskHandle<T, E> {
    fn drop(&mut self) {
        if self.cancel_on_drop && !self.cell.state().is_final() {
            let reason = CancelReason::HandleDropped;
            self.pool.cancel(&*self.cell, self.ticket, reason);
        }
    }
}

impl<T: Send + 'static, E: Send + 'static> fmt::Debug for TaskHandle<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskHandle")
            .field("id", &self.id())
            .field("kind", &self.cell.core.kind)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
