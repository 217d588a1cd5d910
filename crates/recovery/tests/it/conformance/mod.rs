//! Replays the test tables of other projects; see `tests/data/README.md`.

mod aws;
mod backoff;
mod breakers;
mod grpc;
mod limits;
mod rates;
mod windows;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bedplate_recovery::Random;
use serde_json::Value;

/// What became of one case; an operation or a field that the runner does not know is a failure.
type Replayed = Result<(), Miss>;

/// An expectation that was not met, in words.
#[derive(Debug)]
struct Miss(String);

fn wrong(told: impl Into<String>) -> Miss {
    Miss(told.into())
}

fn same<T: PartialEq + std::fmt::Debug>(step: usize, ours: T, theirs: T) -> Replayed {
    if ours == theirs {
        return Ok(());
    }
    Err(wrong(format!("step {step}: {ours:?}, expected {theirs:?}")))
}

type Replay = fn(&Value) -> Replayed;

const FILES: [(&str, Replay); 12] = [
    ("adaptive_limits.json", limits::replay),
    ("aws_adaptive_rate.json", aws::adaptive_rate),
    ("aws_standard_retry.json", aws::standard_retry),
    ("aws_token_bucket.json", aws::token_bucket),
    ("backoff.json", backoff::backoff),
    ("breaker_cockatiel.json", breakers::cockatiel),
    ("breaker_failsafe.json", breakers::failsafe),
    ("breaker_polly.json", breakers::polly),
    ("breaker_resilience4j.json", breakers::resilience4j),
    ("grpc_retry.json", grpc::replay),
    ("ratelimiter_failsafe.json", rates::replay),
    ("windows.json", windows::windows),
];

#[test]
fn conformance() {
    #[expect(clippy::disallowed_methods, reason = "a test runner may be told its input")]
    let given = std::env::var("BEDPLATE_CONFORMANCE_DIR").ok();
    let own = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let dir = given.map_or(own, PathBuf::from);
    let mut faults = unknown_files(&dir);
    for (file, replay) in FILES {
        let Ok(text) = std::fs::read_to_string(dir.join(file)) else {
            faults.push(format!("{file} is missing"));
            continue;
        };
        let table: Value = serde_json::from_str(&text).unwrap();
        let cases = table["cases"].as_array().unwrap();
        let mut passed = 0;
        for case in cases {
            // A case of a form that the runner does not expect fails alone and is named.
            let replayed = std::panic::catch_unwind(|| replay(case))
                .unwrap_or_else(|_| Err(wrong("the runner cannot read this case")));
            match replayed {
                Ok(()) => passed += 1,
                Err(Miss(told)) => faults.push(format!("{file} {}: {told}", case["id"])),
            }
        }
        assert!(!cases.is_empty(), "{file} holds no case");
        println!("CONFORMANCE {file} {passed}/{}", cases.len());
    }
    assert!(faults.is_empty(), "{} wrong:\n{}", faults.len(), faults.join("\n"));
}

fn unknown_files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let is_json = |name: &String| Path::new(name).extension().is_some_and(|ending| ending == "json");
    let json = names.filter(|name| is_json(name) && name != "index.json");
    json.filter(|name| FILES.iter().all(|(known, _)| known != name))
        .map(|name| format!("{name} is not known to the runner"))
        .collect()
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

fn near(step: usize, ours: f64, theirs: &Value, tolerance: f64) -> Replayed {
    let theirs = theirs.as_f64().unwrap();
    let close = (ours - theirs).abs() <= tolerance;
    close.then_some(()).ok_or_else(|| wrong(format!("step {step}: {ours}, expected {theirs}")))
}

fn start() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A runtime in virtual time.
fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}
