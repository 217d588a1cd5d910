//! The turn of a load: first the tier, then the loader, then the tier again.

use std::hash::Hash;

use crate::load::Flight;

#[cfg(feature = "remote")]
pub(crate) use with_remote::{begin, begin_blocking, begin_many};

#[cfg(not(feature = "remote"))]
pub(crate) use alone::{begin, begin_blocking, begin_many};

#[cfg(not(feature = "remote"))]
mod alone {
    use std::convert::Infallible;
    use std::marker::PhantomData;

    use super::{Flight, Hash};
    use crate::load::{Directives, Failure};

    /// There is none.
    pub(crate) struct Turn<K, V>(Infallible, PhantomData<fn(K) -> V>);

    pub(crate) type Begun<K, V> = Option<(Flight<K, V>, Option<Turn<K, V>>)>;

    pub(crate) async fn begin<K, V>(flight: Flight<K, V>) -> Begun<K, V>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        Some((flight, None))
    }

    pub(crate) const fn begin_blocking<K, V>(flight: Flight<K, V>) -> Begun<K, V>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        Some((flight, None))
    }

    pub(crate) async fn begin_many<K, V>(flights: Vec<Flight<K, V>>) -> (Vec<Flight<K, V>>, Option<Turn<K, V>>)
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        (flights, None)
    }

    impl<K, V> Turn<K, V>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        pub(crate) async fn finish(self, _: Flight<K, V>, _: Result<Option<V>, Failure>, _: Directives) {
            match self.0 {}
        }

        pub(crate) fn finish_many(
            &self,
            _: impl Iterator<Item = (Flight<K, V>, Result<Option<V>, Failure>)>,
            _: &Directives,
        ) {
            match self.0 {}
        }

        pub(crate) fn finish_blocking(&self, _: Flight<K, V>, _: Result<Option<V>, Failure>, _: Directives) {
            match self.0 {}
        }
    }
}

#[cfg(feature = "remote")]
mod with_remote {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::pin::pin;
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::Instant;

    use super::{Flight, Hash};
    use crate::load::{Directives, Failure, Storage, block_until, catch};
    use crate::node::look::{Brought, Local, Look};
    use crate::node::{Arrival, RemoteNode, Word};
    use crate::remote::{LeaseGuard, Stamp, Turn as Whose};

    /// A load of a node, from its stamp to the word of what it brought.
    pub(crate) struct Turn<K, V> {
        node: Arc<RemoteNode<K, V>>,
        stamp: Stamp,
        /// Held until the word is out, so that who waits for it finds the value.
        lease: Option<LeaseGuard>,
    }

    /// Asks the tier. Gives the load back if the loader is to be asked, and ends it otherwise.
    pub(crate) async fn begin<K, V>(flight: Flight<K, V>) -> Option<(Flight<K, V>, Option<Turn<K, V>>)>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let Some(node) = flight.inner().remote().map(Arc::clone) else { return Some((flight, None)) };
        // Boxed: without a node the future of a load is as small as ever.
        Box::pin(ask(node, flight)).await
    }

    async fn ask<K, V>(node: Arc<RemoteNode<K, V>>, flight: Flight<K, V>) -> Option<(Flight<K, V>, Option<Turn<K, V>>)>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let stamp = node.link.stamp();
        let Some((text, local)) = about(&node, &flight) else { return Some((flight, None)) };
        let mut lease = None;
        // The codec is the user's code: what panics in it is a miss.
        let looked = catch(node.look(&text, local)).await.unwrap_or(Look::Nothing);
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
                match catch(node.look(&text, local)).await {
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
    pub(crate) fn begin_blocking<K, V>(flight: Flight<K, V>) -> Option<(Flight<K, V>, Option<Turn<K, V>>)>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let Some(node) = flight.inner().remote().map(Arc::clone) else { return Some((flight, None)) };
        let stamp = node.link.stamp();
        let Some((text, local)) = about(&node, &flight) else { return Some((flight, None)) };
        let (sender, receiver) = oneshot::channel();
        let asking = Arc::clone(&node);
        drop(node.runtime.spawn(async move {
            let looked = catch(asking.look(&text, local)).await.unwrap_or(Look::Nothing);
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
            flight.stash(key, value, directives.options);
        }
    }

    /// Asks the tier for many keys at once, and ends those loads that it has answers for.
    pub(crate) async fn begin_many<K, V>(flights: Vec<Flight<K, V>>) -> (Vec<Flight<K, V>>, Option<Turn<K, V>>)
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
        pub(crate) async fn finish(
            self,
            flight: Flight<K, V>,
            result: Result<Option<V>, Failure>,
            directives: Directives,
        ) {
            let Self { node, stamp, lease } = self;
            let holds_lease = lease.is_some();
            if let Some(word) = conclude(&node, stamp, flight, result, directives) {
                node.send_loaded(word, holds_lease).await;
            }
            if let Some(lease) = lease {
                lease.release().await;
            }
        }

        /// The same for each of many loads.
        pub(crate) fn finish_many(
            &self,
            loads: impl Iterator<Item = (Flight<K, V>, Result<Option<V>, Failure>)>,
            directives: &Directives,
        ) {
            for (flight, result) in loads {
                if let Some(word) = conclude(&self.node, self.stamp, flight, result, directives.clone()) {
                    self.node.dispatch(word.key, word.prepared);
                }
            }
        }

        /// Ends a load on a thread that cannot wait for the word of it.
        pub(crate) fn finish_blocking(
            &self,
            flight: Flight<K, V>,
            result: Result<Option<V>, Failure>,
            directives: Directives,
        ) {
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
        directives.options.arrival = Some(Arrival::stamped(stamp));
        // Without a tier every node loads for itself, and what one loaded says nothing against the others.
        let told = node.wire.is_some() && directives.storage == Storage::Store;
        let word = match (&result, flight.key()) {
            (Ok(value), Some(key)) if told => {
                // Prepared before those who wait are told, so that a load of theirs is not answered with less.
                let prepare = || node.value_word(key, value.as_ref(), &directives.options, stamp);
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
}
