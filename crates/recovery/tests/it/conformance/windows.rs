//! The windows of breakers, step by step.

use std::time::Duration;

use bedplate_recovery::{BreakerConfig, Outcome, OutcomeWindow, Semantics, WindowKind};
use serde_json::Value;

use super::breakers::outcome;
use super::{Replayed, millis, near, number, same, start, wrong};

pub(super) fn windows(case: &Value) -> Replayed {
    let given = &case["window"];
    let mut config = BreakerConfig::default();
    config.keep_durations = true;
    config.minimum_calls = case.get("minimum_calls").map_or(1, number);
    config.window = match given["type"].as_str().unwrap() {
        "count" => WindowKind::Count(number(&given["size"])),
        kind => {
            let whole = number(&given["seconds"]);
            let buckets = match kind {
                "time_rolling" => number(&given["windows"]),
                "time_fixed_buckets" => number(&given["buckets"]),
                "time_epoch_seconds" => whole,
                other => return Err(wrong(format!("unknown window {other}"))),
            };
            if kind == "time_rolling" {
                config.semantics = Semantics::Polly;
            }
            let period = Duration::from_secs(whole.into());
            WindowKind::Time { period, buckets }
        }
    };
    let mut window = OutcomeWindow::new(&config);
    // Cockatiel lets results go only when it records another one.
    let expires_on_read = case.get("at_last_record").is_none();
    let mut now = start();
    for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        match step["op"].as_str().unwrap() {
            "record" => {
                let (result, slow) = match step["outcome"].as_str().unwrap() {
                    "slow_success" => (Outcome::Success, true),
                    "slow_error" => (Outcome::Failure, true),
                    _ => (outcome(&step["outcome"])?, false),
                };
                let took = step.get("duration_ms").and_then(millis).unwrap_or_default();
                window.record_timed(now, result, slow, took);
            }
            "advance" => now += millis(&step["ms"]).unwrap(),
            "snapshot" if expires_on_read => window.expire(now),
            "snapshot" => {}
            other => return Err(wrong(format!("unknown operation {other}"))),
        }
        for (field, expected) in step.get("expect").and_then(Value::as_object).into_iter().flatten() {
            window_field(&window, field, expected, at)?;
        }
    }
    Ok(())
}

fn window_field(window: &OutcomeWindow, field: &str, expected: &Value, at: usize) -> Replayed {
    let counts = window.counts();
    let successes = counts.calls - counts.failures;
    let percent = |part: u32| f64::from(part) * 100.0 / f64::from(counts.calls.max(1));
    let near = |ours: f64, tolerance: f64| near(at, ours, expected, tolerance);
    match field {
        "total" => same(at, counts.calls, number(expected)),
        "successes" => same(at, successes, number(expected)),
        "failures" => same(at, counts.failures, number(expected)),
        "slow" => same(at, counts.slow, number(expected)),
        // resilience4j computes in 32 bits.
        "failure_rate" => near(percent(counts.failures), 1e-5),
        "guarded_failure_rate" => near(window.failure_rate().map_or(-1.0, |r| r * 100.0), 1e-5),
        // Failsafe rounds to whole percents.
        "success_rate" => near(percent(successes), 0.5),
        "note" => Ok(()),
        "total_duration_ms" => same(at, Some(counts.total), millis(expected)),
        "slow_success" => same(at, counts.slow - counts.slow_failures, number(expected)),
        "slow_error" => same(at, counts.slow_failures, number(expected)),
        other => Err(wrong(format!("unknown field {other}"))),
    }
}
