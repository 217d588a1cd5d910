//! F: a callee that fails three of ten calls, under different policies.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bedplate_recovery::{
    CircuitBreaker, ClientThrottle, ClientThrottleConfig, Pipeline, Policy, Retry, RetryBudget, SeededRandom,
};
use parking_lot::Mutex;
use tokio::time::sleep;

/// What callers and callee saw.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// The share of the calls that gave a value.
    pub success: f64,
    /// Attempts that reached the callee per call.
    pub load: f64,
}

const CALLS: u32 = 6_000;

/// Makes a hundred calls per second for a minute; three of ten attempts fail.
pub async fn run<P: Policy>(pipeline: Pipeline<P>, seed: u64) -> Seen {
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    let (mut good, reached) = (0_u32, AtomicU32::new(0));
    for _ in 0..CALLS {
        sleep(Duration::from_millis(10)).await;
        let call = |_| {
            reached.fetch_add(1, Ordering::Relaxed);
            let fails = random.lock().f64() < 0.3;
            async move { if fails { Err(io::Error::from(io::ErrorKind::ConnectionReset)) } else { Ok(()) } }
        };
        good += u32::from(pipeline.run(call).await.is_ok());
    }
    let calls = f64::from(CALLS);
    Seen { success: f64::from(good) / calls, load: f64::from(reached.into_inner()) / calls }
}

/// Runs every policy; the rows of the table.
pub async fn table(seed: u64) -> Vec<(&'static str, Seen)> {
    let retry = || Retry::constant(Duration::from_millis(1)).max_attempts(3);
    let breaker = || CircuitBreaker::builder("callee").time_window(Duration::from_secs(10)).build().unwrap();
    let throttle =
        || ClientThrottle::with_random("callee", ClientThrottleConfig::default(), SeededRandom::new(seed)).unwrap();
    let named = || Pipeline::builder("brown-out");
    vec![
        ("nothing", run(named().build().unwrap(), seed).await),
        ("retry", run(named().retry(retry()).build().unwrap(), seed).await),
        ("retry + budget", run(named().retry(retry().budget(&RetryBudget::aws())).build().unwrap(), seed).await),
        ("breaker at 50 %", run(named().breaker(breaker()).build().unwrap(), seed).await),
        ("throttle", run(named().throttle(throttle()).build().unwrap(), seed).await),
        (
            "retry + budget, breaker",
            run(named().retry(retry().budget(&RetryBudget::aws())).breaker(breaker()).build().unwrap(), seed).await,
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn retries_mend_a_brown_out_and_a_budget_bounds_their_price() {
    let table = table(1).await;
    let of = |name: &str| table.iter().find(|(row, _)| *row == name).unwrap().1;
    assert!((of("nothing").success - 0.7).abs() < 0.03);
    assert!(of("retry").success > 0.95 && of("retry").load > 1.3);
    assert!(of("retry + budget").success > 0.8, "{table:?}");
    assert!(of("retry + budget").load < of("retry").load, "{table:?}");
    // Three of ten is below what opens the breaker and above what the throttle minds: neither makes it worse.
    assert!(of("breaker at 50 %").success > 0.65 && of("throttle").success > 0.65, "{table:?}");
}
