//! Five policies around one call: bulkhead, time limit, retry, time limit, breaker.

use std::time::Duration;

use bedplate_benches::Suite;
use bedplate_recovery::tower::RecoveryLayer;
use bedplate_recovery::{Bulkhead, BulkheadConfig, CircuitBreaker, Pipeline, PipelineConfig, Policy, Retry};
use layered::Service as _;
use tower::Layer as _;

use crate::peers::{resilience, seatbelt};
use crate::work::{Fate, Request, SUCCEEDS, Shared, WAITS, operation, repeat, service};
use crate::{ATTEMPT, OURS, PLACES, TOTAL};

pub(crate) fn run(suite: &mut Suite) {
    stack(suite, "stack", SUCCEEDS, 1);
    stack(suite, "stack_pending", WAITS, 1);
    stack(suite, "stack_2threads", SUCCEEDS, 2);
    stack(suite, "stack_pending_2threads", WAITS, 2);
    four(suite);
    other_forms(suite);
    scaling(suite, "stack_scaling", SUCCEEDS);
    scaling(suite, "stack_pending_scaling", WAITS);
}

/// All threads go through the same stack.
fn stack(suite: &mut Suite, case: &'static str, fate: Fate, threads: usize) {
    if !suite.wants(case) {
        return;
    }
    let (ours, resilience, seatbelt) = (five(), resilience::stack(fate), seatbelt::stack(fate));
    suite
        .case(case)
        .threads(threads)
        .ours(OURS, |work| {
            repeat(work, fate, async |n| ours.run(move |cx| operation(n, cx.attempt() - 1, fate)).await);
        })
        .peer("tower-resilience", |work| resilience.serve(work, fate))
        .peer("seatbelt (four)", |work| {
            repeat(work, fate, async |n| seatbelt.execute(Request { n, attempt: 0 }).await);
        })
        .run();
}

/// The four that `seatbelt` has as well.
fn four(suite: &mut Suite) {
    if !suite.wants("stack_of_four") {
        return;
    }
    let ours = Pipeline::builder("bench")
        .timeout(TOTAL)
        .retry(Retry::constant(Duration::ZERO))
        .attempt_timeout(ATTEMPT)
        .breaker(CircuitBreaker::builder("bench").build().expect("valid settings"))
        .build()
        .expect("valid settings");
    let seatbelt = seatbelt::stack(SUCCEEDS);
    suite
        .case("stack_of_four")
        .ours(OURS, |work| {
            repeat(work, SUCCEEDS, async |n| ours.run(move |cx| operation(n, cx.attempt() - 1, SUCCEEDS)).await);
        })
        .peer("seatbelt", |work| {
            repeat(work, SUCCEEDS, async |n| seatbelt.execute(Request { n, attempt: 0 }).await);
        })
        .run();
}

/// The five as one layer of `tower`, and as data. The peers are layers of `tower` in both.
fn other_forms(suite: &mut Suite) {
    for (case, fate) in [("stack_tower", SUCCEEDS), ("stack_tower_pending", WAITS)] {
        if !suite.wants(case) {
            continue;
        }
        let ours = Shared::new(RecoveryLayer::new(five()).layer(service(fate)));
        let (resilience, seatbelt) = (resilience::stack(fate), Shared::new(seatbelt::tower_stack(fate)));
        suite
            .case(case)
            .ours(OURS, |work| ours.serve(work, fate))
            .peer("tower-resilience", |work| resilience.serve(work, fate))
            .peer("seatbelt (four)", |work| seatbelt.serve(work, fate))
            .run();
    }
    if suite.wants("stack_dyn") {
        let config: PipelineConfig = serde_json::from_str(FIVE).expect("valid settings");
        let ours = config.build("bench").expect("valid settings");
        let resilience = resilience::stack(SUCCEEDS);
        suite
            .case("stack_dyn")
            .ours(OURS, |work| {
                repeat(work, SUCCEEDS, async |n| ours.run(move |cx| operation(n, cx.attempt() - 1, SUCCEEDS)).await);
            })
            .peer("tower-resilience", |work| resilience.serve(work, SUCCEEDS))
            .run();
    }
}

/// What two threads get done together on one stack, against one thread alone.
fn scaling(suite: &mut Suite, case: &'static str, fate: Fate) {
    if !suite.wants(case) {
        return;
    }
    let ours = five();
    let through = |work| repeat(work, fate, async |n| ours.run(move |cx| operation(n, cx.attempt() - 1, fate)).await);
    suite.case(case).threads(2).by_wall_time().ours("two threads", through).alone("one thread", through).run();
}

fn five() -> Pipeline<impl Policy> {
    Pipeline::builder("bench")
        .bulkhead(Bulkhead::new("bench", BulkheadConfig::fixed(PLACES)).expect("valid settings"))
        .timeout(TOTAL)
        .retry(Retry::constant(Duration::ZERO))
        .attempt_timeout(ATTEMPT)
        .breaker(CircuitBreaker::builder("bench").build().expect("valid settings"))
        .build()
        .expect("valid settings")
}

const FIVE: &str = r#"{ "policies": [
    { "bulkhead": { "places": { "fixed": 10 } } },
    { "timeout": { "limit": { "secs": 30, "nanos": 0 } } },
    { "retry": { "max_attempts": 3 } },
    { "timeout": { "limit": { "secs": 10, "nanos": 0 }, "scope": "attempt" } },
    { "breaker": {} }
] }"#;
