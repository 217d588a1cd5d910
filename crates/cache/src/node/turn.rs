//! The turn of a load: first the tier, then the loader, then the tier again.

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::load::{
    Directives, Failure, Flight, LoadContext, Storage, block_until, catch, flatten, keys_of, panic_message, share,
};
use crate::node::look::{Brought, Local, Look};
use crate::node::{Arrival, RemoteNode, Word};
use crate::remote::{LeaseGuard, Stamp, Turn as Whose};

/// A load of a node, from its stamp to the word of what it brought.
struct Turn<K, V> {
    node: Arc<RemoteNode<K, V>>,
    stamp: Stamp,
    /// Held until the word is out, so that who waits for it finds the value.
    lease: Option<LeaseGuard>,
}

/// A load whose loader is to be asked, with its turn; `None` if it has ended.
type Begun<K, V> = Option<(Flight<K, V>, Option<Turn<K, V>>)>;

/// Runs a load of a node to its end.
pub(crate) async fn run<K, V, E, F, Fut>(flight: Flight<K, V>, loader: F)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    F: FnOnce(LoadContext) -> Fut + Send + 'static,
    Fut: Future<Output = Result<Option<V>, E>> + Send + 'static,
{
    let Some((flight, turn)) = ask(flight).await else { return };
    let context = flight.context();
    let result = flatten(catch(async move { loader(context).await }).await);
    let directives = flight.directives();
    match turn {
        Some(turn) => turn.finish(flight, result, directives).await,
        None => drop_verdict(flight.finish(result, directives)),
    }
}

/// Runs a load of many keys to its end: one question to the tier, and one call for the rest.
pub(crate) async fn run_many<K, V, E, Fut>(
    flights: Vec<Flight<K, V>>,
    load: impl FnOnce(Vec<K>, LoadContext) -> Fut + Send + 'static,
) where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
    Fut: Future<Output = Result<HashMap<K, V>, E>> + Send + 'static,
{
    let (flights, turn) = ask_many(flights).await;
    let keys = keys_of(&flights);
    if keys.is_empty() {
        return;
    }
    let context = LoadContext::new();
    let for_loader = context.clone();
    let brought = flatten(catch(async move { load(keys, for_loader).await }).await);
    let directives = context.into_directives();
    for (flight, result) in share(flights, brought) {
        match &turn {
            Some(turn) => turn.finish_elsewhere(flight, result, directives.clone()),
            None => drop_verdict(flight.finish(result, directives.clone())),
        }
    }
}

/// Runs a load on this thread.
pub(crate) fn run_blocking<K, V, E>(flight: Flight<K, V>, loader: impl FnOnce(LoadContext) -> Result<Option<V>, E>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    E: Send + Sync + 'static,
{
    let Some((flight, turn)) = ask_blocking(flight) else { return };
    let context = flight.context();
    let result = catch_unwind(AssertUnwindSafe(|| loader(context))).map_err(|panic| panic_message(&*panic));
    let directives = flight.directives();
    match turn {
        Some(turn) => turn.finish_elsewhere(flight, flatten(result), directives),
        None => drop_verdict(flight.finish(flatten(result), directives)),
    }
}

/// Whether what was brought is true matters only to who passes it on.
const fn drop_verdict(_: bool) {}

/// Asks the tier. Gives the load back if the loader is to be asked, and ends it otherwise.
async fn ask<K, V>(flight: Flight<K, V>) -> Begun<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let Some(node) = flight.inner().remote().map(Arc::clone) else { return Some((flight, None)) };
    let stamp = node.link.stamp();
    let Some(wants) = flight.tier_may() else { return Some((flight, Some(Turn { node, stamp, lease: None }))) };
    let Some((text, local)) = about(&node, &flight) else { return Some((flight, None)) };
    let mut lease = None;
    // The codec is the user's code: what panics in it is a miss.
    let looked = catch(node.look(&text, local, wants)).await.unwrap_or(Look::Nothing);
    match looked {
        Look::Fresh(brought) => {
            let (value, directives) = brought.into_parts();
            flight.finish(Ok(value), directives);
            return None;
        }
        Look::Stale(brought) => stash(&node, &flight, &text, brought),
        Look::Nothing => {}
    }
    if let Some(turns) = node.flight.as_ref().filter(|_| node.wire.is_some()) {
        let look = || async {
            match catch(node.look(&text, local, wants)).await {
                Ok(Look::Fresh(brought)) => Some(brought),
                _ => None,
            }
        };
        match turns.enter(text.as_bytes(), look).await {
            Whose::Lead(guard) => lease = Some(guard),
            Whose::Follow(brought) => {
                let (value, directives) = brought.into_parts();
                flight.finish(Ok(value), directives);
                return None;
            }
            Whose::Alone => {}
        }
    }
    Some((flight, Some(Turn { node, stamp, lease })))
}

/// Asks the tier from a thread that blocks: by a task, for as long as a call may take.
fn ask_blocking<K, V>(flight: Flight<K, V>) -> Begun<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let Some(node) = flight.inner().remote().map(Arc::clone) else { return Some((flight, None)) };
    let stamp = node.link.stamp();
    let Some(wants) = flight.tier_may() else { return Some((flight, Some(Turn { node, stamp, lease: None }))) };
    let Some((text, local)) = about(&node, &flight) else { return Some((flight, None)) };
    let (sender, receiver) = oneshot::channel();
    let asking = Arc::clone(&node);
    drop(node.runtime.spawn(async move {
        let looked = catch(asking.look(&text, local, wants)).await.unwrap_or(Look::Nothing);
        drop(sender.send((text, looked)));
    }));
    // Two calls, and a moment for a busy runtime; one that stands still is a miss.
    let until = Instant::now() + node.link.timeout() * 2 + Duration::from_millis(100);
    let looked = block_until(pin!(receiver), Some(until)).and_then(Result::ok);
    match looked {
        Some((_, Look::Fresh(brought))) => {
            let (value, directives) = brought.into_parts();
            flight.finish(Ok(value), directives);
            return None;
        }
        Some((text, Look::Stale(brought))) => stash(&node, &flight, &text, brought),
        _ => {}
    }
    Some((flight, Some(Turn { node, stamp, lease: None })))
}

/// Keeps a stale value of the tier for the case that the loader fails.
fn stash<K, V>(node: &RemoteNode<K, V>, flight: &Flight<K, V>, text: &str, brought: Brought<V>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let (value, directives) = brought.into_parts();
    if let (Some(value), Some(key)) = (value, node.keys.parse(text.as_bytes())) {
        flight.stash(key, value, directives.into_options());
    }
}

/// Asks the tier for many keys at once, and ends those loads that it has answers for.
async fn ask_many<K, V>(flights: Vec<Flight<K, V>>) -> (Vec<Flight<K, V>>, Option<Turn<K, V>>)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let node = flights.first().and_then(|flight| flight.inner().remote().map(Arc::clone));
    let Some(node) = node else { return (flights, None) };
    let stamp = node.link.stamp();
    let about: Vec<_> = flights.iter().map(|flight| about(&node, flight)).collect();
    let Some(keys) = about.into_iter().collect::<Option<Vec<_>>>() else { return (flights, None) };
    let looked = catch(Box::pin(node.look_many(&keys))).await.unwrap_or_default();
    let mut looked = looked.into_iter();
    let mut left = Vec::new();
    for flight in flights {
        if let Some(Look::Fresh(brought)) = looked.next() {
            let (value, directives) = brought.into_parts();
            flight.finish(Ok(value), directives);
        } else {
            left.push(flight);
        }
    }
    (left, Some(Turn { node, stamp, lease: None }))
}

/// The key's text is the user's code too.
fn about<K, V>(node: &RemoteNode<K, V>, flight: &Flight<K, V>) -> Option<(String, Option<Local>)>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let key = flight.key()?;
    let text = catch_unwind(AssertUnwindSafe(|| node.keys.text(key).into_owned())).ok()?;
    Some((text, flight.inner().local(flight.hash(), key)))
}

impl<K, V> Turn<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Ends the load, and sends word of what it brought once those who wait have been told.
    async fn finish(self, flight: Flight<K, V>, result: Result<Option<V>, Failure>, directives: Directives) {
        let Self { node, stamp, lease } = self;
        let holds_lease = lease.is_some();
        if let Some(word) = conclude(&node, stamp, flight, result, directives) {
            node.send_loaded(word, holds_lease).await;
        }
        if let Some(lease) = lease {
            lease.release().await;
        }
    }

    /// Ends a load where the word of it is not waited for.
    fn finish_elsewhere(&self, flight: Flight<K, V>, result: Result<Option<V>, Failure>, directives: Directives) {
        if let Some(word) = conclude(&self.node, self.stamp, flight, result, directives) {
            self.node.dispatch(word.key, word.prepared);
        }
    }
}

/// Ends a load, and returns the word of what it brought, if that is true yet.
fn conclude<K, V>(
    node: &Arc<RemoteNode<K, V>>,
    stamp: Stamp,
    flight: Flight<K, V>,
    result: Result<Option<V>, Failure>,
    mut directives: Directives,
) -> Option<Word>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    directives.options().arrival = Some(Arrival::stamped(stamp));
    // Without a tier every node loads for itself, and what one loaded says nothing against the others.
    let told = node.wire.is_some() && directives.storage == Storage::Store;
    let word = match (&result, flight.key()) {
        (Ok(value), Some(key)) if told => {
            // Prepared before those who wait are told, so that a load of theirs is not answered with less.
            let prepare = || node.value_word(key, value.as_ref(), directives.options(), stamp);
            catch_unwind(AssertUnwindSafe(prepare)).ok()
        }
        _ => None,
    };
    if flight.finish(result, directives) {
        return word;
    }
    if let Some(word) = word {
        word.forget();
    }
    None
}
