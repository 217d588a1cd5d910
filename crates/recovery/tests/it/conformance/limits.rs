//! Limits that adapt: concurrency, the throttle of the SRE book, and the budget of calls in flight.

use std::time::Duration;

use bedplate_recovery::{
    Aimd, BudgetConfig, ErrorClass, InFlightBudget, Limit, LimitConfig, RetryBudget, Sample, ThrottleRule, Vegas,
    VegasRule,
};
use serde_json::Value;

use super::{Replayed, millis, near, number, same, start, wrong};

pub(super) fn replay(case: &Value) -> Replayed {
    let given = &case["config"];
    let algorithm = case["algorithm"].as_str().unwrap();
    match algorithm.split(':').next().unwrap() {
        "aimd" => {
            let mut config = Aimd::default();
            config.min = number(&given["min"]);
            config.initial = number(&given["initial"]);
            config.max = number(&given["max"]);
            config.backoff_ratio = given["backoff_ratio"].as_f64().unwrap();
            config.timeout = millis(&given["timeout_ms"]).unwrap();
            samples(case, LimitConfig::Aimd(config))
        }
        "vegas" => {
            let mut config = Vegas::default();
            config.initial = number(&given["initial"]);
            config.max = number(&given["max"]);
            config.smoothing = given["smoothing"].as_f64().unwrap();
            config.alpha = bound(&given["alpha"])?;
            config.beta = bound(&given["beta"])?;
            same(0, given["threshold"].as_str(), Some("log10root(limit)"))?;
            same(0, given["increase"].as_str(), Some("limit+log10root(limit)"))?;
            config.halves = match given["decrease"].as_str() {
                Some("limit/2") => true,
                Some("limit-log10root(limit)") => false,
                other => return Err(wrong(format!("unknown decrease {other:?}"))),
            };
            samples(case, LimitConfig::Vegas(config))
        }
        "sre_client_throttle" => throttle(case),
        "inflight_budget" => budget(case),
        other => Err(wrong(format!("unknown algorithm {other}"))),
    }
}

fn bound(value: &Value) -> Result<VegasRule, super::Miss> {
    if let Some(calls) = value.as_u64() {
        return Ok(VegasRule::Fixed(u32::try_from(calls).unwrap()));
    }
    let words = value.as_str().unwrap_or_default();
    let times = words.strip_suffix("*log10root(limit)").and_then(|times| times.parse().ok());
    times.map(VegasRule::Log10).ok_or_else(|| wrong(format!("unknown bound {words}")))
}

fn samples(case: &Value, config: LimitConfig) -> Replayed {
    config.check().map_err(|e| wrong(e.to_string()))?;
    let mut limit = Limit::new(config);
    let mut now = start();
    for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        if let Some(rtt) = step.get("rtt_ms") {
            let rtt = millis(rtt).unwrap();
            // One call after the other, so that each began after the last one took effect.
            now += rtt + Duration::from_millis(1);
            let in_flight = number(&step["inflight"]);
            let dropped = step["drop"].as_bool().unwrap();
            limit.update(now, if dropped { Sample::dropped(rtt, in_flight) } else { Sample::answered(rtt, in_flight) });
        }
        for (field, expected) in step.as_object().unwrap() {
            match field.as_str() {
                "rtt_ms" | "inflight" | "drop" | "note" => {}
                "limit" => same(at, limit.get(), number(expected))?,
                other => return Err(wrong(format!("unknown field {other}"))),
            }
        }
    }
    Ok(())
}

fn throttle(case: &Value) -> Replayed {
    let (given, input, expect) = (&case["config"], &case["input"], &case["expect"]);
    let mut rule = ThrottleRule::default();
    rule.success_rate = given["success_rate_threshold"].as_f64().unwrap();
    rule.max_rejection_rate = given["max_rejection_rate"].as_f64().unwrap();
    rule.minimum_calls = number(&given["execution_threshold"]);
    let rate = rule.rejection_probability(input["executions"].as_f64().unwrap(), input["successes"].as_f64().unwrap());
    for (field, value) in expect.as_object().unwrap() {
        let bound = value.as_f64().unwrap();
        match field.as_str() {
            "rate" => near(0, rate, value, expect["tolerance"].as_f64().unwrap_or(1e-9))?,
            "tolerance" => {}
            "gt" => same(0, rate > bound, true)?,
            "ge" => same(0, rate >= bound, true)?,
            "lt" => same(0, rate < bound, true)?,
            "le" => same(0, rate <= bound, true)?,
            other => return Err(wrong(format!("unknown field {other}"))),
        }
    }
    Ok(())
}

fn budget(case: &Value) -> Replayed {
    let (given, state) = (&case["config"], &case["state"]);
    let mut config = InFlightBudget::default();
    config.max_rate = given["max_rate"].as_f64().unwrap();
    config.min_concurrency = number(&given["min_concurrency"]);
    let budget = RetryBudget::new(BudgetConfig::InFlight(config)).map_err(|e| wrong(e.to_string()))?;
    let extra = state.get("inflight_retries").map_or(0, number) + state.get("inflight_hedges").map_or(0, number);
    let all = number(&state["inflight_executions"]);
    // The state's executions count its retries in, as ours do.
    let calls: Vec<_> = (0..all - extra).map(|_| budget.enter()).collect();
    let mut calls = calls.into_iter();
    let mut call = calls.next().ok_or_else(|| wrong("a state without a first attempt"))?;
    for _ in 0..extra {
        call.withdraw(start(), ErrorClass::Transient).map_err(|_| wrong("the state itself is over the budget"))?;
    }
    for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        match step["op"].as_str().unwrap() {
            "acquire" => {
                let granted = call.withdraw(start(), ErrorClass::Transient).is_ok();
                same(at, granted, step["ok"].as_bool().unwrap())?;
            }
            "release" => call.release(),
            other => return Err(wrong(format!("unknown operation {other}"))),
        }
    }
    Ok(())
}
