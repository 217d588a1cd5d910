//! Many keys at once.

use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use tokio::runtime::Handle;
use tracing::Instrument as _;

use super::context::LoadContext;
use super::fetch::has_runtime;
use super::fetched::{Fetched, Source};
use super::finish::Flight;
use super::flight::{Entered, Joined, enter};
use super::landing::Landing;
use super::patience::{Patience, Received, Recipient, receive, wait};
use super::{lineage, task};
use crate::cache::Cache;
use crate::engine::Wants;
use crate::error::LoadError;

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns the values of many keys, and loads those that are missing with one call.
    ///
    /// A key that somebody loads already is waited for and not loaded again. The loader is given
    /// what is missing, together with what is to be refreshed; where only the latter is left, it
    /// runs in the background. It is called again only for keys whose load by another caller ended
    /// in nothing this one can use. Keys it does not bring have no value, which is remembered with
    /// `negative_ttl` set; what it brings unasked is dropped. What it says through its
    /// [`LoadContext`] holds for all that it brings. A key given twice counts once.
    ///
    /// Each key is answered for itself: a failing load leaves what was cached in the [`Batch`].
    ///
    /// # Panics
    ///
    /// With `soft_timeout` or `hard_timeout` set, if the runtime was built without its timers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting, not the load.
    ///
    /// # Examples
    ///
    /// ```
    /// use bedplate_cache::Cache;
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let squares: Cache<u64, u64> = Cache::builder("squares").build()?;
    /// squares.insert(2, 4);
    /// let batch = squares
    ///     .get_many_or_load([1, 2, 3], |missing, _| async move {
    ///         assert_eq!(missing, [1, 3]);
    ///         Ok::<_, std::io::Error>(missing.into_iter().map(|n| (n, n * n)))
    ///     })
    ///     .await;
    /// assert_eq!(batch.get(&3), Some(&9));
    /// assert_eq!(batch.into_result()?.len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn get_many_or_load<I, F, Fut, M, E>(&self, keys: I, loader: F) -> Batch<K, V, E>
    where
        K: Clone,
        I: IntoIterator<Item = K>,
        F: Fn(Vec<K>, LoadContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<M, E>> + Send + 'static,
        M: IntoIterator<Item = (K, V)>,
        E: Send + Sync + 'static,
    {
        let inner = &self.inner;
        let loader = Arc::new(loader);
        let mut batch = Batch { found: HashMap::new(), failed: HashMap::new() };
        let mut seen = HashSet::new();
        let mut pending: Vec<K> = keys.into_iter().filter(|key| seen.insert(key.clone())).collect();
        drop(seen);
        let mut patience = None;
        while !pending.is_empty() {
            let round = self.enter_many(std::mem::take(&mut pending), &mut batch);
            let (leads, joins) = (round.leads, round.joins);
            if !round.flights.is_empty() {
                match Handle::try_current() {
                    Ok(runtime) => begin(&runtime, round.flights, leads.is_empty(), &loader).await,
                    Err(_) => drop(round.flights),
                }
            }
            if leads.is_empty() && joins.is_empty() {
                break;
            }
            let patience = *patience.get_or_insert_with(|| Patience::begin(inner.rules()));
            for (key, hash, landing) in leads {
                if !has_runtime() {
                    batch.failed.insert(key, LoadError::NoRuntime);
                    continue;
                }
                let waited = wait(inner, hash, &landing, patience).await;
                let who = Recipient { source: Source::Loaded, came: 0, wants: Wants::ValueOrAbsence };
                batch.put(key, receive(inner, waited, who).unwrap_or(Err(LoadError::Aborted)));
            }
            for (hash, joined) in joins {
                let Some(_wait) = lineage::wait_for(&joined.landing) else {
                    batch.failed.insert(joined.key, LoadError::Reentrant);
                    continue;
                };
                let waited = wait(inner, hash, &joined.landing, patience).await;
                let who = Recipient { source: Source::Coalesced, came: joined.came, wants: Wants::ValueOrAbsence };
                match receive(inner, waited, who) {
                    Some(received) => batch.put(joined.key, received),
                    None => pending.push(joined.key),
                }
            }
        }
        batch
    }

    /// Enters each key; puts what can be served into the batch.
    fn enter_many<E>(&self, keys: Vec<K>, batch: &mut Batch<K, V, E>) -> Round<K, V>
    where
        K: Clone,
    {
        let mut round = Round { flights: Vec::new(), leads: Vec::new(), joins: Vec::new() };
        for key in keys {
            let hash = self.inner.hash(&key);
            match enter(&self.inner, hash, key.clone(), Wants::ValueOrAbsence, has_runtime) {
                Entered::Hit { served, refresh } => {
                    batch.put(key, Ok(served.into()));
                    round.flights.extend(refresh);
                }
                Entered::Join(joined) => round.joins.push((hash, joined)),
                Entered::Lead(flight) => {
                    round.leads.extend(flight.landing().map(|landing| (key, hash, landing)));
                    round.flights.push(flight);
                }
            }
        }
        round
    }
}

/// What is to be done for the keys of a batch that were not served.
struct Round<K: Eq, V>
where
    K: Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The loads to run with one call, refreshes among them.
    flights: Vec<Flight<K, V>>,
    leads: Vec<(K, u64, Arc<Landing<V>>)>,
    joins: Vec<(u64, Joined<K, V>)>,
}

/// Begins the one call for many keys.
async fn begin<K, V, F, Fut, M, E>(runtime: &Handle, flights: Vec<Flight<K, V>>, background: bool, loader: &Arc<F>)
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    F: Fn(Vec<K>, LoadContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<M, E>> + Send + 'static,
    M: IntoIterator<Item = (K, V)>,
    E: Send + Sync + 'static,
{
    let identities = flights.iter().map(Flight::identity);
    let lineage = if background { lineage::found(identities) } else { lineage::extend(identities) };
    let loader = Arc::clone(loader);
    let load = move |keys, cx| async move { (*loader)(keys, cx).await.map(|brought| brought.into_iter().collect()) };
    let load = lineage::scope(lineage, task::run_many(flights, load));
    if background {
        drop(runtime.spawn(load.in_current_span()));
    } else {
        task::start_task(runtime, Box::pin(load)).await;
    }
}

/// What became of the keys of one [`get_many_or_load`](Cache::get_many_or_load).
#[must_use]
pub struct Batch<K, V, E> {
    found: HashMap<K, Fetched<V>>,
    failed: HashMap<K, LoadError<E>>,
}

impl<K: Hash + Eq, V, E> Batch<K, V, E> {
    /// Returns the value of a key; `None` if there is none, or its load failed.
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.found.get(key).map(Fetched::value)
    }

    /// Returns the values that there are, with where they came from.
    pub const fn found(&self) -> &HashMap<K, Fetched<V>> {
        &self.found
    }

    /// Returns the keys whose load failed, with why; keys of one call share its error.
    pub const fn failed(&self) -> &HashMap<K, LoadError<E>> {
        &self.failed
    }

    /// Returns what was found and what failed.
    pub fn into_parts(self) -> (HashMap<K, Fetched<V>>, HashMap<K, LoadError<E>>) {
        (self.found, self.failed)
    }

    /// Returns all that was found, if nothing failed.
    ///
    /// # Errors
    ///
    /// Any one of the failures.
    pub fn into_result(self) -> Result<HashMap<K, Fetched<V>>, LoadError<E>> {
        match self.failed.into_values().next() {
            Some(error) => Err(error),
            None => Ok(self.found),
        }
    }

    fn put(&mut self, key: K, received: Received<V, E>) {
        match received {
            Ok(fetched) => self.found.extend(fetched.transpose().map(|fetched| (key, fetched))),
            Err(error) => drop(self.failed.insert(key, error)),
        }
    }
}

/// Shows how many there are, never the contents.
impl<K, V, E> fmt::Debug for Batch<K, V, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("found", &self.found.len()).field("failed", &self.failed.len()).finish()
    }
}
