//! E: two priorities at twice the capacity; does the higher one notice?

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bedplate_recovery::{Bulkhead, BulkheadConfig, Clock as _, Cx, Gradient2, LimitConfig, Priority, TokioClock};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::events::exponential;

const WORKERS: usize = 30;
const WORK: Duration = Duration::from_millis(100);

/// The shares of the critical and of the sheddable calls that were served.
pub async fn run(seconds: u32, seed: u64) -> (f64, f64) {
    let mut rule = Gradient2::default();
    rule.initial = 30;
    let config = BulkheadConfig::adaptive(LimitConfig::Gradient2(rule)).queue(60, Duration::from_millis(500));
    let bulkhead = Bulkhead::new("callee", config).unwrap();
    let workers = Arc::new(Semaphore::new(WORKERS));
    let served = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
    let mut made = [0_u32; 2];
    let mut random = fastrand::Rng::with_seed(seed);
    let mut calls = JoinSet::new();
    let end = tokio::time::Instant::now() + Duration::from_secs(seconds.into());
    while tokio::time::Instant::now() < end {
        // 600 calls per second, four of ten critical: 80 % of what the callee can serve.
        tokio::time::sleep(exponential(&mut random, Duration::from_micros(1_667))).await;
        let critical = random.f64() < 0.4;
        made[usize::from(!critical)] += 1;
        let work = exponential(&mut random, WORK);
        let (bulkhead, workers, served) = (bulkhead.clone(), Arc::clone(&workers), Arc::clone(&served));
        calls.spawn(async move {
            let priority = if critical { Priority::Critical } else { Priority::Sheddable };
            let Ok(permit) = bulkhead.acquire(&TokioClock, Cx::first().with_priority(priority)).await else { return };
            let worker = workers.acquire().await.map_err(io::Error::other);
            tokio::time::sleep(work).await;
            drop(worker);
            permit.finish(TokioClock.now(), None);
            served[usize::from(!critical)].fetch_add(1, Ordering::Relaxed);
        });
        while calls.try_join_next().is_some() {}
    }
    while calls.join_next().await.is_some() {}
    let share = |class: usize| f64::from(served[class].load(Ordering::Relaxed)) / f64::from(made[class]);
    (share(0), share(1))
}

#[tokio::test(start_paused = true)]
async fn critical_calls_are_served_in_an_overload() {
    let (critical, sheddable) = run(20, 1).await;
    assert!(critical >= 0.99, "{critical}");
    assert!(sheddable > 0.1 && sheddable < 0.6, "what is left over serves the others: {sheddable}");
}
