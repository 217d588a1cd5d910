//! The AWS SDKs' retry modes: standard (specification 2.0 and 2.1) and adaptive.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bedplate_recovery::{
    AdaptiveRate, AdaptiveRateConfig, Backoff, BudgetConfig, Cubic, ErrorClass, Failure, FnObserver, GiveUp, Jitter,
    Pipeline, RecoveryEvent, Retry, RetryBudget, RetryConfig, TokenBucket, TokenBudget, WhenEmpty,
};
use parking_lot::Mutex;
use serde_json::Value;

use super::{Replayed, near, number, paused, same, seconds, start, wrong};

/// One call of a case: the responses that it gets, and what is to become of each.
type Script<'a> = Vec<&'a Value>;

pub(super) fn standard_retry(case: &Value) -> Replayed {
    let rules = Rules::of(case)?;
    match case["kind"].as_str().unwrap() {
        "multi_threaded" => threads(case, &rules),
        "single" | "long_polling" | "multi_invocation" => {
            let budget = rules.budget();
            let mut rest: Script<'_> = case["responses"].as_array().unwrap().iter().collect();
            while !rest.is_empty() {
                let last = |step: &&Value| step["expected"]["outcome"] != "retry_request";
                let length = rest.iter().position(last).ok_or_else(|| wrong("a call without an end"))? + 1;
                let call = rest.drain(..length).collect();
                paused().block_on(play(&rules, &budget, call))?;
            }
            Ok(())
        }
        other => Err(wrong(format!("unknown kind {other}"))),
    }
}

/// Two calls that share a bucket; their steps are taken in turn, as the table's quotas suppose.
fn threads(case: &Value, rules: &Rules) -> Replayed {
    let budget = rules.budget();
    for thread in case["threads"].as_array().unwrap() {
        let steps = thread.as_array().unwrap();
        same(0, steps.last().unwrap()["expected"]["outcome"].as_str(), Some("success"))?;
    }
    // The first thread's first two retries come before the second's, and its success after that: the quotas say so.
    let mut calls: Vec<_> = case["threads"].as_array().unwrap().iter().map(|_| budget.enter()).collect();
    let mut steps: Vec<(usize, &Value)> = Vec::new();
    for (thread, script) in case["threads"].as_array().unwrap().iter().enumerate() {
        steps.extend(script.as_array().unwrap().iter().map(|step| (thread, step)));
    }
    // Retries lower the quota and successes raise it, so the order follows from the quotas alone.
    let quota = |step: &Value| step["expected"]["retry_quota"].as_u64().unwrap();
    let (mut retries, mut successes): (Vec<_>, Vec<_>) =
        steps.into_iter().partition(|(_, step)| step["expected"]["outcome"] == "retry_request");
    retries.sort_by_key(|(_, step)| std::cmp::Reverse(quota(step)));
    successes.sort_by_key(|(_, step)| quota(step));
    for (at, (thread, step)) in retries.into_iter().chain(successes).enumerate() {
        let call = &mut calls[thread];
        match class_of(&step["response"])? {
            None => call.succeeded(start),
            Some(class) => drop(call.withdraw(start(), class).map_err(|_| wrong("refused"))?),
        }
        same(at, u64::from(budget.stats().available), quota(step))?;
    }
    same(99, u64::from(budget.stats().available), case["expected_final_quota"].as_u64().unwrap())
}

struct Rules {
    retry: RetryConfig,
    budget: TokenBudget,
    tokens: u32,
}

impl Rules {
    fn of(case: &Value) -> Result<Self, super::Miss> {
        let given = &case["given"];
        for field in given.as_object().unwrap().keys() {
            const KNOWN: [&str; 7] = [
                "max_attempts",
                "initial_retry_tokens",
                "exponential_base",
                "exponential_power",
                "max_backoff_time",
                "service",
                "long_polling",
            ];
            if !KNOWN.contains(&field.as_str()) {
                return Err(wrong(format!("unknown field {field}")));
            }
        }
        let service = given["service"].as_str().unwrap_or_default();
        let budget = RetryBudget::aws();
        let mut retry = *Retry::aws(&budget).config();
        // The base is what the random number of the jitter is multiplied with; the tables fix it.
        let unit = given["exponential_base"].as_f64().unwrap_or(1.0);
        let (base, tokens) = match case["spec"].as_str() {
            Some("2.0") => {
                retry.throttled_base = None;
                (unit, TokenBudget::aws_legacy())
            }
            Some("2.1") if service == "dynamodb" => {
                retry.max_attempts = 4;
                (0.025 * unit, TokenBudget::aws())
            }
            Some("2.1") => (0.05 * unit, TokenBudget::aws()),
            other => return Err(wrong(format!("unknown specification {other:?}"))),
        };
        retry.backoff = Backoff::exponential(Duration::from_secs_f64(base))
            .factor(given["exponential_power"].as_f64().unwrap_or(2.0))
            .max(given.get("max_backoff_time").and_then(seconds).unwrap_or(Duration::from_secs(20)))
            .jitter(Jitter::None);
        if let Some(attempts) = given.get("max_attempts") {
            retry.max_attempts = number(attempts);
        }
        retry.waits_when_exhausted = given["long_polling"].as_bool().unwrap_or(false);
        let have = given.get("initial_retry_tokens").map_or(500, number);
        Ok(Self { retry, budget: tokens, tokens: have })
    }

    fn budget(&self) -> RetryBudget {
        let mut config = self.budget;
        config.capacity = self.tokens;
        RetryBudget::new(BudgetConfig::Tokens(config)).unwrap()
    }
}

/// Returns what a response means; `None` is a success.
fn class_of(response: &Value) -> Result<Option<ErrorClass>, super::Miss> {
    let status = number(&response["status_code"]);
    if status == 200 {
        return Ok(None);
    }
    let after = match response.get("headers") {
        None => None,
        // An unreadable delay is none.
        Some(headers) => match headers["x-amz-retry-after"].as_str() {
            Some(text) => text.parse().ok().map(Duration::from_millis),
            None => return Err(wrong(format!("unknown headers {headers}"))),
        },
    };
    let class = match (response.get("error_code").and_then(Value::as_str), status) {
        (Some("Throttling" | "ThrottlingException" | "SlowDown"), _) => ErrorClass::Throttled { after },
        // A server error may name a pace too.
        (_, 500 | 502 | 503 | 504) if after.is_some() => ErrorClass::Overload { after },
        (_, 500 | 502 | 503 | 504) => ErrorClass::Transient,
        _ => ErrorClass::Permanent,
    };
    Ok(Some(class))
}

/// Runs one real call against its script, in virtual time, and compares quota and delay after each response.
async fn play(rules: &Rules, budget: &RetryBudget, script: Script<'_>) -> Replayed {
    let classes = script.iter().map(|step| class_of(&step["response"])).collect::<Result<Vec<_>, _>>()?;
    let at = Arc::new(AtomicUsize::new(0));
    let told = Arc::new(Mutex::new((Vec::new(), None)));
    let (heard, shared) = (Arc::clone(&told), budget.clone());
    let pipeline = Pipeline::builder("aws")
        .retry(Retry::from(rules.retry).budget(budget))
        .observer(FnObserver::new(move |event: &RecoveryEvent<'_>| match event {
            RecoveryEvent::AttemptFailed { retry_in, .. } => {
                heard.lock().0.push((*retry_in, shared.stats().available));
            }
            RecoveryEvent::GaveUp { reason, .. } => heard.lock().1 = Some(*reason),
            _ => {}
        }))
        .build()
        .unwrap();
    let (next, classes) = (Arc::clone(&at), &classes);
    let failed_at = Arc::new(Mutex::new(tokio::time::Instant::now()));
    let last = &failed_at;
    let result = pipeline
        .run_classified(
            |class: &ErrorClass| *class,
            |_| {
                let step = next.fetch_add(1, Ordering::Relaxed);
                async move {
                    *last.lock() = tokio::time::Instant::now();
                    classes[step].map_or(Ok(()), Err)
                }
            },
        )
        .await;
    let ended_after = failed_at.lock().elapsed();
    same(0, at.load(Ordering::Relaxed), script.len())?;
    let (retries, reason) = told.lock().clone();
    for (index, step) in script.iter().enumerate() {
        let expected = &step["expected"];
        let (outcome, delay, quota) = if let Some((delay, quota)) = retries.get(index) {
            ("retry_request", *delay, *quota)
        } else {
            let word = match (&result, reason) {
                (Ok(()), _) => "success",
                (Err(Failure::Inner { .. }), Some(GiveUp::Attempts)) => "max_attempts_exceeded",
                (Err(Failure::Inner { .. }), Some(GiveUp::Budget)) => "retry_quota_exceeded",
                (Err(Failure::Inner { .. }), Some(GiveUp::NotRetryable)) => "fail_request",
                other => return Err(wrong(format!("ended as {other:?}"))),
            };
            (word, ended_after, budget.stats().available)
        };
        same(index, Some(outcome), expected["outcome"].as_str())?;
        for (field, value) in expected.as_object().unwrap() {
            match field.as_str() {
                "outcome" => {}
                "retry_quota" => same(index, quota, number(value))?,
                "delay" => near(index, delay.as_secs_f64(), value, 1e-6)?,
                other => return Err(wrong(format!("unknown field {other}"))),
            }
        }
        if expected.get("delay").is_none() && outcome != "retry_request" {
            same(index, delay, Duration::ZERO)?;
        }
    }
    Ok(())
}

pub(super) fn token_bucket(case: &Value) -> Replayed {
    let given = &case["config"];
    let field = |name: &str| number(&given[name]);
    let mut config = TokenBudget::default();
    config.capacity = field("max_capacity");
    config.retry_cost = field("retry_cost");
    config.throttled_cost = field("timeout_retry_cost");
    config.timeout_cost = field("timeout_retry_cost");
    config.first_cost = field("initial_try_cost");
    config.first_refund = field("initial_try_success_increment");
    config.refill_per_second = field("refill_per_s");
    let breaks = given["circuit_breaker_mode"].as_bool().unwrap();
    config.when_empty = if breaks { WhenEmpty::Refuse } else { WhenEmpty::Wait };
    let mut bucket = TokenBucket::new(config);
    let mut now = start();
    let mut refund = config.first_refund;
    for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        let cost = match step["op"].as_str().unwrap() {
            "acquire" => {
                refund = config.first_refund;
                Some(config.first_cost)
            }
            "retry" => {
                let cost = match step["error"].as_str().unwrap() {
                    // The origin knows two costs: time-outs share that of throttling, and it files transient under those.
                    "throttling" => config.cost(ErrorClass::Throttled { after: None }),
                    "transient" | "timeout" => config.cost(ErrorClass::Timeout),
                    "client" | "server" | "server_side" | "client_side" => config.cost(ErrorClass::Transient),
                    other => return Err(wrong(format!("unknown error {other}"))),
                };
                refund = cost;
                Some(cost)
            }
            "advance" => {
                now += Duration::from_millis(step["ms"].as_u64().unwrap());
                None
            }
            "success" => {
                bucket.give(now, refund);
                None
            }
            "failure" => None,
            other => return Err(wrong(format!("unknown operation {other}"))),
        };
        if let Some(cost) = cost {
            match (bucket.take(now, cost), step.get("waits_s")) {
                (Ok(wait), Some(expected)) => {
                    same(at, Some(wait), seconds(expected))?;
                    now += wait;
                    bucket.give(now, 0);
                }
                (Err(_), None) => same(at, Some("capacity_exceeded"), step["error"].as_str())?,
                (taken, expected) => return Err(wrong(format!("step {at}: {taken:?}, expected {expected:?}"))),
            }
        }
        if let Some(capacity) = step.get("capacity") {
            same(at, bucket.available(), number(capacity))?;
        }
    }
    Ok(())
}

pub(super) fn adaptive_rate(case: &Value) -> Replayed {
    let tolerance = case["tolerance"].as_f64().unwrap();
    let steps = case["cases"].as_array().or_else(|| case["steps"].as_array()).ok_or_else(|| wrong("no steps"))?;
    let config = AdaptiveRateConfig::default();
    let given = &case["given"];
    let cubic = (case["kind"] == "cubic").then(|| {
        let at = seconds(&given["last_throttle_time"]).unwrap();
        Cubic::new(&config, given["last_max_rate"].as_f64().unwrap(), at)
    });
    let machine = std::cell::RefCell::new(AdaptiveRate::new(config));
    let cubic = Cell::new(cubic);
    let before = Cell::new(0.0);
    for (at, step) in steps.iter().enumerate() {
        let time = seconds(&step["timestamp"]).unwrap();
        let throttled = match step["response"].as_str().unwrap() {
            "success" => false,
            "throttle" => true,
            other => return Err(wrong(format!("unknown response {other}"))),
        };
        if let Some(mut curve) = cubic.get() {
            let rate = if throttled { curve.throttled(time, before.get()) } else { curve.rate(time) };
            before.set(rate);
            cubic.set(Some(curve));
        } else {
            machine.borrow_mut().update(time, throttled);
        }
        let machine = machine.borrow();
        for (field, expected) in step.as_object().unwrap() {
            match field.as_str() {
                "response" | "timestamp" => {}
                "calculated_rate" => near(at, before.get(), expected, tolerance)?,
                "measured_tx_rate" | "measured_rate" => near(at, machine.measured_rate(), expected, tolerance)?,
                "new_token_bucket_rate" | "fill_rate" => near(at, machine.fill_rate(), expected, tolerance)?,
                other => return Err(wrong(format!("unknown field {other}"))),
            }
        }
    }
    Ok(())
}
