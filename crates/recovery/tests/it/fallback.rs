use std::future::{Ready, ready};
use std::time::Duration;

use bedplate_recovery::{ErrorClass, Failure, Fallback, Pipeline, Quality, Retry, Source};

use crate::support::{Count, Fault, TRANSIENT};

fn quality(value: f64) -> Quality {
    Quality::new(value).unwrap()
}

fn fail(class: ErrorClass) -> Ready<Result<u8, Failure<Fault>>> {
    ready(Err(Fault(class).into()))
}

#[tokio::test]
async fn the_first_source_answers_alone() {
    let others = Count::default();
    let answer = Fallback::new()
        .first("live", async { Ok::<_, Failure<Fault>>(1) })
        .then(Source::new("spare", quality(0.5)), |_| async {
            others.up();
            Ok::<_, Fault>(2)
        })
        .run()
        .await
        .unwrap();
    assert_eq!((answer.value, &*answer.source, answer.is_degraded(), answer.attempts), (1, "live", false, 1));
    assert_eq!(others.get(), 0);
}

#[tokio::test]
async fn sources_are_asked_in_order_until_one_answers() {
    let answer = Fallback::new()
        .first("live", fail(ErrorClass::Timeout))
        .then(Source::new("replica", quality(0.9)), |why| async move {
            assert_eq!(why, ErrorClass::Timeout);
            Err::<u8, _>(TRANSIENT)
        })
        .then(Source::new("static", quality(0.2)), |_| async { Ok::<_, Fault>(3) })
        .then(Source::new("never", quality(0.1)), |_| async { Ok::<_, Fault>(4) })
        .run()
        .await
        .unwrap();
    assert_eq!((answer.value, &*answer.source, answer.attempts), (3, "static", 3));
}

#[tokio::test]
async fn nothing_answers_the_callers_own_fault() {
    for class in [ErrorClass::CallerFault, ErrorClass::Cancelled] {
        let asked = Count::default();
        let failure = Fallback::new()
            .first("live", fail(class))
            .then(Source::new("spare", quality(0.5)), |_| async {
                asked.up();
                Ok::<_, Fault>(2)
            })
            .run()
            .await
            .unwrap_err();
        assert_eq!((failure.class(), asked.get()), (class, 0));
    }
}

#[tokio::test]
async fn a_source_below_the_floor_is_not_asked() {
    let asked = Count::default();
    let failure = Fallback::new()
        .floor(quality(0.6))
        .first("live", fail(ErrorClass::Overload { after: None }))
        .then(Source::new("bad", quality(0.59)), |_| async {
            asked.up();
            Ok::<_, Fault>(2)
        })
        .run()
        .await
        .unwrap_err();
    assert_eq!((failure.class(), asked.get()), (ErrorClass::Overload { after: None }, 0));
}

#[tokio::test]
async fn a_source_answers_only_what_it_applies_to() {
    for (class, value) in [(ErrorClass::Timeout, 2), (ErrorClass::Permanent, 3)] {
        let answer = Fallback::new()
            .first("live", fail(class))
            .then(Source::new("stale", quality(0.7)).when(ErrorClass::is_transient), |_| async { Ok::<_, Fault>(2) })
            .then(Source::new("static", quality(0.1)), |_| async { Ok::<_, Fault>(3) })
            .run()
            .await
            .unwrap();
        assert_eq!(answer.value, value);
    }
}

#[tokio::test]
async fn a_fault_of_the_caller_found_by_a_source_ends_the_chain() {
    let failure = Fallback::new()
        .first("live", fail(ErrorClass::Timeout))
        .then(Source::new("second", quality(0.7)), |_| async { Err::<u8, _>(Fault(ErrorClass::CallerFault)) })
        .then(Source::new("third", quality(0.1)), |_| async { Ok::<_, Fault>(3) })
        .run()
        .await
        .unwrap_err();
    assert_eq!(failure.class(), ErrorClass::CallerFault);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_over_pipelines_and_sources() {
    let live = Pipeline::builder("live").retry(Retry::constant(Duration::from_millis(1))).build().unwrap();
    let spare = live.clone();
    let answer = Fallback::new()
        .after(live.answer("live", |_| async { Err::<u8, _>(TRANSIENT) }))
        .then(Source::new("spare", quality(0.5)), |_| async move {
            spare.run(|cx| async move { if cx.is_retry() { Ok(9) } else { Err(TRANSIENT) } }).await
        })
        .run()
        .await
        .unwrap();
    assert_eq!((answer.value, answer.attempts), (9, 4));
    let quick = live.answer("live", |cx| async move { if cx.is_retry() { Ok(1) } else { Err(TRANSIENT) } }).await;
    assert_eq!(quick.unwrap().attempts, 2);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_down_itself_is_passed_over_and_tried_again_after_its_break() {
    let breaker = bedplate_recovery::CircuitBreaker::builder("replica")
        .consecutive_failures(1)
        .open_for(Duration::from_secs(5))
        .build()
        .unwrap();
    let asked = Count::default();
    let ask = |replica_works: bool| {
        let (breaker, asked) = (&breaker, &asked);
        async move {
            Fallback::new()
                .first("live", fail(ErrorClass::Timeout))
                .then(Source::new("replica", quality(0.9)).breaker(breaker), move |_| async move {
                    asked.up();
                    if replica_works { Ok(2) } else { Err(TRANSIENT) }
                })
                .then_aged(Source::new("cache", quality(0.4)), |_| async {
                    Ok::<_, Fault>((3, Duration::from_secs(7)))
                })
                .run()
                .await
                .unwrap()
        }
    };
    assert_eq!((ask(false).await.value, asked.get()), (3, 1));
    let answer = ask(true).await;
    assert_eq!((answer.value, asked.get(), answer.age), (3, 1, Some(Duration::from_secs(7))));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let answer = ask(true).await;
    assert_eq!((answer.value, asked.get(), answer.age), (2, 2, None));
}
