//! Pipelines that are data, kept by key and changed while they run.

use std::io;
use std::time::Duration;

use bedplate_recovery::{
    BreakerState, Clock as _, DynPipeline, Failure, PipelineConfig, Registry, RegistryConfig, Rejection, TokioClock,
};
use serde_json::json;
use tokio::time::sleep;

const MS: Duration = Duration::from_millis(1);

fn config(data: serde_json::Value) -> PipelineConfig {
    serde_json::from_value(data).unwrap()
}

fn breaking(failures: u32) -> PipelineConfig {
    config(json!({ "policies": [
        { "timeout": { "limit": { "secs": 1, "nanos": 0 } } },
        { "breaker": { "trip": { "consecutive": failures } } },
    ] }))
}

async fn fails(pipeline: &DynPipeline) -> Failure<io::Error> {
    pipeline.run(|_| async { Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut)) }).await.unwrap_err()
}

fn refused(failure: &Failure<io::Error>) -> bool {
    matches!(failure, Failure::Rejected { reason: Rejection::BreakerOpen, .. })
}

#[tokio::test(start_paused = true)]
async fn every_policy_can_be_data_and_comes_back_as_it_went() {
    let all = config(json!({
        "budget": { "tokens": { "capacity": 100 } },
        "policies": [
            { "timeout": { "limit": { "secs": 3, "nanos": 0 } } },
            { "throttle": {} },
            { "retry": { "max_attempts": 3, "uses_budget": true } },
            { "hedge": { "delay": { "fixed": { "secs": 0, "nanos": 50_000_000 } }, "uses_budget": true } },
            { "rate_limit": { "quota": { "permits": 100, "period": { "secs": 1, "nanos": 0 } } } },
            { "bulkhead": { "places": { "adaptive": { "gradient2": {} } } } },
            { "timeout": { "limit": { "secs": 1, "nanos": 0 }, "scope": "attempt" } },
            { "breaker": {} },
            { "chaos": {} },
        ],
    }));
    let again: PipelineConfig = serde_json::from_str(&serde_json::to_string(&all).unwrap()).unwrap();
    assert_eq!(again, all);
    let pipeline = all.build("all").unwrap();
    assert_eq!(pipeline.outline().len(), 9);
    assert_eq!(pipeline.lint().iter().map(|w| w.rule).collect::<Vec<_>>(), ["total_below_attempts"]);
    assert_eq!(pipeline.run(|_| async { Ok::<_, io::Error>(7) }).await.unwrap(), 7);
}

#[test]
fn what_cannot_be_used_is_named() {
    let cases = [
        (json!({ "policies": [{ "retry": { "uses_budget": true } }] }), "uses_budget"),
        (json!({ "policies": [{ "bulkhead": { "places": { "fixed": 0 } } }] }), "bulkhead.places"),
        (json!({ "policies": [{ "timeout": { "limit": { "secs": 0, "nanos": 0 } } }] }), "timeout.limit"),
        (json!({ "policies": [{ "hedge": { "max_attempts": 1 } }] }), "hedge.max_attempts"),
        (json!({ "policies": [{ "breaker": { "minimum_calls": 0 } }] }), "breaker.minimum_calls"),
        (json!({ "budget": { "throttle": { "max_tokens": 1_001 } }, "policies": [] }), "budget.max_tokens"),
    ];
    for (data, field) in cases {
        let error = config(data).build("wrong").unwrap_err();
        assert_eq!(error.field, field, "{error}");
    }
    for wrong in
        [json!({ "brake": {} }), json!({ "retry": { "max_attempt": 3 } }), json!({ "hedge": { "max_attempt": 3 } })]
    {
        let read = serde_json::from_value::<PipelineConfig>(json!({ "policies": [&wrong] }));
        assert!(read.unwrap_err().to_string().contains("unknown"), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_what_was_learnt_and_a_wrong_one_changes_nothing() {
    let pipeline = breaking(3).build("api").unwrap();
    for _ in 0..2 {
        assert!(!refused(&fails(&pipeline).await));
    }
    let wrong = config(json!({ "policies": [
        { "breaker": { "trip": { "consecutive": 2 } } }, { "timeout": { "limit": { "secs": 0, "nanos": 0 } } },
    ] }));
    let now = TokioClock.now();
    assert_eq!(pipeline.policy().reload(now, &wrong).unwrap_err().field, "timeout.limit");
    assert_eq!(pipeline.policy().config(), breaking(3));
    // The two failures count under the new settings.
    pipeline.policy().reload(now, &breaking(3)).unwrap();
    assert!(!refused(&fails(&pipeline).await), "the third");
    assert!(refused(&fails(&pipeline).await));
    // And an open circuit stays open.
    pipeline.policy().reload(now, &breaking(9)).unwrap();
    assert!(refused(&fails(&pipeline).await));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_takes_other_settings_and_keeps_its_window() {
    let breaker = bedplate_recovery::CircuitBreaker::builder("api").count_window(10).minimum_calls(10).build().unwrap();
    for _ in 0..8 {
        let failed = breaker.call(async { Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut)) }).await;
        assert!(failed.is_err());
    }
    let mut config = bedplate_recovery::BreakerConfig::default();
    config.window = bedplate_recovery::WindowKind::Count(10);
    config.minimum_calls = 0;
    assert!(breaker.reconfigure(config).is_err());
    config.minimum_calls = 9;
    breaker.reconfigure(config).unwrap();
    assert_eq!((breaker.state(), breaker.stats().window.failures), (BreakerState::Closed, 8));
    let failed = breaker.call(async { Err::<(), _>(io::Error::from(io::ErrorKind::TimedOut)) }).await;
    assert!(failed.is_err());
    assert_eq!(breaker.state(), BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn a_registry_is_bounded_and_forgets_the_idle_first() {
    let mut bounds = RegistryConfig::default();
    bounds.max_keys = 2;
    bounds.idle = Duration::from_mins(1);
    let hosts = Registry::<String>::new(breaking(1), bounds).unwrap();
    let one = hosts.get("one", TokioClock.now()).unwrap();
    fails(&one).await;
    assert!(refused(&fails(&hosts.get("one", TokioClock.now()).unwrap()).await), "the same pipeline");
    assert!(!refused(&fails(&hosts.get("two", TokioClock.now()).unwrap()).await), "each key has its own");
    sleep(MS).await;
    hosts.get("one", TokioClock.now()).unwrap();
    hosts.get("three", TokioClock.now()).unwrap();
    assert_eq!((hosts.stats().keys, hosts.stats().evicted_in_use), (2, 1));
    assert!(refused(&fails(&hosts.get("one", TokioClock.now()).unwrap()).await), "two was asked for the longest ago");
    sleep(Duration::from_secs(61)).await;
    hosts.get("four", TokioClock.now()).unwrap();
    let stats = hosts.stats();
    assert_eq!((stats.keys, stats.evicted_idle, stats.created), (1, 2, 4));
}

#[tokio::test(start_paused = true)]
async fn a_reload_of_the_registry_reaches_those_who_hold_a_pipeline() {
    let hosts = Registry::<String>::new(breaking(100), RegistryConfig::default()).unwrap();
    let held = hosts.get("one", TokioClock.now()).unwrap();
    fails(&held).await;
    let wrong = config(json!({ "policies": [{ "breaker": { "minimum_calls": 0 } }] }));
    assert!(hosts.reload(TokioClock.now(), wrong).is_err());
    hosts.reload(TokioClock.now(), breaking(2)).unwrap();
    fails(&held).await;
    assert!(refused(&fails(&held).await), "one failure from before, one from after");
    let late = hosts.get("two", TokioClock.now()).unwrap();
    assert_eq!(late.policy().config(), breaking(2));
}
