//! Circuit breakers of four projects.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bedplate_recovery::{
    BreakerConfig, BreakerMachine, BreakerState, HalfOpen, Outcome, OutcomeWindow, Semantics, Ticket, TripRule,
    WindowKind,
};
use serde_json::{Value, json};

use super::{Miss, Replayed, list, millis, number, same, seconds, start, wrong};

pub(super) fn outcome(value: &Value) -> Result<Outcome, Miss> {
    match value.as_str().unwrap_or_default() {
        "success" => Ok(Outcome::Success),
        "failure" | "error" => Ok(Outcome::Failure),
        "ignored" => Ok(Outcome::Ignored),
        other => Err(wrong(format!("unknown result {other}"))),
    }
}

fn state_of(value: &Value) -> Result<BreakerState, Miss> {
    Ok(match value.as_str().unwrap_or_default() {
        "Closed" | "CLOSED" => BreakerState::Closed,
        "Open" | "OPEN" => BreakerState::Open,
        "HalfOpen" | "HALF_OPEN" => BreakerState::HalfOpen,
        "Isolated" | "FORCED_OPEN" => BreakerState::Isolated,
        "DISABLED" => BreakerState::Disabled,
        "METRICS_ONLY" => BreakerState::MetricsOnly,
        other => return Err(wrong(format!("unknown state {other}"))),
    })
}

fn machine(config: BreakerConfig) -> BreakerMachine {
    BreakerMachine::new(config).unwrap()
}

/// Brings a machine into `state` by the shortest way.
fn bring(machine: &mut BreakerMachine, state: BreakerState, now: Instant) {
    match state {
        BreakerState::Open => {
            machine.trip(now);
        }
        BreakerState::HalfOpen => {
            machine.trip(now);
            machine.probe_now();
        }
        BreakerState::Isolated => {
            machine.isolate();
        }
        _ => {}
    }
}

pub(super) fn polly(case: &Value) -> Replayed {
    match case["kind"].as_str() {
        None => polly_scenario(case),
        Some("transition") => polly_transition(case),
        Some("should_break") => polly_should_break(case),
        Some("half_open_attempts") => polly_half_open_attempts(case),
        Some(other) => Err(wrong(format!("unknown kind {other}"))),
    }
}

fn polly_config() -> BreakerConfig {
    let mut config = BreakerConfig::default();
    config.semantics = Semantics::Polly;
    config.half_open = HalfOpen::Rate(1);
    config.open_growth = 1.0;
    config
}

fn polly_scenario(case: &Value) -> Replayed {
    let given = &case["config"];
    let mut config = polly_config();
    config.window =
        WindowKind::Time { period: seconds(&given["sampling_s"]).unwrap(), buckets: number(&given["windows"]) };
    config.trip = TripRule::FailureRate(given["failure_ratio"].as_f64().unwrap());
    config.minimum_calls = number(&given["minimum_throughput"]);
    config.open_for = seconds(&given["break_s"]).unwrap();
    // One probe per break.
    config.permit_ttl = config.open_for;
    let mut machine = machine(config);
    let origin = start();
    let mut now = origin;
    for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        match step["op"].as_str().unwrap() {
            "call" => {
                let (ticket, _) = machine.try_acquire(now);
                same(at, ticket.is_ok(), step["admitted"].as_bool().unwrap())?;
                match ticket {
                    Ok(ticket) => {
                        machine.record(ticket, now, outcome(&step["result"])?);
                    }
                    Err(refused) => {
                        let isolated = refused.state == BreakerState::Isolated;
                        same(at, isolated, step["reason"] == "isolated")?;
                    }
                }
            }
            "acquire" => {
                let (ticket, _) = machine.try_acquire(now);
                same(at, ticket.is_ok(), step["admitted"].as_bool().unwrap())?;
            }
            "state" => same(at, machine.effective_state(now), state_of(&step["expect"])?)?,
            "set_time" => now = origin + seconds(&step["t_s"]).unwrap(),
            "isolate" => {
                machine.isolate();
            }
            "reset" => {
                machine.close();
            }
            other => return Err(wrong(format!("unknown operation {other}"))),
        }
    }
    Ok(())
}

fn polly_transition(case: &Value) -> Replayed {
    let mut config = polly_config();
    // "The metrics say break" is a first failure that counts, or one that does not.
    let breaks = case["metrics_say_break"].as_bool().unwrap_or(false);
    config.trip = TripRule::Consecutive(if breaks { 1 } else { 1_000 });
    let mut machine = machine(config);
    let now = start();
    let from = state_of(&case["from_state"])?;
    let early = machine.try_acquire(now).0;
    bring(&mut machine, from, now);
    let ticket = if from == BreakerState::HalfOpen { machine.try_acquire(now).0 } else { early };
    machine.record(ticket.map_err(|_| wrong("not admitted"))?, now, outcome(&case["on"])?);
    same(0, machine.state(), state_of(&case["to_state"])?)
}

fn polly_should_break(case: &Value) -> Replayed {
    let mut config = polly_config();
    config.trip = TripRule::FailureRate(case["threshold"].as_f64().unwrap());
    config.minimum_calls = number(&case["minimum_throughput"]);
    let mut window = OutcomeWindow::new(&config);
    let throughput = number(&case["throughput"]);
    // The share need not be a whole number of calls; the next one above is the first that reaches it.
    let failures = (case["failure_rate"].as_f64().unwrap() * f64::from(throughput)).ceil() as u32;
    for call in 0..throughput {
        window.record(start(), if call < failures { Outcome::Failure } else { Outcome::Success }, false);
    }
    same(0, window.trips(), case["expect"].as_bool().unwrap())
}

/// The number of half-open attempts is what the break grows by: 2^n seconds here.
fn polly_half_open_attempts(case: &Value) -> Replayed {
    let mut config = polly_config();
    config.trip = TripRule::Consecutive(1);
    config.open_for = Duration::from_secs(1);
    config.open_growth = 2.0;
    config.open_max = Duration::from_secs(1 << 20);
    let mut machine = machine(config);
    let mut now = start();
    let mut seen = Vec::new();
    for cycles in ["cycles_before_close", "cycles_after_close"] {
        for _ in 0..number(&case[cycles]) {
            let ticket = machine.try_acquire(now).0.map_err(|_| wrong("not admitted"))?;
            machine.record(ticket, now, Outcome::Failure);
            let refused = machine.try_acquire(now).0.err().ok_or_else(|| wrong("not open"))?;
            let pause = refused.retry_after.unwrap();
            seen.push(u64::from(pause.as_secs().ilog2()));
            now += pause;
        }
        let ticket = machine.try_acquire(now).0.map_err(|_| wrong("not admitted"))?;
        machine.record(ticket, now, Outcome::Success);
    }
    same(0, seen, list(&case["expect"]))
}

pub(super) fn resilience4j(case: &Value) -> Replayed {
    let given = &case["config"];
    let mut config = BreakerConfig::default();
    config.semantics = Semantics::Resilience4j;
    config.trip = TripRule::FailureRate(given["failure_rate_threshold"].as_f64().unwrap() / 100.0);
    config.slow_call_rate = Some(given["slow_call_rate_threshold"].as_f64().unwrap() / 100.0);
    config.slow_call = millis(&given["slow_call_duration_ms"]).unwrap();
    config.half_open = HalfOpen::Rate(number(&given["permitted_half_open"]));
    config.minimum_calls = number(&given["minimum_calls"]);
    match given["window"].as_str().unwrap() {
        "time" => {
            let whole = number(&given["window_s"]);
            config.window = WindowKind::Time { period: Duration::from_secs(whole.into()), buckets: whole };
        }
        "count" => {
            let size = number(&given["window_size"]);
            config.window = WindowKind::Count(size);
            // resilience4j lowers the minimum to the size of the window by itself; we refuse the contradiction.
            config.minimum_calls = config.minimum_calls.min(size);
        }
        other => return Err(wrong(format!("unknown window {other}"))),
    }
    config.open_for = seconds(&given["wait_open_s"]).unwrap();
    config.open_growth = 1.0;
    if let Some(growth) = given.get("wait_open_exponential") {
        config.open_for = seconds(&growth["initial_s"]).unwrap();
        config.open_growth = growth["multiplier"].as_f64().unwrap();
    }
    let mut machine = machine(config);
    let mut now = start();
    let mut held = VecDeque::<Ticket>::new();
    for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        match step["op"].as_str().unwrap() {
            "acquire" => {
                let (ticket, _) = machine.try_acquire(now);
                same(at, ticket.is_ok(), step["admitted"].as_bool().unwrap())?;
                held.extend(ticket.ok());
            }
            "release" => machine.release(held.pop_front().unwrap()),
            "record" => {
                let ticket = match held.pop_front() {
                    Some(ticket) => ticket,
                    None => machine.try_acquire(now).0.map_err(|_| wrong("not admitted"))?,
                };
                let took = millis(&step["duration_ms"]).unwrap();
                machine.record_timed(ticket, now, outcome(&step["result"])?, took);
            }
            "advance" => now += seconds(&step["s"]).unwrap(),
            "reset" => {
                machine.close();
            }
            "state" => same(at, machine.state(), state_of(&step["expect"])?)?,
            "transition" => {
                held.clear();
                let done = match state_of(&step["to"])? {
                    BreakerState::Open => machine.trip(now),
                    BreakerState::HalfOpen => machine.probe_now(),
                    BreakerState::Closed => machine.close(),
                    BreakerState::Isolated => machine.isolate(),
                    BreakerState::Disabled => machine.disable(),
                    _ => machine.metrics_only(),
                };
                same(at, done.is_none(), step.get("error").is_some())?;
            }
            "metrics" => {
                let stats = machine.stats(now);
                let rate = step["failure_rate"].as_f64().unwrap();
                same(at, stats.failure_rate.map_or(-1.0, |r| r * 100.0), rate)?;
                same(at, stats.window.calls, number(&step["buffered"]))?;
                same(at, stats.window.failures, number(&step["failed"]))?;
                same(at, stats.window.calls - stats.window.failures, number(&step["successes"]))?;
                same(at, stats.refused, u64::from(number(&step["not_permitted"])))?;
            }
            other => return Err(wrong(format!("unknown operation {other}"))),
        }
    }
    Ok(())
}

pub(super) fn failsafe(case: &Value) -> Replayed {
    let given = &case["config"];
    let (threshold, capacity) = (number(&given["failure_threshold"]), number(&given["failure_capacity"]));
    let mut config = BreakerConfig::default();
    config.semantics = Semantics::Failsafe;
    config.window = WindowKind::Count(capacity);
    config.trip = TripRule::Failures(threshold);
    config.half_open = match given.get("success_threshold") {
        Some(needed) => HalfOpen::Successes { needed: number(needed), of: number(&given["success_capacity"]) },
        // The pair of the failures decides in both directions.
        None => HalfOpen::Successes { needed: capacity - threshold + 1, of: capacity },
    };
    let mut machine = machine(config);
    let now = start();
    bring(&mut machine, state_of(&case["start"])?, now);
    for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        let ticket = machine.try_acquire(now).0.map_err(|_| wrong(format!("step {at}: not admitted")))?;
        machine.record(ticket, now, outcome(&step["record"])?);
        if let Some(expected) = step.get("state") {
            same(at, machine.state(), state_of(expected)?)?;
        }
    }
    Ok(())
}

pub(super) fn cockatiel(case: &Value) -> Replayed {
    let given = &case["config"];
    let mut config = BreakerConfig::default();
    config.semantics = Semantics::Cockatiel;
    match case["kind"].as_str().unwrap() {
        "consecutive" => {
            config.trip = TripRule::Consecutive(number(&case["threshold"]));
            feed(&mut OutcomeWindow::new(&config), case)
        }
        "count_window" => {
            config.window = WindowKind::Count(number(&given["size"]));
            config.trip = TripRule::FailureRate(given["threshold"].as_f64().unwrap());
            config.minimum_calls = number(&given["minimum_calls"]);
            feed(&mut OutcomeWindow::new(&config), case)
        }
        "count_window_contents" => {
            config.window = WindowKind::Count(number(&given["size"]));
            let mut window = OutcomeWindow::new(&config);
            feed(&mut window, case)?;
            window_contents(window, &case["expect"])
        }
        "invalid_config" => {
            let minimum = match &given["minimum_calls"] {
                Value::Null => json!(1),
                value => value.clone(),
            };
            let data = json!({
                "window": { "count": given["size"] },
                "trip": { "failure_rate": given["threshold"] },
                "minimum_calls": minimum,
                "semantics": "cockatiel",
            });
            // A number that is no count is refused when it is read, the others when they are checked.
            let accepted =
                serde_json::from_value::<BreakerConfig>(data).is_ok_and(|config| BreakerMachine::new(config).is_ok());
            same(0, accepted, false)
        }
        other => Err(wrong(format!("unknown kind {other}"))),
    }
}

fn feed(window: &mut OutcomeWindow, case: &Value) -> Replayed {
    for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        for _ in 0..step.get("times").map_or(1, number) {
            let outcome = outcome(&step["record"])?;
            window.record(start(), outcome, false);
            if let Some(trips) = step.get("trips") {
                let ours = outcome == Outcome::Failure && window.trips();
                same(at, ours, trips.as_bool().unwrap())?;
            }
        }
    }
    Ok(())
}

/// Reads the slots by pushing the results out one by one, the oldest first.
fn window_contents(mut window: OutcomeWindow, expect: &Value) -> Replayed {
    let counts = window.counts();
    same(0, counts.failures, number(&expect["failures"]))?;
    same(0, counts.calls - counts.failures, number(&expect["successes"]))?;
    let slots: Vec<bool> = expect["samples_by_slot"].as_array().unwrap().iter().map(|v| v.as_bool().unwrap()).collect();
    let next = number(&expect["next_slot"]) as usize;
    for at in 0..slots.len() {
        let before = window.counts().failures;
        window.record(start(), Outcome::Success, false);
        let was_success = before == window.counts().failures;
        same(at, was_success, slots[(next + at) % slots.len()])?;
    }
    Ok(())
}
