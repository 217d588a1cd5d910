//! Rate limiters that reserve.

use std::time::Duration;

use bedplate_recovery::{Pace, Quota, RateMachine};
use serde_json::Value;

use super::{Replayed, millis, number, same, start, wrong};

pub(super) fn replay(case: &Value) -> Replayed {
    let given = &case["config"];
    let quota = match given["kind"].as_str().unwrap() {
        "smooth" => Quota::new(1, millis(&given["interval_ms"]).unwrap()).pace(Pace::Smooth),
        "bursty" => Quota::new(number(&given["permits"]), millis(&given["period_ms"]).unwrap()).pace(Pace::Window),
        other => return Err(wrong(format!("unknown kind {other}"))),
    };
    let origin = start();
    let mut machine = RateMachine::new(&quota, origin);
    let mut now = origin;
    for (at, step) in case["steps"].as_array().unwrap().iter().enumerate() {
        match step["op"].as_str().unwrap() {
            "reserve" => {
                let mut wait = Duration::ZERO;
                for _ in 0..step.get("times").map_or(1, number) {
                    wait = machine.reserve(&quota, now, number(&step["permits"]), Duration::MAX).unwrap();
                }
                for (field, expected) in step.as_object().unwrap() {
                    match field.as_str() {
                        "op" | "times" | "permits" => {}
                        "wait_ms" => same(at, Some(wait), millis(expected))?,
                        "next_free_ms" => {
                            // The next single permit is free when a call at this moment would have waited that long.
                            let mut probe = machine;
                            let more = probe.reserve(&quota, now, 1, Duration::MAX).unwrap();
                            same(at, Some(now + more - origin), millis(expected))?;
                        }
                        "available" => same(at, machine.available(&quota, now), expected.as_i64())?,
                        "period" => same(at, (now - origin).as_millis() / quota.period.as_millis(), {
                            u128::from(number(expected))
                        })?,
                        other => return Err(wrong(format!("unknown field {other}"))),
                    }
                }
            }
            "set_time" => now = origin + millis(&step["ms"]).unwrap(),
            "equal" => {
                now = origin + millis(&step["at_ms"]).unwrap();
                let permits = number(&step["permits"]);
                let (mut one, mut many) = (machine, machine);
                let at_once = one.reserve(&quota, now, permits, Duration::MAX);
                let mut last = Ok(Duration::ZERO);
                for _ in 0..permits {
                    last = many.reserve(&quota, now, 1, Duration::MAX);
                }
                same(at, at_once, last)?;
                same(at, one, many)?;
                machine = one;
            }
            other => return Err(wrong(format!("unknown operation {other}"))),
        }
    }
    Ok(())
}
