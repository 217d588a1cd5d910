//! Carries notifications between nodes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;

use super::{Notification, RemoteError};

/// Publishes to all nodes and hears from all nodes, at most once and without a promise of order
/// between nodes.
///
/// What it must never do is lose a notification silently: a subscription that may have missed one says
/// [`Delivery::Gap`]. `testing::backplane_contract` is the suite that every implementation passes.
#[async_trait]
pub trait Backplane: fmt::Debug + Send + Sync + 'static {
    /// Tells all subscribers, this node's own among them.
    ///
    /// # Errors
    ///
    /// Any [`RemoteError`]; some may have heard it then.
    ///
    /// # Cancel safety
    ///
    /// After dropping the future some, all or none may have heard it.
    async fn publish(&self, notification: &Notification) -> Result<(), RemoteError>;

    /// Begins to listen. What is published after this returned is delivered, or followed by a gap.
    ///
    /// # Errors
    ///
    /// Any [`RemoteError`] if listening cannot begin.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    async fn subscribe(&self) -> Result<Subscription, RemoteError>;
}

#[async_trait]
impl<B: Backplane + ?Sized> Backplane for Arc<B> {
    async fn publish(&self, notification: &Notification) -> Result<(), RemoteError> {
        (**self).publish(notification).await
    }

    async fn subscribe(&self) -> Result<Subscription, RemoteError> {
        (**self).subscribe().await
    }
}

/// What a subscription hears.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// A notification.
    Message(Notification),
    /// Notifications may have been missed; from here on they are heard again.
    Gap(GapReason),
}

/// Why notifications may have been missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// The connection was lost and is there again.
    Reconnected,
    /// They came faster than they were taken.
    Overrun,
    /// One came that could not be read.
    Unreadable,
    /// The sequence of a node has a hole.
    Sequence,
    /// A node says that it lost track.
    Suspect,
    /// A node's clock is too far ahead to be believed.
    Skewed,
}

/// A stream of deliveries; dropping it ends the listening.
pub struct Subscription {
    source: Box<dyn Listen>,
}

/// Where deliveries come from.
trait Listen: Send + Sync {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Delivery>> + Send + '_>>;
}

impl Subscription {
    /// Waits for the next delivery; `None` once the backplane was closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no delivery.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.source.next().await
    }

    /// Makes a subscription of a channel that a backplane's task fills with messages as they came, and
    /// that owns the task. A task that cannot send sends [`Delivery::Gap`] as soon as it can.
    pub fn from_channel(deliveries: tokio::sync::mpsc::Receiver<Delivery>, task: tokio::task::JoinHandle<()>) -> Self {
        Self { source: Box::new(Channel { deliveries, task }) }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

struct Channel {
    deliveries: tokio::sync::mpsc::Receiver<Delivery>,
    task: tokio::task::JoinHandle<()>,
}

impl Listen for Channel {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Delivery>> + Send + '_>> {
        Box::pin(self.deliveries.recv())
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A backplane within the process: for tests, and for several caches of one process. Clones share it.
///
/// The notifications cross it as bytes, as they would a network.
#[derive(Debug, Clone)]
pub struct MemoryBackplane {
    sender: broadcast::Sender<Bytes>,
}

impl MemoryBackplane {
    /// Makes one that holds up to so many notifications for a slow subscriber, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { sender: broadcast::Sender::new(capacity.max(1)) }
    }
}

impl Default for MemoryBackplane {
    fn default() -> Self {
        Self::new(1024)
    }
}

#[async_trait]
impl Backplane for MemoryBackplane {
    async fn publish(&self, notification: &Notification) -> Result<(), RemoteError> {
        // Without subscribers there is nobody to tell.
        drop(self.sender.send(notification.to_bytes()));
        Ok(())
    }

    async fn subscribe(&self) -> Result<Subscription, RemoteError> {
        Ok(Subscription { source: Box::new(self.sender.subscribe()) })
    }
}

impl Listen for broadcast::Receiver<Bytes> {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Delivery>> + Send + '_>> {
        Box::pin(async {
            match self.recv().await {
                Ok(bytes) => Some(read(&bytes)),
                Err(broadcast::error::RecvError::Lagged(_)) => Some(Delivery::Gap(GapReason::Overrun)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        })
    }
}

/// What cannot be read was missed.
pub(crate) fn read(bytes: &[u8]) -> Delivery {
    match Notification::from_bytes(bytes) {
        Ok(notification) => Delivery::Message(notification),
        Err(error) => {
            tracing::warn!(%error, "an unreadable notification on the backplane");
            Delivery::Gap(GapReason::Unreadable)
        }
    }
}
