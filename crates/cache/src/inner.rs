//! What all handles of one cache share.

use std::borrow::Borrow;
use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use foldhash::fast::RandomState;

use crate::budget::Budget;
use crate::clock::Clock;
use crate::config::CacheConfig;
use crate::engine::Rules;
use crate::entry::{Entry, EntryOptions, Extra, Insertion};
use crate::expiry::{Deadline, Tick};
use crate::invalidation::{Generations, Invalidation, InvalidationSink, Scope, Tag};
use crate::latency::LatencyRecorder;
use crate::load::Source;
use crate::observer::{CacheEvent, MissCause, Observer};
use crate::outgoing::{Outgoing, Why};
use crate::policy::{Lookup, Policy as _};
use crate::shard::{Buried, Found, NODE_BYTES, Shard};
use crate::stats::CacheStats;
use crate::weigh::BoxedWeigher;

#[derive(Debug)]
pub(crate) struct Inner<K: Eq, V> {
    name: String,
    config: CacheConfig,
    /// Seeded per process: a hash must never leave it.
    hasher: RandomState,
    shards: Box<[Shard<K, V>]>,
    budget: Budget,
    weigher: BoxedWeigher<K, V>,
    clock: Arc<dyn Clock>,
    /// Whether an entry with a deadline was ever stored; until then nobody needs to know the time.
    timed: AtomicBool,
    observer: Option<Arc<dyn Observer>>,
    rules: Rules,
    generations: Generations<K>,
    sink: Option<Arc<dyn InvalidationSink<K>>>,
    latency: LatencyRecorder,
    fallbacks: AtomicU64,
    timeouts: AtomicU64,
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(
        name: String,
        mut config: CacheConfig,
        weigher: BoxedWeigher<K, V>,
        clock: Arc<dyn Clock>,
        observer: Option<Arc<dyn Observer>>,
        sink: Option<Arc<dyn InvalidationSink<K>>>,
    ) -> Self {
        let (shards, max_entry) = (config.effective_shards(), config.effective_max_entry_bytes());
        config.shards = Some(shards);
        config.max_entry_bytes = Some(max_entry);
        let budget = Budget::new(config.max_bytes, max_entry, u64::try_from(shards).unwrap_or(u64::MAX));
        Self {
            name,
            rules: Rules::new(&config),
            generations: Generations::new(),
            sink,
            latency: LatencyRecorder::default(),
            fallbacks: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            config,
            hasher: RandomState::default(),
            shards: std::iter::repeat_with(Shard::new).take(shards).collect(),
            budget,
            weigher,
            clock,
            timed: AtomicBool::new(false),
            observer,
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

    pub(crate) const fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) const fn generations(&self) -> &Generations<K> {
        &self.generations
    }

    pub(crate) const fn latency(&self) -> &LatencyRecorder {
        &self.latency
    }

    #[inline]
    pub(crate) fn hash<Q: Hash + ?Sized>(&self, key: &Q) -> u64 {
        self.hasher.hash_one(key)
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
        Tick::from_duration(self.clock.now())
    }

    /// Reads the clock for something that will end.
    pub(crate) fn read_clock_for_end(&self) -> Tick {
        // Before the entry can be seen, so that who sees it looks at the clock. Only written once:
        // the line is read by every lookup.
        if !self.timed.load(Ordering::Relaxed) {
            self.timed.store(true, Ordering::Relaxed);
        }
        self.read_clock()
    }

    /// Makes an entry that is stored now, and returns that now with it. Its generation is the
    /// caller's to say.
    pub(crate) fn entry(&self, value: Option<V>, weight: u64, options: EntryOptions) -> (Entry<V>, Tick) {
        let ttl = match value {
            Some(_) => options.ttl.resolve(self.config.ttl),
            None => self.rules.negative_ttl,
        };
        let extra =
            (!options.tags.is_empty()).then(|| Box::new(Extra { tags: options.tags.into(), ..Extra::default() }));
        let Some(ttl) = ttl else {
            let (fresh, keep) = (Deadline::NEVER, Deadline::NEVER);
            return (Entry { value, weight, born: Tick::UNKNOWN, fresh, keep, seq: 0, extra }, self.now());
        };
        let now = self.read_clock_for_end();
        let fresh = Deadline::after(now, ttl);
        let mut entry = Entry { value, weight, born: now, fresh, keep: fresh, seq: 0, extra };
        if entry.value.is_some() {
            let revalidate = options.stale_while_revalidate.or(self.rules.stale_while_revalidate);
            let on_error = options.stale_if_error.or(self.rules.stale_if_error);
            entry.keep = fresh.plus(revalidate.max(on_error).unwrap_or_default());
            if let Some(window) = options.stale_while_revalidate {
                entry.extra_mut().revalidate = Some(fresh.plus(window));
            }
        }
        (entry, now)
    }

    /// Weighs an entry with its node and tags.
    pub(crate) fn weigh(&self, key: &K, value: Option<&V>, tags: &[Tag]) -> u64 {
        let own = match value {
            Some(value) => self.weigher.weigh(key, value),
            None => self.weigher.weigh_absent(key),
        };
        let tags = if tags.is_empty() { 0 } else { Extra::bytes(tags) };
        own.saturating_add(NODE_BYTES).saturating_add(tags)
    }

    #[inline]
    pub(crate) fn get<Q>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let now = self.now();
        let found = self.shard(hash).lock().look_up(&self.budget, &self.generations, &Lookup::new(hash, key), now);
        if let Found::Live(value) = found {
            self.emit_quietly(CacheEvent::Hit);
            return Some(value);
        }
        self.tell_miss(found);
        None
    }

    /// Tells of a lookup that was not served, and drops what it found at its end.
    fn tell_miss(&self, found: Found<K, V>) {
        let cause = match found {
            Found::Gone(buried) => self.tell_buried(&buried),
            Found::Stale => MissCause::Expired,
            Found::Absent | Found::Live(_) => MissCause::Absent,
        };
        self.emit_quietly(CacheEvent::Miss { cause });
    }

    /// Tells of an entry that a lookup took out, and returns what the lookup counts as.
    pub(crate) fn tell_buried(&self, buried: &Buried<K, V>) -> MissCause {
        let (why, (_, entry)) = &**buried;
        self.emit(why.event(entry.weight));
        why.cause()
    }

    pub(crate) fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let now = self.now();
        let lookup = Lookup::new(hash, key);
        let mut shard = self.shard(hash).lock();
        match shard.core.entries.peek(&lookup) {
            Some(entry) if entry.seq >= self.generations.newest() => {
                entry.value.is_some() && !entry.fresh.has_passed(now)
            }
            // Only until the tombstones are retired: a pattern is matched against the stored key.
            Some(_) => {
                shard.core.entries.pair(&lookup).is_some_and(|(key, entry)| entry.is_live(&self.generations, key, now))
            }
            None => false,
        }
    }

    pub(crate) fn insert(&self, key: K, value: V, options: EntryOptions) -> Insertion<V> {
        let hash = self.hash(&key);
        let weight = self.weigh(&key, Some(&value), &options.tags);
        if weight > self.budget.max_entry() {
            return self.refuse(hash, &key, value, weight);
        }
        let (mut entry, now) = self.entry(Some(value), weight, options);
        let mut out = Outgoing::new();
        let mut shard = self.shard(hash).lock();
        // A load that began before this insert would bring an older value.
        let overtaken = shard.core.flights.detach(hash, &key);
        entry.seq = self.generations.current();
        let displaced = shard.put(&self.budget, hash, key, entry, &mut out);
        let previous = match displaced {
            Some((key, old)) => match old.end(&self.generations, &key, now) {
                None if old.fresh.has_passed(now) => Err(Some((Why::Expired, old))),
                None => old.value.ok_or(None),
                Some(why) => Err(Some((why, old))),
            },
            None => Err(None),
        };
        if let Err(Some((why, _))) = &previous {
            shard.core.counts.gone(*why, 1);
        }
        drop(shard);
        drop(overtaken);
        self.emit(CacheEvent::Inserted { weight });
        self.release(out);
        self.settle(hash);
        match previous {
            Ok(previous) => Insertion::Replaced { previous },
            Err(ended) => {
                if let Some((why, old)) = ended {
                    self.emit(why.event(old.weight));
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
        let ended = gone.as_ref().and_then(|(key, entry)| {
            entry.end(&self.generations, key, now).or_else(|| entry.fresh.has_passed(now).then_some(Why::Expired))
        });
        if let Some(why) = ended {
            shard.core.counts.gone(why, 1);
        }
        drop(shard);
        drop(overtaken);
        let (_, entry) = gone?;
        self.emit(ended.unwrap_or(Why::Removed).event(entry.weight));
        if ended.is_some() { None } else { entry.value }
    }

    pub(crate) fn clear(&self) {
        // At once, for what is stored as for what is being loaded; the memory follows.
        let _crowded = self.generations.open(Scope::Everything);
        let mut entries = 0;
        for shard in &self.shards {
            let emptied = shard.lock().empty(&self.budget);
            entries += u64::try_from(emptied.0.len()).unwrap_or(u64::MAX);
        }
        self.emit(CacheEvent::Cleared { entries });
    }

    pub(crate) fn maintain(&self) -> usize {
        if !self.timed.load(Ordering::Relaxed) && !self.generations.has_tombstones() {
            return 0;
        }
        self.sweep()
    }

    /// Takes out every entry that can never be served again, and gives up the tombstones that
    /// nothing has to be compared with any more.
    pub(crate) fn sweep(&self) -> usize {
        let generation = self.generations.current();
        let now = self.now();
        let (mut swept, mut oldest_load) = (0, u64::MAX);
        for shard in &self.shards {
            let mut out = Outgoing::new();
            let mut shard = shard.lock();
            oldest_load = oldest_load.min(shard.core.flights.oldest());
            shard.sweep(&self.budget, &self.generations, now, &mut out);
            drop(shard);
            swept += out.len();
            self.release(out);
        }
        self.generations.retire(generation, oldest_load);
        swept
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().core.entries.len()).sum()
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let mut stats = CacheStats { max_bytes: self.budget.max(), ..CacheStats::default() };
        for shard in &self.shards {
            let counted = shard.lock().stats();
            stats.absorb(&counted);
        }
        stats.load_latency = self.latency.snapshot();
        stats.fallbacks = self.fallbacks.load(Ordering::Relaxed);
        stats.timeouts = self.timeouts.load(Ordering::Relaxed);
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
        while self.budget.is_exceeded() {
            let mut out = Outgoing::new();
            let others = self.shards.iter().filter(|shard| !std::ptr::eq(*shard, own));
            let fullest = others.max_by_key(|shard| shard.bytes()).filter(|shard| shard.bytes() > 0);
            let settled = match fullest {
                // If it was emptied meanwhile there is a new fullest to look for.
                Some(shard) => {
                    shard.lock().evict(&self.budget, &mut out);
                    false
                }
                // Only this one is left. Its newest entry fits alone: if the budget is exceeded all
                // the same, by an insert that is under way, that one settles after itself.
                None => !own.lock().evict_older(&self.budget, &mut out),
            };
            self.release(out);
            if settled {
                break;
            }
        }
    }

    /// Counts a caller that waited and was given a stale value.
    pub(crate) fn tell_fallback(&self, source: Source) {
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
        self.emit(CacheEvent::HitStale { source });
    }

    /// Counts a caller that waited for as long as it may, and got nothing.
    pub(crate) fn tell_timeout(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
        self.emit(CacheEvent::TimedOut);
    }

    /// Passes an invalidation that began here on to others; never called with a lock held.
    pub(crate) fn publish(&self, invalidation: impl FnOnce() -> Invalidation<K>) {
        if let Some(sink) = &self.sink {
            sink.publish(&invalidation());
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
        tracing::debug!(target: "bedplate_cache", cache = self.name, ?event, "cache event");
        self.emit_quietly(event);
    }
}
