use std::fmt;
use std::time::Duration;

use crate::{Outcome, Transition};

/// What happened in a health service.
#[derive(Debug)]
#[non_exhaustive]
pub enum HealthEvent<'a> {
    /// A check ended.
    #[non_exhaustive]
    Checked {
        /// The component.
        component: &'a str,
        /// What was found.
        outcome: &'a Outcome,
        /// How long it took.
        took: Duration,
    },
    /// A component's status changed.
    #[non_exhaustive]
    Changed {
        /// The component.
        component: &'a str,
        /// The change.
        transition: &'a Transition,
    },
}

/// Hears what happens in a health service, as to count it.
///
/// It is called from the checking tasks, outside of every lock, and must be quick.
pub trait Observer: Send + Sync + 'static {
    /// Hears one event.
    fn on_event(&self, event: &HealthEvent<'_>);
}

impl<F: Fn(&HealthEvent<'_>) + Send + Sync + 'static> Observer for F {
    fn on_event(&self, event: &HealthEvent<'_>) {
        self(event);
    }
}

impl fmt::Debug for dyn Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
