//! The asynchronous shell of the engine.

use std::future::Future;
use std::hash::Hash;

use tokio::runtime::Handle;
use tracing::Instrument as _;

use super::context::LoadContext;
use super::fetched::{Fetched, Source};
use super::finish::Start;
use super::flight::{Entered, enter, enter_alone, glance};
use super::patience::{Call, Received, Recipient, receive, receive_own, wait};
use super::{lineage, task};
use crate::cache::Cache;
use crate::engine::Wants;
use crate::error::LoadError;

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns the value of a key, or loads and stores it; all who ask for the same key meanwhile
    /// share one load.
    ///
    /// The load does not depend on the caller that started it: from where it first waits it runs in
    /// a task of its own on the current tokio runtime, in the caller's `tracing` span but without
    /// its task-locals. The loader can say how what it brings is to be stored, or keep it from
    /// being stored, through its [`LoadContext`]. A value that is too heavy, or whose key was
    /// written, removed, expired or otherwise invalidated while it was loaded, is handed to those
    /// who had asked before and not stored.
    ///
    /// What else can be served, the settings say: a value in the last part of its time to live and
    /// one within `stale_while_revalidate` are served at once, while the loader of one caller
    /// refreshes them; within `stale_if_error` a stale value is served if the load fails or takes
    /// too long. [`Fetched::source`] tells. Without a runtime nothing is refreshed.
    ///
    /// Callers of one key may come with different error types: a failure is shared among those who
    /// can receive it, the others load for themselves.
    ///
    /// # Errors
    ///
    /// [`LoadError::Loader`] shares the loader's error, which is not stored: the next call loads
    /// again. A panicking loader is [`LoadError::Panicked`], one that asks for its own key
    /// [`LoadError::Reentrant`]; one that takes longer than `hard_timeout` is
    /// [`LoadError::TimedOut`] and goes on. Without a tokio runtime, what is not cached is
    /// [`LoadError::NoRuntime`].
    ///
    /// # Panics
    ///
    /// With `soft_timeout` or `hard_timeout` set, if the runtime was built without its timers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops the waiting, not the load: its value is stored for the next
    /// caller.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use bedplate_cache::{Cache, Source};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let cache: Cache<u64, String> = Cache::builder("users").build()?;
    /// let fetched = cache
    ///     .get_or_load(7, |cx| async move {
    ///         cx.ttl(Duration::from_secs(30));
    ///         Ok::<_, std::io::Error>("Ada".to_owned())
    ///     })
    ///     .await?;
    /// assert_eq!((fetched.value().as_str(), fetched.source()), ("Ada", Source::Loaded));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn get_or_load<F, Fut, E>(&self, key: K, loader: F) -> Result<Fetched<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<V, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        let hash = self.inner.hash(&key);
        // Before anything is made of the loader: most calls end here.
        if let Some((held, age)) = glance(&self.inner, hash, &key) {
            return Ok(Fetched::new(held.into_value(), Source::Fresh, age));
        }
        let loader = move |cx| {
            let load = loader(cx);
            async move { load.await.map(Some) }
        };
        let call = Call::of(Wants::Value);
        let entered = enter_alone(&self.inner, hash, key, call.wants, has_runtime);
        let fetched = self.follow(hash, entered, call, &mut Some(|| loader)).await?;
        // Who wants a value is not given the absence of one.
        fetched.transpose().ok_or(LoadError::Aborted)
    }

    /// Returns the value of a key or the knowledge that there is none, or loads and stores either;
    /// else as [`get_or_load`](Self::get_or_load).
    ///
    /// A loader that returns `Ok(None)` says that the origin has no value. With `negative_ttl` set
    /// that is remembered for so long, and served as [`Source::Negative`]; what was stored before
    /// is dropped in any case. A caller of `get_or_load` does not take it for an answer, and loads.
    ///
    /// # Errors
    ///
    /// As of [`get_or_load`](Self::get_or_load).
    ///
    /// # Panics
    ///
    /// As of [`get_or_load`](Self::get_or_load).
    ///
    /// # Cancel safety
    ///
    /// As of [`get_or_load`](Self::get_or_load).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use bedplate_cache::{Cache, Source};
    ///
    /// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
    /// let users: Cache<u64, String> =
    ///     Cache::builder("users").negative_ttl(Duration::from_secs(10)).build()?;
    /// let find = || users.get_or_load_optional(404, |_| async { Ok::<_, std::io::Error>(None) });
    /// assert_eq!(find().await?.into_parts(), (None, Source::Loaded));
    /// assert_eq!(find().await?.into_parts(), (None, Source::Negative));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn get_or_load_optional<F, Fut, E>(&self, key: K, loader: F) -> Result<Fetched<Option<V>>, LoadError<E>>
    where
        F: FnOnce(LoadContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        self.fetch(key, Call::of(Wants::ValueOrAbsence), &mut Some(|| loader)).await
    }

    /// Serves, joins or loads. The loader is made only for a load, so that a hit costs nothing of
    /// what it owns; what is left in `make` was not needed.
    pub(super) async fn fetch<M, F, Fut, E>(&self, key: K, call: Call, make: &mut Option<M>) -> Received<V, E>
    where
        M: FnOnce() -> F,
        F: FnOnce(LoadContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        let hash = self.inner.hash(&key);
        let entered = enter(&self.inner, hash, key, call.wants, has_runtime);
        self.follow(hash, entered, call, make).await
    }

    /// Does what follows from what a call met.
    async fn follow<M, F, Fut, E>(
        &self,
        hash: u64,
        mut entered: Entered<K, V>,
        call: Call,
        make: &mut Option<M>,
    ) -> Received<V, E>
    where
        M: FnOnce() -> F,
        F: FnOnce(LoadContext) -> Fut + Send + 'static,
        Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
        E: Send + Sync + 'static,
    {
        let inner = &self.inner;
        let mut patience = None;
        loop {
            match entered {
                Entered::Hit { served, refresh } => {
                    if let Some(flight) = refresh
                        && let Ok(runtime) = Handle::try_current()
                        && let Some(make) = make.take()
                    {
                        let lineage = lineage::found([flight.identity()]);
                        let load = task::run(lineage, flight, make());
                        drop(runtime.spawn(load.in_current_span()));
                    }
                    return Ok(served.into());
                }
                Entered::Lead(flight) => {
                    let Ok(runtime) = Handle::try_current() else {
                        return Err(LoadError::NoRuntime);
                    };
                    // There is one as long as this caller has led no load, and it leads one at most.
                    let Some(make) = make.take() else {
                        return Err(LoadError::Aborted);
                    };
                    let patience = patience.unwrap_or_else(|| call.patience(inner.rules()));
                    // The error is of this caller's own loader, so it is of this caller's type.
                    let who = Recipient { source: Source::Loaded, came: 0, wants: call.wants };
                    let received = match task::start(&runtime, flight, make()).await {
                        Start::Ended(outcome) => receive_own(inner, outcome, who),
                        Start::Waits(Some(landing)) => receive(inner, wait(inner, hash, &landing, patience).await, who),
                        Start::Waits(None) => None,
                    };
                    return received.unwrap_or(Err(LoadError::Aborted));
                }
                Entered::Join(joined) => {
                    let Some(_wait) = lineage::wait_for(&joined.landing) else {
                        return Err(LoadError::Reentrant);
                    };
                    let patience = *patience.get_or_insert_with(|| call.patience(inner.rules()));
                    let waited = wait(inner, hash, &joined.landing, patience).await;
                    let who = Recipient { source: Source::Coalesced, came: joined.came, wants: call.wants };
                    if let Some(received) = receive(inner, waited, who) {
                        return received;
                    }
                    // This caller still has a loader of its own.
                    entered = enter(inner, hash, joined.key, call.wants, has_runtime);
                }
            }
        }
    }
}

pub(super) fn has_runtime() -> bool {
    Handle::try_current().is_ok()
}
