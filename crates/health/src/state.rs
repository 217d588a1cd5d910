//! The state machine of one component, without clock or runtime.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Outcome, Policy, Status};

/// What is known of a component: its status and the run of outcomes that leads out of it.
///
/// The machine is a function: [`step`](Self::step) takes the state and an outcome and returns the next state. Failures
/// in a row lead down, `DEGRADED`, `UNHEALTHY`, `CRITICAL`, as the [`Policy`] counts them; passes in a row lead back to
/// `HEALTHY` in one step. A check that itself reports `Degraded` neither counts as a failure nor as a pass: it ends
/// both runs, lifts a failed component to `DEGRADED` after `healthy_after` in a row, and degrades a healthy one at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct State {
    /// The status; `DEGRADED` before the first outcome, with `known` false.
    pub status: Status,
    /// Whether there was any outcome.
    pub known: bool,
    /// Failures in a row up to now.
    pub failures: u32,
    /// Passes in a row up to now.
    pub passes: u32,
    /// Outcomes other than failures in a row up to now.
    pub working: u32,
}

/// A change of a component's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Transition {
    /// The status before; `None` for the first that is known.
    pub from: Option<Status>,
    /// The status after.
    pub to: Status,
    /// Why, as the check said; `None` where it passed.
    pub cause: Option<String>,
    /// The wall-clock time, since 1970-01-01T00:00:00Z.
    pub at: Duration,
}

impl State {
    /// The state before the first outcome.
    pub const UNKNOWN: Self = Self { status: Status::Degraded, known: false, failures: 0, passes: 0, working: 0 };

    /// Returns the state after one more outcome.
    ///
    /// # Examples
    /// ```
    /// use bedplate_health::{Outcome, Policy, State, Status};
    /// let policy = Policy::default();
    /// let mut state = State::UNKNOWN.step(&Outcome::Pass, &policy);
    /// assert_eq!(state.status, Status::Healthy);
    /// for expected in [Status::Degraded, Status::Unhealthy, Status::Critical, Status::Critical] {
    ///     state = state.step(&Outcome::fail("no answer"), &policy);
    ///     assert_eq!(state.status, expected);
    /// }
    /// ```
    #[must_use]
    pub const fn step(self, outcome: &Outcome, policy: &Policy) -> Self {
        let (failures, passes, working) = match outcome {
            Outcome::Fail(_) => (self.failures.saturating_add(1), 0, 0),
            Outcome::Degraded(_) => (0, 0, self.working.saturating_add(1)),
            Outcome::Pass => (0, self.passes.saturating_add(1), self.working.saturating_add(1)),
        };
        let status = match outcome {
            Outcome::Fail(_) if failures >= policy.critical_after => Status::Critical,
            Outcome::Fail(_) if failures >= policy.unhealthy_after => worse(self.status, Status::Unhealthy),
            Outcome::Pass if !self.known || passes >= policy.healthy_after => Status::Healthy,
            Outcome::Pass | Outcome::Degraded(_) if working >= policy.healthy_after => {
                better(self.status, Status::Degraded)
            }
            Outcome::Pass => self.status,
            Outcome::Fail(_) | Outcome::Degraded(_) => worse(self.status, Status::Degraded),
        };
        Self { status, known: true, failures, passes, working }
    }
}

impl Default for State {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

const fn worse(a: Status, b: Status) -> Status {
    if a as u8 >= b as u8 { a } else { b }
}

/// The better of the two, but never better than `DEGRADED` allows: a component that itself says it is degraded.
const fn better(current: Status, limit: Status) -> Status {
    if matches!(current, Status::Healthy) || (current as u8) > (limit as u8) { limit } else { current }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![Just(Outcome::Pass), Just(Outcome::degraded("slow")), Just(Outcome::fail("down"))]
    }

    fn run(outcomes: &[Outcome], policy: &Policy) -> State {
        outcomes.iter().fold(State::UNKNOWN, |state, outcome| state.step(outcome, policy))
    }

    #[test]
    fn the_first_outcome_decides_at_once() {
        let policy = Policy::default();
        assert_eq!(run(&[Outcome::Pass], &policy).status, Status::Healthy);
        assert_eq!(run(&[Outcome::degraded("slow")], &policy).status, Status::Degraded);
        assert_eq!(run(&[Outcome::fail("down")], &policy).status, Status::Degraded);
    }

    #[test]
    fn a_failed_component_comes_back_after_two_passes() {
        let policy = Policy::default();
        let critical = run(&[Outcome::fail("1"), Outcome::fail("2"), Outcome::fail("3")], &policy);
        assert_eq!(critical.status, Status::Critical);
        let once = critical.step(&Outcome::Pass, &policy);
        assert_eq!(once.status, Status::Critical);
        assert_eq!(once.step(&Outcome::Pass, &policy).status, Status::Healthy);
        let relapsed = once.step(&Outcome::fail("4"), &policy);
        assert_eq!(relapsed.status, Status::Critical, "one pass between failures heals nothing");
    }

    #[test]
    fn a_component_that_says_it_is_degraded_is_never_healthy() {
        let policy = Policy::default();
        let slow = run(&[Outcome::Pass, Outcome::degraded("slow"), Outcome::degraded("slow")], &policy);
        assert_eq!(slow.status, Status::Degraded);
        let critical = run(&[Outcome::fail("1"), Outcome::fail("2"), Outcome::fail("3")], &policy);
        let lifted = critical.step(&Outcome::degraded("slow"), &policy).step(&Outcome::degraded("slow"), &policy);
        assert_eq!(lifted.status, Status::Degraded);
    }

    proptest! {
        /// The status that the last outcomes alone demand, told without the machine.
        #[test]
        fn the_run_at_the_end_decides(
            outcomes in prop::collection::vec(outcome(), 1..40),
            unhealthy_after in 1_u32..4, more in 0_u32..4, healthy_after in 1_u32..4,
        ) {
            let policy = Policy::default()
                .unhealthy_after(unhealthy_after).critical_after(unhealthy_after + more).healthy_after(healthy_after);
            policy.validate().unwrap();
            let state = run(&outcomes, &policy);
            let tail = |wanted: fn(&Outcome) -> bool| {
                u32::try_from(outcomes.iter().rev().take_while(|outcome| wanted(outcome)).count()).unwrap()
            };
            let failures = tail(|outcome| matches!(outcome, Outcome::Fail(_)));
            let passes = tail(|outcome| matches!(outcome, Outcome::Pass));
            if failures >= policy.critical_after {
                prop_assert_eq!(state.status, Status::Critical);
            } else if failures >= policy.unhealthy_after {
                prop_assert!(state.status >= Status::Unhealthy);
            } else if failures > 0 || matches!(outcomes.last(), Some(Outcome::Degraded(_))) {
                prop_assert!(state.status >= Status::Degraded);
            }
            if passes >= policy.healthy_after {
                prop_assert_eq!(state.status, Status::Healthy);
            }
            if outcomes.iter().all(|outcome| !matches!(outcome, Outcome::Fail(_))) {
                prop_assert!(state.status <= Status::Degraded, "without a failure nothing is unhealthy");
            }
            let longest = outcomes.split(|o| !matches!(o, Outcome::Fail(_))).map(<[Outcome]>::len).max().unwrap();
            if u32::try_from(longest).unwrap() < policy.unhealthy_after {
                prop_assert!(state.status <= Status::Degraded);
            }
        }

        #[test]
        fn one_pass_never_makes_worse_and_one_failure_never_makes_better(
            outcomes in prop::collection::vec(outcome(), 1..40),
        ) {
            let policy = Policy::default();
            let state = run(&outcomes, &policy);
            prop_assert!(state.step(&Outcome::Pass, &policy).status <= state.status);
            prop_assert!(state.step(&Outcome::fail("down"), &policy).status >= state.status);
        }
    }
}
