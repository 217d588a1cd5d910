//! Where the callers of a load wait for its end.

use std::any::Any;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use super::context::{Directives, Told, Words};
use super::flight::Served;
use super::lineage::{Waiting, Waits};
use crate::held::Held;

/// How a load ended, as its callers share it.
pub(crate) enum Outcome<V> {
    /// What the loader returned; `None` if there is no value.
    Brought {
        value: Option<Held<V>>,
        /// The newest generation that made it untrue while it was loaded; 0 if none did. Who came
        /// in that one or later may not have it.
        overtaken: u64,
        /// How old it is, if the remote tier had it.
        remote_age: Option<Duration>,
    },
    Failed {
        why: Failure,
        /// What is given instead.
        stale: Option<Served<V>>,
    },
    /// Its task was dropped before the end.
    Aborted,
}

/// Why a load brought nothing.
#[derive(Clone)]
pub(crate) enum Failure {
    Error(Arc<dyn Any + Send + Sync>),
    Panic(Arc<str>),
}

/// Set once, then read by everyone without a lock, so that a clone of the value is nobody's wait.
pub(crate) struct Landing<V> {
    outcome: OnceLock<Outcome<V>>,
    ended: Notify,
    waits: Waits,
    words: Words,
}

impl<V> Landing<V> {
    pub(crate) fn new() -> Self {
        Self { outcome: OnceLock::new(), ended: Notify::new(), waits: Waits::default(), words: Words::default() }
    }

    /// Returns what the loader has said.
    pub(crate) fn said(&self) -> Directives {
        self.words.take()
    }

    /// Ends the load for all who wait; the first end counts.
    pub(crate) fn end(&self, outcome: Outcome<V>) {
        drop(self.outcome.set(outcome));
        self.ended.notify_waiters();
    }

    /// Returns the end, if it has come.
    pub(crate) fn ended(&self) -> Option<&Outcome<V>> {
        self.outcome.get()
    }

    /// Waits for the end.
    pub(crate) async fn outcome(&self) -> &Outcome<V> {
        loop {
            if let Some(outcome) = self.outcome.get() {
                return outcome;
            }
            let mut ended = pin!(self.ended.notified());
            // Listed first and looked again after, or an end between the two would be missed.
            ended.as_mut().enable();
            if self.outcome.get().is_none() {
                ended.await;
            }
        }
    }
}

impl<V: Send + Sync> Told for Landing<V> {
    fn words(&self) -> &Words {
        &self.words
    }
}

impl<V: Send + Sync> Waiting for Landing<V> {
    fn waits(&self) -> &Waits {
        &self.waits
    }

    fn has_ended(&self) -> bool {
        self.outcome.get().is_some()
    }
}
