//! The policies that `tower` and `backon` have too: retry and time limits, alone and stacked.

use std::future::{Future, Ready, ready};
use std::time::Duration;

use backon::{ConstantBuilder, Retryable as _};
use bedplate_benches::{Suite, Work};
use bedplate_recovery::{Pipeline, Retry};
use layered::Service as _;
use tower::ServiceBuilder;
use tower::retry::RetryLayer;
use tower::timeout::TimeoutLayer;

use crate::peers::{resilience, seatbelt};
use crate::work::{
    Broken, FAILS, FAILS_ONCE, Fate, IS_REFUSED, Request, SUCCEEDS, Shared, WAITS, flat, operation, repeat, serve,
    service,
};
use crate::{ATTEMPT, OURS, RETRIES, TOTAL};

pub(crate) fn run(suite: &mut Suite) {
    bare(suite);
    retry(suite, "retry", SUCCEEDS);
    first_attempt(suite);
    retry(suite, "retry_once", FAILS_ONCE);
    retry(suite, "retry_exhausted", FAILS);
    retry(suite, "permanent_error", IS_REFUSED);
    timeout(suite, "timeout", SUCCEEDS);
    timeout(suite, "timeout_pending", WAITS);
    retry_in_timeout(suite);
    timeouts_and_retry(suite, "timeouts_and_retry", SUCCEEDS);
    timeouts_and_retry(suite, "stack_retry_once", FAILS_ONCE);
    timeouts_and_retry(suite, "stack_error", IS_REFUSED);
    timeouts_and_retry(suite, "pending", WAITS);
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

/// The peers whose retries always wait: compared where there is none to make.
fn first_attempt(suite: &mut Suite) {
    if !suite.wants("retry_unused") {
        return;
    }
    let pipeline = Pipeline::builder("bench").retry(Retry::constant(Duration::ZERO)).build().expect("valid settings");
    let resilience = Shared::new(ServiceBuilder::new().layer(resilience::retry()).service(service(SUCCEEDS)));
    let seatbelt = seatbelt::retry(SUCCEEDS);
    suite
        .case("retry_unused")
        .ours(OURS, |work| {
            repeat(work, SUCCEEDS, async |n| pipeline.run(move |cx| operation(n, cx.attempt() - 1, SUCCEEDS)).await);
        })
        .peer("tower-resilience", |work| resilience.serve(work, SUCCEEDS))
        .peer("seatbelt", |work| repeat(work, SUCCEEDS, async |n| seatbelt.execute(Request { n, attempt: 0 }).await))
        .run();
}

/// A time limit around an operation.
fn timeout(suite: &mut Suite, case: &'static str, fate: Fate) {
    if !suite.wants(case) {
        return;
    }
    let pipeline = Pipeline::builder("bench").timeout(TOTAL).build().expect("valid settings");
    let seatbelt = seatbelt::timeout(fate);
    suite
        .case(case)
        .ours(OURS, |work| {
            repeat(work, fate, async |n| pipeline.run(move |_| operation(n, 0, fate)).await);
        })
        .peer("tower", |work| {
            let service = ServiceBuilder::new().layer(TimeoutLayer::new(TOTAL)).service(service(fate));
            serve(work, fate, service);
        })
        .peer("tokio", |work| {
            repeat(work, fate, async |n| flat(tokio::time::timeout(TOTAL, operation(n, 0, fate)).await));
        })
        .peer("tower-resilience", |work| {
            serve(work, fate, ServiceBuilder::new().layer(resilience::timeout(TOTAL)).service(service(fate)));
        })
        .peer("seatbelt", |work| repeat(work, fate, async |n| seatbelt.execute(Request { n, attempt: 0 }).await))
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
