//! The tasks that run loaders.

use std::any::Any;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use tokio::runtime::Handle;
use tokio::task::futures::TaskLocalFuture;
use tracing::Instrument as _;

use super::context::LoadContext;
use super::finish::{Flight, Start};
use super::landing::Failure;
#[cfg(feature = "remote")]
use super::landing::Landing;
use super::lineage::{self, Lineage};

/// Runs the loader up to where it first waits, and from there on in a task of its own.
///
/// A loader that has its value at once, from memory or a lower tier, thus costs no task, and what it brings
/// goes from hand to hand. Nothing is lost by it: a caller cannot be dropped in the middle of a poll, and
/// whoever polls a future anew is who gets woken.
///
/// In a block of its own, and no `async fn`: the caller's future does not have room for it.
pub(super) fn start<K, V, E, F, Fut>(
    runtime: &Handle,
    flight: Flight<K, V>,
    loader: F,
) -> impl Future<Output = Start<V>> + use<'_, K, V, E, F, Fut>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    F: FnOnce(LoadContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
{
    let lineage = lineage::extend([flight.identity()]);
    #[cfg(feature = "remote")]
    let started = if flight.inner().remote().is_some() {
        let landing = flight.landing();
        Started::Node(landing, Box::pin(lineage::scope(lineage, crate::node::run(flight, loader))))
    } else {
        let load = Box::pin(load(lineage, &flight, loader));
        Started::Here(flight, load)
    };
    #[cfg(not(feature = "remote"))]
    let started = {
        let load = Box::pin(load(lineage, &flight, loader));
        Started::Here(flight, load)
    };
    async move {
        let (flight, mut load) = match started {
            Started::Here(flight, load) => (flight, load),
            #[cfg(feature = "remote")]
            Started::Node(landing, load) => {
                start_task(runtime, load).await;
                return Start::Waits(landing);
            }
        };
        match poll_fn(|cx| Poll::Ready(load.as_mut().poll(cx))).await {
            Poll::Ready(result) => {
                let lineage = load.as_mut().take_value().flatten();
                lineage::scope_blocking(lineage, || flight.finish_at_hand(flatten(result)))
            }
            Poll::Pending => {
                let landing = flight.landing();
                // Polled here it was in the caller's span already.
                drop(runtime.spawn(async move { go_on(flight, load.as_mut()).await }.in_current_span()));
                Start::Waits(landing)
            }
        }
    }
}

/// A load that is about to begin.
enum Started<K, V, F>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    Here(Flight<K, V>, Pin<Box<Load<F>>>),
    /// One of many nodes, which ask a tier before the loader.
    #[cfg(feature = "remote")]
    Node(Option<Arc<Landing<V>>>, Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// Runs the loader to its end, whatever that is, and ends the flight with it.
pub(super) async fn run<K, V, E, F, Fut>(lineage: Option<Lineage>, flight: Flight<K, V>, loader: F)
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
        return Box::pin(lineage::scope(lineage, crate::node::run(flight, loader))).await;
    }
    let load = pin!(load(lineage, &flight, loader));
    go_on(flight, load).await;
}

/// A loader in its lineage.
type Load<F> = TaskLocalFuture<Option<Lineage>, F>;

/// Makes the loader's future; the call of the loader is part of what may panic, not only its future.
fn load<K, V, T, F, Fut>(
    lineage: Option<Lineage>,
    flight: &Flight<K, V>,
    loader: F,
) -> Load<impl Future<Output = Result<T, Arc<str>>> + Send + use<K, V, T, F, Fut>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    F: FnOnce(LoadContext) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let context = flight.context();
    lineage::scope(lineage, catch(async move { loader(context).await }))
}

/// Runs the loader on, and ends the flight in the same lineage.
async fn go_on<K, V, E, F>(flight: Flight<K, V>, mut load: Pin<&mut Load<F>>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    F: Future<Output = Result<Result<Option<V>, E>, Arc<str>>> + Send,
{
    let result = load.as_mut().await;
    let lineage = load.as_mut().take_value().flatten();
    let directives = flight.directives();
    lineage::scope_blocking(lineage, || flight.finish(flatten(result), directives));
}

/// Runs a load up to where it first waits, and from there on in a task of its own.
pub(super) async fn start_task(runtime: &Handle, mut load: Pin<Box<dyn Future<Output = ()> + Send>>) {
    if poll_fn(|cx| Poll::Ready(load.as_mut().poll(cx))).await.is_pending() {
        // Polled here it was in the caller's span already.
        drop(runtime.spawn(load.in_current_span()));
    }
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
