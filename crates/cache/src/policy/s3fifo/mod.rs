//! S3-FIFO: a small queue on trial, a main queue, and a memory of what failed the trial.
//!
//! After Yang, Zhang, Qiu, Yue and Vigfusson, "FIFO queues are all you need for cache eviction"
//! (SOSP 2023), with the fill rule of `libCacheSim`: as long as there is room, the small queue
//! overflows into the main one, so that a cache that has just filled up does not throw away what it
//! could have kept.
//!
//! A hit changes two bits of its node and moves nothing, so readers share a lock. LRU, the
//! alternative, moves the node on each hit and so takes the lock alone, and one scan pushes out all
//! it holds; it is kept for work that is pure recency.

use std::borrow::Borrow;
use std::fmt;

use hashbrown::HashTable;

use super::ghosts::Ghosts;
use super::keyed::Lookup;
use super::slab::{Place, Slab};
use super::{Policy, Victim};
use crate::entry::Entry;
use crate::expiry::Tick;
use crate::sync::{AtomicU8, Ordering};

pub(crate) struct S3Fifo<K, V> {
    table: HashTable<Place>,
    nodes: Slab<Node<K, V>>,
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
    /// What this shard may hold when all are equally full.
    share: u64,
    /// Stored last: it stays, or an insert could evict what it has just stored.
    newest: Place,
    /// Where the search for entries whose time is over goes on.
    cursor: usize,
}

/// In the order in which a hit reads it, so that this is one line of memory more often than two.
#[repr(C)]
struct Node<K, V> {
    /// Hits since the node came to its queue, up to [`MOST_HITS`]. Two readers that add at once may
    /// lose one of the two, which is worth less than a locked addition.
    hits: AtomicU8,
    queue: Which,
    key: K,
    entry: Entry<V>,
    hash: u64,
    prev: Place,
    next: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Small,
    Main,
}

/// A queue from the newest, its head, to the oldest.
#[derive(Debug)]
struct Queue {
    head: Place,
    tail: Place,
    weight: u64,
    len: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self { head: Place::NONE, tail: Place::NONE, weight: 0, len: 0 }
    }
}

impl<K, V> fmt::Debug for S3Fifo<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Fifo").field("small", &self.small).field("main", &self.main).finish_non_exhaustive()
    }
}

impl<K: Eq, V> S3Fifo<K, V> {
    pub(super) fn new(share: u64) -> Self {
        Self {
            table: HashTable::new(),
            nodes: Slab::default(),
            small: Queue::default(),
            main: Queue::default(),
            ghosts: Ghosts::default(),
            share,
            newest: Place::NONE,
            cursor: 0,
        }
    }

    /// Finds an entry and counts the access, which needs no lock of its own.
    #[inline]
    pub(crate) fn hit_shared<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<(&K, &Entry<V>)>
    where
        K: Borrow<Q>,
    {
        let node = self.node(lookup)?;
        let hits = node.hits.load(Ordering::Relaxed);
        if hits < MOST_HITS {
            node.hits.store(hits + 1, Ordering::Relaxed);
        }
        Some((&node.key, &node.entry))
    }

    #[inline]
    fn node<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<&Node<K, V>>
    where
        K: Borrow<Q>,
    {
        // A stored hash would be on the same line as the key: to compare it first saves nothing.
        let at = self
            .table
            .find(lookup.hash(), |&at| self.nodes.get(at).is_some_and(|node| node.key.borrow() == lookup.key()))?;
        self.nodes.get(*at)
    }

    fn place<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<Place>
    where
        K: Borrow<Q>,
    {
        let is_it = |at: &Place| self.nodes.get(*at).is_some_and(|node| node.key.borrow() == lookup.key());
        self.table.find(lookup.hash(), is_it).copied()
    }

    const fn weight(&self) -> u64 {
        self.small.weight + self.main.weight
    }

    /// What the small queue may hold before it is the first to give way.
    fn small_target(&self) -> u64 {
        self.share.max(self.weight()) / SMALL_PART
    }

    fn queue(&mut self, which: Which) -> &mut Queue {
        match which {
            Which::Small => &mut self.small,
            Which::Main => &mut self.main,
        }
    }

    fn link(&mut self, at: Place, which: Which) {
        let head = self.queue(which).head;
        let Some(node) = self.nodes.get_mut(at) else { return };
        node.queue = which;
        node.prev = Place::NONE;
        node.next = head;
        *node.hits.get_mut() = 0;
        let weight = node.entry.weight();
        if let Some(second) = self.nodes.get_mut(head) {
            second.prev = at;
        }
        let queue = self.queue(which);
        queue.head = at;
        if head.is_none() {
            queue.tail = at;
        }
        queue.weight += weight;
        queue.len += 1;
    }

    fn unlink(&mut self, at: Place) {
        let Some(node) = self.nodes.get(at) else { return };
        let (prev, next, which, weight) = (node.prev, node.next, node.queue, node.entry.weight());
        if let Some(node) = self.nodes.get_mut(prev) {
            node.next = next;
        }
        if let Some(node) = self.nodes.get_mut(next) {
            node.prev = prev;
        }
        let queue = self.queue(which);
        if prev.is_none() {
            queue.head = next;
        }
        if next.is_none() {
            queue.tail = prev;
        }
        queue.weight -= weight;
        queue.len -= 1;
    }

    /// Takes a node out altogether.
    #[inline]
    fn take(&mut self, at: Place) -> Option<(K, Entry<V>)> {
        let hash = self.nodes.get(at)?.hash;
        self.unlink(at);
        if let Ok(found) = self.table.find_entry(hash, |other| *other == at) {
            found.remove();
        }
        if self.newest == at {
            self.newest = Place::NONE;
        }
        let node = self.nodes.remove(at)?;
        Some((node.key, node.entry))
    }

    fn hits(&mut self, at: Place) -> u8 {
        self.nodes.get_mut(at).map_or(0, |node| *node.hits.get_mut())
    }

    /// Lets the oldest of the small queue pass into the main one while there is room for all.
    fn overflow(&mut self) {
        while self.small.len > 1 && self.small.weight > self.small_target() {
            let oldest = self.small.tail;
            self.unlink(oldest);
            self.link(oldest, Which::Main);
        }
    }

    /// Finds who gives way in the main queue; those that were hit go round again.
    fn main_victim(&mut self) -> Option<Place> {
        while !self.main.tail.is_none() && !self.is_newest_alone_in_main() {
            let at = self.main.tail;
            let hits = self.hits(at);
            if hits == 0 && at != self.newest {
                return Some(at);
            }
            self.unlink(at);
            self.link(at, Which::Main);
            if let Some(node) = self.nodes.get_mut(at) {
                *node.hits.get_mut() = hits.saturating_sub(1);
            }
        }
        None
    }

    fn is_newest_alone_in_main(&self) -> bool {
        self.main.len == 1 && self.main.tail == self.newest
    }

    /// Finds who gives way by the order of the queues.
    fn victim(&mut self) -> Option<Place> {
        loop {
            let oldest = self.small.tail;
            let main_is_empty = self.main.len == 0 || self.is_newest_alone_in_main();
            let from_small = !oldest.is_none()
                && oldest != self.newest
                && (self.small.weight > self.small_target() || main_is_empty);
            if from_small {
                if self.hits(oldest) >= TRIAL_HITS {
                    self.unlink(oldest);
                    self.link(oldest, Which::Main);
                    continue;
                }
                let hash = self.nodes.get(oldest)?.hash;
                self.ghosts.remember(hash);
                return Some(oldest);
            }
            let at = match self.main_victim() {
                Some(at) => at,
                // Only the newest is left, or one before it in the small queue.
                None => self.small_before_newest().unwrap_or(self.newest),
            };
            return Some(at);
        }
    }

    fn small_before_newest(&self) -> Option<Place> {
        let mut at = self.small.tail;
        while at == self.newest && !at.is_none() {
            at = self.nodes.get(at)?.prev;
        }
        (!at.is_none()).then_some(at)
    }

    /// Looks at the next few nodes for one whose time is over.
    fn stale(&mut self, now: Tick) -> Option<Place> {
        let places = self.nodes.places();
        for _ in 0..LOOKED_AT.min(places) {
            self.cursor = if self.cursor + 1 < places { self.cursor + 1 } else { 0 };
            if let Some(at) = self.nodes.place(self.cursor)
                && at != self.newest
                && self.nodes.get(at).is_some_and(|node| !node.entry.is_fresh(now))
            {
                return Some(at);
            }
        }
        None
    }
}

impl<K: Eq, V> Policy<K, V> for S3Fifo<K, V> {
    #[inline]
    fn hit<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<&Entry<V>>
    where
        K: Borrow<Q>,
    {
        self.hit_shared(lookup).map(|(_, entry)| entry)
    }

    #[inline]
    fn peek<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<&Entry<V>>
    where
        K: Borrow<Q>,
    {
        self.node(lookup).map(|node| &node.entry)
    }

    fn peek_mut<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<&mut Entry<V>>
    where
        K: Borrow<Q>,
    {
        let at = self.place(lookup)?;
        self.nodes.get_mut(at).map(|node| &mut node.entry)
    }

    fn examine<Q: Eq + ?Sized, T>(&self, lookup: &Lookup<'_, Q>, look: impl Fn(&K, &Entry<V>) -> T) -> Option<T>
    where
        K: Borrow<Q>,
    {
        self.node(lookup).map(|node| look(&node.key, &node.entry))
    }

    #[inline]
    fn insert(&mut self, hash: u64, key: K, entry: Entry<V>) -> Option<(K, Entry<V>)> {
        let weight = entry.weight();
        if let Some(at) = self.place(&Lookup::new(hash, &key))
            && let Some(node) = self.nodes.get_mut(at)
        {
            let hits = node.hits.get_mut();
            *hits = (*hits + 1).min(MOST_HITS);
            let which = node.queue;
            let old = (std::mem::replace(&mut node.key, key), std::mem::replace(&mut node.entry, entry));
            let queue = self.queue(which);
            queue.weight = queue.weight - old.1.weight() + weight;
            self.newest = at;
            return Some(old);
        }
        self.ghosts.fit(self.table.len() + 1);
        let which = if self.ghosts.recall(hash) { Which::Main } else { Which::Small };
        let Some(at) = self.nodes.vacant() else { return Some((key, entry)) };
        let (hits, prev, next) = (AtomicU8::new(0), Place::NONE, Place::NONE);
        self.nodes.fill(at, Node { hits, queue: which, key, entry, hash, prev, next });
        self.link(at, which);
        let nodes = &self.nodes;
        self.table.insert_unique(hash, at, |at| nodes.get(*at).map_or(0, |node| node.hash));
        self.newest = at;
        None
    }

    fn settle_in(&mut self) {
        self.overflow();
    }

    fn remove<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<(K, Entry<V>)>
    where
        K: Borrow<Q>,
    {
        let at = self.place(lookup)?;
        self.take(at)
    }

    #[inline]
    fn evict(&mut self, now: Tick) -> Option<Victim<K, V>> {
        let stale = if now > Tick::ORIGIN { self.stale(now) } else { None };
        let at = stale.or_else(|| self.victim())?;
        self.take(at)
    }

    fn extract(
        &mut self,
        from: usize,
        most: usize,
        mut fits: impl FnMut(&K, &Entry<V>) -> bool,
        mut each: impl FnMut((K, Entry<V>)),
    ) -> Option<usize> {
        let end = from.saturating_add(most).min(self.nodes.places());
        for number in from..end {
            if let Some(at) = self.nodes.place(number)
                && self.nodes.get(at).is_some_and(|node| fits(&node.key, &node.entry))
                && let Some(gone) = self.take(at)
            {
                each(gone);
            }
        }
        (end < self.nodes.places()).then_some(end)
    }

    #[cfg(feature = "snapshot")]
    fn each(&self, mut show: impl FnMut(&K, &Entry<V>)) {
        let mut nodes = Vec::with_capacity(self.len());
        for queue in [&self.main, &self.small] {
            let mut at = queue.head;
            while let Some(node) = self.nodes.get(at) {
                nodes.push(node);
                at = node.next;
            }
        }
        // Stable: among those of as many hits, the main queue before the small one, each from its newest.
        nodes.sort_by_key(|node| std::cmp::Reverse(node.hits.load(Ordering::Relaxed)));
        for node in nodes {
            show(&node.key, &node.entry);
        }
    }

    fn len(&self) -> usize {
        self.table.len()
    }
}

/// The small queue is on trial with a tenth of the room.
const SMALL_PART: u64 = 10;
/// So many hits pass the trial.
const TRIAL_HITS: u8 = 2;
const MOST_HITS: u8 = 3;
/// How many nodes an eviction looks at for one whose time is over.
const LOOKED_AT: usize = 16;

#[cfg(test)]
mod tests;
