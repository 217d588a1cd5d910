//! Replays the test tables of other projects; see `tests/data/README.md`.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bedplate_recovery::{
    Backoff, BackoffKind, BreakerConfig, BreakerMachine, BreakerState, ErrorClass, HalfOpen, Jitter, Outcome,
    OutcomeWindow, Random, RetryConfig, RetryDecision, RetryPlan, Semantics, Ticket, TripRule, WindowKind,
};
use serde_json::{Value, json};

/// What became of one case.
type Replayed = Result<(), Miss>;

type Replay = fn(&Value) -> Replayed;

#[derive(Debug)]
enum Miss {
    /// The expectation was not met.
    Wrong(String),
    /// The crate does not have this yet; the kind is named and counted.
    Unsupported(&'static str),
}

fn wrong(told: impl Into<String>) -> Miss {
    Miss::Wrong(told.into())
}

fn same<T: PartialEq + std::fmt::Debug>(step: usize, ours: T, theirs: T) -> Replayed {
    if ours == theirs {
        return Ok(());
    }
    Err(wrong(format!("step {step}: {ours:?}, expected {theirs:?}")))
}

/// What the tables hold that this crate cannot express yet.
const NOT_YET: [&str; 4] = [
    "a delay computed by a closure",
    "a delay drawn from a range",
    "a list of delays",
    "the sum of durations in a window",
];

#[test]
fn conformance() {
    #[expect(clippy::disallowed_methods, reason = "a test runner may be told its input")]
    let given = std::env::var("BEDPLATE_CONFORMANCE_DIR").ok();
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let dir = given.map_or(own, PathBuf::from);
    let files: [(&str, Replay); 6] = [
        ("backoff.json", backoff),
        ("breaker_polly.json", polly),
        ("breaker_resilience4j.json", resilience4j),
        ("breaker_failsafe.json", failsafe),
        ("breaker_cockatiel.json", cockatiel),
        ("windows.json", windows),
    ];
    let mut faults = Vec::new();
    let mut unsupported = BTreeMap::<&str, u32>::new();
    for (file, replay) in files {
        let Ok(text) = std::fs::read_to_string(dir.join(file)) else {
            faults.push(format!("{file} is missing"));
            continue;
        };
        let table: Value = serde_json::from_str(&text).unwrap();
        let cases = table["cases"].as_array().unwrap();
        let mut passed = 0;
        for case in cases {
            match replay(case) {
                Ok(()) => passed += 1,
                Err(Miss::Wrong(told)) => faults.push(format!("{file} {}: {told}", case["id"])),
                Err(Miss::Unsupported(kind)) => *unsupported.entry(kind).or_default() += 1,
            }
        }
        assert!(!cases.is_empty(), "{file} holds no case");
        println!("CONFORMANCE {file} {passed}/{}", cases.len());
    }
    for (kind, cases) in &unsupported {
        println!("CONFORMANCE not supported yet: {kind} ({cases} cases)");
        assert!(NOT_YET.contains(kind), "{kind} is not on the list of known gaps");
    }
    assert!(faults.is_empty(), "{} wrong:\n{}", faults.len(), faults.join("\n"));
}

struct Fixed(f64);

impl Random for Fixed {
    fn unit(&mut self) -> f64 {
        self.0
    }
}

fn seconds(value: &Value) -> Option<Duration> {
    value.as_f64().map(|s| Duration::try_from_secs_f64(s).unwrap_or(Duration::MAX))
}

fn millis(value: &Value) -> Option<Duration> {
    value.as_f64().map(|ms| Duration::from_nanos((ms * 1e6).round() as u64))
}

fn number(value: &Value) -> u32 {
    u32::try_from(value.as_u64().unwrap_or_else(|| panic!("{value} is no count"))).unwrap()
}

fn list(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap()).collect()
}

fn backoff(case: &Value) -> Replayed {
    let (input, expect) = (&case["input"], &case["expect"]);
    let algorithm = case["algorithm"].as_str().unwrap();
    match algorithm.split(':').next().unwrap() {
        "polly_v8" => backoff_polly(input, expect),
        "failsafe_sequence" if input.get("delay_fn").is_some() => {
            Err(Miss::Unsupported("a delay computed by a closure"))
        }
        "failsafe_sequence" => {
            let nanos = |key: &str| Duration::from_nanos(input[key].as_u64().unwrap());
            let rule = Backoff::exponential(nanos("backoff_initial_ns"))
                .factor(input["factor"].as_f64().unwrap())
                .max(nanos("backoff_max_ns"))
                .jitter(Jitter::None);
            sequence(rule, &list(&expect["delays_ns"]), Duration::from_nanos(1), 0.0)
        }
        "failsafe_range" => Err(Miss::Unsupported("a delay drawn from a range")),
        "failsafe_factor" => backoff_failsafe(input, expect, Jitter::Spread(input["factor"].as_f64().unwrap())),
        "failsafe_duration" => {
            let by = Duration::from_millis(input["jitter"].as_u64().unwrap());
            backoff_failsafe(input, expect, Jitter::SpreadBy(by))
        }
        "constant" => {
            let rule = Backoff::constant(millis(&input["ms"]).unwrap()).jitter(Jitter::None);
            sequence(rule, &list(&expect["delays_ms"]), Duration::from_millis(1), 0.0)
        }
        "list" => Err(Miss::Unsupported("a list of delays")),
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

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn outcome(value: &Value) -> Result<Outcome, Miss> {
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

fn polly(case: &Value) -> Replayed {
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

fn resilience4j(case: &Value) -> Replayed {
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

fn failsafe(case: &Value) -> Replayed {
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

fn cockatiel(case: &Value) -> Replayed {
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

fn windows(case: &Value) -> Replayed {
    let given = &case["window"];
    let mut config = BreakerConfig::default();
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
                window.record(now, result, slow);
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
    let near = |ours: f64, tolerance: f64| {
        let theirs = expected.as_f64().unwrap();
        let close = (ours - theirs).abs() <= tolerance;
        close.then_some(()).ok_or_else(|| wrong(format!("step {at}: {field} {ours}, expected {theirs}")))
    };
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
        "total_duration_ms" | "slow_success" | "slow_error" => {
            Err(Miss::Unsupported("the sum of durations in a window"))
        }
        other => Err(wrong(format!("unknown field {other}"))),
    }
}
