//! Loads on demand, whatever is held.

use std::future::Future;
use std::hash::Hash;

use tokio::runtime::Handle;

use super::context::LoadContext;
use super::fetched::{Fetched, Source};
use super::finish::Start;
use super::flight::open_anew;
use super::landing::Outcome;
use super::patience::{Call, Received, Recipient, Waited, receive, wait};
use super::{lineage, task};
use crate::cache::Cache;
use crate::engine::Wants;
use crate::error::LoadError;
use crate::inner::Inner;

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Loads a key now and stores the value, whatever is held: for a caller that knows of a change.
    ///
    /// The load begins with this call; one that was under way before serves those who wait for it
    /// and is not stored. Until the new value is there the old one is served, and it stays if the
    /// load fails. Two calls at once load twice, and the later one is stored. Else as
    /// [`get_or_load`](Self::get_or_load).
    ///
    /// # Errors
    ///
    /// As of [`get_or_load`](Self::get_or_load); a stale value never stands in for an error, nor is
    /// the caller of its own key's load refused.
    ///
    /// # Panics
    ///
    /// As of [`get_or_load`](Self::get_or_load).
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
    /// let cache: Cache<u64, &str> = Cache::builder("names").build()?;
    /// cache.insert(7, "Ada");
    /// cache.refresh(7, |_| async { Ok::<_, std::io::Error>("Ada L.") }).await?;
    /// assert_eq!(cache.get(&7), Some("Ada L."));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn refresh<F, Fut, E>(&self, key: K, loader: F) -> Result<Fetched<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        let loader = move |cx| {
            let load = loader(cx);
            async move { load.await.map(Some) }
        };
        let fetched = self.load_anew(key, Call::of(Wants::Value), &mut Some(|| loader)).await?;
        fetched.transpose().ok_or(LoadError::Aborted)
    }

    /// Loads a key now on this thread; else as [`refresh`](Self::refresh).
    ///
    /// # Errors
    ///
    /// As of [`get_or_load_blocking`](Self::get_or_load_blocking).
    pub fn refresh_blocking<F, E>(&self, key: K, loader: F) -> Result<Fetched<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext) -> Result<V, E>,
        E: Send + Sync + 'static,
    {
        let fetched = self.load_anew_blocking(key, |cx| loader(cx).map(Some))?;
        fetched.transpose().ok_or(LoadError::Aborted)
    }

    pub(super) async fn load_anew<M, F, Fut, E>(&self, key: K, call: Call, make: &mut Option<M>) -> Received<V, E>
    where
        M: FnOnce() -> F,
        F: FnOnce(LoadContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        let inner = &self.inner;
        let Ok(runtime) = Handle::try_current() else {
            return Err(LoadError::NoRuntime);
        };
        let Some(make) = make.take() else {
            return Err(LoadError::Aborted);
        };
        let hash = inner.hash(&key);
        let flight = open_anew(inner, hash, key);
        let patience = call.patience(inner.rules()).without_soft();
        let landing = match task::start(&runtime, flight, make()).await {
            Start::Ended(outcome) => return take(inner, Waited::Ended(&outcome)),
            Start::Waits(Some(landing)) => landing,
            Start::Waits(None) => return Err(LoadError::Aborted),
        };
        match (wait(inner, hash, &landing, patience).await, patience.hard) {
            // A stale value is no answer here.
            (Waited::Instead(_), Some((_, limit))) => take(inner, Waited::TimedOut(limit)),
            (waited, _) => take(inner, waited),
        }
    }

    pub(super) fn load_anew_blocking<F, E>(&self, key: K, loader: F) -> Received<V, E>
    where
        F: FnOnce(LoadContext) -> Result<Option<V>, E>,
        E: Send + Sync + 'static,
    {
        let inner = &self.inner;
        let hash = inner.hash(&key);
        let flight = open_anew(inner, hash, key);
        let landing = flight.landing();
        let lineage = lineage::extend([flight.identity()]);
        lineage::scope_blocking(lineage, || task::run_blocking(flight, loader));
        let ended = landing.as_ref().and_then(|landing| landing.ended());
        ended.map_or(Err(LoadError::Aborted), |outcome| take(inner, Waited::Ended(outcome)))
    }
}

/// Takes what a load brought, and its error rather than a stale value.
fn take<K, V, E>(inner: &Inner<K, V>, waited: Waited<'_, V>) -> Received<V, E>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let failed;
    let waited = match waited {
        Waited::Ended(Outcome::Failed { why, .. }) => {
            failed = Outcome::Failed { why: why.clone(), stale: None };
            Waited::Ended(&failed)
        }
        waited => waited,
    };
    let who = Recipient { source: Source::Loaded, came: 0, wants: Wants::ValueOrAbsence };
    receive(inner, waited, who).unwrap_or(Err(LoadError::Aborted))
}
