//! Retries under a budget.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bedplate_recovery::{
    BudgetConfig, ErrorClass, Failure, FnObserver, GiveUp, Pipeline, RecoveryEvent, Rejection, Retry, RetryBudget,
    TokenBudget, WhenEmpty,
};
use parking_lot::Mutex;
use tokio::time::Instant;

fn tokens(change: impl FnOnce(&mut TokenBudget)) -> RetryBudget {
    let mut config = TokenBudget::default();
    change(&mut config);
    RetryBudget::new(BudgetConfig::Tokens(config)).unwrap()
}

fn down() -> Result<(), io::Error> {
    Err(io::ErrorKind::ConnectionRefused.into())
}

#[tokio::test(start_paused = true)]
async fn pipelines_that_share_a_budget_share_its_end() {
    let budget = tokens(|config| config.capacity = 3 * 14);
    let calls = AtomicU32::new(0);
    let reasons = std::sync::Arc::new(Mutex::new(Vec::new()));
    for name in ["one", "two"] {
        let heard = std::sync::Arc::clone(&reasons);
        let pipeline = Pipeline::builder(name)
            .retry(Retry::constant(Duration::from_millis(1)).max_attempts(3).budget(&budget))
            .observer(FnObserver::new(move |event: &RecoveryEvent<'_>| {
                if let RecoveryEvent::GaveUp { reason, .. } = event {
                    heard.lock().push(*reason);
                }
            }))
            .build()
            .unwrap();
        let call = |_| {
            calls.fetch_add(1, Ordering::Relaxed);
            async { down() }
        };
        let failed = pipeline.run(call).await.unwrap_err();
        assert!(matches!(failed, Failure::Inner { .. }), "the last failure itself: {failed:?}");
    }
    // Two first attempts and the three retries that the tokens pay for.
    assert_eq!(calls.into_inner(), 5);
    assert_eq!(*reasons.lock(), [GiveUp::Attempts, GiveUp::Budget]);
    assert_eq!((budget.stats().granted, budget.stats().exhausted), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_first_attempt_that_cannot_be_paid_is_refused_by_name() {
    let budget = tokens(|config| {
        config.capacity = 1;
        config.first_cost = 1;
        config.first_refund = 0;
        config.refill_per_second = 1;
    });
    let pipeline = Pipeline::builder("paid").retry(Retry::constant(Duration::ZERO).budget(&budget)).build().unwrap();
    let call = || pipeline.run(|_| async { Ok::<_, io::Error>(()) });
    assert!(call().await.is_ok());
    let refused = call().await.unwrap_err();
    let expected = Some(Duration::from_secs(1));
    assert!(
        matches!(&refused, Failure::Rejected { by, reason: Rejection::BudgetExhausted, retry_after } if &**by == "paid" && *retry_after == expected),
        "{refused:?}"
    );
    assert_eq!(refused.to_string(), "paid refused the call: budget_exhausted");
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_waits_stretches_the_delay() {
    let budget = tokens(|config| {
        config.capacity = 14;
        config.refill_per_second = 7;
        config.when_empty = WhenEmpty::Wait;
    });
    let retry = Retry::constant(Duration::from_millis(10)).max_attempts(3).budget(&budget);
    let pipeline = Pipeline::builder("waits").retry(retry).build().unwrap();
    let start = Instant::now();
    assert!(pipeline.run(|_| async { down() }).await.is_err());
    // The first retry is paid for; ten milliseconds later the second waits for the rest of two seconds.
    assert_eq!(start.elapsed(), Duration::from_millis(2_010) - Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_poller_waits_even_when_the_budget_is_empty() {
    let budget = tokens(|config| config.capacity = 0);
    let retry = Retry::constant(Duration::from_secs(1)).budget(&budget);
    let spins = Pipeline::builder("spins").retry(retry.clone()).build().unwrap();
    let waits = Pipeline::builder("waits").retry(retry.wait_when_exhausted()).build().unwrap();
    let start = Instant::now();
    assert!(spins.run(|_| async { down() }).await.is_err());
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert!(waits.run(|_| async { down() }).await.is_err());
    assert_eq!(start.elapsed(), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_wish_of_a_year_is_cut_to_what_is_allowed() {
    let year = Duration::from_hours(365 * 24);
    let class = ErrorClass::Overload { after: Some(year) };
    let asks = |retry: Retry| async move {
        let pipeline = Pipeline::builder("asked").retry(retry.max_attempts(2)).build().unwrap();
        let start = Instant::now();
        let failed = pipeline.run_classified(|(): &()| class, |_| async { Err::<(), ()>(()) }).await;
        assert!(failed.is_err());
        start.elapsed()
    };
    assert_eq!(asks(Retry::constant(Duration::ZERO)).await, Duration::from_secs(30));
    let aws = asks(Retry::aws(&RetryBudget::aws()).seed(1)).await;
    assert!(aws >= Duration::from_secs(5) && aws <= Duration::from_millis(5_050), "{aws:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_the_budget_does_not_reach_past_the_deadline() {
    let budget = tokens(|config| {
        config.capacity = 14;
        config.refill_per_second = 1;
        config.when_empty = WhenEmpty::Wait;
    });
    let retry = Retry::constant(Duration::from_millis(10)).max_attempts(5).budget(&budget);
    let pipeline = Pipeline::builder("deadline").timeout(Duration::from_secs(2)).retry(retry).build().unwrap();
    let start = Instant::now();
    let failed = pipeline.run(|_| async { down() }).await.unwrap_err();
    assert!(matches!(failed, Failure::Inner { attempts: 2, .. }), "the last real failure: {failed:?}");
    assert_eq!(start.elapsed(), Duration::from_millis(10), "14 s do not fit into what is left of two");
    assert_eq!(budget.stats().granted, 1);
}
