//! Attempts beside each other, in virtual time.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bedplate_recovery::{BudgetConfig, CircuitBreaker, Cx, Hedge, InFlightBudget, Pipeline, RetryBudget, TokenBudget};
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);

/// Answers with its number: the first attempt after a second, a hedge after ten milliseconds.
async fn slow_first(cx: Cx) -> Result<u32, io::Error> {
    sleep(if cx.hedge() == 0 { 1_000 * MS } else { 10 * MS }).await;
    Ok(cx.hedge())
}

#[tokio::test(start_paused = true)]
async fn the_first_answer_counts_and_the_loser_is_dropped() {
    let hedge = Hedge::after(50 * MS);
    let pipeline = Pipeline::builder("read").hedge(hedge.clone()).build().unwrap();
    let start = Instant::now();
    assert_eq!(pipeline.run(slow_first).await.unwrap(), 1);
    assert_eq!(start.elapsed(), 60 * MS);
    assert_eq!(pipeline.run(|cx| async move { Ok::<_, io::Error>(cx.hedge()) }).await.unwrap(), 0);
    let stats = hedge.stats();
    assert_eq!((stats.calls, stats.started, stats.won), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failure_starts_the_next_attempt_at_once_and_the_last_one_is_returned() {
    let pipeline = Pipeline::builder("read").hedge(Hedge::after(50 * MS).max_attempts(3)).build().unwrap();
    let start = Instant::now();
    let made = AtomicU32::new(0);
    let call = |cx: Cx| {
        made.fetch_add(1, Ordering::Relaxed);
        async move {
            sleep(5 * MS).await;
            Err::<(), _>(io::Error::new(io::ErrorKind::ConnectionReset, cx.hedge().to_string()))
        }
    };
    let failed = pipeline.run(call).await.unwrap_err();
    assert_eq!(failed.into_error().unwrap().to_string(), "2");
    assert_eq!((made.into_inner(), start.elapsed()), (3, 15 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_the_caller_ends_the_race() {
    let pipeline = Pipeline::builder("read").hedge(Hedge::after(50 * MS)).build().unwrap();
    let made = AtomicU32::new(0);
    let call = |_| {
        made.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), _>(io::Error::from(io::ErrorKind::InvalidInput)) }
    };
    assert!(pipeline.run(call).await.is_err());
    assert_eq!(made.into_inner(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_budget_starts_no_hedge_and_leaves_those_that_run() {
    let mut config = InFlightBudget::default();
    config.min_concurrency = 1;
    config.max_rate = 0.001;
    let budget = RetryBudget::new(BudgetConfig::InFlight(config)).unwrap();
    let hedge = Hedge::after(50 * MS).max_attempts(5).budget(&budget);
    let pipeline = Pipeline::builder("read").hedge(hedge.clone()).build().unwrap();
    let slow = |cx: Cx| async move {
        sleep(if cx.hedge() == 0 { 1_000 * MS } else { 300 * MS }).await;
        Ok::<_, io::Error>(cx.hedge())
    };
    assert_eq!(pipeline.run(slow).await.unwrap(), 1, "the one hedge that the budget paid for still wins");
    let stats = hedge.stats();
    assert_eq!((stats.started, stats.suppressed), (1, 1));
    assert_eq!(budget.stats().available, 1, "and is given back");
}

#[tokio::test(start_paused = true)]
async fn retries_and_hedges_draw_on_one_budget() {
    let mut config = TokenBudget::default();
    config.capacity = 14;
    let budget = RetryBudget::new(BudgetConfig::Tokens(config)).unwrap();
    let hedged = Pipeline::builder("hedged").hedge(Hedge::after(MS).budget(&budget)).build().unwrap();
    let retry = bedplate_recovery::Retry::constant(MS).budget(&budget);
    let retried = Pipeline::builder("retried").retry(retry).build().unwrap();
    let hang = tokio::spawn(async move { hedged.run(|_| std::future::pending::<Result<(), io::Error>>()).await });
    sleep(10 * MS).await;
    let made = AtomicU32::new(0);
    let call = |_| {
        made.fetch_add(1, Ordering::Relaxed);
        async { Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut)) }
    };
    assert!(retried.run(call).await.is_err());
    assert_eq!(made.into_inner(), 1, "the hedge took the tokens");
    hang.abort();
}

#[tokio::test(start_paused = true)]
async fn the_delay_follows_the_calls_before() {
    let hedge = Hedge::at_quantile(0.9);
    let pipeline = Pipeline::builder("read").hedge(hedge.clone()).build().unwrap();
    for call in 0..200_u32 {
        let long = if call % 20 == 0 { 500 * MS } else { 10 * MS };
        let answered = pipeline.run(|cx| async move {
            sleep(if cx.hedge() == 0 { long } else { 10 * MS }).await;
            Ok::<_, io::Error>(())
        });
        answered.await.unwrap();
    }
    let stats = hedge.stats();
    let delay = stats.delay.unwrap();
    assert!(delay >= 10 * MS && delay < 12 * MS, "{delay:?}");
    // After the first hundred, each of the slow ones is hedged and no fast one.
    assert_eq!((stats.started, stats.won), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn only_those_that_may_be_made_twice() {
    let hedge = Hedge::after(MS).only_if(|cx| cx.attempt() > 1);
    let pipeline = Pipeline::builder("write").hedge(hedge.clone()).build().unwrap();
    assert_eq!(pipeline.run(slow_first).await.unwrap(), 0);
    assert_eq!(hedge.stats().started, 0);
}

#[tokio::test(start_paused = true)]
async fn a_hung_replica_opens_its_breaker_though_its_calls_are_dropped() {
    let breaker = CircuitBreaker::builder("replica")
        .consecutive_failures(3)
        .abandoned(bedplate_recovery::Abandoned::Failure)
        .build()
        .unwrap();
    let hedge = Hedge::after(10 * MS);
    let pipeline = Pipeline::builder("read").hedge(hedge.clone()).build().unwrap();
    for _ in 0..3 {
        let replica = breaker.clone();
        let call = move |cx: Cx| {
            let replica = replica.clone();
            async move {
                if cx.hedge() > 0 {
                    return Ok::<_, io::Error>(1);
                }
                let hung = replica.call(std::future::pending::<Result<u32, io::Error>>()).await;
                hung.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))
            }
        };
        assert_eq!(pipeline.run(call).await.unwrap(), 1);
    }
    assert_eq!(breaker.state(), bedplate_recovery::BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn calls_that_need_no_hedge_count_as_in_flight() {
    let mut config = InFlightBudget::default();
    config.min_concurrency = 0;
    config.max_rate = 0.2;
    let budget = RetryBudget::new(BudgetConfig::InFlight(config)).unwrap();
    let eligible = |cx: Cx| cx.priority() == bedplate_recovery::Priority::Critical;
    let pipeline =
        Pipeline::builder("read").hedge(Hedge::after(50 * MS).only_if(eligible).budget(&budget)).build().unwrap();
    let plain = futures_util::future::join_all((0..50).map(|_| pipeline.run(slow_first)));
    let critical = Cx::first().with_priority(bedplate_recovery::Priority::Critical);
    let hedged = futures_util::future::join_all((0..8).map(|_| pipeline.run_with(critical, slow_first)));
    let (_plain, hedged) = tokio::join!(plain, hedged);
    assert!(hedged.into_iter().all(|answer| matches!(answer, Ok(1))), "8 of 58 are well below a fifth");
    assert_eq!(budget.stats().exhausted, 0);
}

#[tokio::test(start_paused = true)]
async fn the_throttle_of_grpc_hears_of_hedged_failures() {
    let budget = RetryBudget::new(BudgetConfig::Throttle(bedplate_recovery::ThrottleConfig::default())).unwrap();
    let pipeline = Pipeline::builder("read").hedge(Hedge::after(50 * MS).budget(&budget)).build().unwrap();
    let before = budget.stats().available;
    let failed = pipeline.run(|_| async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionReset)) }).await;
    assert!(failed.is_err());
    assert_eq!(budget.stats().available, before - 2, "both attempts failed");
}

#[tokio::test(start_paused = true)]
async fn a_retry_around_a_hedge_tells_their_budget_alone() {
    let budget = RetryBudget::new(BudgetConfig::Throttle(bedplate_recovery::ThrottleConfig::default())).unwrap();
    let retry = bedplate_recovery::Retry::constant(MS).max_attempts(1).budget(&budget);
    let hedge = Hedge::after(50 * MS).budget(&budget);
    let pipeline = Pipeline::builder("read").retry(retry).hedge(hedge).build().unwrap();
    let before = budget.stats().available;
    let failed = pipeline.run(|_| async { Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionReset)) }).await;
    assert!(failed.is_err());
    assert_eq!(budget.stats().available, before - 1);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_does_not_run_on_tokens_that_are_still_to_come() {
    let mut config = TokenBudget::default();
    (config.capacity, config.retry_cost, config.timeout_cost) = (1, 1, 1);
    (config.refill_per_second, config.when_empty) = (1, bedplate_recovery::WhenEmpty::Wait);
    let budget = RetryBudget::new(BudgetConfig::Tokens(config)).unwrap();
    let hedge = Hedge::after(50 * MS).budget(&budget);
    let pipeline = Pipeline::builder("read").hedge(hedge.clone()).build().unwrap();
    let (first, second) = tokio::join!(pipeline.run(slow_first), pipeline.run(slow_first));
    assert_eq!(first.unwrap() + second.unwrap(), 1, "one of the two");
    assert_eq!((hedge.stats().started, hedge.stats().suppressed), (1, 1));
}
