use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{History, State, Status};

/// How a component is at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ComponentSnapshot {
    /// Its status; at least `UNHEALTHY` where it is [`stale`](Self::stale).
    pub status: Status,
    /// Whether the system needs it.
    pub required: bool,
    /// The state machine behind the status.
    pub state: State,
    /// Why the last check did not pass.
    pub reason: Option<String>,
    /// How long ago the last check ended; `None` before the first.
    pub age: Option<Duration>,
    /// How long the last check took.
    pub took: Duration,
    /// Whether the last check, or the start, is longer ago than three intervals and time limits: the check no longer runs.
    pub stale: bool,
    /// The last checks and changes.
    pub history: History,
}

/// How the system is at one moment. Reading it runs no check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The system's name.
    pub name: String,
    /// The worst status of the required components; an ill optional one makes `DEGRADED`.
    pub status: Status,
    /// Every component, by name.
    pub components: BTreeMap<String, ComponentSnapshot>,
}

/// The worst of the statuses, those of components that are not required counting as `DEGRADED` at most.
pub(crate) fn overall(components: impl Iterator<Item = (Status, bool)>) -> Status {
    let counted = components.map(|(status, required)| if required { status } else { status.min(Status::Degraded) });
    counted.max().unwrap_or(Status::Healthy)
}

impl Snapshot {
    pub(crate) fn new(name: String, components: BTreeMap<String, ComponentSnapshot>) -> Self {
        let status = overall(components.values().map(|component| (component.status, component.required)));
        Self { name, status, components }
    }

    /// Returns the component of this name.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<&ComponentSnapshot> {
        self.components.get(name)
    }

    /// Returns how many components have each status, the well ones first.
    #[must_use]
    pub fn counts(&self) -> [(Status, usize); 4] {
        [Status::Healthy, Status::Degraded, Status::Unhealthy, Status::Critical]
            .map(|status| (status, self.components.values().filter(|one| one.status == status).count()))
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.status)?;
        for (name, component) in &self.components {
            match &component.reason {
                None => write!(f, "\n  {name:<16} {}", component.status)?,
                Some(reason) => write!(f, "\n  {name:<16} {:<9} {reason}", component.status)?,
            }
        }
        Ok(())
    }
}
