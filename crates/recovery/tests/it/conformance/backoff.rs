//! Delays between attempts.

use std::sync::Arc;
use std::time::Duration;

use bedplate_recovery::{
    Backoff, BackoffKind, ErrorClass, FnObserver, Jitter, Pipeline, RecoveryEvent, Retry, RetryConfig, RetryDecision,
    RetryPlan,
};
use parking_lot::Mutex;
use serde_json::Value;

use super::{Fixed, Replayed, list, millis, number, paused, same, seconds, start, wrong};

pub(super) fn backoff(case: &Value) -> Replayed {
    let (input, expect) = (&case["input"], &case["expect"]);
    let algorithm = case["algorithm"].as_str().unwrap();
    match algorithm.split(':').next().unwrap() {
        "polly_v8" => backoff_polly(input, expect),
        "failsafe_sequence" if input.get("delay_fn").is_some() => computed(input, expect),
        "failsafe_sequence" => {
            let nanos = |key: &str| Duration::from_nanos(input[key].as_u64().unwrap());
            let rule = Backoff::exponential(nanos("backoff_initial_ns"))
                .factor(input["factor"].as_f64().unwrap())
                .max(nanos("backoff_max_ns"))
                .jitter(Jitter::None);
            sequence(rule, &list(&expect["delays_ns"]), Duration::from_nanos(1), 0.0)
        }
        "failsafe_range" => {
            let ms = |key: &str| Duration::from_millis(input[key].as_u64().unwrap());
            let delay = Backoff::uniform(ms("min"), ms("max")).delay(0, Fixed(input["random"].as_f64().unwrap()));
            same(0, delay.as_millis(), u128::from(expect["delay"].as_u64().unwrap()))
        }
        "failsafe_factor" => backoff_failsafe(input, expect, Jitter::Spread(input["factor"].as_f64().unwrap())),
        "failsafe_duration" => {
            let by = Duration::from_millis(input["jitter"].as_u64().unwrap());
            backoff_failsafe(input, expect, Jitter::SpreadBy(by))
        }
        "constant" => {
            let rule = Backoff::constant(millis(&input["ms"]).unwrap()).jitter(Jitter::None);
            sequence(rule, &list(&expect["delays_ms"]), Duration::from_millis(1), 0.0)
        }
        "list" => {
            let waits: Vec<_> = list(&input["list_ms"]).into_iter().map(Duration::from_millis).collect();
            let expected: Vec<_> = list(&expect["delays_ms"]).into_iter().map(Duration::from_millis).collect();
            same(0, waited(Retry::constant(Duration::ZERO).delays(waits), expected.len()), expected)
        }
        "exponential" => backoff_resilience4j(input, expect),
        "aws_exponential_full_jitter" => backoff_aws(input, expect),
        "grpc_a6" => {
            let rule = Backoff::exponential(seconds(&input["initial_s"]).unwrap())
                .factor(input["multiplier"].as_f64().unwrap())
                .max(seconds(&input["max_s"]).unwrap())
                .jitter(Jitter::Spread(0.2));
            let step = number(&input["retry"]) - 1;
            let (low, high) = (expect["ge_s"].as_f64().unwrap(), expect["le_s"].as_f64().unwrap());
            (0..=100).try_for_each(|r| {
                let delay = rule.delay(step, Fixed(f64::from(r) / 100.0)).as_secs_f64();
                let inside = delay >= low - 1e-9 && delay <= high + 1e-9;
                inside.then_some(()).ok_or_else(|| wrong(format!("{delay} out of range")))
            })
        }
        other => Err(wrong(format!("unknown algorithm {other}"))),
    }
}

fn backoff_polly(input: &Value, expect: &Value) -> Replayed {
    let base = seconds(&input["base_s"]).unwrap();
    let jitter = input["jitter"].as_bool().unwrap();
    let rule = match (input["type"].as_str().unwrap(), jitter) {
        ("constant", _) => Backoff::constant(base),
        ("linear", _) => Backoff::linear(base),
        ("exponential", false) => Backoff::exponential(base),
        ("exponential", true) => Backoff::exponential(base).kind(BackoffKind::DecorrelatedSmooth),
        (other, _) => return Err(wrong(format!("unknown type {other}"))),
    };
    let rule = rule.max(seconds(&input["max_s"]).unwrap_or(Duration::MAX)).jitter(if jitter {
        Jitter::Spread(0.25)
    } else {
        Jitter::None
    });
    let step = number(&input["attempt"]);
    if let Some(above) = expect.get("gt_s") {
        let above = seconds(above).unwrap();
        let most = expect.get("le_s").and_then(seconds).unwrap_or(Duration::MAX);
        return (0..100).try_for_each(|r| {
            let delay = rule.delay(step, Fixed(f64::from(r) / 100.0));
            // Zero exactly is drawn only by a random number of exactly zero at the first step.
            let inside = delay <= most && (delay > above || (r == 0 && step == 0));
            inside.then_some(()).ok_or_else(|| wrong(format!("{delay:?} out of range")))
        });
    }
    let delay = rule.delay(step, Fixed(input["random"].as_f64().unwrap_or(0.0)));
    let expected = match &expect["delay_s"] {
        Value::String(word) if word == "SATURATED_MAX" => Duration::MAX,
        value => seconds(value).unwrap(),
    };
    same(0, delay, expected)
}

/// Failsafe takes the random share off where we add it: the same distribution, mirrored.
fn backoff_failsafe(input: &Value, expect: &Value, jitter: Jitter) -> Replayed {
    let base = Duration::from_millis(input["delay"].as_u64().unwrap());
    let rule = Backoff::constant(base).max(Duration::MAX).jitter(jitter);
    let delay = rule.delay(0, Fixed(1.0 - input["random"].as_f64().unwrap()));
    same(0, delay.as_millis(), u128::from(expect["delay"].as_u64().unwrap()))
}

fn backoff_resilience4j(input: &Value, expect: &Value) -> Replayed {
    let rule = Backoff::exponential(millis(&input["initial_ms"]).unwrap())
        .factor(input["multiplier"].as_f64().unwrap())
        .max(millis(&input["max_ms"]).unwrap())
        .jitter(Jitter::None);
    let at = |attempt: u32| rule.delay(attempt - 1, Fixed(0.0));
    let rising = list(&expect["strictly_increasing_for"]);
    let (from, to) = (u32::try_from(rising[0]).unwrap(), u32::try_from(rising[1]).unwrap());
    for attempt in from..to {
        if at(attempt) >= at(attempt + 1) {
            return Err(wrong(format!("attempt {attempt} does not rise")));
        }
    }
    for (attempt, delay) in expect["at"].as_object().unwrap() {
        same(0, at(attempt.parse().unwrap()), millis(delay).unwrap())?;
    }
    Ok(())
}

fn backoff_aws(input: &Value, expect: &Value) -> Replayed {
    let share = input["jitter"].as_f64().unwrap();
    let rule = Backoff::exponential(millis(&input["initial_ms"]).unwrap())
        .factor(input["scale"].as_f64().unwrap())
        .max(millis(&input["max_ms"]).unwrap_or(Duration::MAX))
        .jitter(Jitter::Shave(share));
    if let Some(base) = input.get("throttling_base_ms") {
        let mut config = RetryConfig::default();
        config.backoff = rule;
        config.throttled_base = millis(base);
        config.max_attempts = 1_000;
        let class = match input["error"].as_str() {
            Some("throttling") => ErrorClass::Throttled { after: None },
            other => return Err(wrong(format!("unknown error {other:?}"))),
        };
        let mut plan = RetryPlan::new(config, None, Fixed(0.0));
        for (attempt, delay) in (1..).zip(list(&expect["delays_ms"])) {
            let after = Duration::from_millis(delay);
            let decided = plan.decide(start(), attempt, class, None);
            same(0, decided, RetryDecision::Retry { after })?;
        }
        return Ok(());
    }
    if let Some(delays) = expect.get("delays_ms") {
        return sequence(rule, &list(delays), Duration::from_millis(1), 0.5);
    }
    if let Some(ranges) = expect.get("ranges_ms") {
        for (step, range) in (0..).zip(ranges.as_array().unwrap()) {
            let range = list(range);
            for r in 0..100 {
                let delay = rule.delay(step, Fixed(f64::from(r) / 100.0)).as_secs_f64() * 1e3;
                if delay < range[0] as f64 - 1e-6 || delay > range[1] as f64 + 1e-6 {
                    return Err(wrong(format!("{delay} out of {range:?}")));
                }
            }
        }
        return Ok(());
    }
    let mut config = RetryConfig::default();
    config.backoff = rule;
    config.max_server_delay = Duration::from_millis(
        input["initial_ms"].as_u64().unwrap() + input["retry_after_max_overshoot_ms"].as_u64().unwrap(),
    );
    let after = millis(&input["retry_after_ms"]);
    let mut plan = RetryPlan::new(config, None, Fixed(0.0));
    let decided = plan.decide(start(), number(&input["attempt"]), ErrorClass::Throttled { after }, None);
    let after = millis(&expect["delay_ms"]).unwrap();
    same(0, decided, RetryDecision::Retry { after })
}

fn sequence(rule: Backoff, expected: &[u64], unit: Duration, random: f64) -> Replayed {
    let ours: Vec<_> = rule.delays(Fixed(random)).take(expected.len()).collect();
    let theirs: Vec<_> = expected.iter().map(|n| unit * u32::try_from(*n).unwrap()).collect();
    same(0, ours, theirs)
}

/// Delays that a closure computes, with the backoff behind it.
fn computed(input: &Value, expect: &Value) -> Replayed {
    let words = input["delay_fn"].as_str().unwrap();
    let even_only = match words.split_once(" if ") {
        None => false,
        Some((_, condition)) if condition.starts_with("attempt_count even") => true,
        Some((_, other)) => return Err(wrong(format!("unknown condition {other}"))),
    };
    let Some(times) = words.split(' ').next().and_then(|term| term.strip_prefix("attempt_count*")) else {
        return Err(wrong(format!("unknown delay {words}")));
    };
    let times: u64 = times.parse().unwrap();
    let retry = match input.get("backoff_initial_ns") {
        None => Retry::constant(Duration::ZERO),
        Some(initial) => Retry::new(
            Backoff::exponential(Duration::from_nanos(initial.as_u64().unwrap()))
                .factor(input["factor"].as_f64().unwrap())
                .max(Duration::from_nanos(input["backoff_max_ns"].as_u64().unwrap()))
                .jitter(Jitter::None),
        ),
    };
    let retry = retry.delay_with(move |attempt, _| {
        (!even_only || attempt % 2 == 0).then(|| Duration::from_nanos(u64::from(attempt) * times))
    });
    let expected: Vec<_> = list(&expect["delays_ns"]).into_iter().map(Duration::from_nanos).collect();
    same(0, waited(retry, expected.len()), expected)
}

/// Returns the delays that a real call waits which fails again and again.
fn waited(retry: Retry, delays: usize) -> Vec<Duration> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&seen);
    let pipeline = Pipeline::builder("conformance")
        .retry(retry.max_attempts(u32::try_from(delays).unwrap() + 1))
        .observer(FnObserver::new(move |event: &RecoveryEvent<'_>| {
            if let RecoveryEvent::AttemptFailed { retry_in, .. } = event {
                heard.lock().push(*retry_in);
            }
        }))
        .build()
        .unwrap();
    let failing = pipeline.run_classified(|(): &()| ErrorClass::Transient, |_| async { Err::<(), ()>(()) });
    assert!(paused().block_on(failing).is_err());
    seen.lock().clone()
}
