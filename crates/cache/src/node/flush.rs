//! The end of a node in good order.

use std::hash::Hash;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::RemoteNode;
use crate::cache::Cache;

/// What a [`Cache::flush`] left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flushed {
    /// Changes that neither the tier nor the other nodes know of.
    pub left: u64,
}

impl Flushed {
    /// Tells whether everything was sent.
    pub const fn is_complete(self) -> bool {
        self.left == 0
    }
}

impl<K, V> Cache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Waits until all that changed here is in the remote tier and known to the other nodes, for at most so
    /// long. A cache that is alone has nothing to wait for.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing that waits.
    pub async fn flush(&self, limit: Duration) -> Flushed {
        let Some(node) = self.inner.remote() else { return Flushed { left: 0 } };
        let done = timeout(limit, node.drain()).await.is_ok();
        Flushed { left: if done { 0 } else { node.unsent() } }
    }

    /// Flushes, and ends the tasks of this node: it hears nothing any more, and what changes from now on
    /// waits in vain. Dropping the last handle of a cache ends them too, with what waits.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the tasks running.
    pub async fn close(&self, limit: Duration) -> Flushed {
        let flushed = self.flush(limit).await;
        self.inner.attached().tasks.end();
        flushed
    }
}

impl<K, V> RemoteNode<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn unsent(&self) -> u64 {
        u64::try_from(self.link.unsent()).unwrap_or(u64::MAX)
    }

    async fn drain(&self) {
        while self.unsent() > 0 {
            let replay = self.link.replay().await;
            self.drop_outdated(&replay.outdated);
            if self.unsent() > 0 {
                // Either a word that is under way arrives, or the breaker lets the next one through.
                drop(timeout(PAUSE, self.in_flight.changed.notified()).await);
                if replay.remaining > 0 {
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

const PAUSE: Duration = Duration::from_millis(20);
