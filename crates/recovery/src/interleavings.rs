//! Breaker and bulkhead under a scheduler that tries one interleaving of their locks and atomics after the other. Run by
//! `scripts/interleavings.sh`.

use std::future::{Future, pending};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use shuttle::rand::{Rng as _, thread_rng};
use shuttle::thread;

use crate::{
    BreakerState, Bulkhead, BulkheadConfig, CircuitBreaker, Clock, Cx, HalfOpen, Outcome, TokioClock, Transition,
};

const ROUNDS: usize = 2_000;

fn threads(count: u32, run: impl Fn(u32) + Send + Sync + 'static) {
    let run = Arc::new(run);
    let threads: Vec<_> = (0..count)
        .map(|thread| {
            let run = Arc::clone(&run);
            thread::spawn(move || run(thread))
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// A breaker that counts its changes of state; the counts are no part of what is scheduled.
fn breaker(changes: &Arc<[AtomicU32; 3]>) -> CircuitBreaker {
    let changes = Arc::clone(changes);
    CircuitBreaker::builder("interleaved")
        .count_window(10)
        .failure_rate(0.5)
        .minimum_calls(2)
        .open_for(Duration::from_secs(5))
        .half_open(HalfOpen::Rate(1))
        .on_transition(move |Transition { to, .. }| {
            let at = match to {
                BreakerState::Open => 0,
                BreakerState::HalfOpen => 1,
                _ => 2,
            };
            changes[at].fetch_add(1, Ordering::Relaxed);
        })
        .build()
        .unwrap()
}

fn told(changes: &[AtomicU32; 3]) -> [u32; 3] {
    [0, 1, 2].map(|at| changes[at].load(Ordering::Relaxed))
}

#[test]
fn the_circuit_opens_once_and_turns_half_open_once() {
    shuttle::check_random(
        || {
            let changes = Arc::new([const { AtomicU32::new(0) }; 3]);
            let (breaker, start) = (breaker(&changes), TokioClock.now());
            let shared = breaker.clone();
            threads(3, move |_| {
                if let Ok(permit) = shared.acquire(start) {
                    permit.record(start, Outcome::Failure);
                }
            });
            assert_eq!(told(&changes), [1, 0, 0]);
            let later = start + Duration::from_secs(6);
            let admitted = Arc::new(AtomicU32::new(0));
            let (shared, count) = (breaker.clone(), Arc::clone(&admitted));
            threads(3, move |_| {
                if let Ok(permit) = shared.acquire(later) {
                    count.fetch_add(1, Ordering::Relaxed);
                    assert!(permit.is_probe());
                    std::mem::forget(permit);
                }
            });
            assert_eq!(admitted.load(Ordering::Relaxed), 1, "one probe, however many ask at once");
            assert_eq!(told(&changes), [1, 1, 0]);
            assert_eq!(breaker.state(), BreakerState::HalfOpen);
        },
        ROUNDS,
    );
}

#[test]
fn a_late_result_changes_nothing() {
    shuttle::check_random(
        || {
            let changes = Arc::new([const { AtomicU32::new(0) }; 3]);
            let (breaker, start) = (breaker(&changes), TokioClock.now());
            let later = start + Duration::from_secs(6);
            let slow = {
                let breaker = breaker.clone();
                thread::spawn(move || {
                    if let Ok(permit) = breaker.acquire(start) {
                        thread::yield_now();
                        permit.record(later, Outcome::Success);
                    }
                })
            };
            while breaker.state() == BreakerState::Closed {
                if let Ok(permit) = breaker.acquire(start) {
                    permit.record(start, Outcome::Failure);
                }
            }
            let probe = breaker.acquire(later).expect("a probe");
            slow.join().unwrap();
            assert_eq!(breaker.state(), BreakerState::HalfOpen, "a success of before is no probe's");
            assert_eq!(breaker.stats().window.calls, 0);
            probe.record(later, Outcome::Success);
            assert_eq!(told(&changes), [1, 1, 1]);
        },
        ROUNDS,
    );
}

#[test]
fn every_result_is_in_the_window_once_and_cancelled_calls_are_not() {
    shuttle::check_random(
        || {
            let breaker = CircuitBreaker::builder("interleaved").count_window(100).failure_rate(1.0).build().unwrap();
            let start = TokioClock.now();
            let kinds = Arc::new([const { AtomicU32::new(0) }; 3]);
            let (shared, counted) = (breaker.clone(), Arc::clone(&kinds));
            threads(3, move |_| {
                for _ in 0..4 {
                    let permit = shared.acquire(start).unwrap();
                    let kind = thread_rng().gen_range(0..3_usize);
                    counted[kind].fetch_add(1, Ordering::Relaxed);
                    match kind {
                        0 => permit.record(start, Outcome::Success),
                        1 => permit.record(start, Outcome::Failure),
                        _ => drop(permit),
                    }
                }
            });
            let [successes, failures, cancelled] = told(&kinds);
            let stats = breaker.stats();
            assert_eq!((stats.window.calls, stats.window.failures), (successes + failures, failures));
            assert_eq!((stats.abandoned, stats.late_results), (u64::from(cancelled), 0));
        },
        ROUNDS,
    );
}

/// Time stands still, so that nobody's wait is over.
struct Still(Instant);

impl Clock for Still {
    fn now(&self) -> Instant {
        self.0
    }

    fn sleep_until(&self, _at: Instant) -> impl Future<Output = ()> + Send {
        pending()
    }
}

#[test]
fn no_place_leaks_and_none_is_given_twice_whoever_is_cancelled() {
    const PLACES: u32 = 2;
    shuttle::check_random(
        || {
            let config = BulkheadConfig::fixed(PLACES).queue(2, Duration::from_secs(1));
            let bulkhead = Bulkhead::new("interleaved", config).unwrap();
            let inside = Arc::new(AtomicU32::new(0));
            let (shared, running) = (bulkhead.clone(), Arc::clone(&inside));
            threads(4, move |_| {
                let clock = Still(TokioClock.now());
                for _ in 0..2 {
                    let mut entering = pin!(shared.acquire(&clock, Cx::first()));
                    let polls = thread_rng().gen_range(1..4_u32);
                    let mut permit = None;
                    for _ in 0..polls {
                        let mut task = Context::from_waker(Waker::noop());
                        if let std::task::Poll::Ready(entered) = entering.as_mut().poll(&mut task) {
                            permit = entered.ok();
                            break;
                        }
                        thread::yield_now();
                    }
                    // Whoever was not let in by now goes away from where it stands in the line.
                    if permit.is_some() {
                        assert!(running.fetch_add(1, Ordering::Relaxed) < PLACES, "a place too many");
                        thread::yield_now();
                        running.fetch_sub(1, Ordering::Relaxed);
                    }
                }
            });
            let stats = bulkhead.stats();
            assert_eq!((stats.running, stats.waiting), (0, 0), "{stats:?}");
            let now = TokioClock.now();
            let all: Vec<_> = (0..PLACES).map(|_| bulkhead.try_acquire(now).expect("a free place")).collect();
            assert!(bulkhead.try_acquire(now).is_err());
            drop(all);
        },
        ROUNDS,
    );
}

#[test]
fn who_waits_is_let_in() {
    shuttle::check_random(
        || {
            let config = BulkheadConfig::fixed(1).queue(3, Duration::from_secs(1));
            let bulkhead = Bulkhead::new("interleaved", config).unwrap();
            let shared = bulkhead.clone();
            // A wake-up that is lost is a deadlock, which the scheduler reports.
            threads(3, move |_| {
                let clock = Still(TokioClock.now());
                let permit =
                    shuttle::future::block_on(shared.acquire(&clock, Cx::first())).expect("a place in the end");
                thread::yield_now();
                drop(permit);
            });
            let stats = bulkhead.stats();
            assert_eq!((stats.running, stats.waiting, stats.admitted), (0, 0, 3), "{stats:?}");
        },
        ROUNDS,
    );
}
