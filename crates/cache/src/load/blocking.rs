//! The engine without a runtime.

use std::future::Future;
use std::hash::Hash;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

use super::context::LoadContext;
use super::fetched::{Fetched, Source};
use super::flight::{Entered, enter, instead};
use super::landing::{Landing, Outcome};
use super::patience::{Call, Patience, Received, Recipient, Waited, receive};
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
    /// Returns the value of a key, or loads and stores it on this thread; all who ask for the same
    /// key meanwhile, by this method or by [`get_or_load`](Self::get_or_load), share one load.
    ///
    /// It needs no runtime, and differs from `get_or_load` where there is nobody else to do the
    /// work. The thread that comes first to a value that is to be refreshed, eagerly or while
    /// stale, loads the new one itself and returns it, or the old one if that fails; the others are
    /// served the old one meanwhile. The timeouts hold for those who wait and not for the thread
    /// that loads, which no one can interrupt.
    ///
    /// It blocks: in async code call it inside of `spawn_blocking`. On a runtime with one thread it
    /// would wait for ever for a load which that thread is to run, if there is no `hard_timeout`.
    ///
    /// # Errors
    ///
    /// As of [`get_or_load`](Self::get_or_load), but never [`LoadError::NoRuntime`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bedplate_cache::{Cache, Source};
    ///
    /// let files: Cache<String, String> = Cache::builder("files").build()?;
    /// let read = || files.get_or_load_blocking("motd".to_owned(), |_| Ok::<_, std::io::Error>("hello".to_owned()));
    /// assert_eq!(read()?.source(), Source::Loaded);
    /// assert_eq!(read()?.source(), Source::Fresh);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get_or_load_blocking<F, E>(&self, key: K, loader: F) -> Result<Fetched<V>, LoadError<E>>
    where
        F: FnOnce(LoadContext) -> Result<V, E>,
        E: Send + Sync + 'static,
    {
        let fetched = self.fetch_blocking(key, Call::of(Wants::Value), &mut Some(|cx| loader(cx).map(Some)))?;
        fetched.transpose().ok_or(LoadError::Aborted)
    }

    /// Serves, joins or loads; a loader that is left was not needed.
    pub(super) fn fetch_blocking<F, E>(&self, mut key: K, call: Call, loader: &mut Option<F>) -> Received<V, E>
    where
        F: FnOnce(LoadContext) -> Result<Option<V>, E>,
        E: Send + Sync + 'static,
    {
        let inner = &self.inner;
        let hash = inner.hash(&key);
        let mut patience = None;
        loop {
            match enter(inner, hash, key, call.wants, || true) {
                Entered::Hit { served, refresh: None } => return Ok(served.into()),
                Entered::Hit { served, refresh: Some(flight) } => {
                    let Some(loader) = loader.take() else {
                        return Ok(served.into());
                    };
                    let (landing, lineage) = (flight.landing(), lineage::extend([flight.identity()]));
                    lineage::scope_blocking(lineage, || task::run_blocking(flight, loader));
                    // Whether it may have what came is decided where it is for all who wait. A failure
                    // is none of its concern: it has something to serve.
                    let brought = landing.as_ref().and_then(|landing| landing.ended());
                    let brought = brought.filter(|outcome| matches!(outcome, Outcome::Brought { .. }));
                    let who = Recipient { source: Source::Loaded, came: 0, wants: call.wants };
                    let received = brought.and_then(|outcome| receive(inner, Waited::Ended(outcome), who));
                    return received.unwrap_or_else(|| Ok(served.into()));
                }
                Entered::Lead(flight) => {
                    // There is one as long as this caller has led no load, and it leads one at most.
                    let Some(loader) = loader.take() else {
                        return Err(LoadError::Aborted);
                    };
                    let (landing, lineage) = (flight.landing(), lineage::extend([flight.identity()]));
                    lineage::scope_blocking(lineage, || task::run_blocking(flight, loader));
                    let who = Recipient { source: Source::Loaded, came: 0, wants: call.wants };
                    let ended = landing.as_ref().and_then(|landing| landing.ended());
                    let received = ended.and_then(|outcome| receive(inner, Waited::Ended(outcome), who));
                    return received.unwrap_or(Err(LoadError::Aborted));
                }
                Entered::Join(joined) => {
                    let Some(_wait) = lineage::wait_for(&joined.landing) else {
                        return Err(LoadError::Reentrant);
                    };
                    let patience = *patience.get_or_insert_with(|| call.patience(inner.rules()));
                    let waited = wait_blocking(inner, hash, &joined.landing, patience);
                    let who = Recipient { source: Source::Coalesced, came: joined.came, wants: call.wants };
                    if let Some(received) = receive(inner, waited, who) {
                        return received;
                    }
                    key = joined.key;
                }
            }
        }
    }
}

/// Blocks the thread until a load ends or the caller's patience does.
fn wait_blocking<'l, K, V>(
    inner: &Inner<K, V>,
    hash: u64,
    landing: &'l Arc<Landing<V>>,
    patience: Patience,
) -> Waited<'l, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let mut outcome = pin!(landing.outcome());
    if let Some(soft) = patience.soft {
        if let Some(outcome) = block_until(outcome.as_mut(), Some(soft)) {
            return Waited::Ended(outcome);
        }
        if let Some(served) = instead(inner, hash, landing) {
            return Waited::Instead(served);
        }
    }
    let hard = patience.hard.map(|(at, _)| at);
    if let Some(outcome) = block_until(outcome, hard) {
        return Waited::Ended(outcome);
    }
    let waited = patience.hard.map_or_else(Default::default, |(_, waited)| waited);
    instead(inner, hash, landing).map_or(Waited::TimedOut(waited), Waited::Instead)
}

/// Blocks the thread until a future is ready or a time is reached.
pub(crate) fn block_until<F: Future>(mut future: Pin<&mut F>, until: Option<Instant>) -> Option<F::Output> {
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if !bell.wait(until) {
            return None;
        }
    }
}

/// Wakes one thread.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    /// Waits until it was rung, or returns `false` at the given time.
    fn wait(&self, until: Option<Instant>) -> bool {
        let mut rung = self.rung.lock();
        while !*rung {
            match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(left) if left.is_zero() => return false,
                Some(left) => {
                    self.changed.wait_for(&mut rung, left);
                }
                None => self.changed.wait(&mut rung),
            }
        }
        *rung = false;
        true
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        *self.rung.lock() = true;
        self.changed.notify_one();
    }
}
