//! Pipelines for calls that block their thread.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bedplate_recovery::{
    Bulkhead, BulkheadConfig, CircuitBreaker, Clock as _, Failure, Pipeline, Rejection, Retry, TokioClock,
};

const MS: Duration = Duration::from_millis(1);

#[test]
fn waits_between_attempts_are_slept_and_the_deadline_ends_them() {
    let pipeline = Pipeline::builder("read")
        .timeout(40 * MS)
        .retry(Retry::constant(15 * MS).max_attempts(10))
        .build_blocking()
        .unwrap();
    let made = AtomicU32::new(0);
    let began = TokioClock.now();
    let failed = pipeline.run(|cx| {
        made.fetch_add(1, Ordering::Relaxed);
        assert!(cx.deadline().is_some());
        Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut))
    });
    let took = TokioClock.now().duration_since(began);
    assert!(matches!(failed, Err(Failure::Inner { .. })), "the last real failure: {failed:?}");
    let made = made.into_inner();
    assert!((1..=3).contains(&made), "{made} attempts");
    // A late wake-up of a loaded machine may leave room for fewer waits, never for more.
    assert!(took < Duration::from_secs(2) && took >= 15 * MS * (made - 1), "{took:?}");
}

#[test]
fn a_thread_waits_for_a_place_that_another_gives_back() {
    let bulkhead = Bulkhead::new("one", BulkheadConfig::fixed(1).queue(4, Duration::from_secs(20))).unwrap();
    let pipeline = Pipeline::builder("read").bulkhead(bulkhead.clone()).build_blocking().unwrap();
    let (running, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                pipeline
                    .run(|_| {
                        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        running.fetch_sub(1, Ordering::SeqCst);
                        Ok::<_, io::Error>(())
                    })
                    .unwrap();
            });
        }
    });
    assert_eq!((most.into_inner(), bulkhead.stats().admitted), (1, 4));
    let held = bulkhead.try_acquire(TokioClock.now()).unwrap();
    let short = Bulkhead::new("short", BulkheadConfig::fixed(1).queue(1, 5 * MS)).unwrap();
    let pipeline = Pipeline::builder("read").bulkhead(short.clone()).build_blocking().unwrap();
    let taken = short.try_acquire(TokioClock.now()).unwrap();
    let refused = pipeline.run(|_| Ok::<_, io::Error>(()));
    assert!(matches!(refused, Err(Failure::Rejected { reason: Rejection::QueueTimeout, .. })), "{refused:?}");
    drop((held, taken));
}

#[test]
fn a_breaker_is_shared_with_the_async_form() {
    let breaker = CircuitBreaker::builder("api").consecutive_failures(1).build().unwrap();
    let blocking = Pipeline::builder("sync").breaker(breaker.clone()).build_blocking().unwrap();
    assert!(blocking.run(|_| Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut))).is_err());
    let refused = blocking.run(|_| Ok::<_, io::Error>(()));
    assert!(matches!(refused, Err(Failure::Rejected { reason: Rejection::BreakerOpen, .. })));
    assert_eq!((blocking.stats().failed, blocking.stats().refused, breaker.stats().refused), (2, 1, 1));
}

#[test]
fn one_call_inside_another_keeps_both_in_time() {
    let inner = Pipeline::builder("inner").retry(Retry::constant(2 * MS)).build_blocking().unwrap();
    let outer = Pipeline::builder("outer").retry(Retry::constant(2 * MS)).build_blocking().unwrap();
    let fails = |cx: bedplate_recovery::Cx| {
        if cx.is_retry() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::TimedOut)) }
    };
    let both = outer.run(|cx| {
        inner.run(fails).map_err(|_| io::Error::from(io::ErrorKind::Other))?;
        fails(cx)
    });
    assert!(both.is_ok(), "{both:?}");
}
