//! What a task, its handle and its worker share: one allocation, settled exactly once by whoever comes first.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};
use std::time::Instant;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::error::TaskError;
use crate::id::TaskId;
use crate::progress::Progress;
use crate::state::{CancelReason, TaskState};

/// The part that does not depend on the types of the result.
pub(crate) struct Core {
    pub(crate) kind: Cow<'static, str>,
    /// What the submission settles; options may change until then.
    setup: OnceLock<Setup>,
    /// 0, or one more than the place of the reason in [`REASONS`].
    cancel: AtomicU8,
    /// Wakes the worker that runs the task when it is to be cancelled.
    pub(crate) worker: AtomicWaker,
    progress: Mutex<Reported>,
    /// Rings at each report of progress and at the end.
    pub(crate) changed: Notify,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) id: TaskId,
    pub(crate) deadline: Option<Instant>,
}

#[derive(Default)]
struct Reported {
    latest: Option<Progress>,
    version: u64,
}

const REASONS: [CancelReason; 5] = [
    CancelReason::Requested,
    CancelReason::HandleDropped,
    CancelReason::Shutdown,
    CancelReason::PoolDropped,
    CancelReason::RuntimeGone,
];

impl Core {
    pub(crate) fn new(kind: Cow<'static, str>) -> Self {
        Self {
            kind,
            setup: OnceLock::new(),
            cancel: AtomicU8::new(0),
            worker: AtomicWaker::new(),
            progress: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Fixes id and deadline; a task that was given back and is submitted again keeps its first ones.
    pub(crate) fn set_up(&self, id: Option<TaskId>, deadline: Option<Instant>) -> Setup {
        *self.setup.get_or_init(|| Setup { id: id.unwrap_or_else(TaskId::generate), deadline })
    }

    pub(crate) fn id(&self) -> TaskId {
        self.setup.get().map_or_else(|| TaskId::from_uuid(Uuid::nil()), |setup| setup.id)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.setup.get().and_then(|setup| setup.deadline)
    }

    pub(crate) fn request_cancel(&self, reason: CancelReason) {
        let place = REASONS.iter().position(|known| *known == reason);
        let code = place.and_then(|place| u8::try_from(place + 1).ok());
        // The first reason stands.
        let first = self.cancel.compare_exchange(0, code.unwrap_or(1), Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            self.worker.wake();
        }
    }

    pub(crate) fn cancel_reason(&self) -> Option<CancelReason> {
        let code = usize::from(self.cancel.load(Ordering::Acquire));
        REASONS.get(code.checked_sub(1)?).copied()
    }

    pub(crate) fn report(&self, progress: Progress) {
        {
            let mut reported = self.progress.lock();
            reported.latest = Some(progress);
            reported.version += 1;
        }
        self.changed.notify_waiters();
    }

    pub(crate) fn progress(&self) -> (Option<Progress>, u64) {
        let reported = self.progress.lock();
        (reported.latest.clone(), reported.version)
    }
}

/// What the pool may do with a task whose types it does not know.
pub(crate) trait Control: Send + Sync {
    fn core(&self) -> &Core;
    fn state(&self) -> TaskState;
    /// Says that a worker has it; false if it is over already.
    fn start(&self) -> bool;
    /// Ends it without a value; false if it had ended.
    fn end(&self, end: TaskError<Never>) -> bool;
    /// Wakes those who wait for the end. It is apart from the end so that whoever is woken finds it counted.
    fn announce(&self);
}

/// The error of an end that is none of the task's own errors.
#[derive(Debug)]
pub(crate) enum Never {}

pub(crate) struct Cell<T, E> {
    pub(crate) core: Core,
    slot: Mutex<Slot<T, E>>,
}

struct Slot<T, E> {
    state: TaskState,
    result: Option<Result<T, TaskError<E>>>,
    waker: Option<Waker>,
}

impl<T, E> Cell<T, E> {
    pub(crate) fn new(core: Core) -> Self {
        Self { core, slot: Mutex::new(Slot { state: TaskState::Pending, result: None, waker: None }) }
    }

    /// Settles the task with what it returned; an error of a task that is being cancelled is its cancel.
    pub(crate) fn finish(&self, result: Result<T, E>) -> Option<TaskState> {
        self.settle(match (result, self.core.cancel_reason()) {
            (Ok(value), _) => Ok(value),
            (Err(_), Some(reason)) => Err(TaskError::Cancelled { reason }),
            (Err(error), None) => Err(TaskError::Failed(error)),
        })
    }

    /// Tells the state that the task now has, if this was its end; [`Control::announce`] is to follow.
    fn settle(&self, result: Result<T, TaskError<E>>) -> Option<TaskState> {
        let state = match &result {
            Ok(_) => TaskState::Completed,
            Err(error) => error.state(),
        };
        let mut slot = self.slot.lock();
        if slot.state.is_final() {
            return None;
        }
        slot.state = state;
        slot.result = Some(result);
        Some(state)
    }

    pub(crate) fn poll_result(&self, waker: &Waker) -> Poll<Result<T, TaskError<E>>> {
        let mut slot = self.slot.lock();
        if let Some(result) = slot.result.take() {
            return Poll::Ready(result);
        }
        if slot.state.is_final() {
            return Poll::Ready(Err(TaskError::ResultTaken));
        }
        match &mut slot.waker {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        Poll::Pending
    }
}

impl<T: Send, E: Send> Control for Cell<T, E> {
    fn core(&self) -> &Core {
        &self.core
    }

    fn state(&self) -> TaskState {
        self.slot.lock().state
    }

    fn start(&self) -> bool {
        let mut slot = self.slot.lock();
        let waits = slot.state == TaskState::Pending;
        if waits {
            slot.state = TaskState::Running;
        }
        waits
    }

    fn end(&self, end: TaskError<Never>) -> bool {
        self.settle(Err(match end {
            TaskError::Failed(never) => match never {},
            TaskError::Panicked { message } => TaskError::Panicked { message },
            TaskError::TimedOut { after } => TaskError::TimedOut { after },
            TaskError::Cancelled { reason } => TaskError::Cancelled { reason },
            TaskError::ResultTaken => TaskError::ResultTaken,
        }))
        .is_some()
    }

    fn announce(&self) {
        let waker = self.slot.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
        self.core.changed.notify_waiters();
    }
}

/// A task on its way to or through a worker. Dropped before its end it is cancelled, so that no handle hangs.
pub(crate) struct Claim {
    control: Arc<dyn Control>,
    owed: bool,
}

impl Claim {
    pub(crate) fn new(control: Arc<dyn Control>) -> Self {
        let owed = true;
        Self { control, owed }
    }

    pub(crate) const fn control(&self) -> &Arc<dyn Control> {
        &self.control
    }

    /// Says that the task has ended, or was never begun, so that the drop owes it nothing.
    pub(crate) fn defuse(mut self) {
        self.owed = false;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.owed {
            let core = self.control.core();
            let reason = core.cancel_reason().unwrap_or(CancelReason::RuntimeGone);
            self.control.end(TaskError::Cancelled { reason });
            self.control.announce();
        }
    }
}
