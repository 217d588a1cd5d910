//! Leaves a remote alone that does not answer.
//!
//! Small on purpose: a cache's remote has one question, whether to ask at all, and a miss is always a
//! right answer. Consecutive failures open it, for a time that doubles; then one call at a time probes.
//! A probe whose caller vanished holds the place no longer than the probe's own time.

use std::time::Duration;

/// When the breaker opens and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// Failures in a row that open it; default 5, at least 1. Too few, and one lost packet costs a
    /// second without the remote; too many, and an outage holds up that many loads.
    pub failures: u32,
    /// How long it stays open at first; default 1 s, above zero. It doubles with every failed probe.
    pub open_for: Duration,
    /// How long it stays open at most; default 30 s, at least `open_for`. Too long, and a remote that is back waits for its
    /// queue.
    pub max_open_for: Duration,
    /// After how long a probe that was not reported is taken for lost; default 10 s, above the timeout
    /// of a call.
    pub probe_timeout: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            open_for: Duration::from_secs(1),
            max_open_for: Duration::from_secs(30),
            probe_timeout: Duration::from_secs(10),
        }
    }
}

/// What the breaker thinks of the remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BreakerState {
    /// It answers.
    Closed,
    /// It is left alone.
    Open,
    /// One call is on its way to see whether it is back.
    Probing,
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// Make it and report.
    Call,
    /// Do not; ask again then.
    Refuse {
        /// How long until a probe is due.
        retry_after: Duration,
    },
}

/// The breaker: pure, told the time on the way.
#[derive(Debug, Clone)]
pub struct RemoteBreaker {
    config: BreakerConfig,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed { failures: u32 },
    Open { until: Duration, last: Duration },
    Probing { since: Duration, last: Duration },
}

impl RemoteBreaker {
    /// Makes a closed breaker.
    pub const fn new(config: BreakerConfig) -> Self {
        Self { config, state: State::Closed { failures: 0 } }
    }

    /// Returns its state.
    pub const fn state(&self) -> BreakerState {
        match self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing { .. } => BreakerState::Probing,
        }
    }

    /// Asks for a call.
    pub fn admit(&mut self, now: Duration) -> Admission {
        match self.state {
            State::Closed { .. } => Admission::Call,
            State::Open { until, last } if now >= until => {
                self.state = State::Probing { since: now, last };
                Admission::Call
            }
            State::Open { until, .. } => Admission::Refuse { retry_after: until.saturating_sub(now) },
            State::Probing { since, last } => {
                let waited = now.saturating_sub(since);
                if waited >= self.config.probe_timeout {
                    self.state = State::Probing { since: now, last };
                    return Admission::Call;
                }
                Admission::Refuse { retry_after: self.config.probe_timeout.saturating_sub(waited) }
            }
        }
    }

    /// Reports a call that was answered, be it with a refusal: the remote is there.
    pub const fn answered(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// Reports a call that was not answered.
    pub fn failed(&mut self, now: Duration) {
        self.state = match self.state {
            State::Closed { failures } if failures.saturating_add(1) < self.config.failures => {
                State::Closed { failures: failures + 1 }
            }
            State::Closed { .. } => self.open(now, self.config.open_for),
            State::Probing { last, .. } => self.open(now, last.saturating_mul(2)),
            // A call that was admitted before it opened says nothing new.
            open @ State::Open { .. } => open,
        };
    }

    fn open(&self, now: Duration, pause: Duration) -> State {
        let last = pause.min(self.config.max_open_for);
        State::Open { until: now.saturating_add(last), last }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn opened() -> RemoteBreaker {
        let mut breaker = RemoteBreaker::new(BreakerConfig::default());
        for _ in 0..5 {
            assert_eq!(breaker.admit(s(10)), Admission::Call);
            breaker.failed(s(10));
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_answer_between_them_does_not() {
        let mut breaker = RemoteBreaker::new(BreakerConfig::default());
        for at in 0..20 {
            breaker.failed(s(at));
            if at % 4 == 3 {
                breaker.answered();
            }
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        assert_eq!(opened().state(), BreakerState::Open);
        assert_eq!(opened().admit(s(10)), Admission::Refuse { retry_after: s(1) });
    }

    #[test]
    fn one_probe_at_a_time_and_a_lost_one_gives_way() {
        let mut breaker = opened();
        assert_eq!(breaker.admit(s(11)), Admission::Call);
        assert_eq!(breaker.admit(s(12)), Admission::Refuse { retry_after: s(9) });
        assert_eq!(breaker.admit(s(21)), Admission::Call);
        breaker.answered();
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn the_pause_doubles_to_its_bound() {
        let mut breaker = opened();
        let mut now = s(10);
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let Admission::Refuse { retry_after } = breaker.admit(now) else { panic!("it is open") };
            pauses.push(retry_after.as_secs());
            now += retry_after;
            assert_eq!(breaker.admit(now), Admission::Call);
            breaker.failed(now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
    }

    proptest! {
        #[test]
        fn it_always_lets_one_through_within_its_longest_pause(events in prop::collection::vec(0_u8..3, 0..200)) {
            let mut breaker = RemoteBreaker::new(BreakerConfig::default());
            let mut now = Duration::ZERO;
            for event in events {
                now += s(1);
                match event {
                    0 => breaker.answered(),
                    1 => breaker.failed(now),
                    _ => drop(breaker.admit(now)),
                }
                prop_assert_eq!(breaker.clone().admit(now + s(30)), Admission::Call);
            }
        }
    }
}
