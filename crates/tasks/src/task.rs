use std::borrow::Cow;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cell::{Cell, Core};
use crate::context::TaskContext;
use crate::id::TaskId;
use crate::queue::Priority;
use crate::state::TaskState;

/// A piece of work that a pool is to do, as a closure.
///
/// The closure returns a `Result`; its error comes back as [`TaskError::Failed`](crate::TaskError::Failed). For
/// work that cannot fail there is [`Task::infallible`].
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use bedplate_tasks::{Priority, Task};
///
/// let task = Task::new("resize", |cx| async move {
///     cx.progress(0.5, "decoded");
///     Ok::<_, std::io::Error>(42)
/// })
/// .priority(Priority::High)
/// .timeout(Duration::from_secs(5));
/// # drop(task);
/// ```
#[must_use = "a task does nothing until a pool has it"]
pub struct Task<T, E> {
    pub(crate) cell: Arc<Cell<T, E>>,
    pub(crate) body: Body,
    pub(crate) id: Option<TaskId>,
    pub(crate) priority: Priority,
    pub(crate) timeout: Option<Duration>,
    pub(crate) deadline: Option<Instant>,
}

/// The work, which puts its result into the cell by itself and tells the state if that was the task's end.
pub(crate) enum Body {
    Async(Pin<Box<dyn Future<Output = Option<TaskState>> + Send>>),
    Blocking(Box<dyn FnOnce() -> Option<TaskState> + Send>),
}

impl<T: Send + 'static, E: Send + 'static> Task<T, E> {
    /// Describes async work of the given kind.
    ///
    /// The future runs on a worker of the pool. When the task is cancelled or out of time the future is dropped
    /// at its present await. It must not block: a blocked worker can neither be cancelled nor timed out.
    pub fn new<F, Fut>(kind: impl Into<Cow<'static, str>>, work: F) -> Self
    where
        F: FnOnce(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        let cell = Arc::new(Cell::new(Core::new(kind.into())));
        let own = Arc::clone(&cell);
        let body = Body::Async(Box::pin(async move {
            let result = work(TaskContext::new(Arc::clone(&own) as _)).await;
            own.finish(result)
        }));
        Self::of(cell, body)
    }

    /// Describes blocking or CPU-bound work of the given kind, which runs on a thread for such work.
    ///
    /// It cannot be stopped from outside: it is to call [`TaskContext::check`] in its loops. Out of time, its
    /// handle is told so at once; the worker waits for the thread for the pool's
    /// [`stuck_after`](crate::PoolConfig::stuck_after) and then goes on without it.
    pub fn blocking<F>(kind: impl Into<Cow<'static, str>>, work: F) -> Self
    where
        F: FnOnce(TaskContext) -> Result<T, E> + Send + 'static,
    {
        let cell = Arc::new(Cell::new(Core::new(kind.into())));
        let own = Arc::clone(&cell);
        let body = Body::Blocking(Box::new(move || {
            let result = work(TaskContext::new(Arc::clone(&own) as _));
            own.finish(result)
        }));
        Self::of(cell, body)
    }

    fn of(cell: Arc<Cell<T, E>>, body: Body) -> Self {
        Self { cell, body, id: None, priority: Priority::default(), timeout: None, deadline: None }
    }
}

impl<T: Send + 'static> Task<T, Infallible> {
    /// Describes async work that returns its value itself, not a `Result`.
    ///
    /// It may still panic, time out or be cancelled, so that its handle gives a `Result` nevertheless.
    pub fn infallible<F, Fut>(kind: impl Into<Cow<'static, str>>, work: F) -> Self
    where
        F: FnOnce(TaskContext) -> Fut + Send + 'static,
        Fut: Future<Output = T> + Send,
    {
        Self::new(kind, |cx| async move { Ok(work(cx).await) })
    }
}

impl<T, E> Task<T, E> {
    /// Lets the task overtake those of lower priority.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Limits how long the task may run, instead of the pool's default; above zero, at most 366 days (a longer one is
    /// cut to that, and zero is over at once).
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Gives the task up at `deadline`, whether it runs by then or still waits; the time-out counts too, the
    /// sooner one wins.
    ///
    /// A waiting task is not woken for it: it is found over when a worker gets to it.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Gives the task an id from elsewhere; by default it gets a new one when it is submitted.
    pub fn id(mut self, id: TaskId) -> Self {
        self.id = Some(id);
        self
    }

    /// Returns the task's kind.
    pub fn kind(&self) -> &str {
        &self.cell.core.kind
    }
}

impl<T, E> fmt::Debug for Task<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("kind", &self.kind())
            .field("priority", &self.priority)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
