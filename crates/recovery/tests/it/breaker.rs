use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant as StdInstant};

use bedplate_recovery::{
    Abandoned, BreakerConfig, BreakerMachine, BreakerState, CircuitBreaker, Clock as _, Failure, HalfOpen, Outcome,
    Pipeline, Semantics, Ticket, TokioClock, TripRule, WindowKind,
};
use proptest::prelude::*;
use tokio::time::{Instant, advance};

use crate::support::{Fault, TRANSIENT};

const SECOND: Duration = Duration::from_secs(1);

fn now() -> StdInstant {
    Instant::now().into_std()
}

fn tripped() -> CircuitBreaker {
    let breaker = CircuitBreaker::builder("b")
        .consecutive_failures(1)
        .open_for(SECOND)
        .half_open(HalfOpen::Rate(2))
        .permit_ttl(3 * SECOND)
        .build()
        .unwrap();
    breaker.acquire(now()).unwrap().record(now(), Outcome::Failure);
    assert_eq!(breaker.state(), BreakerState::Open);
    breaker
}

#[tokio::test(start_paused = true)]
async fn half_open_admits_its_permits_and_no_more() {
    let breaker = tripped();
    advance(SECOND).await;
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(breaker.effective_state(now()), BreakerState::HalfOpen);
    let first = breaker.acquire(now()).unwrap();
    let second = breaker.acquire(now()).unwrap();
    let refused = breaker.acquire(now()).unwrap_err();
    assert_eq!(refused.retry_after, Some(3 * SECOND));
    first.record(now(), Outcome::Success);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    second.record(now(), Outcome::Success);
    assert_eq!(breaker.state(), BreakerState::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_gives_its_place_back() {
    let breaker = tripped();
    advance(SECOND).await;
    for _ in 0..50 {
        let permits = [breaker.acquire(now()).unwrap(), breaker.acquire(now()).unwrap()];
        assert!(breaker.acquire(now()).is_err());
        drop(permits);
    }
    assert_eq!(breaker.stats().abandoned, 100);
}

#[tokio::test(start_paused = true)]
async fn a_hung_probe_expires_and_its_late_result_is_dropped() {
    let breaker = tripped();
    advance(SECOND).await;
    let hung = [breaker.acquire(now()).unwrap(), breaker.acquire(now()).unwrap()];
    assert!(breaker.acquire(now()).is_err());
    advance(3 * SECOND).await;
    let next = breaker.acquire(now()).unwrap();
    for late in hung {
        late.record(now(), Outcome::Failure);
    }
    assert_eq!(breaker.state(), BreakerState::HalfOpen, "late failures do not reopen");
    next.record(now(), Outcome::Success);
    let stats = breaker.stats();
    assert_eq!((stats.expired_probes, stats.late_results), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_result_from_before_the_break_changes_nothing() {
    let breaker = CircuitBreaker::builder("b").consecutive_failures(1).open_for(SECOND).build().unwrap();
    let old = [breaker.acquire(now()).unwrap(), breaker.acquire(now()).unwrap()];
    breaker.acquire(now()).unwrap().record(now(), Outcome::Failure);
    advance(SECOND).await;
    let probe = breaker.acquire(now()).unwrap();
    let [good, bad] = old;
    good.record(now(), Outcome::Success);
    bad.record(now(), Outcome::Failure);
    assert_eq!(breaker.state(), BreakerState::HalfOpen);
    assert_eq!(breaker.stats().late_results, 2);
    drop(probe);
}

#[tokio::test(start_paused = true)]
async fn the_break_grows_while_the_callee_stays_down_and_starts_anew_after_a_close() {
    let breaker = CircuitBreaker::builder("b")
        .consecutive_failures(1)
        .open_for(SECOND)
        .open_growth(2.0, 5 * SECOND)
        .half_open(HalfOpen::Rate(1))
        .build()
        .unwrap();
    let fail = || {
        breaker.acquire(now()).unwrap().record(now(), Outcome::Failure);
    };
    for expected in [1, 2, 4, 5, 5] {
        fail();
        let refused = breaker.acquire(now()).unwrap_err();
        assert_eq!(refused.retry_after, Some(expected * SECOND));
        advance(expected * SECOND).await;
    }
    breaker.acquire(now()).unwrap().record(now(), Outcome::Success);
    assert_eq!(breaker.state(), BreakerState::Closed);
    fail();
    assert_eq!(breaker.acquire(now()).unwrap_err().retry_after, Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn isolation_holds_until_somebody_closes() {
    let breaker = tripped();
    breaker.isolate();
    advance(100_000 * SECOND).await;
    assert_eq!(breaker.acquire(now()).unwrap_err().retry_after, None);
    breaker.close();
    assert!(breaker.acquire(now()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn listeners_run_outside_the_lock_and_may_panic() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&heard);
    let own = Arc::new(Mutex::new(None::<CircuitBreaker>));
    let inside = Arc::clone(&own);
    let breaker = CircuitBreaker::builder("b")
        .consecutive_failures(1)
        .on_transition(|_| panic!("a listener's fault"))
        .on_transition(move |change| {
            // Taking the breaker's lock here would hang if it were held.
            let seen = inside.lock().unwrap().as_ref().map(CircuitBreaker::state);
            notes.lock().unwrap().push((change.to, seen));
        })
        .build()
        .unwrap();
    *own.lock().unwrap() = Some(breaker.clone());
    breaker.acquire(now()).unwrap().record(now(), Outcome::Failure);
    assert_eq!(*heard.lock().unwrap(), [(BreakerState::Open, Some(BreakerState::Open))]);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_call_is_a_failure_and_leaves_no_permit_behind() {
    let breaker = CircuitBreaker::builder("b").consecutive_failures(2).build().unwrap();
    for _ in 0..2 {
        let pipeline = Pipeline::builder("p").breaker(breaker.clone()).build().unwrap();
        let call = tokio::spawn(async move {
            pipeline.run(|_| async { if true { panic!("boom") } else { Ok::<(), Fault>(()) } }).await
        });
        assert!(call.await.unwrap_err().is_panic());
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_call_cut_by_its_deadline_is_a_failure_and_a_cancelled_one_is_not() {
    let breaker = CircuitBreaker::builder("b").consecutive_failures(1).build().unwrap();
    let pipeline = Pipeline::builder("p").timeout(SECOND).breaker(breaker.clone()).build().unwrap();
    let call = pipeline.run(|_| pending::<Result<(), Fault>>());
    assert!(tokio::time::timeout(SECOND / 2, call).await.is_err());
    assert_eq!(breaker.state(), BreakerState::Closed, "the caller went away");
    let cut = pipeline.run(|_| pending::<Result<(), Fault>>()).await;
    assert!(matches!(cut, Err(Failure::TimedOut { .. })));
    assert_eq!(breaker.state(), BreakerState::Open, "the callee hung");

    let strict = CircuitBreaker::builder("s").consecutive_failures(1).abandoned(Abandoned::Failure).build().unwrap();
    drop(strict.acquire(now()).unwrap());
    assert_eq!(strict.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_open_the_circuit() {
    let breaker =
        CircuitBreaker::builder("b").count_window(4).minimum_calls(4).slow_calls(SECOND, 0.5).build().unwrap();
    for slow in [false, true, false, true] {
        let permit = breaker.acquire(now()).unwrap();
        if slow {
            advance(SECOND).await;
        }
        permit.record(now(), Outcome::Success);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn call_guards_a_single_future() {
    let breaker = CircuitBreaker::builder("b").consecutive_failures(1).build().unwrap();
    assert_eq!(breaker.call(async { Ok::<_, Fault>(5) }).await, Ok(5));
    assert!(breaker.call(async { Err::<(), _>(TRANSIENT) }).await.is_err());
    assert!(breaker.call(async { Ok::<_, Fault>(5) }).await.unwrap_err().is_refusal());
}

#[test]
fn two_threads_never_exceed_the_permits_of_half_open() {
    for _ in 0..200 {
        let breaker = CircuitBreaker::builder("b")
            .consecutive_failures(1)
            .open_for(Duration::from_nanos(1))
            .half_open(HalfOpen::Rate(3))
            .build()
            .unwrap();
        let start = StdInstantSource::now();
        breaker.acquire(start).unwrap().record(start, Outcome::Failure);
        let later = start + SECOND;
        let admitted: usize = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        (0..10).filter_map(|_| breaker.acquire(later).ok()).map(std::mem::ManuallyDrop::new).count()
                    })
                })
                .collect();
            tries.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(admitted, 3);
    }
}

struct StdInstantSource;

impl StdInstantSource {
    fn now() -> StdInstant {
        Instant::now().into_std()
    }
}

/// The plainest breaker there is: it keeps every result and counts anew each time.
struct Naive {
    size: Option<usize>,
    period: Option<Duration>,
    rate: f64,
    minimum: usize,
    open_for: Duration,
    permits: usize,
    ttl: Duration,
    state: NaiveState,
    generation: u64,
}

enum NaiveState {
    Closed(VecDeque<(u64, bool)>),
    Open(u64),
    HalfOpen { pending: Vec<(u64, u64)>, good: usize, bad: usize },
}

impl Naive {
    fn enter(&mut self, state: NaiveState) {
        self.state = state;
        self.generation += 1;
    }

    fn acquire(&mut self, at: u64, id: u64) -> bool {
        if let NaiveState::Open(since) = self.state
            && at >= since + ms(self.open_for)
        {
            self.enter(NaiveState::HalfOpen { pending: Vec::new(), good: 0, bad: 0 });
        }
        let (permits, ttl) = (self.permits, ms(self.ttl));
        match &mut self.state {
            NaiveState::Closed(_) => true,
            NaiveState::Open(_) => false,
            NaiveState::HalfOpen { pending, good, bad } => {
                pending.retain(|(_, since)| at < since + ttl);
                let free = pending.len() + *good + *bad < permits;
                if free {
                    pending.push((id, at));
                }
                free
            }
        }
    }

    fn record(&mut self, at: u64, id: u64, generation: u64, failed: bool) {
        if generation != self.generation {
            return;
        }
        let mut next = None;
        match &mut self.state {
            NaiveState::Closed(results) => {
                results.push_back((at, failed));
                if let Some(size) = self.size {
                    while results.len() > size {
                        results.pop_front();
                    }
                }
                if let Some(period) = self.period {
                    // The buckets are a millisecond wide here, so that the window slides exactly.
                    results.retain(|(then, _)| at - then < ms(period));
                }
                let bad = results.iter().filter(|(_, failed)| *failed).count();
                if failed && results.len() >= self.minimum && bad as f64 >= self.rate * results.len() as f64 {
                    next = Some(NaiveState::Open(at));
                }
            }
            NaiveState::Open(_) => {}
            NaiveState::HalfOpen { pending, good, bad } => {
                let Some(place) = pending.iter().position(|(held, _)| *held == id) else {
                    return;
                };
                pending.remove(place);
                if failed {
                    *bad += 1;
                } else {
                    *good += 1;
                }
                if *bad as f64 >= self.rate * self.permits as f64 {
                    next = Some(NaiveState::Open(at));
                } else if *good + *bad == self.permits {
                    next = Some(NaiveState::Closed(VecDeque::new()));
                }
            }
        }
        if let Some(next) = next {
            self.enter(next);
        }
    }

    fn state(&self) -> BreakerState {
        match self.state {
            NaiveState::Closed(_) => BreakerState::Closed,
            NaiveState::Open(_) => BreakerState::Open,
            NaiveState::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

#[derive(Debug, Clone)]
enum Step {
    Acquire,
    Settle { which: usize, failed: bool },
    Release { which: usize },
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Acquire),
        4 => (any::<usize>(), prop::bool::weighted(0.55)).prop_map(|(which, failed)| Step::Settle { which, failed }),
        1 => any::<usize>().prop_map(|which| Step::Release { which }),
        2 => (0..40_u64).prop_map(Step::Advance),
    ];
    prop::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn the_machine_agrees_with_the_naive_one(
        by_time: bool,
        size in 1..12_u32,
        minimum in 1..8_u32,
        rate in prop_oneof![Just(0.25), Just(0.5), Just(1.0)],
        permits in 1..5_u32,
        script in steps(),
    ) {
        let (open_for, ttl) = (Duration::from_millis(50), Duration::from_millis(30));
        let period = Duration::from_millis(u64::from(size * 4));
        let mut config = BreakerConfig::default();
        config.window = if by_time {
            WindowKind::Time { period, buckets: size * 4 }
        } else {
            WindowKind::Count(size)
        };
        config.trip = TripRule::FailureRate(rate);
        config.minimum_calls = if by_time { minimum } else { minimum.min(size) };
        config.open_for = open_for;
        config.open_growth = 1.0;
        config.half_open = HalfOpen::Rate(permits);
        config.permit_ttl = ttl;
        let mut naive = Naive {
            size: (!by_time).then_some(size as usize),
            period: by_time.then_some(period),
            rate,
            minimum: config.minimum_calls as usize,
            open_for,
            permits: permits as usize,
            ttl,
            state: NaiveState::Closed(VecDeque::new()),
            generation: 0,
        };
        let mut machine = BreakerMachine::new(config).unwrap();
        let start = StdInstantSource::now();
        let mut at = 0;
        let mut held: Vec<(Ticket, u64, u64)> = Vec::new();
        for (id, step) in (0..).zip(script) {
            let now = start + Duration::from_millis(at);
            match step {
                Step::Acquire => {
                    let (ours, _) = machine.try_acquire(now);
                    prop_assert_eq!(ours.is_ok(), naive.acquire(at, id));
                    if let Ok(ticket) = ours {
                        held.push((ticket, id, naive.generation));
                    }
                }
                Step::Settle { which, failed } if !held.is_empty() => {
                    let (ticket, id, generation) = held.swap_remove(which % held.len());
                    machine.record(ticket, now, if failed { Outcome::Failure } else { Outcome::Success });
                    naive.record(at, id, generation, failed);
                }
                Step::Release { which } if !held.is_empty() => {
                    let (ticket, id, generation) = held.swap_remove(which % held.len());
                    machine.release(ticket);
                    if generation == naive.generation && let NaiveState::HalfOpen { pending, .. } = &mut naive.state {
                        pending.retain(|(held, _)| *held != id);
                    }
                }
                Step::Advance(by) => at += by,
                _ => {}
            }
            prop_assert_eq!(machine.state(), naive.state());
        }
    }
}

/// What the shared handle is told, and the pure machine beside it.
#[derive(Debug, Clone, Copy)]
enum Told {
    Success { took_ms: u64 },
    Failure,
    Ignored,
    Abandoned,
    Wait { ms: u64 },
    Look,
}

fn told() -> impl Strategy<Value = Told> {
    prop_oneof![
        6 => (0..40_u64).prop_map(|took_ms| Told::Success { took_ms }),
        3 => Just(Told::Failure),
        1 => Just(Told::Ignored),
        1 => Just(Told::Abandoned),
        2 => (0..700_u64).prop_map(|ms| Told::Wait { ms }),
        1 => Just(Told::Look),
    ]
}

fn breaker_configs() -> impl Strategy<Value = BreakerConfig> {
    let window = prop_oneof![
        (1..12_u32).prop_map(WindowKind::Count),
        (1..6_u32).prop_map(|buckets| WindowKind::Time { period: Duration::from_secs(1), buckets }),
    ];
    let trip = prop_oneof![
        (0.1..0.9_f64).prop_map(TripRule::FailureRate),
        (1..4_u32).prop_map(TripRule::Consecutive),
        (1..5_u32).prop_map(TripRule::Failures),
    ];
    let semantics = prop_oneof![Just(Semantics::default()), Just(Semantics::Resilience4j), Just(Semantics::Polly)];
    (window, trip, semantics, 1..5_u32, any::<bool>()).prop_map(|(window, trip, semantics, minimum, slow)| {
        let mut config = BreakerConfig::default();
        (config.window, config.trip, config.semantics) = (window, trip, semantics);
        config.minimum_calls = match window {
            WindowKind::Count(size) => minimum.min(size),
            _ => minimum,
        };
        config.open_for = Duration::from_millis(500);
        config.slow_call = Duration::from_millis(20);
        config.slow_call_rate = slow.then_some(0.6);
        config
    })
}

proptest! {
    /// The handle, which lets successes wait and refuses without the lock, agrees with the machine after every step.
    #[test]
    fn the_handle_agrees_with_the_machine(config in breaker_configs(), steps in prop::collection::vec(told(), 0..120)) {
        let Ok(mut machine) = BreakerMachine::new(config) else { return Ok(()) };
        let handle = CircuitBreaker::new("handle", config).unwrap();
        let begin = TokioClock.now();
        let mut now = begin;
        for step in steps {
            match step {
                Told::Wait { ms } => now += Duration::from_millis(ms),
                Told::Look => {
                    let (ours, theirs) = (handle.stats(), machine.stats(TokioClock.now()));
                    // A rule of failures in a row keeps no window, and the handle is not told of every success; and a look
                    // at a window of time goes by the real clock, which stands still here.
                    let by_calls = matches!(config.window, WindowKind::Count(_));
                    if by_calls && !matches!(config.trip, TripRule::Consecutive(_)) {
                        prop_assert_eq!(ours.window.failures, theirs.window.failures);
                        prop_assert_eq!(ours.window.calls, theirs.window.calls);
                    }
                    prop_assert_eq!((ours.opened, ours.refused), (theirs.opened, theirs.refused));
                }
                call => {
                    let (permit, ticket) = (handle.acquire(now), machine.try_acquire(now).0);
                    prop_assert_eq!(permit.as_ref().err(), ticket.as_ref().err());
                    let (Ok(permit), Ok(ticket)) = (permit, ticket) else { continue };
                    let outcome = match call {
                        Told::Success { took_ms } => {
                            now += Duration::from_millis(took_ms);
                            Outcome::Success
                        }
                        Told::Failure => Outcome::Failure,
                        Told::Ignored => Outcome::Ignored,
                        _ => {
                            drop(permit);
                            machine.release(ticket);
                            continue;
                        }
                    };
                    permit.record(now, outcome);
                    machine.record(ticket, now, outcome);
                }
            }
            prop_assert_eq!(handle.state(), machine.state());
        }
    }
}

/// Many threads at once: nothing is lost but what is late, and the circuit opens as the failures ask.
#[test]
fn threads_agree_on_one_window() {
    let breaker = CircuitBreaker::builder("shared").count_window(100_000).minimum_calls(1_000).build().unwrap();
    let now = TokioClock.now();
    std::thread::scope(|scope| {
        for thread in 0..4_u32 {
            let breaker = &breaker;
            scope.spawn(move || {
                for call in 0..5_000_u32 {
                    let fails = (call + thread) % 4 == 0;
                    let outcome = if fails { Outcome::Failure } else { Outcome::Success };
                    breaker.acquire(now).unwrap().record(now, outcome);
                }
            });
        }
    });
    let stats = breaker.stats();
    assert_eq!((stats.window.calls, stats.window.failures), (20_000, 5_000));
    assert_eq!(stats.failure_rate, Some(0.25));
}

#[tokio::test(start_paused = true)]
async fn other_probes_do_not_forget_the_calls_of_a_closed_circuit() {
    let breaker = CircuitBreaker::builder("b").consecutive_failures(1).build().unwrap();
    let running = breaker.acquire(now()).unwrap();
    let mut config = BreakerConfig::default();
    config.trip = TripRule::Consecutive(1);
    config.half_open = HalfOpen::Rate(7);
    breaker.reconfigure(config).unwrap();
    running.record(now(), Outcome::Failure);
    assert_eq!(breaker.state(), BreakerState::Open);
}
