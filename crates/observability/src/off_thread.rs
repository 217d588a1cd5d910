//! A result of another thread, awaited in any runtime.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::thread;

use parking_lot::Mutex;

struct Slot<T> {
    result: Option<thread::Result<T>>,
    waker: Option<Waker>,
}

/// Runs `work` on a thread of its own; `None` if there can be none. Its panic is the awaiter's.
pub(crate) fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<impl Future<Output = T>> {
    let slot = Arc::new(Mutex::new(Slot { result: None, waker: None }));
    let own = Arc::clone(&slot);
    let run = move || {
        let result = catch_unwind(AssertUnwindSafe(work));
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
            |result| Poll::Ready(result.unwrap_or_else(|panic| resume_unwind(panic))),
        )
    }))
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    struct Told(Arc<Mutex<bool>>);

    impl Drop for Told {
        fn drop(&mut self) {
            *self.0.lock() = true;
        }
    }

    #[test]
    fn a_panic_there_is_a_panic_here_and_no_hang() {
        let own = Arc::new(Mutex::new(false));
        let done = Arc::clone(&own);
        let future = run("panics", move || {
            let _told = Told(done);
            assert!(std::hint::black_box(false), "on purpose");
        });
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut future = pin!(future.unwrap());
            for _ in 0..10_000_000 {
                if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
                    return true;
                }
                thread::yield_now();
            }
            false
        }));
        assert!(polled.is_err() && *own.lock());
    }
}
