//! gRPC: the throttle, the service configuration, hedging and pushback.

use std::time::Duration;

use bedplate_recovery::{
    BudgetConfig, ErrorClass, GiveUp, GrpcHedgingPolicy, GrpcRetryPolicy, GrpcRetryThrottling, GrpcStatus, HedgeAnswer,
    HedgePlan, HedgeStep, Pushback, RetryBudget, RetryDecision, RetryPlan, RetryThrottle, ThrottleConfig,
};
use serde_json::{Value, json};

use super::{Fixed, Replayed, millis, number, same, start, wrong};

pub(super) fn replay(case: &Value) -> Replayed {
    match case.get("kind").and_then(Value::as_str) {
        None => throttle(case),
        Some("validation") => validation(case),
        Some("hedging_timeline") => timeline(case),
        Some("decision") => decision(case),
        Some("pushback_header") => pushback(case),
        Some(other) => Err(wrong(format!("unknown kind {other}"))),
    }
}

fn config(of: &Value) -> ThrottleConfig {
    let mut config = ThrottleConfig::default();
    config.max_tokens = number(&of["max_milli_tokens"]) / 1_000;
    config.token_ratio = f64::from(number(&of["milli_token_ratio"])) / 1_000.0;
    config
}

/// The throttle itself, and beside it the shared budget, which must agree on every step.
fn throttle(case: &Value) -> Replayed {
    let mut throttle = RetryThrottle::new(config(case));
    let budget = RetryBudget::new(BudgetConfig::Throttle(config(case))).map_err(|e| wrong(e.to_string()))?;
    // A handle from before a change of the settings acts on the state after it.
    let old = budget.clone();
    for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        let handle = match step.get("on").and_then(Value::as_str) {
            Some("old") => &old,
            None | Some("new") => &budget,
            Some(other) => return Err(wrong(format!("unknown handle {other}"))),
        };
        match step["op"].as_str().unwrap() {
            "failure" => {
                throttle.failed();
                let mut call = handle.enter();
                call.failed();
                let allowed = step["retry_allowed"].as_bool().unwrap();
                same(at, throttle.allows(), allowed)?;
                same(at, call.withdraw(start(), ErrorClass::Transient).is_ok(), allowed)?;
            }
            "success" => {
                throttle.succeeded();
                handle.enter().succeeded(start);
            }
            "replace" => {
                throttle.reconfigure(config(step));
                budget.reconfigure(start(), BudgetConfig::Throttle(config(step))).map_err(|e| wrong(e.to_string()))?;
            }
            other => return Err(wrong(format!("unknown operation {other}"))),
        }
        let expected = (step["tokens"].as_f64().unwrap() * 1_000.0).round() as u32;
        same(at, throttle.milli_tokens(), expected)?;
        same(at, handle.stats().available, expected / 1_000)?;
    }
    Ok(())
}

fn validation(case: &Value) -> Replayed {
    let (field, value) = (case["field"].as_str().unwrap(), case["value"].clone());
    let mut effective = None;
    let accepted = match case["policy"].as_str().unwrap() {
        "retryPolicy" => {
            let mut policy = json!({
                "maxAttempts": 3, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            });
            set(&mut policy, field, value)?;
            serde_json::from_value::<GrpcRetryPolicy>(policy).ok().and_then(|policy| policy.retry().ok()).map(|retry| {
                effective = Some(f64::from(retry.config().max_attempts));
            })
        }
        "hedgingPolicy" => {
            let mut policy =
                json!({ "maxAttempts": 3, "hedgingDelay": "0.1s", "nonFatalStatusCodes": ["UNAVAILABLE"] });
            set(&mut policy, field, value)?;
            let read = serde_json::from_value::<GrpcHedgingPolicy>(policy).ok();
            read.and_then(|policy| policy.attempts().ok()).map(|attempts| effective = Some(f64::from(attempts)))
        }
        "retryThrottling" => {
            let mut policy = json!({ "maxTokens": 10, "tokenRatio": 0.1 });
            set(&mut policy, field, value)?;
            let read = serde_json::from_value::<GrpcRetryThrottling>(policy).ok();
            read.and_then(|policy| policy.throttle().ok()).map(|rule| {
                let tokens = f64::from(rule.max_tokens);
                effective = Some(if field == "maxTokens" { tokens } else { f64::from(rule.milli_ratio()) / 1_000.0 });
            })
        }
        other => return Err(wrong(format!("unknown policy {other}"))),
    };
    same(0, accepted.is_some(), case["valid"].as_bool().unwrap())?;
    match case.get("effective") {
        Some(expected) => same(0, effective, expected.as_f64()),
        None => Ok(()),
    }
}

fn set(policy: &mut Value, field: &str, value: Value) -> Replayed {
    match policy.get_mut(field) {
        Some(place) => *place = value,
        None => return Err(wrong(format!("unknown field {field}"))),
    }
    Ok(())
}

fn timeline(case: &Value) -> Replayed {
    let given = &case["config"];
    let now = start();
    let delay = millis(&given["hedging_delay_ms"]).unwrap();
    let mut plan = HedgePlan::new(now, number(&given["max_attempts"]), delay);
    let at = now + millis(&case["at_ms"]).unwrap();
    while plan.next_at().is_some_and(|next| next <= at) {
        let due = plan.next_at().unwrap();
        same(0, plan.start_due(due), true)?;
    }
    same(0, plan.outstanding(), number(&case["outstanding"]))
}

const N: Duration = Duration::from_millis(1_234);
const DELAY: Duration = Duration::from_millis(500);

/// One row of the table of A6: what a response does to a retried and to a hedged call.
fn decision(case: &Value) -> Replayed {
    let policy: GrpcRetryPolicy = serde_json::from_value(json!({
        "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }))
    .unwrap();
    let (listed, fatal) = (GrpcStatus::named("unavailable").unwrap(), GrpcStatus::named("internal").unwrap());
    let response = case["response"].as_str().unwrap();
    // `None` is a response of OK.
    let class = match response {
        "OK" => None,
        "fatal status" => Some(policy.classify(fatal, None)),
        "retryable/non-fatal, no pushback" => Some(policy.classify(listed, None)),
        "pushback: n ms" => Some(policy.classify(listed, Some(Pushback::parse(&N.as_millis().to_string())))),
        other if other.starts_with("pushback") => Some(policy.classify(listed, Some(Pushback::parse("-1")))),
        other => return Err(wrong(format!("unknown response {other}"))),
    };
    retried(&policy, class, case["retry"].as_str().unwrap())?;
    hedged(class, response, case["hedging"].as_str().unwrap())
}

fn retried(policy: &GrpcRetryPolicy, class: Option<ErrorClass>, expected: &str) -> Replayed {
    let Some(class) = class else {
        return same(0, expected, "return success");
    };
    let config = *policy.retry().unwrap().config();
    // A random number in the middle: no jitter.
    let mut plan = RetryPlan::new(config, None, Fixed(0.5));
    let transient = |plan: &mut RetryPlan<Fixed>, attempt| plan.decide(start(), attempt, ErrorClass::Transient, None);
    let retry = |ms| RetryDecision::Retry { after: Duration::from_millis(ms) };
    same(0, transient(&mut plan, 1), retry(100))?;
    let decided = plan.decide(start(), 2, class, None);
    if expected.contains("no retry") || expected.contains("not retry") {
        return same(1, decided, RetryDecision::GiveUp(GiveUp::NotRetryable));
    }
    match expected {
        "retry per policy" => same(1, decided, retry(200)),
        "retry in exactly n ms; then the delay resets to initialBackoff" => {
            same(1, decided, RetryDecision::Retry { after: N })?;
            same(2, transient(&mut plan, 3), retry(100))
        }
        other => Err(wrong(format!("unknown consequence {other}"))),
    }
}

fn hedged(class: Option<ErrorClass>, response: &str, expected: &str) -> Replayed {
    let now = start();
    let mut plan = HedgePlan::new(now, 4, DELAY);
    same(0, plan.start_due(now + DELAY), true)?;
    let at = now + DELAY + DELAY / 2;
    let answer = match class {
        None => HedgeAnswer::Success,
        Some(_) if response.starts_with("pushback") && class == Some(ErrorClass::Permanent) => HedgeAnswer::Refused,
        Some(class) if !class.is_transient() => HedgeAnswer::Fatal,
        Some(class) => class.retry_after().map_or(HedgeAnswer::NonFatal, HedgeAnswer::PushedBack),
    };
    let step = plan.answered(at, answer);
    match expected {
        "cancel other hedges, return" | "cancel other hedges, return failure" => same(1, step, HedgeStep::Finish),
        "send next hedge immediately; later ones resume at hedgingDelay" => {
            same(1, (step, plan.start_due(at)), (HedgeStep::GoOn, true))?;
            same(2, plan.next_at(), Some(at + DELAY))
        }
        "next hedge in n ms; later ones at n+hedgingDelay" => {
            same(1, (step, plan.next_at()), (HedgeStep::GoOn, Some(at + N)))?;
            same(2, plan.start_due(at + N), true)?;
            same(3, plan.next_at(), Some(at + N + DELAY))
        }
        other if other.contains("no more") || other.contains("no further") || other.contains("no new") => {
            same(1, (step, plan.next_at()), (HedgeStep::GoOn, None))
        }
        other => Err(wrong(format!("unknown consequence {other}"))),
    }
}

fn pushback(case: &Value) -> Replayed {
    let value = match &case["value"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let parsed = Pushback::parse(&value);
    match &case["expect"] {
        Value::String(word) if word == "do_not_retry" => same(0, parsed, Pushback::DoNotRetry),
        Value::String(word) => {
            let ms = word.strip_prefix("retry_in_").or_else(|| word.strip_prefix("retry_after_")).unwrap_or(word);
            let ms = ms
                .trim_end_matches("ms")
                .trim_end_matches('_')
                .parse()
                .map_err(|_| wrong(format!("unknown {word}")))?;
            same(0, parsed, Pushback::After(Duration::from_millis(ms)))
        }
        Value::Number(ms) => same(0, parsed, Pushback::After(Duration::from_millis(ms.as_u64().unwrap()))),
        Value::Object(fields) => {
            let ms = fields.values().find_map(Value::as_u64).ok_or_else(|| wrong("unknown expectation"))?;
            same(0, parsed, Pushback::After(Duration::from_millis(ms)))
        }
        other => Err(wrong(format!("unknown expectation {other}"))),
    }
}
