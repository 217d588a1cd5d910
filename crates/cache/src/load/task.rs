//! The task that runs a loader.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use super::context::LoadContext;
use super::flight::Flight;

/// Runs the loader to its end, whatever that is, and ends the flight with it.
pub(super) async fn run<K, V, E, F, Fut>(flight: Flight<K, V>, loader: F)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    F: FnOnce(LoadContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<V, E>> + Send + 'static,
{
    let context = LoadContext::new();
    let for_loader = context.clone();
    // The call of the loader is part of what may panic, not only its future.
    let result = catch(async move { loader(for_loader).await }).await;
    flight.finish(result, context.directives());
}

/// Turns a panic into an error.
async fn catch<F: Future>(future: F) -> Result<F::Output, Arc<str>> {
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
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> Arc<str> {
    let text =
        panic.downcast_ref::<&'static str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Arc::from(text.unwrap_or("no message"))
}
