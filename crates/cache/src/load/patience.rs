//! How long a caller waits, and what it takes away.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::fetched::{Fetched, Source};
use super::flight::{Served, instead};
use super::landing::{Failure, Landing, Outcome};
use crate::engine::{Rules, Wants};
use crate::error::LoadError;
use crate::held::Held;
use crate::inner::Inner;

/// What a caller asks for, and how long it is ready to wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(super) wants: Wants,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
enum Limits {
    All,
    /// The caller cannot be told that it has waited too long.
    #[cfg(feature = "macros")]
    WithoutHard,
}

impl Call {
    pub(crate) const fn of(wants: Wants) -> Self {
        Self { wants, limits: Limits::All }
    }

    #[cfg(feature = "macros")]
    pub(crate) const fn without_hard_timeout(self) -> Self {
        Self { limits: Limits::WithoutHard, ..self }
    }

    /// Begins to wait.
    pub(super) fn patience(self, rules: &Rules) -> Patience {
        match self.limits {
            Limits::All => Patience::begin(rules),
            #[cfg(feature = "macros")]
            Limits::WithoutHard => Patience::begin(&Rules { hard_timeout: None, ..*rules }),
        }
    }
}

/// Until when a caller waits, over all loads that it waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) soft: Option<Instant>,
    pub(super) hard: Option<(Instant, Duration)>,
}

impl Patience {
    /// Begins to wait now; the clock is read only if there is a limit.
    pub(super) fn begin(rules: &Rules) -> Self {
        if rules.soft_timeout.is_none() && rules.hard_timeout.is_none() {
            return Self { soft: None, hard: None };
        }
        let now = Instant::now();
        Self {
            soft: rules.soft_timeout.and_then(|soft| now.checked_add(soft)),
            hard: rules.hard_timeout.and_then(|hard| Some((now.checked_add(hard)?, hard))),
        }
    }
}

impl Patience {
    /// Waits through the time after which others take a stale value.
    pub(super) const fn without_soft(self) -> Self {
        Self { soft: None, ..self }
    }
}

/// How a wait ended.
pub(super) enum Waited<'l, V> {
    Ended(&'l Outcome<V>),
    Instead(Served<V>),
    TimedOut(Duration),
}

/// Waits for a load for as long as the caller's patience lasts.
pub(super) async fn wait<'l, K, V>(
    inner: &Inner<K, V>,
    hash: u64,
    landing: &'l Arc<Landing<V>>,
    patience: Patience,
) -> Waited<'l, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    if let Some(soft) = patience.soft {
        match timeout_at(soft, landing.outcome()).await {
            Ok(outcome) => return Waited::Ended(outcome),
            Err(_) => {
                if let Some(served) = instead(inner, hash, landing) {
                    return Waited::Instead(served);
                }
            }
        }
    }
    let Some((hard, waited)) = patience.hard else {
        return Waited::Ended(landing.outcome().await);
    };
    match timeout_at(hard, landing.outcome()).await {
        Ok(outcome) => Waited::Ended(outcome),
        Err(_) => instead(inner, hash, landing).map_or(Waited::TimedOut(waited), Waited::Instead),
    }
}

/// A caller of a load that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recipient {
    pub(super) source: Source,
    /// The generation in which it came; 0 for the one that began the load.
    pub(super) came: u64,
    pub(super) wants: Wants,
}

impl Recipient {
    /// Tells whether what was brought is of use to this caller, and was true when it came.
    fn takes(self, has_value: bool, overtaken: u64) -> bool {
        let untrue = overtaken != 0 && self.came >= overtaken;
        let useless = !has_value && self.wants == Wants::Value;
        !untrue && !useless
    }

    fn fetched<V: Clone>(self, value: Option<Held<V>>, remote_age: Option<Duration>) -> Fetched<Option<V>> {
        let (source, age) = match (self.source, remote_age) {
            (Source::Loaded, Some(age)) => (Source::Remote, age),
            (source, age) => (source, age.unwrap_or_default()),
        };
        Fetched::new(value.map(Held::into_value), source, Some(age))
    }
}

/// A caller's part of an outcome.
pub(super) type Received<V, E> = Result<Fetched<Option<V>>, LoadError<E>>;

/// Takes a caller's part of how a wait ended; `None` if it has to try again: the load was cut off,
/// ended in what this caller has no type for, or brought what was no longer true when it came.
pub(super) fn receive<K, V, E>(inner: &Inner<K, V>, waited: Waited<'_, V>, who: Recipient) -> Option<Received<V, E>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let fallback = |served: Served<V>| {
        inner.tell_fallback(served.source);
        Some(Ok(served.into()))
    };
    match waited {
        Waited::Instead(served) => fallback(served),
        Waited::TimedOut(waited) => {
            inner.tell_timeout();
            Some(Err(LoadError::TimedOut { waited }))
        }
        Waited::Ended(Outcome::Brought { value, overtaken, remote_age }) => {
            who.takes(value.is_some(), *overtaken).then(|| Ok(who.fetched(value.clone(), *remote_age)))
        }
        Waited::Ended(Outcome::Failed { stale: Some(served), .. }) => fallback(served.clone()),
        Waited::Ended(Outcome::Failed { why: Failure::Error(error), stale: None }) => {
            Arc::clone(error).downcast().ok().map(|error| Err(LoadError::Loader(error)))
        }
        Waited::Ended(Outcome::Failed { why: Failure::Panic(message), stale: None }) => {
            Some(Err(LoadError::Panicked { message: Arc::clone(message) }))
        }
        Waited::Ended(Outcome::Aborted) => None,
    }
}

/// Takes what is this caller's alone, without a copy.
pub(super) fn receive_own<K, V, E>(inner: &Inner<K, V>, outcome: Outcome<V>, who: Recipient) -> Option<Received<V, E>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    match outcome {
        Outcome::Brought { value, overtaken, remote_age } => {
            who.takes(value.is_some(), overtaken).then(|| Ok(who.fetched(value, remote_age)))
        }
        other => receive(inner, Waited::Ended(&other), who),
    }
}

impl<V: Clone> From<Served<V>> for Fetched<Option<V>> {
    fn from(served: Served<V>) -> Self {
        Self::new(served.value.map(Held::into_value), served.source, served.age)
    }
}
