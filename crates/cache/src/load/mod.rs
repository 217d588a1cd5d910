//! Loads what is missing, once per key.
//!
//! The load runs in a task of its own, not in the caller that happened to come first. So a caller
//! that gives up harms nobody, and everyone who waits is told of the same end: value, error or
//! panic. The alternative, a leader that loads in its own future and hands over when it is dropped,
//! starts the load anew with every timeout and, where errors are not shared, turns a failing origin
//! and N callers into N calls one after another.

mod context;
mod fetched;
mod flight;
mod landing;
mod lineage;
mod task;

pub use context::LoadContext;
pub use fetched::{Fetched, Source};
pub(crate) use flight::FlightTable;

use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Handle;
use tracing::Instrument as _;

use crate::cache::Cache;
use crate::error::LoadError;
use flight::Entered;
use landing::Outcome;

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
    /// its task-locals. The loader can set the time to live of what it brings, or keep it from
    /// being stored, through its [`LoadContext`]. A value that is too heavy, or whose key was
    /// written, removed or cleared while it was loaded, is handed to those who wait and not stored.
    ///
    /// Callers of one key may come with different error types: a failure is shared among those who
    /// can receive it, the others load for themselves.
    ///
    /// # Errors
    ///
    /// [`LoadError::Loader`] shares the loader's error, which is not stored: the next call loads
    /// again. A panicking loader is [`LoadError::Panicked`], one that asks for its own key
    /// [`LoadError::Reentrant`]. Without a tokio runtime, what is not cached is
    /// [`LoadError::NoRuntime`].
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
        let mut key = key;
        loop {
            match flight::enter(&self.inner, hash, key) {
                Entered::Hit(value) => return Ok(Fetched::new(value, Source::Fresh)),
                Entered::Lead { flight, landing } => {
                    let Ok(runtime) = Handle::try_current() else {
                        return Err(LoadError::NoRuntime);
                    };
                    let lineage = lineage::extend(&flight.identity());
                    let load = lineage::scope(lineage, task::run(flight, loader));
                    start(&runtime, load.in_current_span()).await;
                    // The error is of this caller's own loader, so it is of this caller's type.
                    return receive(landing.outcome().await, Source::Loaded).unwrap_or(Err(LoadError::Aborted));
                }
                Entered::Join { identity, landing, key: given_back } => {
                    if lineage::contains(identity) {
                        return Err(LoadError::Reentrant);
                    }
                    if let Some(received) = receive(landing.outcome().await, Source::Coalesced) {
                        return received;
                    }
                    // Cut off, or an error of another type: this caller still has a loader of its
                    // own.
                    key = given_back;
                }
            }
        }
    }
}

/// Runs a load up to where it first waits, and from there on in a task of its own.
///
/// A loader that has its value at once, from memory or a lower tier, thus costs no task. Nothing is
/// lost by it: a caller cannot be dropped in the middle of a poll, and whoever polls a future anew
/// is who gets woken.
async fn start(runtime: &Handle, load: impl Future<Output = ()> + Send + 'static) {
    let mut load = Box::pin(load);
    let first = poll_fn(|cx| Poll::Ready(load.as_mut().poll(cx))).await;
    if first.is_pending() {
        drop(runtime.spawn(load));
    }
}

/// Takes a caller's part of an outcome; `None` if the load was cut off, or ended in an error that
/// this caller has no type for.
fn receive<V: Clone, E: Send + Sync + 'static>(
    outcome: &Outcome<V>,
    source: Source,
) -> Option<Result<Fetched<V>, LoadError<E>>> {
    match outcome {
        Outcome::Value(value) => Some(Ok(Fetched::new(value.clone(), source))),
        Outcome::Failed(error) => Arc::clone(error).downcast().ok().map(|error| Err(LoadError::Loader(error))),
        Outcome::Aborted => None,
        Outcome::Panicked(message) => Some(Err(LoadError::Panicked { message: Arc::clone(message) })),
    }
}
