use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, TryAcquireError};

use crate::queue::ready::{Priority, ReadyQueue, Ticket};
use crate::sync::{Mutex, between};

/// A bounded queue in memory: pushing waits for a slot or fails, claiming waits for an item.
///
/// Nothing polls: a push wakes one waiter, and a waiter that leaves items behind wakes the next.
#[derive(Debug)]
pub struct MemoryQueue<P> {
    inner: Mutex<Inner<P>>,
    slots: Semaphore,
    arrived: Notify,
}

#[derive(Debug)]
struct Inner<P> {
    ready: ReadyQueue<P>,
    claimed: usize,
    closed: bool,
    pushed: u64,
    waited: Duration,
}

/// The settings of a [`MemoryQueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueConfig {
    /// How many items may wait.
    pub capacity: usize,
    /// How long an item waits until it is raised by one priority; zero means never.
    pub age_after: Duration,
}

impl QueueConfig {
    /// Holds at most `capacity` items and does not age them.
    #[must_use]
    pub const fn new(capacity: usize) -> Self {
        Self { capacity, age_after: Duration::ZERO }
    }

    /// Raises an item by one priority each time it has waited this long.
    #[must_use]
    pub const fn age_after(mut self, age: Duration) -> Self {
        self.age_after = age;
        self
    }
}

/// An item that was not taken; it is in the error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushError<P> {
    /// All slots are taken.
    Full(P),
    /// Nothing is taken any more.
    Closed(P),
}

/// An item that was given out.
#[derive(Debug)]
#[non_exhaustive]
pub struct Claimed<P> {
    /// The item.
    pub item: P,
    /// How long the item waited.
    pub waited: Duration,
}

/// What a queue holds and has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueueStats {
    /// How many items wait.
    pub ready: usize,
    /// How many are claimed.
    pub claimed: usize,
    /// How many were ever taken in.
    pub pushed: u64,
    /// How long the oldest that waits has waited.
    pub oldest: Option<Duration>,
    /// How long all that were claimed had waited together.
    pub waited: Duration,
}

impl<P> MemoryQueue<P> {
    /// Creates an empty queue.
    #[must_use]
    pub fn new(config: QueueConfig) -> Self {
        Self {
            inner: Mutex::new(Inner {
                ready: ReadyQueue::new(config.age_after),
                claimed: 0,
                closed: false,
                pushed: 0,
                waited: Duration::ZERO,
            }),
            slots: Semaphore::new(config.capacity.min(Semaphore::MAX_PERMITS)),
            arrived: Notify::new(),
        }
    }

    /// Puts `item` in if a slot is free.
    ///
    /// # Errors
    /// Returns the item as [`PushError::Full`] or [`PushError::Closed`].
    pub fn try_push(&self, now: Instant, priority: Priority, item: P) -> Result<Ticket, PushError<P>> {
        match self.slots.try_acquire() {
            Ok(slot) => slot.forget(),
            Err(TryAcquireError::NoPermits) => return Err(PushError::Full(item)),
            Err(TryAcquireError::Closed) => return Err(PushError::Closed(item)),
        }
        self.insert(now, priority, item)
    }

    /// Waits until a slot is free and takes it; `false` once the queue is closed.
    ///
    /// Whoever has a slot owes [`push_reserved`](Self::push_reserved).
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the line up; no slot is lost.
    pub(crate) async fn reserve(&self) -> bool {
        match self.slots.acquire().await {
            Ok(slot) => {
                slot.forget();
                true
            }
            Err(_) => false,
        }
    }

    /// Takes a slot if one is free.
    pub(crate) fn try_reserve(&self) -> Result<(), TryAcquireError> {
        self.slots.try_acquire().map(tokio::sync::SemaphorePermit::forget)
    }

    /// Puts `item` into a slot that was reserved.
    pub(crate) fn push_reserved(&self, now: Instant, priority: Priority, item: P) -> Result<Ticket, PushError<P>> {
        self.insert(now, priority, item)
    }

    fn insert(&self, now: Instant, priority: Priority, item: P) -> Result<Ticket, PushError<P>> {
        let ticket = {
            let mut inner = self.inner.lock();
            if inner.closed {
                return Err(PushError::Closed(item));
            }
            inner.pushed += 1;
            inner.ready.push(now, priority, item)
        };
        self.arrived.notify_one();
        Ok(ticket)
    }

    /// Claims the next item if one waits; it counts as claimed until [`settle`](Self::settle) is called for it.
    pub fn try_claim(&self, now: Instant) -> Option<Claimed<P>> {
        let (claimed, more) = {
            let mut inner = self.inner.lock();
            let (item, waited) = inner.ready.pop(now)?;
            inner.waited += waited;
            inner.claimed += 1;
            (Claimed { item, waited }, !inner.ready.is_empty())
        };
        self.slots.add_permits(1);
        if more {
            // Two pushes between somebody's look and wait leave one ring; whoever sees more rings again.
            self.arrived.notify_one();
        }
        Some(claimed)
    }

    /// Waits for an item and claims it; `None` once the queue is closed and empty.
    ///
    /// # Cancel safety
    /// Dropping the future claims nothing; a wake-up that was meant for it goes to another waiter.
    pub async fn claim(&self, now: impl Fn() -> Instant + Send) -> Option<Claimed<P>>
    where
        P: Send,
    {
        loop {
            let arrived = self.arrived.notified();
            // Asked first: what is empty after it was closed stays empty, not the other way round.
            let closed = self.is_closed();
            if let Some(claimed) = self.try_claim(now()) {
                return Some(claimed);
            }
            if closed {
                // Passes the news on: `notify_waiters` reaches only those who wait already.
                self.arrived.notify_one();
                return None;
            }
            between();
            arrived.await;
        }
    }

    /// Counts one claim as over.
    pub fn settle(&self) {
        let mut inner = self.inner.lock();
        inner.claimed = inner.claimed.saturating_sub(1);
    }

    /// Takes a waiting item out, which frees its slot.
    pub fn remove(&self, ticket: Ticket) -> Option<P> {
        let item = self.inner.lock().ready.remove(ticket)?;
        self.slots.add_permits(1);
        Some(item)
    }

    /// Takes no more items; those that wait can still be claimed.
    pub fn close(&self) {
        self.inner.lock().closed = true;
        self.slots.close();
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    /// Says whether items are no longer taken.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.inner.lock().closed
    }

    /// Takes everything that waits, the most urgent first.
    pub fn drain(&self) -> Vec<P> {
        self.inner.lock().ready.drain()
    }

    /// Returns what the queue holds and has seen.
    #[must_use]
    pub fn stats(&self, now: Instant) -> QueueStats {
        let inner = self.inner.lock();
        QueueStats {
            ready: inner.ready.len(),
            claimed: inner.claimed,
            pushed: inner.pushed,
            oldest: inner.ready.oldest(now),
            waited: inner.waited,
        }
    }
}
