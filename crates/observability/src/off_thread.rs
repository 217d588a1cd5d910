//! A result of another thread, awaited in any runtime.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;

use parking_lot::Mutex;

struct Slot<T> {
    result: Option<T>,
    waker: Option<Waker>,
}

/// Runs `work` on a thread of its own; `None` if there can be none.
pub(crate) fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<impl Future<Output = T>> {
    let slot = Arc::new(Mutex::new(Slot { result: None, waker: None }));
    let own = Arc::clone(&slot);
    let run = move || {
        let result = work();
        let mut slot = own.lock();
        slot.result = Some(result);
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(run).ok()?;
    Some(poll_fn(move |context| {
        let mut slot = slot.lock();
        slot.result.take().map_or_else(
            || {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            },
            Poll::Ready,
        )
    }))
}
