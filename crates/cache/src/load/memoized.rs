//! Loads for `#[memoize]`: what only a cache can come to grief over is no failure of the function.

use std::future::Future;
use std::hash::Hash;
use std::sync::Arc;

use super::context::LoadContext;
use super::fetched::Fetched;
use super::patience::{Call, Received};
use crate::cache::Cache;
use crate::engine::Wants;
use crate::error::LoadError;

/// What a memoized function can take for an answer.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    call: Call,
}

impl Bounds {
    /// Of a function that always has a value, and can say that it waited too long.
    pub const VALUE: Self = Self { call: Call::of(Wants::Value) };
    /// Of a function that may have no value, and can say that it waited too long.
    pub const OPTIONAL: Self = Self { call: Call::of(Wants::ValueOrAbsence) };

    /// Waits however long the load takes.
    #[must_use]
    pub const fn patient(self) -> Self {
        Self { call: self.call.without_hard_timeout() }
    }
}

/// Returns what is cached, or loads it.
///
/// A function that comes back to the key it is called for, and one that is called outside of tokio,
/// runs as if it were not memoized.
///
/// # Errors
///
/// Why there is none.
pub async fn load<K, V, M, F, Fut, E>(
    cache: &Cache<K, V>,
    key: K,
    bounds: Bounds,
    make: M,
) -> Result<Option<V>, LoadError<E>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    M: FnOnce() -> F,
    F: FnOnce(LoadContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
    E: Send + Sync + 'static,
{
    let mut make = Some(make);
    let received = cache.fetch(key, bounds.call, &mut make).await;
    or_uncached(received, make).await
}

/// Loads whatever is cached, and stores it.
///
/// # Errors
///
/// Why it could not.
pub async fn refresh<K, V, M, F, Fut, E>(
    cache: &Cache<K, V>,
    key: K,
    bounds: Bounds,
    make: M,
) -> Result<Option<V>, LoadError<E>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    M: FnOnce() -> F,
    F: FnOnce(LoadContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
    E: Send + Sync + 'static,
{
    let mut make = Some(make);
    let received = cache.load_anew(key, bounds.call, &mut make).await;
    or_uncached(received, make).await
}

/// Returns what is cached, or loads it on this thread; else as [`load`].
///
/// # Errors
///
/// Why there is none.
pub fn load_blocking<K, V, F, E>(
    cache: &Cache<K, V>,
    key: K,
    bounds: Bounds,
    loader: F,
) -> Result<Option<V>, LoadError<E>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    F: FnOnce(LoadContext) -> Result<Option<V>, E>,
    E: Send + Sync + 'static,
{
    let mut loader = Some(loader);
    match (cache.fetch_blocking(key, bounds.call, &mut loader), loader) {
        (Err(LoadError::Reentrant), Some(loader)) => loader(LoadContext::new()).map_err(own),
        (received, _) => received.map(Fetched::into_value),
    }
}

/// Loads on this thread whatever is cached, and stores it.
///
/// # Errors
///
/// Why it could not.
pub fn refresh_blocking<K, V, F, E>(
    cache: &Cache<K, V>,
    key: K,
    _bounds: Bounds,
    loader: F,
) -> Result<Option<V>, LoadError<E>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    F: FnOnce(LoadContext) -> Result<Option<V>, E>,
    E: Send + Sync + 'static,
{
    cache.load_anew_blocking(key, loader).map(Fetched::into_value)
}

async fn or_uncached<V, M, F, Fut, E>(received: Received<V, E>, make: Option<M>) -> Result<Option<V>, LoadError<E>>
where
    M: FnOnce() -> F,
    F: FnOnce(LoadContext) -> Fut,
    Fut: Future<Output = Result<Option<V>, E>>,
{
    match (received, make) {
        (Err(LoadError::Reentrant | LoadError::NoRuntime), Some(make)) => make()(LoadContext::new()).await.map_err(own),
        (received, _) => received.map(Fetched::into_value),
    }
}

fn own<E>(error: E) -> LoadError<E> {
    LoadError::Loader(Arc::new(error))
}
