use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Outcome, Status, Transition};

/// One check that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckRecord {
    /// The wall-clock time, since 1970-01-01T00:00:00Z.
    pub at: Duration,
    /// How long the check took.
    pub took: Duration,
    /// What it found.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The component's status afterwards.
    pub status: Status,
}

/// The last checks and changes of status of a component, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// The last [`LIMIT`](Self::LIMIT) checks.
    pub checks: VecDeque<CheckRecord>,
    /// The last [`LIMIT`](Self::LIMIT) changes of status.
    pub transitions: VecDeque<Transition>,
}

impl History {
    /// How many checks, and how many changes, are kept.
    pub const LIMIT: usize = 100;

    pub(crate) fn push_check(&mut self, record: CheckRecord) {
        push(&mut self.checks, record);
    }

    pub(crate) fn push_transition(&mut self, transition: Transition) {
        push(&mut self.transitions, transition);
    }
}

fn push<T>(entries: &mut VecDeque<T>, entry: T) {
    if entries.len() == History::LIMIT {
        entries.pop_front();
    }
    entries.push_back(entry);
}
