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
use std::{fmt, mem};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as TableEntry;

use super::ghosts::Ghosts;
use super::keyed::Lookup;
use super::slab::{Place, Slab};
use super::{Policy, Victim};
use crate::entry::{Cold, Entry, Hot, Remains, View, ViewMut};
use crate::expiry::{Deadline, Tick, Which};

pub(crate) struct S3Fifo<K, V> {
    table: HashTable<Place>,
    nodes: Slab<Node<K, V>, Links>,
    small: Queue,
    main: Queue,
    ghosts: Ghosts,
    /// What this shard may hold when all are equally full.
    share: u64,
    /// Stored last: it stays, or an insert could evict what it has just stored.
    newest: Place,
    /// Where the search for entries whose time is over goes on.
    cursor: usize,
    /// No entry ends before it, so until then nobody searches.
    soonest: Deadline,
    /// The same of the entries that this round of the search has seen, and of those that came
    /// meanwhile.
    soonest_seen: Deadline,
}

/// What a hit reads. With a key and a value of eight bytes two of these are one line of memory.
#[repr(C)]
pub(super) struct Node<K, V> {
    key: K,
    pub(super) hot: Hot<V>,
}

/// What lies aside of a node: hardly anyone but a writer reads it.
#[derive(Debug)]
struct Links {
    hash: u64,
    prev: Place,
    next: Place,
    cold: Cold,
}

impl Default for Links {
    fn default() -> Self {
        Self { hash: 0, prev: Place::NONE, next: Place::NONE, cold: Cold::default() }
    }
}

#[cfg(all(target_pointer_width = "64", not(shuttle)))]
const _: () = assert!(size_of::<Node<u64, u64>>() == 32 && size_of::<Links>() == 48);

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
            soonest: Deadline::NEVER,
            soonest_seen: Deadline::NEVER,
        }
    }

    /// Finds an entry and counts the access, which needs no lock of its own.
    #[inline]
    pub(crate) fn hit_shared<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<(&K, View<'_, V>)>
    where
        K: Borrow<Q>,
    {
        let (key, view) = self.found(lookup)?;
        view.hot.mark().hit();
        Some((key, view))
    }

    /// Finds a node and its place.
    #[inline]
    pub(super) fn find<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<(Place, &Node<K, V>)>
    where
        K: Borrow<Q>,
    {
        // A stored hash would be on another line than the key: to compare it first costs more.
        let mut found = None;
        let at = self.table.find(lookup.hash(), |&at| match self.nodes.get(at) {
            Some(node) if node.key.borrow() == lookup.key() => {
                found = Some(node);
                true
            }
            _ => false,
        })?;
        Some((*at, found?))
    }

    #[inline]
    fn found<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<(&K, View<'_, V>)>
    where
        K: Borrow<Q>,
    {
        let (at, node) = self.find(lookup)?;
        Some((&node.key, View { hot: &node.hot, cold: &self.nodes.aside(at)?.cold }))
    }

    fn view(&self, at: Place) -> Option<(&K, View<'_, V>)> {
        let (node, links) = self.nodes.both(at)?;
        Some((&node.key, View { hot: &node.hot, cold: &links.cold }))
    }

    fn place<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<Place>
    where
        K: Borrow<Q>,
    {
        self.find(lookup).map(|(at, _)| at)
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

    /// Puts a node into a queue, with so many hits.
    #[inline]
    fn link(&mut self, at: Place, which: Which, hits: u8) {
        let Some((node, links)) = self.nodes.both(at) else { return };
        node.hot.mark().put(which, hits);
        let head = self.enter(at, which, links.cold.weight());
        if let Some(links) = self.nodes.aside_mut(at) {
            (links.prev, links.next) = (Place::NONE, head);
        }
    }

    /// Makes a node the head of a queue, and returns the old one.
    #[inline]
    fn enter(&mut self, at: Place, which: Which, weight: u64) -> Place {
        let queue = self.queue(which);
        let head = mem::replace(&mut queue.head, at);
        queue.weight += weight;
        queue.len += 1;
        if head.is_none() {
            queue.tail = at;
        } else if let Some(second) = self.nodes.aside_mut(head) {
            second.prev = at;
        }
        head
    }

    /// Takes a node out of its queue, and returns its hash.
    #[inline]
    fn unlink(&mut self, at: Place) -> Option<u64> {
        let (node, links) = self.nodes.both(at)?;
        let (which, weight, prev, next) = (node.hot.mark().queue(), links.cold.weight(), links.prev, links.next);
        let hash = links.hash;
        if let Some(links) = self.nodes.aside_mut(prev) {
            links.next = next;
        }
        if let Some(links) = self.nodes.aside_mut(next) {
            links.prev = prev;
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
        Some(hash)
    }

    /// Puts an entry in the place of another with the same key; that counts as an access.
    fn replace(&mut self, at: Place, key: K, entry: Entry<V>) -> Option<(K, Entry<V>)> {
        let weight = entry.weight();
        let node = self.nodes.get_mut(at)?;
        let mark = node.hot.mark();
        let which = mark.queue();
        entry.hot.mark().put(which, mark.hits() + 1);
        let (key, hot) = (mem::replace(&mut node.key, key), mem::replace(&mut node.hot, entry.hot));
        let cold = mem::replace(&mut self.nodes.aside_mut(at)?.cold, entry.cold);
        let queue = self.queue(which);
        queue.weight = queue.weight - cold.weight() + weight;
        self.newest = at;
        Some((key, Entry { hot, cold }))
    }

    /// Takes a node out altogether.
    #[inline]
    fn take(&mut self, at: Place) -> Option<(K, Entry<V>)> {
        self.leave(at)?;
        let node = self.nodes.remove(at)?;
        let cold = mem::take(&mut self.nodes.aside_mut(at)?.cold);
        Some((node.key, Entry { hot: node.hot, cold }))
    }

    /// Makes that nothing leads to a node any more.
    #[inline]
    fn leave(&mut self, at: Place) -> Option<()> {
        let hash = self.unlink(at)?;
        if let Ok(found) = self.table.find_entry(hash, |other| *other == at) {
            found.remove();
        }
        if self.newest == at {
            self.newest = Place::NONE;
        }
        Some(())
    }

    fn hits(&self, at: Place) -> u8 {
        self.nodes.get(at).map_or(0, |node| node.hot.mark().hits())
    }

    /// Lets the oldest of the small queue pass into the main one while there is room for all.
    fn overflow(&mut self) {
        while self.small.len > 1 && self.small.weight > self.small_target() {
            let oldest = self.small.tail;
            self.unlink(oldest);
            self.link(oldest, Which::Main, 0);
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
            self.link(at, Which::Main, hits.saturating_sub(1));
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
                    self.link(oldest, Which::Main, 0);
                    continue;
                }
                let hash = self.nodes.aside(oldest)?.hash;
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
            at = self.nodes.aside(at)?.prev;
        }
        (!at.is_none()).then_some(at)
    }

    /// Notes when an entry ends, or may end.
    fn note_end(&mut self, end: Deadline) {
        self.soonest = self.soonest.min(end);
        self.soonest_seen = self.soonest_seen.min(end);
    }

    /// Looks at the next few nodes for one whose time is over.
    #[cold]
    fn stale(&mut self, now: Tick) -> Option<Place> {
        let places = self.nodes.places();
        for _ in 0..LOOKED_AT.min(places) {
            self.cursor += 1;
            if self.cursor >= places {
                self.cursor = 0;
                self.soonest = mem::replace(&mut self.soonest_seen, Deadline::NEVER);
            }
            if let Some(at) = self.nodes.place(self.cursor)
                && let Some((_, entry)) = self.view(at)
            {
                let (is_fresh, end) = (entry.is_fresh(now), earliest_end(entry.hot));
                if !is_fresh && at != self.newest {
                    return Some(at);
                }
                self.note_end(end);
            }
        }
        None
    }
}

/// When an entry ends, at the earliest.
fn earliest_end<V>(hot: &Hot<V>) -> Deadline {
    // Readers put the end of an idle time off, so it is not reckoned with: it may always be over.
    if hot.mark().is_limited() { Tick::ORIGIN.deadline() } else { hot.fresh }
}

impl<K: Eq, V> Policy<K, V> for S3Fifo<K, V> {
    #[inline]
    fn hit<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<View<'_, V>>
    where
        K: Borrow<Q>,
    {
        self.hit_shared(lookup).map(|(_, entry)| entry)
    }

    #[inline]
    fn peek<Q: Eq + ?Sized>(&self, lookup: &Lookup<'_, Q>) -> Option<View<'_, V>>
    where
        K: Borrow<Q>,
    {
        self.found(lookup).map(|(_, entry)| entry)
    }

    fn peek_mut<Q: Eq + ?Sized>(&mut self, lookup: &Lookup<'_, Q>) -> Option<ViewMut<'_, V>>
    where
        K: Borrow<Q>,
    {
        let at = self.place(lookup)?;
        self.note_end(Tick::ORIGIN.deadline());
        let (node, links) = self.nodes.both_mut(at)?;
        Some(ViewMut { hot: &mut node.hot, cold: &mut links.cold })
    }

    fn examine<Q: Eq + ?Sized, T>(&self, lookup: &Lookup<'_, Q>, look: impl Fn(&K, View<'_, V>) -> T) -> Option<T>
    where
        K: Borrow<Q>,
    {
        self.found(lookup).map(|(key, entry)| look(key, entry))
    }

    #[inline]
    fn insert(&mut self, hash: u64, key: K, entry: Entry<V>) -> Option<(K, Entry<V>)> {
        self.note_end(earliest_end(&entry.hot));
        let nodes = &self.nodes;
        let is_it = |at: &Place| nodes.get(*at).is_some_and(|node| node.key == key);
        let slot = match self.table.entry(hash, is_it, |at| nodes.aside(*at).map_or(0, |links| links.hash)) {
            TableEntry::Vacant(slot) => slot,
            TableEntry::Occupied(found) => {
                let at = *found.get();
                return self.replace(at, key, entry);
            }
        };
        let Some(at) = self.nodes.vacant() else { return Some((key, entry)) };
        slot.insert(at);
        self.ghosts.fit(self.table.len());
        let which = if self.ghosts.recall(hash) { Which::Main } else { Which::Small };
        // Written as it is linked, once.
        let Entry { hot, cold } = entry;
        hot.mark().put(which, 0);
        let head = self.enter(at, which, cold.weight());
        self.nodes.fill(at, Node { key, hot }, Links { hash, prev: Place::NONE, next: head, cold });
        self.newest = at;
        None
    }

    #[inline]
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
        let stale = if self.soonest.has_passed(now) { self.stale(now) } else { None };
        let at = stale.or_else(|| self.victim())?;
        self.leave(at)?;
        let Node { key, hot } = self.nodes.remove(at)?;
        Some((key, Remains::new(hot, &mut self.nodes.aside_mut(at)?.cold)))
    }

    fn extract(
        &mut self,
        from: usize,
        most: usize,
        mut fits: impl FnMut(&K, View<'_, V>) -> bool,
        mut each: impl FnMut((K, Entry<V>)),
    ) -> Option<usize> {
        let end = from.saturating_add(most).min(self.nodes.places());
        for number in from..end {
            if let Some(at) = self.nodes.place(number)
                && self.view(at).is_some_and(|(key, entry)| fits(key, entry))
                && let Some(gone) = self.take(at)
            {
                each(gone);
            }
        }
        (end < self.nodes.places()).then_some(end)
    }

    #[cfg(feature = "snapshot")]
    fn each(&self, mut show: impl FnMut(&K, View<'_, V>)) {
        let mut nodes = Vec::with_capacity(self.len());
        for queue in [&self.main, &self.small] {
            let mut at = queue.head;
            while let Some(node) = self.view(at) {
                nodes.push(node);
                at = self.nodes.aside(at).map_or(Place::NONE, |links| links.next);
            }
        }
        // Stable: among those of as many hits, the main queue before the small one, each from its newest.
        nodes.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.hot.mark().hits()));
        for (key, entry) in nodes {
            show(key, entry);
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
/// How many nodes an eviction looks at for one whose time is over.
const LOOKED_AT: usize = 16;

#[cfg(test)]
mod tests;
