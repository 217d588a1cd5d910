//! One breaker around one call: closed over its kinds of windows, open, shared by two threads, and with more and more
//! calls in its window.

use std::time::Duration;

use bedplate_benches::{Suite, Work};
use bedplate_recovery::{BreakerBuilder, CircuitBreaker, Pipeline};
use failsafe::futures::CircuitBreaker as _;
use layered::Service as _;
use parking_lot::Mutex;
use recloser::{AsyncRecloser, Recloser};
use tower::{Layer as _, Service as _, ServiceExt as _};

use crate::peers::{resilience, seatbelt};
use crate::work::{Broken, FAILS, Fate, Request, SUCCEEDS, Shared, WAITS, block_on, operation, repeat, service};
use crate::{ATTEMPT, LONG, OURS};

pub(crate) fn run(suite: &mut Suite) {
    closed(suite, "breaker", SUCCEEDS, 1, by_calls);
    closed(suite, "breaker_time_slow", SUCCEEDS, 1, by_time);
    closed(suite, "breaker_pending", WAITS, 1, by_calls);
    closed(suite, "breaker_2threads", SUCCEEDS, 2, by_calls);
    closed(suite, "breaker_time_slow_2threads", SUCCEEDS, 2, by_time);
    in_pipeline(suite);
    scaling(suite);
    open(suite);
    flat(suite);
    for (case, calls) in [
        ("breaker_window_100", 100),
        ("breaker_window_1k", 1_000),
        ("breaker_window_10k", 10_000),
        ("breaker_window_100k", 100_000),
    ] {
        filled(suite, case, calls);
    }
}

/// Half of the last hundred calls.
fn by_calls() -> BreakerBuilder {
    CircuitBreaker::builder("bench").count_window(100).failure_rate(0.5)
}

/// Half of the calls of ten seconds, by failure or by taking too long.
fn by_time() -> BreakerBuilder {
    CircuitBreaker::builder("bench").time_window(Duration::from_secs(10)).failure_rate(0.5).slow_calls(ATTEMPT, 0.5)
}

/// A closed circuit around a call that succeeds. The peers are the same in all cases: `failsafe` judges by an average
/// over time, `recloser` and `tower-resilience` by the last hundred calls, `seatbelt` by ten seconds.
fn closed(suite: &mut Suite, case: &'static str, fate: Fate, threads: usize, ours: fn() -> BreakerBuilder) {
    if !suite.wants(case) {
        return;
    }
    let ours = ours().build().expect("valid settings");
    let resilience = Shared::new(resilience::breaker().layer(service(fate)));
    let seatbelt = seatbelt::breaker(fate);
    let failsafe = failsafe::Config::new().build();
    let recloser = AsyncRecloser::from(Recloser::custom().error_rate(0.5).closed_len(100).build());
    suite
        .case(case)
        .threads(threads)
        .ours(OURS, |work| repeat(work, fate, async |n| ours.call(operation(n, 0, fate)).await))
        .peer("tower-resilience", |work| resilience.serve(work, fate))
        .peer("seatbelt", |work| {
            repeat(work, fate, async |n| seatbelt.execute(Request { n, attempt: 0 }).await);
        })
        .peer("failsafe", |work| repeat(work, fate, async |n| failsafe.call(Box::pin(operation(n, 0, fate))).await))
        .peer("recloser", |work| repeat(work, fate, async |n| recloser.call(operation(n, 0, fate)).await))
        .run();
}

/// The same with the counts and the classification of a pipeline.
fn in_pipeline(suite: &mut Suite) {
    if !suite.wants("breaker_in_pipeline") {
        return;
    }
    let breaker = by_calls().build().expect("valid settings");
    let ours = Pipeline::builder("bench").breaker(breaker).build().expect("valid settings");
    let resilience = Shared::new(resilience::breaker().layer(service(SUCCEEDS)));
    let seatbelt = seatbelt::breaker(SUCCEEDS);
    suite
        .case("breaker_in_pipeline")
        .ours(OURS, |work| {
            repeat(work, SUCCEEDS, async |n| ours.run(move |_| operation(n, 0, SUCCEEDS)).await);
        })
        .peer("tower-resilience", |work| resilience.serve(work, SUCCEEDS))
        .peer("seatbelt", |work| {
            repeat(work, SUCCEEDS, async |n| seatbelt.execute(Request { n, attempt: 0 }).await);
        })
        .run();
}

/// What two threads get done together on one breaker, against one thread alone.
fn scaling(suite: &mut Suite) {
    for (case, build) in [("breaker_scaling", by_calls as fn() -> BreakerBuilder), ("breaker_time_scaling", by_time)] {
        if !suite.wants(case) {
            continue;
        }
        let breaker = build().build().expect("valid settings");
        let through = |work| repeat(work, SUCCEEDS, async |n| breaker.call(operation(n, 0, SUCCEEDS)).await);
        suite.case(case).threads(2).by_wall_time().ours("two threads", through).alone("one thread", through).run();
    }
}

/// An open circuit refuses; the call is not made.
fn open(suite: &mut Suite) {
    if !suite.wants("breaker_open") {
        return;
    }
    let ours = CircuitBreaker::builder("bench").consecutive_failures(1).open_for(LONG).build().expect("valid settings");
    let resilience = Shared::new(resilience::broken_breaker().layer(service(FAILS)));
    let seatbelt = seatbelt::broken_breaker(FAILS);
    let policy = failsafe::failure_policy::consecutive_failures(1, failsafe::backoff::constant(LONG));
    let failsafe = failsafe::Config::new().failure_policy(policy).build();
    let recloser = AsyncRecloser::from(Recloser::custom().closed_len(1).open_wait(LONG).build());
    let mut served = resilience.get();
    block_on(async {
        for n in 0..8 {
            if let Ok(ready) = served.ready().await {
                drop(ready.call(Request { n, attempt: 0 }).await);
            }
            drop(ours.call(operation(n, 0, FAILS)).await);
            assert!(seatbelt.execute(Request { n, attempt: 0 }).await.is_err());
            drop(failsafe.call(Box::pin(operation(n, 0, FAILS))).await);
            drop(recloser.call(operation(n, 0, FAILS)).await);
        }
        // That all of them are open is not taken on trust.
        assert!(ours.call(operation(0, 0, SUCCEEDS)).await.is_err_and(|failure| failure.is_refusal()));
        assert_eq!(seatbelt.execute(Request { n: 0, attempt: 0 }).await, Err(Broken::Rejected));
        assert!(matches!(failsafe.call(Box::pin(operation(0, 0, SUCCEEDS))).await, Err(failsafe::Error::Rejected)));
        assert!(matches!(recloser.call(operation(0, 0, SUCCEEDS)).await, Err(recloser::Error::Rejected)));
    });
    suite
        .case("breaker_open")
        .ours(OURS, |work| repeat(work, FAILS, async |n| ours.call(operation(n, 0, SUCCEEDS)).await))
        .peer("tower-resilience", |work| resilience.serve(work, FAILS))
        .peer("seatbelt", |work| repeat(work, FAILS, async |n| seatbelt.execute(Request { n, attempt: 0 }).await))
        .peer("failsafe", |work| {
            repeat(work, FAILS, async |n| failsafe.call(Box::pin(operation(n, 0, SUCCEEDS))).await);
        })
        .peer("recloser", |work| repeat(work, FAILS, async |n| recloser.call(operation(n, 0, SUCCEEDS)).await))
        .run();
}

/// A breaker of ours over time with so many calls in its window.
struct Filled {
    calls: u64,
    breaker: Mutex<CircuitBreaker>,
}

impl Filled {
    fn new(calls: u64) -> Self {
        Self { calls, breaker: Mutex::new(filled_breaker(calls)) }
    }

    /// Made anew where the calls of one sample would be many beside those in the window.
    fn renew(&self) {
        if self.calls <= 10_000 {
            *self.breaker.lock() = filled_breaker(self.calls);
        }
    }

    fn run(&self, work: Work) {
        let breaker = self.breaker.lock().clone();
        mixed(work.iterations, async |n, fate| breaker.call(operation(n, 0, fate)).await.is_ok());
    }
}

fn filled_breaker(calls: u64) -> CircuitBreaker {
    let breaker = CircuitBreaker::builder("bench")
        .time_window(LONG)
        .failure_rate(0.5)
        .slow_calls(ATTEMPT, 0.5)
        .build()
        .expect("valid settings");
    mixed(calls, async |n, fate| breaker.call(operation(n, 0, fate)).await.is_ok());
    breaker
}

/// One call in sixteen fails, so that the window is not only added to but judged.
fn mixed(calls: u64, mut call: impl AsyncFnMut(u64, Fate) -> bool) {
    block_on(async {
        for n in 0..calls {
            let fails = n % 16 == 15;
            let succeeded = call(n, if fails { FAILS } else { SUCCEEDS }).await;
            assert_ne!(succeeded, fails, "a wrong result");
        }
    });
}

/// So few calls are measured that the smallest window holds about as many as its name says.
const MEASURED: u64 = 200;

/// Ours against itself: a million calls in the window cost what a hundred cost.
fn flat(suite: &mut Suite) {
    if !suite.wants("breaker_window_flat") {
        return;
    }
    let most = Filled::new(if suite.is_smoke() { 10_000 } else { 1_000_000 });
    let [hundred, thousand, more, many] = [100, 1_000, 10_000, 100_000].map(Filled::new);
    suite
        .case("breaker_window_flat")
        .iterations(MEASURED)
        .ours("1M in window", |work| most.run(work))
        .peer("100 in window", |work| hundred.run(work))
        .before("100 in window", || hundred.renew())
        .peer("1k in window", |work| thousand.run(work))
        .before("1k in window", || thousand.renew())
        .peer("10k in window", |work| more.run(work))
        .before("10k in window", || more.renew())
        .peer("100k in window", |work| many.run(work))
        .run();
}

/// Ours against `tower-resilience`, whose cost grows with the calls in the window.
fn filled(suite: &mut Suite, case: &'static str, calls: u64) {
    // Filling its largest takes seconds.
    if !suite.wants(case) || (suite.is_smoke() && calls > 1_000) {
        return;
    }
    let ours = Filled::new(calls);
    let fresh = || {
        let served = tower::service_fn(|(n, fate): (u64, Fate)| operation(n, 0, fate));
        let mut service = resilience::timed_breaker().layer(served);
        mixed(calls, async |n, fate| service.ready().await.is_ok() && service.call((n, fate)).await.is_ok());
        service
    };
    let resilience = Mutex::new(fresh());
    suite
        .case(case)
        .iterations(MEASURED)
        .ours(OURS, |work| ours.run(work))
        .before(OURS, || ours.renew())
        .peer("tower-resilience", |work| {
            let mut service = resilience.lock().clone();
            mixed(work.iterations, async |n, fate| {
                service.ready().await.is_ok() && service.call((n, fate)).await.is_ok()
            });
        })
        .before("tower-resilience", || {
            if calls <= 1_000 {
                *resilience.lock() = fresh();
            }
        })
        .run();
}
