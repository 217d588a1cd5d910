use std::future::pending;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use bedplate_recovery::{
    Backoff, CircuitBreaker, ErrorClass, Failure, FnObserver, GiveUp, Jitter, Pipeline, RecoveryEvent, Retry,
    TimeoutScope,
};
use futures_util::FutureExt as _;
use tokio::time::Instant;

use crate::support::{Count, Fault, TRANSIENT};

const MS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn waits_follow_the_backoff_and_the_value_comes_through() {
    let backoff = Backoff::exponential(100 * MS).jitter(Jitter::None);
    let pipeline = Pipeline::builder("p").retry(Retry::new(backoff).max_attempts(4)).build().unwrap();
    let start = Instant::now();
    let value =
        pipeline.run(|cx| async move { if cx.attempt() < 4 { Err(TRANSIENT) } else { Ok(cx.attempt()) } }).await;
    assert_eq!(value, Ok(4));
    assert_eq!(start.elapsed(), 700 * MS);
    assert_eq!((pipeline.stats().succeeded, pipeline.stats().retried), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn gives_up_with_the_last_real_error() {
    let pipeline = Pipeline::builder("p").retry(Retry::constant(MS).max_attempts(3)).build().unwrap();
    let calls = Count::default();
    let failure = pipeline
        .run(|_| async {
            calls.up();
            Err::<(), _>(TRANSIENT)
        })
        .await
        .unwrap_err();
    assert_eq!(failure, Failure::Inner { error: TRANSIENT, class: ErrorClass::Transient, attempts: 3 });
    assert_eq!(calls.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_helped_is_tried_once() {
    for class in [ErrorClass::Permanent, ErrorClass::CallerFault, ErrorClass::Cancelled] {
        let pipeline = Pipeline::builder("p").retry(Retry::constant(MS)).build().unwrap();
        let calls = Count::default();
        let failed = pipeline
            .run(|_| async {
                calls.up();
                Err::<(), _>(Fault(class))
            })
            .await;
        assert!(failed.is_err());
        assert_eq!(calls.get(), 1, "{class:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_servers_year_is_cut_and_a_servers_second_is_honored() {
    for (asked, slept) in [(1, 1), (365 * 86_400, 5)] {
        let retry = Retry::constant(MS).max_server_delay(Duration::from_secs(5));
        let pipeline = Pipeline::builder("p").retry(retry).build().unwrap();
        let start = Instant::now();
        let after = Some(Duration::from_secs(asked));
        pipeline
            .run(|cx| async move { if cx.is_retry() { Ok(()) } else { Err(Fault(ErrorClass::Throttled { after })) } })
            .await
            .unwrap();
        assert_eq!(start.elapsed(), Duration::from_secs(slept));
    }
}

#[tokio::test(start_paused = true)]
async fn no_wait_runs_past_the_deadline() {
    let pipeline = Pipeline::builder("p").timeout(50 * MS).retry(Retry::constant(60 * MS)).build().unwrap();
    let start = Instant::now();
    let failure = pipeline.run(|_| async { Err::<(), _>(TRANSIENT) }).await.unwrap_err();
    assert_eq!(failure.error(), Some(&TRANSIENT), "the real error, not a time-out");
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn max_elapsed_bounds_the_attempts() {
    let retry = Retry::constant(40 * MS).max_attempts(100).max_elapsed(100 * MS);
    let pipeline = Pipeline::builder("p").retry(retry).build().unwrap();
    let failure = pipeline.run(|_| async { Err::<(), _>(TRANSIENT) }).await.unwrap_err();
    assert_eq!(failure.attempts(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_hung_attempt_is_cut_and_retried_and_the_total_holds() {
    let pipeline = Pipeline::builder("p")
        .timeout(250 * MS)
        .retry(Retry::constant(MS).max_attempts(10))
        .attempt_timeout(100 * MS)
        .build()
        .unwrap();
    let start = Instant::now();
    let failure = pipeline.run(|_| pending::<Result<(), Fault>>()).await.unwrap_err();
    assert_eq!(failure, Failure::TimedOut { scope: TimeoutScope::Total, after: 250 * MS, attempts: 3 });
    assert!(start.elapsed() >= 250 * MS && start.elapsed() < 252 * MS);
    assert_eq!(pipeline.stats().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_the_caller_counts_and_is_seen_by_the_call() {
    let pipeline = Pipeline::builder("p").timeout(Duration::from_mins(1)).build().unwrap();
    let deadline = (Instant::now() + 20 * MS).into_std();
    let seen = pipeline.run_until(deadline, |cx| async move { Ok::<_, Fault>(cx.deadline()) }).await;
    assert_eq!(seen.unwrap(), Some(deadline));
    let start = Instant::now();
    let failure = pipeline.run_until(deadline, |_| pending::<Result<(), Fault>>()).await.unwrap_err();
    assert!(matches!(failure, Failure::TimedOut { .. }));
    assert!(start.elapsed() < 30 * MS);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_not_retried_and_says_when_to_come_back() {
    let breaker =
        CircuitBreaker::builder("b").consecutive_failures(2).open_for(Duration::from_secs(9)).build().unwrap();
    let pipeline = Pipeline::builder("p").retry(Retry::constant(MS).max_attempts(5)).breaker(breaker).build().unwrap();
    let calls = Count::default();
    let call = || {
        pipeline.run(|_| async {
            calls.up();
            Err::<(), _>(TRANSIENT)
        })
    };
    let failure = call().await.unwrap_err();
    assert_eq!(calls.get(), 2, "the third attempt was refused and ended the retries");
    assert_eq!((failure.error(), failure.attempts()), (Some(&TRANSIENT), 2), "what the call itself said is kept");
    let refused = call().await.unwrap_err();
    assert_eq!(calls.get(), 2);
    assert!(refused.is_refusal() && refused.retry_after().unwrap() <= Duration::from_secs(9));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_error_is_judged_by_a_closure() {
    let pipeline = Pipeline::builder("p").retry(Retry::constant(MS)).build().unwrap();
    let judge = |error: &String| {
        if error == "busy" { ErrorClass::Overload { after: None } } else { ErrorClass::Permanent }
    };
    for (told, made) in [("busy", 3), ("broken", 1)] {
        let failure = pipeline.run_classified(judge, |_| async { Err::<(), _>(told.to_owned()) }).await.unwrap_err();
        assert_eq!(failure.attempts(), made);
    }
}

#[tokio::test(start_paused = true)]
async fn the_observer_hears_in_order() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&heard);
    let observer = FnObserver::new(move |event: &RecoveryEvent<'_>| {
        notes.lock().unwrap().push(match event {
            RecoveryEvent::AttemptFailed { attempt, .. } => format!("failed {attempt}"),
            RecoveryEvent::BreakerChanged { from, to, .. } => {
                format!("{} to {}", from.as_str(), to.as_str())
            }
            RecoveryEvent::GaveUp { reason, .. } => format!("gave up: {}", reason.as_str()),
            other => format!("{other:?}"),
        });
    });
    let breaker = CircuitBreaker::builder("b").consecutive_failures(2).build().unwrap();
    let pipeline = Pipeline::builder("p")
        .retry(Retry::constant(MS).max_attempts(2))
        .breaker(breaker)
        .observer(observer)
        .build()
        .unwrap();
    let failure = pipeline.run(|_| async { Err::<(), _>(TRANSIENT) }).await.unwrap_err();
    assert_eq!(failure.attempts(), 2);
    let expected = ["failed 1", "closed to open", &format!("gave up: {}", GiveUp::Attempts.as_str())];
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_the_waits() {
    let waits = |seed: u64| async move {
        let retry = Retry::exponential(100 * MS).max_attempts(5).seed(seed);
        let pipeline = Pipeline::builder("p").retry(retry).build().unwrap();
        let start = Instant::now();
        let _failed = pipeline.run(|_| async { Err::<(), _>(TRANSIENT) }).await;
        start.elapsed()
    };
    assert_eq!(waits(7).await, waits(7).await);
    assert_ne!(waits(7).await, waits(8).await);
}

#[test]
fn a_stack_stores_the_call_once() {
    let call = |_cx| async {
        let held = [0_u8; 4096];
        tokio::task::yield_now().await;
        Ok::<_, Fault>(std::hint::black_box(&held).len())
    };
    let limit = Duration::from_secs(1);
    let pipeline = Pipeline::builder("size")
        .timeout(limit)
        .retry(Retry::constant(limit))
        .attempt_timeout(limit)
        .breaker(CircuitBreaker::builder("size").build().unwrap())
        .build()
        .unwrap();
    // A layer that takes the call in twice doubles all that is inside of it.
    let size = size_of_val(&pipeline.run(call));
    assert!(size < 2 * 4096, "{size} bytes around a call of 4096");
}

/// A clock that counts the timers which are registered.
#[derive(Debug, Clone, Default)]
struct CountingClock {
    armed: Arc<std::sync::atomic::AtomicU32>,
}

impl bedplate_recovery::Clock for CountingClock {
    fn now(&self) -> std::time::Instant {
        bedplate_recovery::TokioClock.now()
    }

    fn sleep_until(&self, at: std::time::Instant) -> impl Future<Output = ()> + Send {
        self.armed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        bedplate_recovery::TokioClock.sleep_until(at)
    }
}

#[tokio::test(start_paused = true)]
async fn nested_limits_register_one_timer_at_a_time_and_the_outer_one_still_fires() {
    let clock = CountingClock::default();
    let pipeline = Pipeline::builder("nested")
        .clock(clock.clone())
        .timeout(Duration::from_millis(250))
        .retry(Retry::constant(Duration::ZERO).max_attempts(9))
        .attempt_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let waits = |ms| async move {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        Ok::<_, Fault>(())
    };
    pipeline.run(|_| waits(50)).await.unwrap();
    assert_eq!(clock.armed.load(std::sync::atomic::Ordering::Relaxed), 1, "that of the attempt");
    let start = Instant::now();
    let failed = pipeline.run(|_| waits(1_000)).await.unwrap_err();
    assert_eq!(start.elapsed(), Duration::from_millis(250));
    assert!(matches!(failed, Failure::TimedOut { .. }), "{failed:?}");
}

/// An inner limit that is dropped in the same poll in which it said that it will wake the task must not be relied on.
#[tokio::test(start_paused = true)]
async fn an_inner_limit_that_is_dropped_while_it_waits_leaves_the_outer_one_in_force() {
    let inner = Pipeline::builder("inner").timeout(Duration::from_millis(10)).build().unwrap();
    let outer = Pipeline::builder("outer").timeout(Duration::from_millis(50)).build().unwrap();
    let call = |_| async {
        tokio::select! {
            biased;
            _ = inner.run(|_| pending::<Result<(), Fault>>()) => {}
            () = std::future::ready(()) => {}
        }
        // Nobody wakes this task any more but the outer limit.
        pending::<Result<(), Fault>>().await
    };
    let start = Instant::now();
    assert!(outer.run(call).await.is_err());
    assert_eq!(start.elapsed(), Duration::from_millis(50));
}

/// A clock that stands still: nothing that waits by it goes on.
#[derive(Debug)]
struct Still(std::time::Instant);

impl bedplate_recovery::Clock for Still {
    fn now(&self) -> std::time::Instant {
        self.0
    }

    async fn sleep_until(&self, _at: std::time::Instant) {
        pending::<()>().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_does_not_rely_on_a_pipeline_inside_that_has_another_clock() {
    let start = Instant::now();
    let inner = Pipeline::builder("inner").timeout(MS).clock(Still(start.into_std())).build().unwrap();
    let outer = Pipeline::builder("outer").timeout(100 * MS).build().unwrap();
    let call = outer.run(|_| async { inner.run(|_| pending::<Result<(), Fault>>()).await.map_err(|_| TRANSIENT) });
    let failure = tokio::time::timeout(Duration::from_secs(1), call).await.expect("the outer limit holds").unwrap_err();
    assert!(matches!(failure, Failure::TimedOut { .. }), "{failure:?}");
    assert_eq!(start.elapsed(), 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_limit_does_not_rely_on_a_pipeline_inside_that_was_put_aside() {
    let start = Instant::now();
    let inner = Pipeline::builder("inner").timeout(MS).build().unwrap();
    let outer = Pipeline::builder("outer").timeout(100 * MS).build().unwrap();
    let call = outer.run(|_| async {
        let mut aside = Box::pin(inner.run(|_| pending::<Result<(), Fault>>()));
        assert!((&mut aside).now_or_never().is_none());
        pending::<Result<(), Fault>>().await
    });
    let failure = tokio::time::timeout(Duration::from_secs(1), call).await.expect("the outer limit holds").unwrap_err();
    assert!(matches!(failure, Failure::TimedOut { .. }), "{failure:?}");
    assert_eq!(start.elapsed(), 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_the_way_down_leaves_no_stale_time_behind() {
    let breaker = CircuitBreaker::builder("b").build().unwrap();
    breaker.isolate();
    let observer = FnObserver::new(|event: &RecoveryEvent<'_>| {
        assert!(!matches!(event, RecoveryEvent::Rejected { .. }), "the observer's fault");
    });
    let wrong = Pipeline::builder("wrong").timeout(MS).breaker(breaker.clone()).observer(observer).build().unwrap();
    let call = wrong.run_until(Instant::now().into_std() + 100 * MS, |_| async { Ok::<_, Fault>(()) });
    let panicked = std::panic::AssertUnwindSafe(call).catch_unwind().await;
    assert!(panicked.is_err());
    tokio::time::sleep(Duration::from_hours(1)).await;
    breaker.close();
    let call = wrong.run_until(Instant::now().into_std() + 100 * MS, |_| async {
        tokio::task::yield_now().await;
        Ok::<_, Fault>(7)
    });
    assert_eq!(call.await, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn a_pipeline_inside_another_counts_its_own_attempts() {
    let inner = Pipeline::builder("inner").retry(Retry::constant(MS).max_attempts(3)).build().unwrap();
    let outer = Pipeline::builder("outer").retry(Retry::constant(MS).max_attempts(2)).build().unwrap();
    let calls = Count::default();
    let (inner, calls) = (&inner, &calls);
    let fails = |_| async {
        calls.up();
        Err::<(), _>(TRANSIENT)
    };
    let call = outer.run(|cx| async move { inner.run_with(cx, fails).await.map_err(|_| TRANSIENT) });
    assert!(call.await.is_err());
    assert_eq!(calls.get(), 6, "three for each of the two");
    assert_eq!(inner.stats().retried, 4);
}
