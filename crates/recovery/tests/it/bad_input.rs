//! What cannot be meant is refused by name, and what goes wrong in a call leaves nothing behind.

use std::io;
use std::time::Duration;

use bedplate_recovery::{
    Aimd, Backoff, BreakerConfig, BudgetConfig, Bulkhead, BulkheadConfig, Chaos, ChaosConfig, CircuitBreaker,
    ClientThrottle, ClientThrottleConfig, Clock as _, ConfigError, Discipline, Failure, Gradient2, HalfOpen, Hedge,
    InFlightBudget, KeyedRateLimiter, LimitConfig, Pipeline, Places, Policy, Quota, RateLimiter, Retry, RetryBudget,
    RetryConfig, ThrottleConfig, Timeout, TokenBudget, TokioClock, Vegas,
};
use tokio::time::sleep;

const ZERO: Duration = Duration::ZERO;
const AGES: Duration = Duration::MAX;

fn built(policy: impl Policy) -> Result<(), ConfigError> {
    Pipeline::builder("bad").then(policy).build().map(drop)
}

fn retry(change: impl FnOnce(&mut RetryConfig)) -> Result<(), ConfigError> {
    let mut config = RetryConfig::default();
    change(&mut config);
    built(Retry::from(config))
}

fn breaker(change: impl FnOnce(&mut BreakerConfig)) -> Result<(), ConfigError> {
    let mut config = BreakerConfig::default();
    change(&mut config);
    CircuitBreaker::new("bad", config).map(drop)
}

fn bulkhead(change: impl FnOnce(&mut BulkheadConfig)) -> Result<(), ConfigError> {
    let mut config = BulkheadConfig::default();
    change(&mut config);
    Bulkhead::new("bad", config).map(drop)
}

fn tokens(change: impl FnOnce(&mut TokenBudget)) -> Result<(), ConfigError> {
    let mut config = TokenBudget::default();
    change(&mut config);
    RetryBudget::new(BudgetConfig::Tokens(config)).map(drop)
}

fn share(rate: f64) -> Result<(), ConfigError> {
    let mut config = InFlightBudget::default();
    config.max_rate = rate;
    RetryBudget::new(BudgetConfig::InFlight(config)).map(drop)
}

fn grpc(tokens: u32, ratio: f64) -> Result<(), ConfigError> {
    let mut config = ThrottleConfig::default();
    (config.max_tokens, config.token_ratio) = (tokens, ratio);
    RetryBudget::new(BudgetConfig::Throttle(config)).map(drop)
}

fn throttle(change: impl FnOnce(&mut ClientThrottleConfig)) -> Result<(), ConfigError> {
    let mut config = ClientThrottleConfig::default();
    change(&mut config);
    ClientThrottle::new("bad", config).map(drop)
}

fn chaos(change: impl FnOnce(&mut ChaosConfig)) -> Result<(), ConfigError> {
    let mut config = ChaosConfig::default();
    change(&mut config);
    Chaos::new("bad", config).map(drop)
}

fn gradient(change: impl FnOnce(&mut Gradient2)) -> Result<(), ConfigError> {
    let mut config = Gradient2::default();
    change(&mut config);
    LimitConfig::Gradient2(config).check()
}

#[test]
fn each_setting_that_cannot_be_meant_is_named_with_its_value() {
    let mut vegas = Vegas::default();
    vegas.smoothing = 0.0;
    let mut aimd = Aimd::default();
    aimd.backoff_ratio = 1.0;
    let mut none = Aimd::default();
    none.max = 0;
    let cases = [
        ("timeout.limit", built(Timeout::total(ZERO))),
        ("timeout.limit", built(Timeout::attempt(AGES))),
        ("retry.max_attempts", retry(|c| c.max_attempts = 0)),
        ("retry.max_attempts", retry(|c| c.max_attempts = u32::MAX)),
        ("retry.max_elapsed", retry(|c| c.max_elapsed = Some(ZERO))),
        ("retry.max_server_delay", retry(|c| c.max_server_delay = AGES)),
        ("retry.max_server_overshoot", retry(|c| c.max_server_overshoot = Some(ZERO))),
        ("retry.throttled_base", retry(|c| c.throttled_base = Some(ZERO))),
        ("backoff.base", retry(|c| c.backoff = Backoff::constant(AGES))),
        ("backoff.factor", retry(|c| c.backoff.factor = f64::NAN)),
        ("backoff.factor", retry(|c| c.backoff.factor = 0.0)),
        ("backoff.max", retry(|c| c.backoff.max = ZERO)),
        ("breaker.half_open", breaker(|c| c.half_open = HalfOpen::Rate(0))),
        ("breaker.half_open.needed", breaker(|c| c.half_open = HalfOpen::Successes { needed: 4, of: 3 })),
        ("breaker.minimum_calls", breaker(|c| c.minimum_calls = 0)),
        ("breaker.slow_call_rate", breaker(|c| c.slow_call_rate = Some(1.1))),
        ("bulkhead.places", bulkhead(|c| c.places = Places::Fixed(0))),
        ("bulkhead.queue", bulkhead(|c| c.queue = u32::MAX)),
        ("bulkhead.max_wait", bulkhead(|c| c.max_wait = ZERO)),
        (
            "bulkhead.discipline.target",
            bulkhead(|c| c.discipline = Discipline::AdaptiveLifo { target: ZERO, interval: Duration::from_secs(1) }),
        ),
        ("limit.aimd", bulkhead(|c| c.places = Places::Adaptive(LimitConfig::Aimd(none)))),
        ("limit.backoff_ratio", LimitConfig::Aimd(aimd).check()),
        ("limit.smoothing", LimitConfig::Vegas(vegas).check()),
        ("limit.gradient2", gradient(|c| c.initial = 2_000)),
        ("limit.tolerance", gradient(|c| c.tolerance = f64::NAN)),
        ("limit.window", gradient(|c| c.window = 0)),
        ("limit.probe_every", gradient(|c| c.probe_every = 0)),
        ("rate.permits", RateLimiter::new("bad", Quota::per_second(0)).map(drop)),
        ("rate.period", RateLimiter::new("bad", Quota::new(1, ZERO)).map(drop)),
        ("rate.burst", RateLimiter::new("bad", Quota::per_second(1).burst(0)).map(drop)),
        ("rate.max_keys", KeyedRateLimiter::<String>::new(Quota::per_second(1), 0).map(drop)),
        ("budget.capacity", tokens(|c| c.capacity = u32::MAX)),
        ("budget.max_rate", share(0.0)),
        ("budget.max_rate", share(f64::NAN)),
        ("budget.max_tokens", grpc(0, 0.1)),
        ("budget.token_ratio", grpc(10, f64::INFINITY)),
        ("throttle.success_rate", throttle(|c| c.rule.success_rate = 0.0)),
        ("throttle.max_rejection_rate", throttle(|c| c.rule.max_rejection_rate = 1.5)),
        ("throttle.window", throttle(|c| c.window = ZERO)),
        ("hedge.max_attempts", built(Hedge::at_quantile(0.9).max_attempts(11))),
        ("hedge.delay.quantile", built(Hedge::at_quantile(1.5))),
        ("hedge.delay", built(Hedge::after(AGES))),
        ("chaos.fault_rate", chaos(|c| c.fault_rate = -0.1)),
        ("chaos.latency", chaos(|c| c.latency = AGES)),
    ];
    for (field, result) in cases {
        let error = result.expect_err(field);
        assert_eq!(error.field, field, "{error}");
        assert!(error.to_string().contains(&error.value) && error.to_string().contains("expected"), "{error}");
    }
}

/// The longest settings that are accepted run through all arithmetic without a panic.
#[tokio::test(start_paused = true)]
async fn the_longest_settings_do_not_overflow() {
    let year = Duration::from_hours(366 * 24);
    let breaker = CircuitBreaker::builder("b").consecutive_failures(1).open_for(year).open_growth(100.0, year);
    let pipeline = Pipeline::builder("long")
        .timeout(year)
        .rate_limit(RateLimiter::new("r", Quota::new(1_000_000_000, year)).unwrap().patience(year))
        .retry(Retry::exponential(year).max_attempts(3))
        .bulkhead(Bulkhead::new("k", BulkheadConfig::fixed(1).queue(1, year)).unwrap())
        .attempt_timeout(year)
        .breaker(breaker.build().unwrap())
        .build()
        .unwrap();
    let failed = pipeline.run(|_| async { Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut)) }).await;
    assert!(failed.is_err());
}

/// A call that panics gives back every place it held, and counts as a failure where that is known.
#[tokio::test(start_paused = true)]
async fn a_panicking_call_leaves_nothing_behind() {
    let breaker = CircuitBreaker::builder("b").consecutive_failures(1).build().unwrap();
    let bulkhead = Bulkhead::new("k", BulkheadConfig::fixed(1)).unwrap();
    let budget = RetryBudget::in_flight();
    let pipeline = Pipeline::builder("panics")
        .retry(Retry::constant(ZERO).budget(&budget))
        .hedge(Hedge::after(Duration::from_millis(5)).budget(&budget))
        .bulkhead(bulkhead.clone())
        .breaker(breaker.clone())
        .build()
        .unwrap();
    let call = |_| async {
        sleep(Duration::from_millis(1)).await;
        panic!("the call panics")
    };
    let caller = tokio::spawn(async move { pipeline.run::<(), io::Error, _, _>(call).await });
    assert!(caller.await.unwrap_err().is_panic());
    assert_eq!(bulkhead.stats().running, 0);
    assert_eq!(budget.stats().available, RetryBudget::in_flight().stats().available);
    assert!(breaker.acquire(TokioClock.now()).is_err(), "the panic was a failure");
}

#[tokio::test(start_paused = true)]
async fn a_panicking_listener_disturbs_nobody() {
    let breaker =
        CircuitBreaker::builder("b").consecutive_failures(1).on_transition(|_| panic!("the listener")).build().unwrap();
    let pipeline = Pipeline::builder("hears").breaker(breaker).build().unwrap();
    for _ in 0..2 {
        let failed = pipeline.run(|_| async { Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut)) }).await;
        assert!(failed.is_err());
    }
    assert_eq!(pipeline.stats().refused, 1);
}

/// Dropped at any point, a call through every policy leaves no place, no permit and nothing in flight.
#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_at_any_point_leaves_nothing_behind() {
    let bulkhead = Bulkhead::new("k", BulkheadConfig::fixed(2).queue(4, Duration::from_millis(30))).unwrap();
    let budget = RetryBudget::in_flight();
    let breaker = CircuitBreaker::builder("b").consecutive_failures(1_000_000).build().unwrap();
    let pipeline = Pipeline::builder("dropped")
        .timeout(Duration::from_millis(80))
        .retry(Retry::constant(Duration::from_millis(3)).max_attempts(4).budget(&budget))
        .hedge(Hedge::after(Duration::from_millis(4)).budget(&budget))
        .bulkhead(bulkhead.clone())
        .attempt_timeout(Duration::from_millis(20))
        .breaker(breaker.clone())
        .build()
        .unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..200 {
        let calls = (0..6).map(|_| {
            let (work, patience) = (random.u64(0..40), random.u64(0..60));
            let pipeline = pipeline.clone();
            async move {
                let call = pipeline.run(|cx| async move {
                    sleep(Duration::from_millis(work)).await;
                    if cx.is_retry() { Ok(()) } else { Err(io::Error::from(io::ErrorKind::ConnectionReset)) }
                });
                let _given_up = tokio::time::timeout(Duration::from_millis(patience), call).await;
            }
        });
        futures_util::future::join_all(calls).await;
        let stats = bulkhead.stats();
        assert_eq!((stats.running, stats.waiting), (0, 0), "round {round}");
        assert_eq!(budget.stats().available, 3, "round {round}");
    }
    assert!(matches!(pipeline.run(|_| async { Ok::<_, io::Error>(()) }).await, Ok(()) | Err(Failure::Rejected { .. })));
}
