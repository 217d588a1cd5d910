//! D: a request that needs the answers of a hundred callees, one of two hundred of which is slow.

use std::io;
use std::time::Duration;

use bedplate_recovery::{BudgetConfig, Cx, Hedge, InFlightBudget, Pipeline, RetryBudget};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use super::events::quantile;

const FAN_OUT: usize = 100;

/// What hedging did to the requests.
#[derive(Debug, Clone, Copy)]
pub struct Hedged {
    /// The 99th percentile of the requests without hedging, and with it.
    pub p99: [Duration; 2],
    /// Attempts beyond the first, per call.
    pub extra_load: f64,
    /// The same while every callee is ten times as slow.
    pub extra_load_in_slowdown: f64,
}

/// The most of the attempts in flight that may be hedges.
pub const BUDGET: f64 = 0.1;

/// Makes `requests` requests of a hundred calls each, one after the other.
pub async fn run(requests: usize, seed: u64) -> Hedged {
    let random = Mutex::new(fastrand::Rng::with_seed(seed));
    let work = |factor: u32| {
        let mut random = random.lock();
        let slow = random.f64() < 0.005;
        let ms = if slow { random.u64(300..1_000) } else { random.u64(5..21) };
        Duration::from_millis(ms) * factor
    };
    let mut budget = InFlightBudget::default();
    budget.max_rate = BUDGET;
    let budget = RetryBudget::new(BudgetConfig::InFlight(budget)).unwrap();
    let hedge = Hedge::at_quantile(0.95).budget(&budget);
    let plain = Pipeline::builder("plain").build().unwrap();
    let hedged = Pipeline::builder("hedged").hedge(hedge.clone()).build().unwrap();
    let answer = |factor: u32| {
        let work = &work;
        move |_: Cx| {
            let long = work(factor);
            async move {
                sleep(long).await;
                Ok::<_, io::Error>(())
            }
        }
    };
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..requests {
        let start = Instant::now();
        join_all((0..FAN_OUT).map(|_| plain.run(answer(1)))).await;
        took[0].push(start.elapsed());
    }
    // The first requests teach the delay and are not counted.
    for _ in 0..5 {
        join_all((0..FAN_OUT).map(|_| hedged.run(answer(1)))).await;
    }
    let before = hedge.stats();
    for _ in 0..requests {
        let start = Instant::now();
        join_all((0..FAN_OUT).map(|_| hedged.run(answer(1)))).await;
        took[1].push(start.elapsed());
    }
    let after = hedge.stats();
    let slowed = requests.min(20);
    for _ in 0..slowed {
        join_all((0..FAN_OUT).map(|_| hedged.run(answer(10)))).await;
    }
    let in_slowdown = hedge.stats();
    let per_call = |from: bedplate_recovery::HedgeStats, to: bedplate_recovery::HedgeStats| {
        (to.started - from.started) as f64 / (to.calls - from.calls) as f64
    };
    Hedged {
        p99: took.each_mut().map(|took| quantile(took, 0.99)),
        extra_load: per_call(before, after),
        extra_load_in_slowdown: per_call(after, in_slowdown),
    }
}

#[tokio::test(start_paused = true)]
async fn hedging_cuts_the_tail_for_little_load_and_keeps_its_budget() {
    let hedged = run(300, 1).await;
    assert!(hedged.p99[1] <= hedged.p99[0] / 5, "{hedged:?}");
    assert!(hedged.extra_load <= 0.05, "{hedged:?}");
    // Of all in flight a tenth may be hedges: of ten, one; so there are at most 1/9 as many as calls.
    assert!(hedged.extra_load_in_slowdown <= BUDGET / (1.0 - BUDGET) + 0.01, "{hedged:?}");
}
