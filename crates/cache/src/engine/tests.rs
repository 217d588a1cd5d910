//! Decisions, row by row and against a naive model.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::expiry::{Deadline, Tick};
use crate::load::Source;

fn at(second: u64) -> Tick {
    Tick::from_duration(Duration::from_secs(second))
}

fn by(second: u64) -> Deadline {
    at(second).deadline()
}

/// Eager from 8, stale from 10, for refreshes until 20 and for failures until 30.
fn times(retry: Option<u64>) -> Times {
    Times { eager: by(8), fresh: by(10), revalidate: by(20), keep: by(30), retry: retry.map(by) }
}

const ANY: [Wants; 2] = [Wants::Value, Wants::ValueOrAbsence];

#[test]
fn each_phase_of_a_value_has_its_step() {
    let table = [
        (7, Step::Serve(Source::Fresh), Step::Serve(Source::Fresh)),
        (8, Step::ServeAndRefresh(Source::Fresh), Step::Serve(Source::Fresh)),
        (9, Step::ServeAndRefresh(Source::Fresh), Step::Serve(Source::Fresh)),
        (10, Step::ServeAndRefresh(Source::StaleRevalidating), Step::Serve(Source::StaleRevalidating)),
        (19, Step::ServeAndRefresh(Source::StaleRevalidating), Step::Serve(Source::StaleRevalidating)),
        (20, Step::Load, Step::Join),
        (29, Step::Load, Step::Join),
        (30, Step::Load, Step::Join),
    ];
    for wants in ANY {
        for (second, idle, under_way) in table {
            assert_eq!(on_call(at(second), State::Value(times(None)), wants, false), idle, "at {second}");
            assert_eq!(on_call(at(second), State::Value(times(None)), wants, true), under_way, "at {second}");
        }
    }
}

#[test]
fn after_a_failure_nothing_is_loaded_until_the_retry() {
    let table = [
        (7, 9, Step::Serve(Source::Fresh)),
        (8, 9, Step::Serve(Source::Fresh)),
        (9, 9, Step::ServeAndRefresh(Source::Fresh)),
        (10, 15, Step::Serve(Source::StaleRevalidating)),
        (15, 15, Step::ServeAndRefresh(Source::StaleRevalidating)),
        (20, 25, Step::Serve(Source::StaleOnError)),
        (25, 25, Step::Load),
        // The back-off never makes a value last longer than it may.
        (30, 40, Step::Load),
    ];
    for (second, retry, step) in table {
        let held = State::Value(times(Some(retry)));
        assert_eq!(on_call(at(second), held, Wants::Value, false), step, "at {second}, retry at {retry}");
    }
}

#[test]
fn an_absence_serves_only_who_can_take_it_and_only_while_fresh() {
    let held = State::Absence(Times { eager: by(8), fresh: by(10), revalidate: by(10), keep: by(10), retry: None });
    assert_eq!(on_call(at(9), held, Wants::ValueOrAbsence, false), Step::Serve(Source::Negative));
    assert_eq!(on_call(at(9), held, Wants::ValueOrAbsence, true), Step::Serve(Source::Negative));
    assert_eq!(on_call(at(9), held, Wants::Value, false), Step::Load);
    assert_eq!(on_call(at(9), held, Wants::Value, true), Step::Join);
    assert_eq!(on_call(at(10), held, Wants::ValueOrAbsence, false), Step::Load);
    assert_eq!((on_wait(at(9), held), on_failure(at(9), held)), (None, None), "no value to give");
}

#[test]
fn nothing_held_is_loaded_once() {
    for wants in ANY {
        assert_eq!(on_call(at(1), State::Nothing, wants, false), Step::Load);
        assert_eq!(on_call(at(1), State::Nothing, wants, true), Step::Join);
    }
    assert_eq!((on_wait(at(1), State::Nothing), on_failure(at(1), State::Nothing)), (None, None));
}

#[test]
fn what_is_kept_is_given_for_a_failure_or_a_long_wait() {
    let held = State::Value(times(None));
    assert_eq!(on_wait(at(29), held), Some(Source::StaleOnTimeout));
    assert_eq!(on_failure(at(29), held), Some(Source::StaleOnError));
    assert_eq!((on_wait(at(30), held), on_failure(at(30), held)), (None, None));
}

/// What is held, told as durations since it was stored.
#[derive(Debug, Clone, Copy)]
struct Story {
    age: u64,
    eager_after: u64,
    lives: u64,
    revalidates_for: u64,
    kept_for: u64,
    failed: Option<(u64, u64)>,
}

fn story() -> impl Strategy<Value = Story> {
    (0..60u64, 0..20u64, 0..20u64, 0..20u64, 0..20u64, proptest::option::of((0..60u64, 0..20u64))).prop_map(
        |(age, eager_after, lives, revalidates_for, kept_for, failed)| Story {
            age,
            eager_after: eager_after.min(lives),
            lives,
            revalidates_for,
            kept_for: kept_for.max(revalidates_for),
            failed,
        },
    )
}

impl Story {
    fn state(self, stored: u64) -> State {
        let fresh = stored + self.lives;
        State::Value(Times {
            eager: by(stored + self.eager_after),
            fresh: by(fresh),
            revalidate: by(fresh + self.revalidates_for),
            keep: by(fresh + self.kept_for),
            retry: self.failed.map(|(when, backoff)| by(stored + when + backoff)),
        })
    }

    /// The rules as a user would tell them: what is given, and whether a load is begun.
    fn told(self, under_way: bool) -> (Option<Source>, bool) {
        let hushed = self.failed.is_some_and(|(when, backoff)| self.age < when + backoff);
        let may_begin = !under_way && !hushed;
        if self.age < self.lives {
            return (Some(Source::Fresh), self.age >= self.eager_after && may_begin);
        }
        let stale_for = self.age - self.lives;
        if stale_for < self.revalidates_for {
            return (Some(Source::StaleRevalidating), may_begin);
        }
        if stale_for < self.kept_for && hushed {
            return (Some(Source::StaleOnError), false);
        }
        (None, !under_way)
    }
}

proptest! {
    #[test]
    fn the_engine_does_as_the_rules_are_told(story in story(), stored in 0..1000u64, under_way: bool) {
        let now = at(stored + story.age);
        let step = on_call(now, story.state(stored), Wants::Value, under_way);
        let done = match step {
            Step::Serve(source) => (Some(source), false),
            Step::ServeAndRefresh(source) => (Some(source), true),
            Step::Load => (None, true),
            Step::Join => (None, false),
        };
        prop_assert_eq!(done, story.told(under_way));
        prop_assert!(!(under_way && done.1), "two loads of one key");
        let kept = story.age < story.lives + story.kept_for;
        prop_assert_eq!(on_failure(now, story.state(stored)).is_some(), kept);
        prop_assert_eq!(on_wait(now, story.state(stored)).is_some(), kept);
    }
}
