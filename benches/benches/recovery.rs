//! `bedplate-recovery` against the layers of `tower`, against `backon`, and against hand-written
//! code where that is what people write.
//!
//! What makes it fair: every subject calls the same operation with the same argument, and each
//! result is compared with what it has to be, inside of the measured loop. All are built once and
//! reused: ours as one shared pipeline, `tower` as one service per thread behind `ready().call()`
//! (no clone per call, no `Buffer`), `backon` from a builder that is copied. All judge errors by the
//! same predicate. Retries wait for nothing (`backon` gets a sleeper that is ready, since tokio's
//! shortest sleep takes up to a millisecond; `tower` a policy that returns `ready(())`), so that
//! what is measured is the machinery and not the timer. `backon` knows no time limits: it stands
//! inside `tokio::time::timeout`, as its users write it.
//!
//! Where the work is not the same, to whose cost: ours counts its calls by outcome, keeps the error
//! typed along with the number of attempts, and offers its events to `tracing`, which nobody
//! listens to here; the peers do none of that. `tower`'s time limit boxes the errors that go through
//! it. In `full_stack` ours has a circuit breaker that the peers lack, with the same stack without
//! it in `timeouts_and_retry`. A call that is ready at once needs no timer: ours makes none then,
//! the peers do; in the `pending` case the call waits once, so that everyone's timers are set.

#![expect(clippy::expect_used, reason = "a bench that cannot go on has no figures to give")]

use std::error::Error;
use std::fmt;
use std::future::{Future, Ready, poll_fn, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use backon::{ConstantBuilder, Retryable as _};
use bedplate_benches::{Settings, Suite, Work};
use bedplate_recovery::{CircuitBreaker, Classify, ErrorClass, Pipeline, Retry};
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

fn main() -> std::io::Result<()> {
    let mut suite = Suite::new("recovery", Settings::from_process());
    bare(&mut suite);
    retry(&mut suite, "retry", SUCCEEDS);
    retry(&mut suite, "retry_once", FAILS_ONCE);
    retry(&mut suite, "retry_exhausted", FAILS);
    retry(&mut suite, "permanent_error", IS_REFUSED);
    timeout(&mut suite);
    retry_in_timeout(&mut suite);
    timeouts_and_retry(&mut suite, "timeouts_and_retry", SUCCEEDS);
    timeouts_and_retry(&mut suite, "stack_retry_once", FAILS_ONCE);
    timeouts_and_retry(&mut suite, "stack_error", IS_REFUSED);
    pending(&mut suite);
    full_stack(&mut suite, "full_stack", 1);
    full_stack(&mut suite, "full_stack_2threads", 2);
    suite.finish()
}

/// No policy at all: what it costs to go through the thing.
fn bare(suite: &mut Suite) {
    if !suite.wants("bare") {
        return;
    }
    let pipeline = Pipeline::builder("bench").build().expect("valid settings");
    suite
        .case("bare")
        .ours(OURS, |work| {
            repeat(work, SUCCEEDS, async |n| pipeline.run(move |_| operation(n, 0, SUCCEEDS)).await);
        })
        .peer("tower", |work| serve(work, SUCCEEDS, service(SUCCEEDS)))
        .peer("await", |work| {
            repeat(work, SUCCEEDS, async |n| operation(n, 0, SUCCEEDS).await);
        })
        .run();
}

/// Up to three attempts around an operation that behaves as `fate` says.
fn retry(suite: &mut Suite, case: &'static str, fate: Fate) {
    if !suite.wants(case) {
        return;
    }
    let pipeline = Pipeline::builder("bench").retry(Retry::constant(Duration::ZERO)).build().expect("valid settings");
    suite
        .case(case)
        .ours(OURS, |work| {
            repeat(work, fate, async |n| pipeline.run(move |cx| operation(n, cx.attempt() - 1, fate)).await);
        })
        .peer("tower", |work| {
            let service = ServiceBuilder::new().layer(RetryLayer::new(Attempts(RETRIES))).service(service(fate));
            serve(work, fate, service);
        })
        .peer("backon", |work| {
            repeat(work, fate, async |n| retried(n, fate).await);
        })
        .run();
}

/// A time limit around an operation that is ready at once.
fn timeout(suite: &mut Suite) {
    if !suite.wants("timeout") {
        return;
    }
    let pipeline = Pipeline::builder("bench").timeout(TOTAL).build().expect("valid settings");
    suite
        .case("timeout")
        .ours(OURS, |work| {
            repeat(work, SUCCEEDS, async |n| pipeline.run(move |_| operation(n, 0, SUCCEEDS)).await);
        })
        .peer("tower", |work| {
            let service = ServiceBuilder::new().layer(TimeoutLayer::new(TOTAL)).service(service(SUCCEEDS));
            serve(work, SUCCEEDS, service);
        })
        .peer("tokio", |work| {
            repeat(work, SUCCEEDS, async |n| flat(tokio::time::timeout(TOTAL, operation(n, 0, SUCCEEDS)).await));
        })
        .run();
}

/// Up to three attempts within one time limit.
fn retry_in_timeout(suite: &mut Suite) {
    if !suite.wants("timeout_retry") {
        return;
    }
    let pipeline = Pipeline::builder("bench")
        .timeout(TOTAL)
        .retry(Retry::constant(Duration::ZERO))
        .build()
        .expect("valid settings");
    suite
        .case("timeout_retry")
        .ours(OURS, |work| {
            repeat(work, SUCCEEDS, async |n| pipeline.run(move |cx| operation(n, cx.attempt() - 1, SUCCEEDS)).await);
        })
        .peer("tower", |work| {
            let service = ServiceBuilder::new()
                .layer(TimeoutLayer::new(TOTAL))
                .layer(RetryLayer::new(Attempts(RETRIES)))
                .service(service(SUCCEEDS));
            serve(work, SUCCEEDS, service);
        })
        .peer("backon+tokio", |work| {
            repeat(work, SUCCEEDS, async |n| flat(tokio::time::timeout(TOTAL, retried(n, SUCCEEDS)).await));
        })
        .run();
}

/// A time limit, up to three attempts in it, and a limit for each: the same three layers for all.
fn timeouts_and_retry(suite: &mut Suite, case: &'static str, fate: Fate) {
    if !suite.wants(case) {
        return;
    }
    let pipeline = Pipeline::builder("bench")
        .timeout(TOTAL)
        .retry(Retry::constant(Duration::ZERO))
        .attempt_timeout(ATTEMPT)
        .build()
        .expect("valid settings");
    suite
        .case(case)
        .ours(OURS, |work| {
            repeat(work, fate, async |n| pipeline.run(move |cx| operation(n, cx.attempt() - 1, fate)).await);
        })
        .peer("tower", |work| stack_of_tower(work, fate))
        .peer("backon+tokio", |work| stack_of_backon(work, fate))
        .run();
}

/// The three layers around an operation that waits once, so that every timer is really set.
///
/// The waiting future is polled again at once and never handed back to the runtime, whose part
/// would be the same for all and larger than the rest.
fn pending(suite: &mut Suite) {
    if !suite.wants("pending") {
        return;
    }
    let pipeline = Pipeline::builder("bench")
        .timeout(TOTAL)
        .retry(Retry::constant(Duration::ZERO))
        .attempt_timeout(ATTEMPT)
        .build()
        .expect("valid settings");
    suite
        .case("pending")
        .ours(OURS, |work| {
            repeat(work, SUCCEEDS, async |n| eager(pipeline.run(move |_| waits(n))).await);
        })
        .peer("tower", |work| {
            let mut service = ServiceBuilder::new()
                .layer(TimeoutLayer::new(TOTAL))
                .layer(RetryLayer::new(Attempts(RETRIES)))
                .layer(TimeoutLayer::new(ATTEMPT))
                .service(service_fn(|request: Request| waits(request.n)));
            repeat(work, SUCCEEDS, async |n| {
                let request = Request { n, attempt: 0 };
                eager(service.ready().await?.call(request)).await
            });
        })
        .peer("backon+tokio", |work| {
            repeat(work, SUCCEEDS, async |n| {
                let once = move || async move { flat(tokio::time::timeout(ATTEMPT, waits(n)).await) };
                let retried = once.retry(constant()).sleep(|_| ready(())).when(Broken::is_transient);
                flat(eager(tokio::time::timeout(TOTAL, retried)).await)
            });
        })
        .run();
}

/// Everything that ours has for a call: both limits, retry, and a circuit breaker with its default
/// window of time. The peers have no breaker and do without.
fn full_stack(suite: &mut Suite, case: &'static str, threads: usize) {
    if !suite.wants(case) {
        return;
    }
    let breaker = CircuitBreaker::builder("bench").build().expect("valid settings");
    let pipeline = Pipeline::builder("bench")
        .timeout(TOTAL)
        .retry(Retry::constant(Duration::ZERO))
        .attempt_timeout(ATTEMPT)
        .breaker(breaker)
        .build()
        .expect("valid settings");
    suite
        .case(case)
        .threads(threads)
        .ours(OURS, |work| {
            repeat(work, SUCCEEDS, async |n| pipeline.run(move |cx| operation(n, cx.attempt() - 1, SUCCEEDS)).await);
        })
        .peer("tower", |work| stack_of_tower(work, SUCCEEDS))
        .peer("backon+tokio", |work| stack_of_backon(work, SUCCEEDS))
        .run();
}

fn stack_of_tower(work: Work, fate: Fate) {
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::new(TOTAL))
        .layer(RetryLayer::new(Attempts(RETRIES)))
        .layer(TimeoutLayer::new(ATTEMPT))
        .service(service(fate));
    serve(work, fate, service);
}

fn stack_of_backon(work: Work, fate: Fate) {
    repeat(work, fate, async |n| {
        let mut attempt = 0;
        let once = move || {
            attempt += 1;
            let call = operation(n, attempt - 1, fate);
            async move { flat(tokio::time::timeout(ATTEMPT, call).await) }
        };
        let retried = once.retry(constant()).sleep(|_| ready(())).when(Broken::is_transient);
        flat(tokio::time::timeout(TOTAL, retried).await)
    });
}

/// `backon` as its documentation shows it, with a counter for operations that ask for the attempt.
fn retried(n: u64, fate: Fate) -> impl Future<Output = Result<u64, Broken>> {
    let mut attempt = 0;
    let once = move || {
        attempt += 1;
        operation(n, attempt - 1, fate)
    };
    once.retry(constant()).sleep(|_| ready(())).when(Broken::is_transient)
}

fn constant() -> ConstantBuilder {
    ConstantBuilder::new().with_delay(Duration::ZERO).with_max_times(RETRIES)
}

/// What `tower` sends through its layers; the number of the attempt travels with it, which is what
/// its `Policy` is documented to do.
#[derive(Debug, Clone, Copy)]
struct Request {
    n: u64,
    attempt: u32,
}

fn service(fate: Fate) -> impl Service<Request, Response = u64, Error = Broken, Future: Future> + Clone {
    service_fn(move |request: Request| operation(request.n, request.attempt, fate))
}

/// The retry policy of `tower`'s documentation, with a judgment of the error.
#[derive(Debug, Clone, Copy)]
struct Attempts(usize);

impl<E: Judged> tower::retry::Policy<Request, u64, E> for Attempts {
    type Future = Ready<()>;

    fn retry(&mut self, request: &mut Request, result: &mut Result<u64, E>) -> Option<Self::Future> {
        let again = self.0 > 0 && result.as_ref().is_err_and(Judged::may_pass);
        again.then(|| {
            self.0 -= 1;
            request.attempt += 1;
            ready(())
        })
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(*request)
    }
}

/// The judgment of an error as it reaches `tower`'s policy: bare, or boxed by a time limit inside.
trait Judged {
    fn may_pass(&self) -> bool;
}

impl Judged for Broken {
    fn may_pass(&self) -> bool {
        self.is_transient()
    }
}

impl Judged for tower::BoxError {
    fn may_pass(&self) -> bool {
        self.downcast_ref::<Broken>().is_none_or(Broken::is_transient)
    }
}

/// What becomes of the attempts of a call: so many fail, the others succeed.
#[derive(Debug, Clone, Copy)]
struct Fate {
    failures: u32,
    with: Broken,
}

const SUCCEEDS: Fate = Fate::new(0, Broken::Connection);
const FAILS_ONCE: Fate = Fate::new(1, Broken::Connection);
const FAILS: Fate = Fate::new(u32::MAX, Broken::Connection);
const IS_REFUSED: Fate = Fate::new(u32::MAX, Broken::Request);

impl Fate {
    const fn new(failures: u32, with: Broken) -> Self {
        Self { failures, with }
    }
}

/// Stands for a call over a network: ready at once, and opaque to the compiler.
#[expect(clippy::unused_async, reason = "what is measured is what stands around an async call")]
async fn operation(n: u64, attempt: u32, fate: Fate) -> Result<u64, Broken> {
    if attempt < black_box(fate.failures) {
        return Err(fate.with);
    }
    Ok(black_box(n))
}

/// An operation that is ready when it is polled for the second time.
async fn waits(n: u64) -> Result<u64, Broken> {
    let mut asked = false;
    poll_fn(|_| {
        let answer = if asked { Poll::Ready(Ok(black_box(n))) } else { Poll::Pending };
        asked = true;
        answer
    })
    .await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Broken {
    /// May pass.
    Connection,
    /// Will not pass.
    Request,
    /// Out of time.
    Elapsed,
}

impl Broken {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the peers ask with a reference")]
    fn is_transient(&self) -> bool {
        matches!(self, Self::Connection | Self::Elapsed)
    }
}

impl Classify for Broken {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Connection => ErrorClass::Transient,
            Self::Request => ErrorClass::Permanent,
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

fn flat<T>(limited: Result<Result<T, Broken>, tokio::time::error::Elapsed>) -> Result<T, Broken> {
    limited.unwrap_or(Err(Broken::Elapsed))
}

fn serve<S>(work: Work, fate: Fate, mut service: S)
where
    S: Service<Request, Response = u64>,
{
    repeat(work, fate, async |n| {
        let request = Request { n, attempt: 0 };
        service.ready().await?.call(request).await
    });
}

/// Calls as often as asked, and compares each result with what three attempts have to give.
fn repeat<E>(work: Work, fate: Fate, mut call: impl AsyncFnMut(u64) -> Result<u64, E>) {
    let works = fate.failures < 3;
    block_on(async {
        for n in 0..work.iterations {
            let result = call(black_box(n)).await;
            assert_eq!(result.ok(), works.then_some(n), "a wrong result");
        }
    });
}

/// Polls until the future is ready, without a turn of the runtime in between.
async fn eager<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(move |task| {
        loop {
            if let Poll::Ready(value) = future.as_mut().poll(task) {
                return Poll::Ready(value);
            }
        }
    })
    .await
}

/// Unconstrained, since the sample is one task: tokio's budget of polls, meant for a task that does
/// not give way, would otherwise keep timers from being set.
fn block_on(future: impl Future<Output = ()>) {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(tokio::task::unconstrained(future)));
}

const OURS: &str = "bedplate-recovery";
const RETRIES: usize = 2;
const TOTAL: Duration = Duration::from_secs(30);
const ATTEMPT: Duration = Duration::from_secs(10);
