//! The work that every subject does, and the loops around it.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bedplate_benches::Work;
use bedplate_recovery::{Classify, ErrorClass};
use parking_lot::Mutex;
use tower::{Service, ServiceExt as _, service_fn};

/// What travels through the services; the number of the attempt travels with it, which is what
/// `tower`'s `Policy` is documented to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) n: u64,
    pub(crate) attempt: u32,
}

/// What becomes of the attempts of a call: so many fail, the others succeed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fate {
    failures: u32,
    with: Broken,
    /// Whether each attempt has to wait once, so that everyone's timers are set.
    waits: bool,
}

pub(crate) const SUCCEEDS: Fate = Fate::new(0, Broken::Connection);
pub(crate) const FAILS_ONCE: Fate = Fate::new(1, Broken::Connection);
pub(crate) const FAILS: Fate = Fate::new(u32::MAX, Broken::Connection);
pub(crate) const IS_REFUSED: Fate = Fate::new(u32::MAX, Broken::Request);
pub(crate) const WAITS: Fate = Fate { waits: true, ..SUCCEEDS };

impl Fate {
    const fn new(failures: u32, with: Broken) -> Self {
        Self { failures, with, waits: false }
    }
}

/// Stands for a call over a network: opaque to the compiler, and ready at once or when it is polled for the second time.
pub(crate) async fn operation(n: u64, attempt: u32, fate: Fate) -> Result<u64, Broken> {
    if fate.waits {
        let mut asked = false;
        poll_fn(|task| {
            if asked {
                return Poll::Ready(());
            }
            asked = true;
            task.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
    if attempt < black_box(fate.failures) {
        return Err(fate.with);
    }
    Ok(black_box(n))
}

pub(crate) fn service(
    fate: Fate,
) -> impl Service<Request, Response = u64, Error = Broken, Future: Future<Output = Result<u64, Broken>> + Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(move |request: Request| operation(request.n, request.attempt, fate))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// May pass.
    Connection,
    /// Will not pass.
    Request,
    /// Out of time.
    Elapsed,
    /// Refused by a policy of the peer.
    Rejected,
}

impl Broken {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the peers ask with a reference")]
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Connection | Self::Elapsed)
    }
}

impl Classify for Broken {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Connection => ErrorClass::Transient,
            Self::Request | Self::Rejected => ErrorClass::Permanent,
            Self::Elapsed => ErrorClass::Timeout,
        }
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("operation failed")
    }
}

impl Error for Broken {}

pub(crate) fn flat<T>(limited: Result<Result<T, Broken>, tokio::time::error::Elapsed>) -> Result<T, Broken> {
    limited.unwrap_or(Err(Broken::Elapsed))
}

/// Sends the work through a service behind `ready().call()`.
pub(crate) fn serve<S>(work: Work, fate: Fate, mut service: S)
where
    S: Service<Request, Response = u64>,
{
    repeat(work, fate, async |n| {
        let request = Request { n, attempt: 0 };
        service.ready().await?.call(request).await
    });
}

/// A service of which each thread takes a clone, once for each sample, so that all share its state.
pub(crate) struct Shared<S>(Mutex<S>);

impl<S: Clone + Service<Request, Response = u64>> Shared<S> {
    pub(crate) const fn new(service: S) -> Self {
        Self(Mutex::new(service))
    }

    pub(crate) fn get(&self) -> S {
        self.0.lock().clone()
    }

    pub(crate) fn serve(&self, work: Work, fate: Fate) {
        serve(work, fate, self.get());
    }
}

/// Calls as often as asked, and compares each result with what three attempts have to give.
pub(crate) fn repeat<E>(work: Work, fate: Fate, mut call: impl AsyncFnMut(u64) -> Result<u64, E>) {
    let works = fate.failures < 3;
    block_on(async {
        for n in 0..work.iterations {
            let call = call(black_box(n));
            let result = if fate.waits { eager(call).await } else { call.await };
            assert_eq!(result.ok(), works.then_some(n), "a wrong result");
        }
    });
}

/// Polls until the future is ready, without a turn of the runtime in between and without waking it: the runtime's part
/// would be the same for all and larger than the rest.
async fn eager<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(move |_| {
        let mut task = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(&mut task) {
                return Poll::Ready(value);
            }
        }
    })
    .await
}

/// Unconstrained, since the sample is one task: tokio's budget of polls, meant for a task that does
/// not give way, would otherwise keep timers from being set.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(tokio::task::unconstrained(future)))
}
