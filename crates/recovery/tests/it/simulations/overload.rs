//! B: twice the calls that a callee can serve, for a minute.

use std::collections::VecDeque;
use std::time::Duration;

use bedplate_recovery::{Aimd, Gradient2, Limit, LimitConfig, Sample, Vegas};

use super::events::{Events, exponential, quantile};

/// How calls are admitted.
#[derive(Debug, Clone, Copy)]
pub enum Admission {
    /// All of them.
    Everything,
    /// So many at once, the rest refused.
    Fixed(u32),
    /// As many as is learnt.
    Learnt(LimitConfig),
}

/// The rows of the table.
pub fn rows() -> [(&'static str, Admission); 5] {
    [
        ("no limit", Admission::Everything),
        ("fixed limit of 200", Admission::Fixed(200)),
        ("aimd", Admission::Learnt(LimitConfig::Aimd(Aimd::default()))),
        ("vegas", Admission::Learnt(LimitConfig::Vegas(Vegas::default()))),
        ("gradient2 (default)", Admission::Learnt(LimitConfig::Gradient2(Gradient2::default()))),
    ]
}

const WORKERS: u32 = 30;
const WORK: Duration = Duration::from_millis(100);
/// A caller waits no longer; what comes later is wasted.
const PATIENCE: Duration = Duration::from_secs(2);

/// What became of the calls.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// Calls answered in time, as a share of what the callee can serve.
    pub goodput: f64,
    /// The 99th percentile of those that were admitted.
    pub p99: Duration,
}

enum Event {
    Arrive,
    Done { began: Duration, in_flight: u32 },
}

/// Runs 60 s at `load` times the capacity; the first ten are not counted.
pub fn run(admission: Admission, load: f64, seed: u64) -> Served {
    let (warm, end) = (Duration::from_secs(10), Duration::from_secs(70));
    let capacity = f64::from(WORKERS) / WORK.as_secs_f64();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut events = Events::new();
    let mut limit = match admission {
        Admission::Learnt(rule) => Some(Limit::new(rule)),
        _ => None,
    };
    let (mut in_flight, mut busy, mut good) = (0_u32, 0_u32, 0_u32);
    let mut queue = VecDeque::new();
    let mut took = Vec::new();
    events.after(Duration::ZERO, Event::Arrive);
    while let Some(event) = events.pop(end) {
        match event {
            Event::Arrive => {
                events.after(exponential(&mut random, Duration::from_secs_f64(1.0 / (load * capacity))), Event::Arrive);
                let most = match (&limit, admission) {
                    (Some(limit), _) => limit.get(),
                    (None, Admission::Fixed(most)) => most,
                    _ => u32::MAX,
                };
                if in_flight < most {
                    in_flight += 1;
                    queue.push_back((events.at(), in_flight));
                }
            }
            Event::Done { began, in_flight: with } => {
                busy -= 1;
                in_flight -= 1;
                let rtt = events.at().saturating_sub(began);
                if let Some(limit) = &mut limit {
                    let late = rtt > PATIENCE;
                    let sample = if late { Sample::dropped(rtt, with) } else { Sample::answered(rtt, with) };
                    limit.update(events.now(), sample);
                }
                if events.at() >= warm {
                    took.push(rtt);
                    good += u32::from(rtt <= PATIENCE);
                }
            }
        }
        while busy < WORKERS {
            let Some((began, with)) = queue.pop_front() else { break };
            busy += 1;
            events.after(exponential(&mut random, WORK), Event::Done { began, in_flight: with });
        }
    }
    Served { goodput: f64::from(good) / (60.0 * capacity), p99: quantile(&mut took, 0.99) }
}

#[test]
fn a_learnt_limit_keeps_the_throughput_and_the_latency_of_an_overloaded_callee() {
    for seed in 0..3 {
        let unloaded = run(Admission::Everything, 0.5, seed).p99;
        let (name, learnt) = rows()[4];
        let learnt = run(learnt, 2.0, seed);
        assert!(learnt.goodput >= 0.9, "{name}: {learnt:?}");
        assert!(learnt.p99 <= unloaded * 3, "{learnt:?}, unloaded {unloaded:?}");
        let none = run(Admission::Everything, 2.0, seed);
        assert!(none.goodput < 0.3, "without a limit nearly all answers come too late: {none:?}");
    }
}
