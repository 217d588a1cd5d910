//! One layer for a whole pipeline.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bedplate_recovery::tower::RecoveryLayer;
use bedplate_recovery::{CircuitBreaker, ErrorClass, Failure, Pipeline, Rejection, Retry};
use tower::{Layer as _, Service as _, ServiceBuilder, ServiceExt as _, service_fn};

const MS: Duration = Duration::from_millis(1);

fn retrying() -> Pipeline<impl bedplate_recovery::Policy> {
    Pipeline::builder("tower").retry(Retry::constant(MS).max_attempts(4)).build().unwrap()
}

/// A clone that is called without having been polled ready panics here; the layer must ask each one.
#[tokio::test(start_paused = true)]
async fn each_attempt_over_a_concurrency_limit_is_polled_ready() {
    let made = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&made);
    let inner = service_fn(move |n: u32| {
        let made = counted.fetch_add(1, Ordering::Relaxed);
        async move { if made < 3 { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(n) } }
    });
    let limited = ServiceBuilder::new().concurrency_limit(1).service(inner);
    let mut service = RecoveryLayer::new(retrying()).layer(limited);
    assert_eq!(service.ready().await.unwrap().call(7).await.unwrap(), 7);
    assert_eq!(made.load(Ordering::Relaxed), 4);
    // And the place was given back each time.
    assert_eq!(service.ready().await.unwrap().call(8).await.unwrap(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_a_failure_is_retried_and_the_last_one_returned_as_it_is() {
    let made = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&made);
    let inner = service_fn(move |(): ()| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, io::Error>(503_u16) }
    });
    let judge = |status: &u16| (*status >= 500).then_some(ErrorClass::Overload { after: None });
    let service = RecoveryLayer::new(retrying()).judge_responses(judge).layer(inner);
    assert_eq!(service.oneshot(()).await.unwrap(), 503);
    assert_eq!(made.load(Ordering::Relaxed), 4);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_apart_from_the_services_own_error() {
    let breaker = CircuitBreaker::builder("tower").consecutive_failures(1).build().unwrap();
    let pipeline = Pipeline::builder("tower").breaker(breaker).build().unwrap();
    let inner = service_fn(|(): ()| async { Err::<(), _>("no such host") });
    let service = RecoveryLayer::new(pipeline).judge_errors(|_: &&str| ErrorClass::Transient).layer(inner);
    let first = service.clone().oneshot(()).await.unwrap_err();
    assert_eq!(first.into_error(), Some("no such host"));
    let second = service.oneshot(()).await.unwrap_err();
    assert!(matches!(second, Failure::Rejected { reason: Rejection::BreakerOpen, .. }), "{second:?}");
}

#[tokio::test(start_paused = true)]
async fn it_stands_over_a_buffer_and_under_a_limit() {
    let inner = service_fn(|n: u32| async move { Ok::<_, tower::BoxError>(n) });
    let layer = RecoveryLayer::new(retrying()).judge_errors(|_: &tower::BoxError| ErrorClass::Transient);
    let mut service = ServiceBuilder::new().concurrency_limit(3).layer(layer).buffer(4).service(inner);
    assert_eq!(service.ready().await.unwrap().call(3).await.unwrap(), 3);
}
