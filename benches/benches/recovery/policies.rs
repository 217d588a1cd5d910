//! The other policies, each alone: bulkhead, rate limit, hedge, fall-back.

use std::num::NonZeroU32;
use std::sync::Arc;

use bedplate_benches::Suite;
use bedplate_recovery::{
    Bulkhead, BulkheadConfig, Fallback, Hedge, KeyedRateLimiter, Pipeline, Quality, Quota, RateLimiter, Source,
};
use layered::Service as _;
use tower::hedge::Policy as HedgePolicy;
use tower::limit::ConcurrencyLimitLayer;
use tower::{Layer as _, ServiceBuilder};
use tower_resilience::fallback::FallbackLayer;
use tower_resilience::hedge::HedgeLayer;
use tower_resilience::ratelimiter::RateLimiterLayer;

use crate::peers::{resilience, seatbelt};
use crate::work::{Broken, Fate, Request, SUCCEEDS, Shared, WAITS, operation, repeat, serve, service};
use crate::{ATTEMPT, OURS, PLACES};

pub(crate) fn run(suite: &mut Suite) {
    bulkhead(suite, "bulkhead", SUCCEEDS, 1);
    bulkhead(suite, "bulkhead_pending", WAITS, 1);
    bulkhead(suite, "bulkhead_2threads", SUCCEEDS, 2);
    rate(suite, "rate_direct", 1);
    rate(suite, "rate_direct_2threads", 2);
    keyed(suite, "rate_keyed", 1);
    keyed(suite, "rate_keyed_2threads", 2);
    rate_layer(suite);
    hedge(suite, "hedge", SUCCEEDS);
    hedge(suite, "hedge_pending", WAITS);
    fallback(suite);
}

fn bulkhead(suite: &mut Suite, case: &'static str, fate: Fate, threads: usize) {
    if !suite.wants(case) {
        return;
    }
    let bulkhead = Bulkhead::new("bench", BulkheadConfig::fixed(PLACES)).expect("valid settings");
    let ours = Pipeline::builder("bench").bulkhead(bulkhead).build().expect("valid settings");
    let places = usize::try_from(PLACES).expect("a small number");
    let tower = Shared::new(ConcurrencyLimitLayer::new(places).layer(service(fate)));
    let resilience = Shared::new(resilience::bulkhead().layer(service(fate)));
    suite
        .case(case)
        .threads(threads)
        .ours(OURS, |work| repeat(work, fate, async |n| ours.run(move |_| operation(n, 0, fate)).await))
        .peer("tower", |work| tower.serve(work, fate))
        .peer("tower-resilience", |work| resilience.serve(work, fate))
        .run();
}

/// So high that no call is refused.
const RATE: u32 = 1_000_000_000;

/// The bare question, with the reading of the clock that it takes.
fn rate(suite: &mut Suite, case: &'static str, threads: usize) {
    if !suite.wants(case) {
        return;
    }
    let ours = RateLimiter::new("bench", Quota::per_second(RATE)).expect("valid settings");
    let rate = NonZeroU32::new(RATE).expect("a rate");
    let governor = governor::RateLimiter::direct(governor::Quota::per_second(rate));
    suite
        .case(case)
        .threads(threads)
        .ours(OURS, |work| {
            repeat(work, SUCCEEDS, async |n| ours.try_acquire(tokio::time::Instant::now().into_std()).map(|()| n));
        })
        .peer("governor", |work| repeat(work, SUCCEEDS, async |n| governor.check().map(|()| n)))
        .run();
}

fn keyed(suite: &mut Suite, case: &'static str, threads: usize) {
    if !suite.wants(case) {
        return;
    }
    let ours = KeyedRateLimiter::<String>::new(Quota::per_second(RATE), 1_000).expect("valid settings");
    let rate = NonZeroU32::new(RATE).expect("a rate");
    let governor = governor::RateLimiter::keyed(governor::Quota::per_second(rate));
    let keys: Vec<String> = (0..64).map(|key| format!("customer-{key}")).collect();
    let key = |n: u64| keys.get(usize::try_from(n % 64).unwrap_or(0)).expect("one of the keys");
    suite
        .case(case)
        .threads(threads)
        .ours(OURS, |work| {
            repeat(work, SUCCEEDS, async |n| {
                ours.try_acquire(key(n).as_str(), tokio::time::Instant::now().into_std()).map(|()| n)
            });
        })
        .peer("governor", |work| repeat(work, SUCCEEDS, async |n| governor.check_key(key(n)).map(|()| n)))
        .run();
}

/// As a policy around a call.
fn rate_layer(suite: &mut Suite) {
    if !suite.wants("rate_policy") {
        return;
    }
    let limiter = RateLimiter::new("bench", Quota::per_second(RATE)).expect("valid settings");
    let ours = Pipeline::builder("bench").rate_limit(limiter).build().expect("valid settings");
    let layer = RateLimiterLayer::builder()
        .limit_for_period(usize::try_from(RATE).expect("a rate"))
        .build()
        .expect("valid settings");
    let resilience = Shared::new(layer.layer(service(SUCCEEDS)));
    suite
        .case("rate_policy")
        .ours(OURS, |work| repeat(work, SUCCEEDS, async |n| ours.run(move |_| operation(n, 0, SUCCEEDS)).await))
        .peer("tower-resilience", |work| resilience.serve(work, SUCCEEDS))
        .run();
}

/// A hedge after ten seconds, which no call here takes.
fn hedge(suite: &mut Suite, case: &'static str, fate: Fate) {
    if !suite.wants(case) {
        return;
    }
    let fixed = Pipeline::builder("bench").hedge(Hedge::after(ATTEMPT)).build().expect("valid settings");
    let resilience = Shared::new(HedgeLayer::new(ATTEMPT).layer(service(fate)));
    let seatbelt = seatbelt::hedging(fate);
    suite
        .case(case)
        .ours(OURS, |work| repeat(work, fate, async |n| fixed.run(move |_| operation(n, 0, fate)).await))
        .peer("seatbelt", |work| {
            repeat(work, fate, async |n| seatbelt.execute(Request { n, attempt: 0 }).await);
        })
        .peer("tower (quantile)", |work| {
            serve(work, fate, tower::hedge::Hedge::new(service(fate), Always, 1_000_000, 0.95, ATTEMPT));
        })
        .peer("tower-resilience", |work| resilience.serve(work, fate))
        .run();
}

/// Hedges every request.
#[derive(Debug, Clone, Copy)]
struct Always;

impl HedgePolicy<Request> for Always {
    fn clone_request(&self, request: &Request) -> Option<Request> {
        Some(*request)
    }

    fn can_retry(&self, _request: &Request) -> bool {
        true
    }
}

/// A chain of two sources of which the first answers.
fn fallback(suite: &mut Suite) {
    if !suite.wants("fallback") {
        return;
    }
    let ours = Fallback::new();
    let (live, cached): (Arc<str>, Arc<str>) = ("live".into(), "cached".into());
    let quality = Quality::new(0.5).expect("a quality");
    let layer = FallbackLayer::<Request, u64, Broken>::value(0);
    let resilience = Shared::new(ServiceBuilder::new().layer(layer).service(service(SUCCEEDS)));
    let seatbelt = seatbelt::fallback(SUCCEEDS);
    suite
        .case("fallback")
        .ours(OURS, |work| {
            repeat(work, SUCCEEDS, async |n| {
                let answer = ours
                    .first(Arc::clone(&live), async move { Ok(operation(n, 0, SUCCEEDS).await?) })
                    .then(Source::new(Arc::clone(&cached), quality), |_| async { Ok::<_, Broken>(0) })
                    .run()
                    .await;
                answer.map(|answer| answer.value)
            });
        })
        .peer("tower-resilience", |work| resilience.serve(work, SUCCEEDS))
        .peer("seatbelt", |work| {
            repeat(work, SUCCEEDS, async |n| seatbelt.execute(Request { n, attempt: 0 }).await);
        })
        .run();
}
