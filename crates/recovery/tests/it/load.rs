//! Rate limits, the client's throttle and injected chaos in a pipeline.

use std::io;
use std::time::Duration;

use bedplate_recovery::{
    Chaos, ChaosConfig, ClientThrottle, ClientThrottleConfig, Clock as _, Failure, Pipeline, Quota, RateLimiter,
    Rejection, Retry, SeededRandom, TokioClock,
};
use tokio::time::{Instant, sleep};

const MS: Duration = Duration::from_millis(1);

fn is(failure: &Failure<io::Error>, expected: Rejection) -> bool {
    matches!(failure, Failure::Rejected { reason, .. } if *reason == expected)
}

#[tokio::test(start_paused = true)]
async fn a_call_over_the_rate_is_told_when_to_come_back() {
    let limiter = RateLimiter::new("api", Quota::per_second(10).burst(1)).unwrap();
    let pipeline = Pipeline::builder("call").rate_limit(limiter.clone()).build().unwrap();
    let call = || pipeline.run(|_| async { Ok::<_, io::Error>(()) });
    assert!(call().await.is_ok());
    let refused = call().await.unwrap_err();
    assert!(is(&refused, Rejection::RateLimited));
    assert_eq!(refused.retry_after(), Some(100 * MS));
    sleep(100 * MS).await;
    assert!(call().await.is_ok());
    assert_eq!((limiter.stats().admitted, limiter.stats().refused), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_patient_call_waits_but_not_past_its_deadline() {
    let limiter = RateLimiter::new("api", Quota::per_second(10).burst(1)).unwrap().patience(Duration::from_secs(1));
    let pipeline = Pipeline::builder("call").rate_limit(limiter).build().unwrap();
    let call = || pipeline.run(|_| async { Ok::<_, io::Error>(()) });
    let start = Instant::now();
    for _ in 0..3 {
        assert!(call().await.is_ok());
    }
    assert_eq!(start.elapsed(), 200 * MS);
    let soon = TokioClock.now() + 50 * MS;
    let refused = pipeline.run_until(soon, |_| async { Ok::<_, io::Error>(()) }).await.unwrap_err();
    assert!(is(&refused, Rejection::RateLimited), "{refused:?}");
    assert_eq!(start.elapsed(), 200 * MS, "at once, for waiting would be in vain");
}

#[tokio::test(start_paused = true)]
async fn another_quota_takes_effect_and_a_wrong_one_does_not() {
    let limiter = RateLimiter::new("api", Quota::per_second(1)).unwrap();
    let now = TokioClock.now();
    limiter.try_acquire(now).unwrap();
    assert!(limiter.try_acquire(now).is_err());
    assert_eq!(limiter.set_quota(Quota::per_second(0)).unwrap_err().field, "rate.permits");
    limiter.set_quota(Quota::per_second(1_000)).unwrap();
    assert!(limiter.try_acquire(now + Duration::from_secs(1)).is_ok());
    assert!(limiter.try_acquire(now + Duration::from_secs(1)).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_throttle_refuses_most_calls_to_a_callee_that_is_down_and_notices_when_it_is_back() {
    let throttle = ClientThrottle::with_random("api", ClientThrottleConfig::default(), SeededRandom::new(7)).unwrap();
    let pipeline = Pipeline::builder("call").throttle(throttle.clone()).build().unwrap();
    let mut sent = 0;
    for _ in 0..1_000 {
        sleep(10 * MS).await;
        let failed = pipeline.run(|_| async { Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut)) }).await;
        sent += u32::from(!is(&failed.unwrap_err(), Rejection::Throttled));
    }
    assert!(sent < 200, "{sent} of 1000 were sent to a callee that is down");
    assert!(sent > 80, "{sent}: some must go through to see when it is back");
    let mut answered = Vec::new();
    for _ in 0..9_000 {
        sleep(10 * MS).await;
        answered.push(pipeline.run(|_| async { Ok::<_, io::Error>(()) }).await.is_ok());
    }
    // Refused calls count as wanted ones, so that the way back takes some windows of thirty seconds.
    assert!(answered[8_000..].iter().all(|answered| *answered), "all is forgotten after 80 s");
    assert!(throttle.stats().rejection_probability <= 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_request_does_not_throttle() {
    let throttle = ClientThrottle::new("api", ClientThrottleConfig::default()).unwrap();
    let pipeline = Pipeline::builder("call").throttle(throttle.clone()).build().unwrap();
    for _ in 0..500 {
        let wrong = pipeline.run(|_| async { Err::<(), _>(io::Error::from(io::ErrorKind::InvalidInput)) }).await;
        assert!(matches!(wrong, Err(Failure::Inner { .. })));
    }
    assert_eq!(throttle.stats().refused, 0);
}

#[tokio::test(start_paused = true)]
async fn chaos_strikes_at_its_rate_repeatably_and_is_retried_like_a_real_fault() {
    let mut config = ChaosConfig::default();
    config.fault_rate = 0.3;
    config.latency_rate = 0.5;
    config.latency = 20 * MS;
    let run = |seed| async move {
        let chaos = Chaos::with_random("chaos", config, SeededRandom::new(seed)).unwrap();
        let pipeline = Pipeline::builder("call").then(chaos.clone()).build().unwrap();
        let mut struck = Vec::new();
        for _ in 0..1_000 {
            struck.push(pipeline.run(|_| async { Ok::<_, io::Error>(()) }).await.is_err());
        }
        struck
    };
    let start = Instant::now();
    let struck = run(1).await;
    let late = start.elapsed();
    assert_eq!(struck, run(1).await);
    let faults = struck.iter().filter(|struck| **struck).count();
    assert!((240..360).contains(&faults), "{faults}");
    assert!(late > 400 * 20 * MS && late < 600 * 20 * MS, "{late:?}");
    config.fault_rate = 0.5;
    config.latency_rate = 0.0;
    let chaos = Chaos::with_random("chaos", config, SeededRandom::new(3)).unwrap();
    let pipeline =
        Pipeline::builder("call").retry(Retry::constant(MS).max_attempts(20)).then(chaos.clone()).build().unwrap();
    for _ in 0..100 {
        pipeline.run(|_| async { Ok::<_, io::Error>(()) }).await.unwrap();
    }
    assert!(chaos.injected() > 50);
    config.fault_rate = f64::NAN;
    assert_eq!(chaos.reconfigure(config).unwrap_err().field, "chaos.fault_rate");
}

#[tokio::test(start_paused = true)]
async fn chaos_runs_its_behaviour_and_replaces_outcomes() {
    let ran = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
    let mut config = ChaosConfig::default();
    config.behaviour_rate = 1.0;
    config.outcome_rate = 1.0;
    let counted = std::sync::Arc::clone(&ran);
    let chaos = Chaos::new("chaos", config).unwrap().behaviour(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    });
    let pipeline = Pipeline::builder("call").then(chaos.clone()).build().unwrap();
    let call = |_| async { chaos.outcome(|| Err(io::Error::from(io::ErrorKind::TimedOut))).unwrap_or(Ok(())) };
    assert!(pipeline.run(call).await.is_err());
    assert_eq!(ran.load(std::sync::atomic::Ordering::Relaxed), 1);
    chaos.enable(false);
    assert!(pipeline.run(call).await.is_ok());
}
