//! The tasks that run loaders.

use std::any::Any;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::context::LoadContext;
use super::finish::Flight;
use super::landing::{Failure, Outcome};

/// Runs the loader to its end, whatever that is, and ends the flight with it.
///
/// Returns the outcome to the caller who began it, if that one is polling it and nobody else waits.
pub(super) async fn run<K, V, E, F, Fut>(flight: Flight<K, V>, loader: F) -> Option<Outcome<V>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    F: FnOnce(LoadContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
{
    #[cfg(feature = "remote")]
    if flight.inner().remote().is_some() {
        // Boxed: the future of a load that is nobody's turn stays small.
        Box::pin(crate::node::run(flight, loader)).await;
        return None;
    }
    let context = flight.context();
    // The call of the loader is part of what may panic, not only its future.
    let result = catch(async move { loader(context).await }).await;
    let directives = flight.directives();
    flight.finish_at_hand(flatten(result), directives)
}

/// Runs a loader of many keys to its end, and ends all their flights with it.
pub(super) async fn run_many<K, V, E, Fut>(
    flights: Vec<Flight<K, V>>,
    load: impl FnOnce(Vec<K>, LoadContext) -> Fut + Send + 'static,
) where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    Fut: Future<Output = Result<HashMap<K, V>, E>> + Send + 'static,
{
    #[cfg(feature = "remote")]
    if flights.first().is_some_and(|flight| flight.inner().remote().is_some()) {
        return Box::pin(crate::node::run_many(flights, load)).await;
    }
    let keys = keys_of(&flights);
    let context = LoadContext::new();
    let for_loader = context.clone();
    let brought = flatten(catch(async move { load(keys, for_loader).await }).await);
    let directives = context.into_directives();
    for (flight, result) in share(flights, brought) {
        flight.finish(result, directives.clone());
    }
}

pub(crate) fn keys_of<K, V>(flights: &[Flight<K, V>]) -> Vec<K>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    flights.iter().filter_map(|flight| flight.key().cloned()).collect()
}

/// Gives each flight its part of what one call brought.
pub(crate) fn share<K, V>(
    flights: Vec<Flight<K, V>>,
    brought: Result<HashMap<K, V>, Failure>,
) -> impl Iterator<Item = (Flight<K, V>, Result<Option<V>, Failure>)>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let mut brought = brought;
    flights.into_iter().map(move |flight| {
        let part = match &mut brought {
            Ok(brought) => Ok(flight.key().and_then(|key| brought.remove(key))),
            Err(failure) => Err(failure.clone()),
        };
        (flight, part)
    })
}

/// Runs a loader that blocks, and ends the flight with it.
pub(super) fn run_blocking<K, V, E>(flight: Flight<K, V>, loader: impl FnOnce(LoadContext) -> Result<Option<V>, E>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    #[cfg(feature = "remote")]
    if flight.inner().remote().is_some() {
        return crate::node::run_blocking(flight, loader);
    }
    let context = flight.context();
    // The loader is gone after a panic, so nobody sees it broken.
    let result = catch_unwind(AssertUnwindSafe(|| loader(context))).map_err(|panic| panic_message(&*panic));
    let directives = flight.directives();
    flight.finish(flatten(result), directives);
}

pub(crate) fn flatten<T, E: Send + Sync + 'static>(result: Result<Result<T, E>, Arc<str>>) -> Result<T, Failure> {
    match result {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Failure::Error(Arc::new(error))),
        Err(message) => Err(Failure::Panic(message)),
    }
}

/// Turns a panic into an error.
pub(crate) async fn catch<F: Future>(future: F) -> Result<F::Output, Arc<str>> {
    let mut future = pin!(future);
    // The future is never polled again after a panic, so nobody sees it broken.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic_message(&*panic))),
    })
    .await
}

/// Returns the text of a panic, where it had one.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> Arc<str> {
    let text =
        panic.downcast_ref::<&'static str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Arc::from(text.unwrap_or("no message"))
}
