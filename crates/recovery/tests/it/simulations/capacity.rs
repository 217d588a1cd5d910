//! C: the capacity of a callee halves and returns; does a learnt limit follow, and does it stay?

use std::time::Duration;

use bedplate_recovery::{Gradient2, Limit, LimitConfig, Sample, Vegas};

use super::events::Events;

/// How long the work of a call takes, without a queue.
pub const WORK: Duration = Duration::from_millis(100);

/// How a limit followed the capacity.
#[derive(Debug)]
pub struct Followed {
    /// The mean limit in the last third of each phase: full, half, full again, and at the end of ten minutes.
    pub limits: [f64; 4],
    /// After how many round trips the limit was within a tenth of the optimum and stayed there for nine of the next ten (one
    /// may measure the time without a queue, with half of the limit); `None` if it never was.
    pub settled: [Option<u32>; 2],
}

enum Event {
    Arrivals,
    Done { began: Duration, in_flight: u32 },
}

/// Learns the limit of a callee with `capacity` workers, which are half as many from 20 s to 40 s, under more calls than
/// it can take.
pub fn follow(rule: LimitConfig, capacity: u32, seed: u64) -> Followed {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut events = Events::new();
    let mut limit = Limit::new(rule);
    let (mut in_flight, mut busy) = (0_u32, 0_u32);
    let mut queue = std::collections::VecDeque::new();
    let mut history: Vec<(Duration, u32)> = Vec::new();
    let end = Duration::from_mins(11);
    let halves = Duration::from_secs(20)..Duration::from_secs(40);
    // One event every tenth of the work's time fills the places that are free: demand is without end.
    events.after(Duration::ZERO, Event::Arrivals);
    while let Some(event) = events.pop(end) {
        let workers = if halves.contains(&events.at()) { capacity / 2 } else { capacity };
        match event {
            Event::Arrivals => {
                history.push((events.at(), limit.get()));
                while in_flight < limit.get() {
                    in_flight += 1;
                    queue.push_back((events.at(), in_flight));
                }
                events.after(WORK / 10, Event::Arrivals);
            }
            Event::Done { began, in_flight: with } => {
                busy -= 1;
                in_flight -= 1;
                limit.update(events.now(), Sample::answered(events.at().saturating_sub(began), with));
                if in_flight < limit.get() {
                    in_flight += 1;
                    queue.push_back((events.at(), in_flight));
                }
            }
        }
        while busy < workers {
            let Some((began, with)) = queue.pop_front() else { break };
            busy += 1;
            // Five percent more or less, as real work takes.
            let work = WORK.mul_f64(0.95 + 0.1 * random.f64());
            events.after(work, Event::Done { began, in_flight: with });
        }
    }
    let mean = |from: u64, to: u64| {
        let span = Duration::from_secs(from)..Duration::from_secs(to);
        let within: Vec<_> = history.iter().filter(|(at, _)| span.contains(at)).map(|(_, l)| f64::from(*l)).collect();
        within.iter().sum::<f64>() / within.len() as f64
    };
    let settled = |from: u64, optimum: u32| {
        let start = Duration::from_secs(from);
        let trips: Vec<_> = (0..200_u32)
            .map(|trip| {
                let span = start + WORK * trip..start + WORK * (trip + 1);
                let within: Vec<_> =
                    history.iter().filter(|(at, _)| span.contains(at)).map(|(_, l)| f64::from(*l)).collect();
                let mean = within.iter().sum::<f64>() / within.len().max(1) as f64;
                (mean / f64::from(optimum) - 1.0).abs() <= 0.1
            })
            .collect();
        trips
            .windows(10)
            .position(|ten| ten[0] && ten.iter().filter(|near| **near).count() >= 9)
            .map(|trip| u32::try_from(trip).unwrap())
    };
    Followed {
        limits: [mean(13, 20), mean(33, 40), mean(53, 60), mean(600, 660)],
        settled: [settled(20, capacity / 2), settled(40, capacity)],
    }
}

/// The rules that are compared, by name.
pub fn rules() -> [(&'static str, LimitConfig); 2] {
    [
        ("gradient2 (default)", LimitConfig::Gradient2(Gradient2::default())),
        ("vegas", LimitConfig::Vegas(Vegas::default())),
    ]
}

#[test]
fn a_learnt_limit_follows_the_capacity_and_does_not_drift() {
    let (name, rule) = rules()[0];
    for seed in 0..5 {
        let followed = follow(rule, 100, seed);
        for settled in followed.settled {
            assert!(settled.is_some_and(|trips| trips <= 50), "{name}: {followed:?}");
        }
        for (limit, optimum) in followed.limits.into_iter().zip([100.0, 50.0, 100.0, 100.0]) {
            assert!((limit / optimum - 1.0).abs() <= 0.1, "{limit} for {optimum}: {followed:?}");
        }
    }
}
