//! The decisions.

use super::rules::Times;
use crate::expiry::Tick;
use crate::load::Source;

/// What is stored under a key, if it was not invalidated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Nothing,
    Value(Times),
    /// The key is known to be absent.
    Absence(Times),
}

/// What a caller can take for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Value,
    ValueOrAbsence,
}

/// What to do for a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Give what is held.
    Serve(Source),
    /// Give what is held, and begin a refresh that nobody waits for.
    ServeAndRefresh(Source),
    /// Begin a load and wait for it.
    Load,
    /// Wait for the load that is under way.
    Join,
}

/// Decides for a call that comes now.
pub(crate) fn on_call(now: Tick, held: State, wants: Wants, load_under_way: bool) -> Step {
    let wait = if load_under_way { Step::Join } else { Step::Load };
    match held {
        State::Absence(times) if wants == Wants::ValueOrAbsence && !times.fresh.has_passed(now) => {
            Step::Serve(Source::Negative)
        }
        State::Nothing | State::Absence(_) => wait,
        State::Value(times) => {
            let throttled = times.retry.is_some_and(|retry| !retry.has_passed(now));
            let may_refresh = !load_under_way && !throttled;
            let serve = |source| if may_refresh { Step::ServeAndRefresh(source) } else { Step::Serve(source) };
            if !times.eager.has_passed(now) {
                Step::Serve(Source::Fresh)
            } else if !times.fresh.has_passed(now) {
                serve(Source::Fresh)
            } else if !times.revalidate.has_passed(now) {
                serve(Source::StaleRevalidating)
            } else if throttled && !times.keep.has_passed(now) {
                Step::Serve(Source::StaleOnError)
            } else {
                wait
            }
        }
    }
}

/// Decides for a caller whose patience, soft or hard, has ended before the load: whether what is
/// held is given instead.
pub(crate) fn on_wait(now: Tick, held: State) -> Option<Source> {
    match held {
        // Written while the load was under way.
        State::Value(times) if !times.fresh.has_passed(now) => Some(Source::Fresh),
        held => usable(now, held).then_some(Source::StaleOnTimeout),
    }
}

/// Decides what those who wait get when the load has failed, if it is not the error.
pub(crate) fn on_failure(now: Tick, held: State) -> Option<Source> {
    usable(now, held).then_some(Source::StaleOnError)
}

fn usable(now: Tick, held: State) -> bool {
    matches!(held, State::Value(times) if !times.keep.has_passed(now))
}
