//! Which values were made untrue, and since when.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::RwLock;

use super::tag::Tag;

/// Counts generations and remembers what each made untrue.
///
/// A generation is written to the tombstones before it becomes the current one, and the watermarks
/// before both: whoever sees the new generation also sees what it made untrue.
#[derive(Debug)]
pub(crate) struct Generations<K> {
    /// The generation of what begins now; from 1.
    current: AtomicU64,
    /// The newest generation that made anything untrue; an entry that is not older needs no look.
    newest: AtomicU64,
    /// Everything older is untrue.
    cleared: AtomicU64,
    /// The same for entries without tags: patterns alone.
    newest_pattern: AtomicU64,
    /// Loads that began before this may not store, since a tombstone that they would have to be
    /// compared with was given up.
    floor: AtomicU64,
    /// Everything older may be untrue: it is stale from now on.
    suspected: AtomicU64,
    tombstones: RwLock<Tombstones<K>>,
}

#[derive(Debug)]
struct Tombstones<K> {
    tags: HashMap<Tag, u64, RandomState>,
    patterns: Vec<Pattern<K>>,
}

struct Pattern<K> {
    /// Tells equal patterns apart from different ones: kind and text.
    name: String,
    generation: u64,
    fits: Box<dyn Fn(&K) -> bool + Send + Sync>,
}

impl<K> fmt::Debug for Pattern<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What an invalidation makes untrue.
pub(crate) enum Scope<K> {
    Everything,
    Tag(Tag),
    Pattern { name: String, fits: Box<dyn Fn(&K) -> bool + Send + Sync> },
}

impl<K> Generations<K> {
    pub(crate) fn new() -> Self {
        let tombstones = Tombstones { tags: HashMap::default(), patterns: Vec::new() };
        Self {
            current: AtomicU64::new(1),
            newest: AtomicU64::new(0),
            cleared: AtomicU64::new(0),
            newest_pattern: AtomicU64::new(0),
            floor: AtomicU64::new(0),
            suspected: AtomicU64::new(0),
            tombstones: RwLock::new(tombstones),
        }
    }

    /// Returns the generation of what begins now.
    #[inline]
    pub(crate) fn current(&self) -> u64 {
        self.current.load(Ordering::Acquire)
    }

    /// Returns the generation before which an entry needs a closer look.
    #[inline]
    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// Opens a generation; what fits and is older is untrue from now on. Tells whether there are
    /// too many tombstones now, so that a sweep is due.
    #[must_use]
    pub(crate) fn open(&self, scope: Scope<K>) -> bool {
        let mut tombstones = self.tombstones.write();
        let generation = self.current.load(Ordering::Relaxed) + 1;
        // Dropped after the lock: a pattern of the same name.
        let mut replaced = None;
        match scope {
            Scope::Everything => self.cleared.store(generation, Ordering::Relaxed),
            Scope::Tag(tag) => {
                tombstones.tags.insert(tag, generation);
            }
            Scope::Pattern { name, fits } => {
                let at = tombstones.patterns.iter().position(|pattern| pattern.name == name);
                replaced = at.map(|at| tombstones.patterns.swap_remove(at));
                tombstones.patterns.push(Pattern { name, generation, fits });
                self.newest_pattern.store(generation, Ordering::Relaxed);
            }
        }
        self.newest.store(generation, Ordering::Relaxed);
        self.current.store(generation, Ordering::Release);
        let crowded = tombstones.is_crowded();
        drop(tombstones);
        drop(replaced);
        crowded
    }

    /// Opens a generation; what is older is not to be trusted from now on, though it may be true.
    #[cfg_attr(not(feature = "remote"), expect(dead_code, reason = "only other nodes give cause for it"))]
    pub(crate) fn suspect(&self) {
        let _order = self.tombstones.write();
        let generation = self.current.load(Ordering::Relaxed) + 1;
        // In order: who sees it also sees what was made untrue before.
        self.suspected.store(generation, Ordering::Release);
        self.newest.store(generation, Ordering::Relaxed);
        self.current.store(generation, Ordering::Release);
    }

    /// Returns the generation before which nothing is to be trusted.
    #[inline]
    pub(crate) fn suspected(&self) -> u64 {
        self.suspected.load(Ordering::Acquire)
    }

    /// Returns the newest generation that made untrue what began in `seq`; 0 if none did.
    pub(crate) fn overtaken(&self, seq: u64, tags: &[Tag], key: &K) -> u64 {
        if seq >= self.newest() {
            return 0;
        }
        let later = |generation: u64| if generation > seq { generation } else { 0 };
        let cleared = later(self.cleared.load(Ordering::Relaxed));
        if tags.is_empty() && seq >= self.newest_pattern.load(Ordering::Relaxed) {
            return cleared;
        }
        self.tombstones.read().overtaken(cleared, seq, tags, key)
    }

    /// The same for an entry with tags, with the generation up to which it was compared: until a newer one is opened, the
    /// answer stays.
    pub(crate) fn compare(&self, seq: u64, tags: &[Tag], key: &K) -> (u64, u64) {
        // No generation is opened while this is held, so everything up to the newest is seen.
        let tombstones = self.tombstones.read();
        let up_to = self.newest();
        let later = |generation: u64| if generation > seq { generation } else { 0 };
        (tombstones.overtaken(later(self.cleared.load(Ordering::Relaxed)), seq, tags, key), up_to)
    }

    /// The same for a load that ends: it also counts as overtaken if it can no longer be compared
    /// with all that happened since it began.
    pub(crate) fn overtaken_load(&self, seq: u64, tags: &[Tag], key: &K) -> u64 {
        let floor = self.floor.load(Ordering::Acquire);
        let forgotten = if seq < floor { floor } else { 0 };
        let suspected = self.suspected();
        let suspect = if seq < suspected { suspected } else { 0 };
        self.overtaken(seq, tags, key).max(forgotten).max(suspect)
    }

    /// Tells whether there is anything that a sweep could retire.
    pub(crate) fn has_tombstones(&self) -> bool {
        let tombstones = self.tombstones.read();
        !(tombstones.tags.is_empty() && tombstones.patterns.is_empty())
    }

    /// Gives up the tombstones up to a generation, after a sweep that began in it: no entry is left
    /// that they fit. Those that a load under way must still be compared with stay, but if there
    /// are too many: then that load will not be stored.
    pub(crate) fn retire(&self, swept: u64, oldest_load: u64) {
        let mut tombstones = self.tombstones.write();
        let mut gone = tombstones.retire(swept.min(oldest_load));
        if tombstones.is_crowded() {
            gone.append(&mut tombstones.retire(swept));
            self.floor.fetch_max(swept, Ordering::Release);
        }
        let newest_pattern = tombstones.patterns.iter().map(|pattern| pattern.generation).max().unwrap_or(0);
        let newest_tag = tombstones.tags.values().copied().max().unwrap_or(0);
        self.newest_pattern.store(newest_pattern, Ordering::Relaxed);
        let newest = newest_pattern.max(newest_tag).max(self.cleared.load(Ordering::Relaxed)).max(self.suspected());
        self.newest.store(newest, Ordering::Relaxed);
        drop(tombstones);
        drop(gone);
    }

    #[cfg(test)]
    pub(crate) fn tombstones(&self) -> usize {
        let tombstones = self.tombstones.read();
        tombstones.tags.len() + tombstones.patterns.len()
    }
}

impl<K> Tombstones<K> {
    /// Returns the newest generation after `seq` that made this key or one of its tags untrue, `cleared` if none is newer.
    fn overtaken(&self, cleared: u64, seq: u64, tags: &[Tag], key: &K) -> u64 {
        let of_tags = tags.iter().filter_map(|tag| self.tags.get(tag)).copied().filter(|generation| *generation > seq);
        let mut newest = of_tags.fold(cleared, u64::max);
        for pattern in &self.patterns {
            if pattern.generation > seq.max(newest) && (pattern.fits)(key) {
                newest = pattern.generation;
            }
        }
        newest
    }

    fn is_crowded(&self) -> bool {
        self.tags.len() > MAX_TAGS || self.patterns.len() > MAX_PATTERNS
    }

    fn retire(&mut self, upto: u64) -> Vec<Pattern<K>> {
        self.tags.retain(|_, generation| *generation > upto);
        self.patterns.extract_if(.., |pattern| pattern.generation <= upto).collect()
    }
}

/// A tombstone of a tag costs about 50 bytes and a lookup in a table.
pub(crate) const MAX_TAGS: usize = 4096;
/// Each is matched against the key on a read of an older entry.
pub(crate) const MAX_PATTERNS: usize = 64;
