//! What all handles of one cache share.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use foldhash::fast::{FixedState, RandomState};
use tracing::level_filters::LevelFilter;

use crate::budget::Budget;
use crate::clock::Timer;
use crate::config::CacheConfig;
use crate::counters::{Counter, Counters};
use crate::entry::{Entry, EntryOptions, Insertion};
use crate::expiry::{Deadline, Idle, Jitter, Tick};
use crate::held::{Held, Keeping};
use crate::observer::{CacheEvent, MissCause, Observer};
use crate::outgoing::{Outgoing, Why};
use crate::policy::{Entries, Lookup, Policy as _, Shared};
use crate::shard::{Found, NODE_BYTES, Shard};
use crate::stats::CacheStats;
use crate::sweeper::Sweeper;
use crate::weigh::BoxedWeigher;

/// What a cache is made from.
#[derive(Debug)]
pub(crate) struct Setup<K, V> {
    pub(crate) name: String,
    pub(crate) config: CacheConfig,
    pub(crate) weigher: BoxedWeigher<K, V>,
    pub(crate) timer: Timer,
    pub(crate) seed: Option<u64>,
    pub(crate) observer: Option<Arc<dyn Observer>>,
}

/// How keys are hashed. One type for both would find its seed behind a pointer, on every hit.
enum Hashing {
    Random(RandomState),
    Seeded(FixedState),
}

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The seed is nobody's business.
        f.write_str("Hashing")
    }
}

#[derive(Debug)]
pub(crate) struct Inner<K: Eq, V> {
    name: String,
    config: CacheConfig,
    /// Seeded per process: a hash must never leave it.
    hasher: Hashing,
    shards: Box<[Shard<K, V>]>,
    budget: Budget,
    counters: Counters,
    weigher: BoxedWeigher<K, V>,
    keeping: Keeping,
    timer: Timer,
    jitter: Jitter,
    /// Whether an entry with a deadline was ever stored; until then nobody needs to know the time.
    timed: AtomicBool,
    observer: Option<Arc<dyn Observer>>,
    /// Ends with the cache.
    _sweeper: Option<Sweeper>,
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(setup: Setup<K, V>, sweeper: Option<Sweeper>) -> Self {
        let Setup { name, mut config, weigher, timer, seed, observer } = setup;
        let (shards, max_entry) = (config.effective_shards(), config.effective_max_entry_bytes());
        config.shards = Some(shards);
        config.max_entry_bytes = Some(max_entry);
        let budget = Budget::new(config.max_bytes, max_entry, u64::try_from(shards).unwrap_or(u64::MAX));
        let new_shard = || Shard::new(config.policy, budget.share());
        Self {
            name,
            hasher: seed.map_or_else(
                || Hashing::Random(RandomState::default()),
                |seed| Hashing::Seeded(FixedState::with_seed(seed)),
            ),
            shards: std::iter::repeat_with(new_shard).take(shards).collect(),
            budget,
            counters: Counters::new(),
            weigher,
            keeping: Keeping::of::<V>(),
            timer,
            jitter: Jitter::new(config.jitter_percent),
            timed: AtomicBool::new(false),
            observer,
            _sweeper: sweeper,
            config,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) const fn config(&self) -> &CacheConfig {
        &self.config
    }

    pub(crate) const fn budget(&self) -> &Budget {
        &self.budget
    }

    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        match &self.hasher {
            Hashing::Random(state) => state.hash_one(key),
            Hashing::Seeded(state) => state.hash_one(key),
        }
    }

    #[inline]
    pub(crate) fn shard(&self, hash: u64) -> &Shard<K, V> {
        // The table in a shard uses the lowest bits and the highest seven: these are neither.
        let index = (hash >> 40) as usize & (self.shards.len() - 1);
        #[expect(
            clippy::indexing_slicing,
            reason = "the number of shards is a power of two, so the mask keeps the index below it"
        )]
        &self.shards[index]
    }

    /// Reads the clock if any entry can expire.
    #[inline]
    pub(crate) fn now(&self) -> Tick {
        if self.timed.load(Ordering::Relaxed) { self.read_clock() } else { Tick::ORIGIN }
    }

    pub(crate) fn read_clock(&self) -> Tick {
        self.timer.now()
    }

    /// Makes an entry of a value that is stored now, and returns that now with it. Nothing of this
    /// needs a lock.
    // Inlined, as all on the way of an entry into its node: each move of one costs as much as the
    // search for its place.
    #[inline]
    pub(crate) fn entry(&self, hash: u64, value: V, weight: u64, options: EntryOptions) -> (Entry<V>, Tick) {
        let (ttl, idle) = (options.ttl.resolve(self.config.ttl), options.idle.resolve(self.config.time_to_idle));
        if (ttl.is_some() || idle.is_some()) && !self.timed.load(Ordering::Relaxed) {
            // Before the entry can be seen, so that who sees it looks at the clock. Only written
            // once: the line is read by every lookup.
            self.timed.store(true, Ordering::Relaxed);
        }
        let now = self.now();
        let deadline =
            ttl.map_or(Deadline::NEVER, |ttl| Deadline::after(now, self.jitter.shorten(ttl, hash ^ now.noise())));
        let held = Held::new(value, self.keeping);
        (Entry { held, weight, deadline, idle: Idle::new(now, idle) }, now)
    }

    /// Weighs an entry with its node.
    pub(crate) fn weigh(&self, key: &K, value: &V) -> u64 {
        self.weigher.weigh(key, value).saturating_add(NODE_BYTES)
    }

    #[inline]
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.look_up(self.hash(key), key)
    }

    #[inline]
    pub(crate) fn look_up<Q>(&self, hash: u64, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let now = self.now();
        let lookup = Lookup::new(hash, key);
        let shard = self.shard(hash);
        let core = shard.read();
        let is_absent = match core.entries.hit_shared(&lookup) {
            Shared::Found(entry) if entry.is_fresh(now) => {
                entry.idle.touch(now);
                let held = entry.held.take();
                drop(core);
                self.count_hit();
                return Some(held.into_value());
            }
            Shared::Absent => true,
            Shared::Found(_) | Shared::NeedsTheLock => false,
        };
        drop(core);
        if is_absent {
            self.tell_miss(Found::Absent);
            return None;
        }
        self.look_up_alone(shard, &lookup, now)
    }

    /// Looks a key up where that moves its entry or takes it out.
    fn look_up_alone<Q>(&self, shard: &Shard<K, V>, lookup: &Lookup<'_, Q>, now: Tick) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + ?Sized,
    {
        let found = shard.lock().look_up(&self.budget, lookup, now);
        match found {
            Found::Live(held) => {
                self.count_hit();
                Some(held.into_value())
            }
            missing => {
                self.tell_miss(missing);
                None
            }
        }
    }

    #[inline]
    pub(crate) fn count_hit(&self) {
        self.counters.add(Counter::Hits);
        self.emit_quietly(CacheEvent::Hit);
    }

    /// Counts and tells of a lookup that was not served, and drops what it found expired.
    pub(crate) fn tell_miss(&self, found: Found<K, V>) {
        let cause = match found {
            Found::Expired(gone) => {
                self.emit(CacheEvent::Expired { weight: gone.1.weight });
                MissCause::Expired
            }
            Found::Absent | Found::Live(_) => {
                self.counters.add(Counter::Absent);
                MissCause::Absent
            }
        };
        self.emit_quietly(CacheEvent::Miss { cause });
    }

    pub(crate) fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let now = self.now();
        self.shard(hash).read().entries.peek(&Lookup::new(hash, key)).is_some_and(|entry| entry.is_fresh(now))
    }

    #[inline]
    pub(crate) fn insert(&self, key: K, value: V, options: EntryOptions) -> Insertion<V> {
        let hash = self.hash(&key);
        let weight = self.weigh(&key, &value);
        if weight > self.budget.max_entry() {
            return self.refuse(hash, &key, value, weight);
        }
        let (entry, now) = self.entry(hash, value, weight, options);
        let mut out = Outgoing::new();
        let mut shard = self.shard(hash).lock();
        // A load that began before this insert would bring an older value.
        let overtaken = shard.core.flights.detach(hash, &key);
        let displaced = shard.put(&self.budget, hash, key, entry, now, &mut out);
        let previous = match displaced {
            Some((_, old)) if !old.is_fresh(now) => {
                shard.core.counts.expirations += 1;
                Err(Some(old))
            }
            Some((_, old)) => Ok(old.held),
            None => Err(None),
        };
        drop(shard);
        drop(overtaken);
        self.emit(CacheEvent::Inserted { weight });
        self.release(out);
        self.settle(hash);
        match previous {
            Ok(held) => Insertion::Replaced { previous: held.into_value() },
            Err(expired) => {
                if let Some(old) = expired {
                    self.emit(CacheEvent::Expired { weight: old.weight });
                }
                Insertion::Inserted
            }
        }
    }

    /// Gives a value back that is too heavy, and drops what was stored under its key: the caller
    /// said that it is no longer true.
    #[cold]
    fn refuse(&self, hash: u64, key: &K, value: V, weight: u64) -> Insertion<V> {
        let mut out = Outgoing::new();
        let mut shard = self.shard(hash).lock();
        let overtaken = shard.core.flights.detach(hash, key);
        if let Some(gone) = shard.take(&self.budget, &Lookup::new(hash, key)) {
            out.push(Why::Removed, gone);
        }
        shard.core.counts.refusals += 1;
        drop(shard);
        drop(overtaken);
        self.release(out);
        let limit = self.budget.max_entry();
        self.emit(CacheEvent::Refused { weight, limit });
        Insertion::Refused { value, weight, limit }
    }

    pub(crate) fn remove<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let now = self.now();
        let mut shard = self.shard(hash).lock();
        let overtaken = shard.core.flights.detach(hash, key);
        let gone = shard.take(&self.budget, &Lookup::new(hash, key));
        let expired = gone.as_ref().is_some_and(|(_, entry)| !entry.is_fresh(now));
        shard.core.counts.expirations += u64::from(expired);
        drop(shard);
        drop(overtaken);
        let (_, entry) = gone?;
        let weight = entry.weight;
        if expired {
            self.emit(CacheEvent::Expired { weight });
            return None;
        }
        self.emit(CacheEvent::Removed { weight });
        Some(entry.held.into_value())
    }

    pub(crate) fn clear(&self) {
        let mut entries = 0;
        for shard in &self.shards {
            let empty = Entries::new(self.config.policy, self.budget.share());
            let emptied = shard.lock().empty(&self.budget, empty);
            entries += u64::try_from(emptied.0.len()).unwrap_or(u64::MAX);
        }
        self.emit(CacheEvent::Cleared { entries });
    }

    pub(crate) fn maintain(&self) -> usize {
        (0..).map_while(|shard| self.sweep_shard(shard)).sum()
    }

    /// Drops what has expired in one shard, and returns how much; `None` if there is no such shard.
    pub(crate) fn sweep_shard(&self, number: usize) -> Option<usize> {
        let shard = self.shards.get(number)?;
        if !self.timed.load(Ordering::Relaxed) {
            return Some(0);
        }
        let now = self.read_clock();
        let (mut swept, mut from) = (0, Some(0));
        while let Some(part) = from {
            let mut out = Outgoing::new();
            // Others have a chance at the lock between two parts.
            from = shard.lock().sweep(&self.budget, part, now, &mut out);
            swept += out.len();
            self.release(out);
        }
        Some(swept)
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.read().entries.len()).sum()
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let mut stats = CacheStats {
            max_bytes: self.budget.max(),
            hits: self.counters.sum(Counter::Hits),
            misses_absent: self.counters.sum(Counter::Absent),
            ..CacheStats::default()
        };
        for shard in &self.shards {
            let counted = shard.stats();
            stats.absorb(&counted);
        }
        stats
    }

    /// Lets entries of other shards give way until the budget holds again, after an insert into the
    /// shard of `hash` could not do so from its own. One lock at a time.
    #[inline]
    pub(crate) fn settle(&self, hash: u64) {
        if self.budget.is_exceeded() {
            self.borrow_room(self.shard(hash));
        }
    }

    #[cold]
    fn borrow_room(&self, own: &Shard<K, V>) {
        let now = self.now();
        while self.budget.is_exceeded() {
            let mut out = Outgoing::new();
            let others = self.shards.iter().filter(|shard| !std::ptr::eq(*shard, own));
            let fullest = others.max_by_key(|shard| shard.bytes()).filter(|shard| shard.bytes() > 0);
            let settled = match fullest {
                // If it was emptied meanwhile there is a new fullest to look for.
                Some(shard) => {
                    shard.lock().evict(&self.budget, now, &mut out);
                    false
                }
                // Only this one is left. Its newest entry fits alone: if the budget is exceeded all
                // the same, by an insert that is under way, that one settles after itself.
                None => !own.lock().evict_older(&self.budget, now, &mut out),
            };
            self.release(out);
            if settled {
                break;
            }
        }
    }

    /// Tells of entries that have left, and drops them; never called with a lock held.
    #[inline]
    pub(crate) fn release(&self, out: Outgoing<K, V>) {
        out.release(|event| self.emit(event));
    }

    /// Tells of what happens on every lookup: only to an observer, since a log line per hit is of
    /// no use.
    #[inline]
    pub(crate) fn emit_quietly(&self, event: CacheEvent) {
        if let Some(observer) = &self.observer {
            observer.on_event(&self.name, &event);
        }
    }

    #[inline]
    pub(crate) fn emit(&self, event: CacheEvent) {
        // Asked first and out of line: with no one listening, an insert has no room for two of these.
        if LevelFilter::current() >= LevelFilter::DEBUG {
            self.log(event);
        }
        self.emit_quietly(event);
    }

    #[cold]
    fn log(&self, event: CacheEvent) {
        tracing::debug!(target: "bedplate_cache", cache = self.name, ?event, "cache event");
    }
}
