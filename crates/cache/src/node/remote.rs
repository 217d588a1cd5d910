//! A cache's side of its link.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::patterns::Patterns;
use super::{KeyText, NodeConfig, WriteMode, listen};
use crate::CacheConfig;
use crate::cache::Cache;
use crate::inner::Inner;
use crate::observer::CacheEvent;
use crate::remote::{DistributedFlight, LinkStats, Prepared, RemoteLink, Stamp, Wire, Written};

/// What a cache knows as a node. Its tasks hold this and never the cache.
pub(crate) struct RemoteNode<K, V> {
    pub(crate) link: Arc<RemoteLink>,
    /// `None` without a tier.
    pub(super) wire: Option<Wire<V>>,
    pub(super) keys: KeyText<K>,
    pub(super) flight: Option<DistributedFlight>,
    pub(super) patterns: Mutex<Patterns>,
    pub(super) config: NodeConfig,
    /// What the cache does with a value, for the copy in the tier.
    pub(super) times: Times,
    pub(super) runtime: Handle,
    pub(super) in_flight: Arc<InFlight>,
    /// The cache, as an address: `None` until it is built.
    home: OnceLock<Box<dyn Home<K>>>,
    pub(crate) served: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) ttl: Option<Duration>,
    pub(super) negative_ttl: Option<Duration>,
    pub(super) stale_while_revalidate: Option<Duration>,
    pub(super) stale_if_error: Option<Duration>,
}

impl<K, V> RemoteNode<K, V> {
    pub(super) fn new(
        link: RemoteLink,
        wire: Option<Wire<V>>,
        keys: KeyText<K>,
        flight: Option<DistributedFlight>,
        config: NodeConfig,
        cache: &CacheConfig,
        runtime: Handle,
    ) -> Self {
        let times = Times {
            ttl: cache.ttl,
            negative_ttl: cache.negative_ttl,
            stale_while_revalidate: cache.stale_while_revalidate,
            stale_if_error: cache.stale_if_error,
        };
        Self {
            link: Arc::new(link),
            wire,
            keys,
            flight,
            patterns: Mutex::default(),
            config,
            times,
            runtime,
            in_flight: Arc::default(),
            home: OnceLock::new(),
            served: AtomicU64::new(0),
        }
    }

    /// Does what follows from the fate of a word.
    pub(super) fn heed(&self, key: Option<&[u8]>, stamp: Stamp, written: Written) {
        if written == Written::Outdated
            && let (Some(key), Some(home)) = (key, self.home.get())
        {
            // The tier has what is newer than the value that is held here.
            if let Some(key) = self.keys.parse(key) {
                home.retract(&key, stamp);
            }
        }
    }

    pub(super) fn drop_outdated(&self, keys: &[bytes::Bytes]) {
        let Some(home) = self.home.get() else { return };
        for key in keys.iter().filter_map(|key| self.keys.parse(key)) {
            home.retract_all(&key);
        }
    }
}

impl<K, V> RemoteNode<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Sends a word by a task of its own, or leaves it to the queue.
    pub(crate) fn dispatch(self: &Arc<Self>, key: Option<Arc<[u8]>>, prepared: Prepared) {
        if self.config.writes == WriteMode::Behind {
            return prepared.queue();
        }
        let Some(place) = InFlight::enter(&self.in_flight, self.config.max_in_flight) else {
            return prepared.queue();
        };
        let node = Arc::clone(self);
        // Counted by its place, and bounded in number and in time. Dropped with its runtime, it leaves the
        // word in the queue.
        drop(self.runtime.spawn(async move {
            node.send(key.as_deref(), prepared).await;
            drop(place);
        }));
    }

    /// Sends a word now, whatever the mode, and waits for it.
    pub(super) async fn send(&self, key: Option<&[u8]>, prepared: Prepared) {
        let Some(stamp) = prepared.stamp() else { return };
        let written = prepared.send().await;
        self.heed(key, stamp, written);
    }

    pub(crate) fn stats(&self) -> LinkStats {
        self.link.stats()
    }
}

impl<K, V> fmt::Debug for RemoteNode<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteNode")
            .field("node", &self.link.node())
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The memory of a node, as its own tasks see it.
pub(super) trait Home<K>: Send + Sync {
    /// Expires what is not newer than a stamp.
    fn retract(&self, key: &K, stamp: Stamp);
    /// Expires whatever is held of a key.
    fn retract_all(&self, key: &K);
    /// Tells of something.
    fn tell(&self, event: CacheEvent);
}

impl<K, V> Home<K> for Weak<Inner<K, V>>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn retract(&self, key: &K, stamp: Stamp) {
        if let Some(inner) = self.upgrade() {
            // One that is as new is the very value that was refused.
            let newer = inner.stamp_of(key).is_some_and(|own| own > stamp);
            if !newer {
                inner.expire(key);
            }
        }
    }

    fn retract_all(&self, key: &K) {
        if let Some(inner) = self.upgrade() {
            inner.expire(key);
        }
    }

    fn tell(&self, event: CacheEvent) {
        if let Some(inner) = self.upgrade() {
            inner.emit(event);
        }
    }
}

impl<K, V> RemoteNode<K, V> {
    pub(super) fn tell(&self, event: CacheEvent) {
        if let Some(home) = self.home.get() {
            home.tell(event);
        }
    }
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn remote(&self) -> Option<&Arc<RemoteNode<K, V>>> {
        self.attached().remote.as_ref()
    }

    /// Starts the tasks of a node, which end with the cache.
    pub(crate) fn join(self: &Arc<Self>) {
        let Some(node) = self.remote() else { return };
        let home: Weak<Self> = Arc::downgrade(self);
        drop(node.home.set(Box::new(Weak::clone(&home))));
        let mut tasks = self.attached().tasks.0.lock();
        let recovering = Arc::clone(node);
        tasks.push(
            node.runtime
                .spawn(async move {
                    let told = Arc::clone(&recovering);
                    recovering.link.recover(move |replay| told.drop_outdated(&replay.outdated)).await;
                })
                .abort_handle(),
        );
        if node.link.has_backplane() {
            tasks.push(node.runtime.spawn(listen::listen(home, Arc::clone(node))).abort_handle());
            tasks.push(node.runtime.spawn(listen::beat(Arc::clone(node))).abort_handle());
        }
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Returns what the link to the tier and to the other nodes did; `None` for a cache that is alone.
    pub fn remote_stats(&self) -> Option<LinkStats> {
        self.inner.remote().map(|node| node.stats())
    }
}

/// Tasks that end with the cache.
#[derive(Debug, Default)]
pub(crate) struct Tasks(pub(super) Mutex<Vec<AbortHandle>>);

impl Tasks {
    pub(super) fn end(&self) {
        for task in self.0.lock().drain(..) {
            task.abort();
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.end();
    }
}

/// Counts the words that are being sent.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    count: AtomicUsize,
    pub(super) changed: Notify,
}

impl InFlight {
    /// Takes a place, of at most so many.
    pub(super) fn enter(this: &Arc<Self>, most: usize) -> Option<Place> {
        let entered = this.count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < most).then_some(n + 1));
        entered.ok().map(|_| Place(Arc::clone(this)))
    }
}

pub(super) struct Place(Arc<InFlight>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_waiters();
    }
}
