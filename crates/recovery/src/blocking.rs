use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Instant;

use crate::class::Classify;
use crate::clock::Clock;
use crate::failure::Failure;
use crate::observer::{NoObserver, Observer};
use crate::pipeline::{Pipeline, PipelineStats};
use crate::policy::{Cx, Policy};

/// A pipeline for calls that block their thread; it needs no runtime.
///
/// It has the same policies as a [`Pipeline`], and may share breakers, budgets and bulkheads with one. What it cannot do
/// is interrupt a call that runs: a time limit ends waits and forbids further attempts, and the call itself should obey
/// [`Cx::deadline`]. Hedges never start, for nothing runs beside a call that blocks.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use bedplate_recovery::{Pipeline, Retry};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let read = Pipeline::builder("read").retry(Retry::constant(Duration::from_millis(1))).build_blocking()?;
/// let text = read.run(|cx| if cx.is_retry() { Ok("text") } else { Err(std::io::Error::from(std::io::ErrorKind::TimedOut)) })?;
/// assert_eq!(text, "text");
/// # Ok(()) }
/// ```
pub struct BlockingPipeline<P, O = NoObserver> {
    inner: Pipeline<P, ThreadClock, O>,
}

impl<P: Policy, O: Observer> BlockingPipeline<P, O> {
    pub(crate) const fn new(inner: Pipeline<P, ThreadClock, O>) -> Self {
        Self { inner }
    }

    /// Runs `op` under the policies on this thread; its errors are judged by their [`Classify`].
    ///
    /// # Errors
    /// Returns the last failure of `op` as [`Failure::Inner`], or the refusal of a policy.
    pub fn run<T, E>(&self, op: impl Fn(Cx) -> Result<T, E> + Send + Sync) -> Result<T, Failure<E>>
    where
        T: Send,
        E: Classify + Send,
    {
        block_on(self.inner.run(|cx| ready(op(cx))))
    }

    /// Returns the pipeline's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.inner.name()
    }

    /// Returns how the calls ended.
    #[must_use]
    pub fn stats(&self) -> PipelineStats {
        self.inner.stats()
    }
}

impl<P, O> Clone for BlockingPipeline<P, O> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<P: fmt::Debug, O> fmt::Debug for BlockingPipeline<P, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BlockingPipeline").field(&self.inner).finish()
    }
}

/// The clock of a thread that blocks: its sleeps end because [`block_on`] looks again in time.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ThreadClock;

thread_local! {
    /// When the soonest of the sleeps that were polled ends.
    static NEXT: Cell<Option<Instant>> = const { Cell::new(None) };
}

impl Clock for ThreadClock {
    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }

    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send {
        poll_fn(move |_| {
            if Self.now() >= at {
                return Poll::Ready(());
            }
            NEXT.set(Some(NEXT.get().map_or(at, |soonest| soonest.min(at))));
            Poll::Pending
        })
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future whose sleeps are [`ThreadClock`]'s on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    // Made only once something has to wait: most calls are ready at the first poll.
    if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        NEXT.set(None);
        return done;
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut task = Context::from_waker(&waker);
    loop {
        // A call inside of this one may have left its own.
        NEXT.set(None);
        if let Poll::Ready(done) = future.as_mut().poll(&mut task) {
            return done;
        }
        match NEXT.take() {
            Some(at) => std::thread::park_timeout(at.saturating_duration_since(ThreadClock.now())),
            None => std::thread::park(),
        }
    }
}
