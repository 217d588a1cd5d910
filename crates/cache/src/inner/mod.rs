//! What all handles of one cache share.

mod lookup;

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::{FixedState, RandomState};
use tracing::level_filters::LevelFilter;

use crate::budget::Budget;
use crate::clock::{CoarseClock, Moment, Timer};
use crate::config::CacheConfig;
use crate::counters::{Counter, Counters};
use crate::engine::Rules;
use crate::entry::{Entry, Extra, Judge};
use crate::expiry::{Deadline, Idle, Jitter, Life, Tick, nanos};
use crate::held::{Held, Keeping};
use crate::invalidation::{Generations, Invalidation, InvalidationSink, Tag};
use crate::latency::LatencyRecorder;
use crate::load::{Source, hit_event};
use crate::node::Attached;
use crate::observer::{CacheEvent, Observer};
use crate::options::{EntryOptions, Insertion};
use crate::outgoing::{Outgoing, Why};
use crate::policy::{EvictionPolicy, Lookup, Policy as _};
use crate::shard::{NODE_BYTES, Shard};
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
    pub(crate) sink: Option<Arc<dyn InvalidationSink<K>>>,
    pub(crate) attached: Attached<K, V>,
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
    /// The time to live of entries that follow the cache, in nanoseconds.
    ttl: Option<u64>,
    /// Whether an entry with a deadline was ever stored; until then nobody needs to know the time.
    timed: AtomicBool,
    /// The clock of a cache whose hits concern nothing but the entry: its policy moves none for them, none is
    /// limited in its idle time by the settings, and nobody is told.
    plain: Option<CoarseClock>,
    observer: Option<Arc<dyn Observer>>,
    rules: Rules,
    generations: Generations<K>,
    sink: Option<Arc<dyn InvalidationSink<K>>>,
    attached: Attached<K, V>,
    latency: LatencyRecorder,
    fallbacks: AtomicU64,
    timeouts: AtomicU64,
    /// Ends with the cache.
    _sweeper: Option<Sweeper>,
}

impl<K, V> Inner<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(setup: Setup<K, V>, sweeper: Option<Sweeper>) -> Self {
        let Setup { name, mut config, weigher, timer, seed, observer, sink, attached } = setup;
        let (shards, max_entry) = (config.effective_shards(), config.effective_max_entry_bytes());
        config.shards = Some(shards);
        config.max_entry_bytes = Some(max_entry);
        let budget = Budget::new(config.max_bytes, max_entry, u64::try_from(shards).unwrap_or(u64::MAX));
        let new_shard = || Shard::new(config.policy, budget.share());
        let is_plain = config.policy == EvictionPolicy::S3Fifo
            && config.time_to_idle.is_none()
            && observer.is_none()
            && attached.advisor.is_none();
        Self {
            name,
            plain: if is_plain { timer.coarse().cloned() } else { None },
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
            ttl: config.ttl.map(nanos),
            timed: AtomicBool::new(false),
            observer,
            rules: Rules::new(&config),
            generations: Generations::new(),
            sink,
            attached,
            latency: LatencyRecorder::default(),
            fallbacks: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
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

    pub(crate) fn shards(&self) -> &[Shard<K, V>] {
        &self.shards
    }

    #[inline]
    pub(crate) const fn rules(&self) -> &Rules {
        &self.rules
    }

    #[inline]
    pub(crate) const fn generations(&self) -> &Generations<K> {
        &self.generations
    }

    pub(crate) const fn attached(&self) -> &Attached<K, V> {
        &self.attached
    }

    pub(crate) const fn latency(&self) -> &LatencyRecorder {
        &self.latency
    }

    /// Tells whether an entry that can expire was ever stored.
    pub(crate) fn is_timed(&self) -> bool {
        self.timed.load(Ordering::Relaxed)
    }

    /// Returns by what entries are judged at this moment.
    #[inline]
    pub(crate) const fn judge(&self, now: Tick) -> Judge<'_, K> {
        Judge { generations: &self.generations, rules: &self.rules, now }
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

    /// Prepares to judge an entry by the time.
    #[inline]
    pub(crate) fn moment(&self) -> Moment<'_> {
        Moment::of(&self.timer, &self.timed)
    }

    /// Reads the clock for something that will end.
    #[inline]
    pub(crate) fn read_clock_for_end(&self) -> Tick {
        // Before the entry can be seen, so that who sees it looks at the clock. Only written once:
        // the line is read by every lookup.
        if !self.timed.load(Ordering::Relaxed) {
            self.timed.store(true, Ordering::Relaxed);
        }
        self.read_clock()
    }

    pub(crate) fn hold(&self, value: V) -> Held<V> {
        Held::new(value, self.keeping)
    }

    /// Makes an entry that is stored now, and returns that now with it. Its generation is the
    /// caller's to say. Nothing of this needs a lock.
    // Inlined, as all on the way of an entry into its node: each move of one costs as much as the
    // search for its place.
    #[inline]
    pub(crate) fn entry(
        &self,
        hash: u64,
        held: Option<Held<V>>,
        weight: u64,
        options: &mut EntryOptions,
    ) -> (Entry<V>, Tick) {
        let ttl = if held.is_some() { options.ttl.resolve(self.config.ttl) } else { self.rules.negative_ttl };
        let ttl = ttl.map(nanos);
        let idle = options.idle.resolve(self.config.time_to_idle);
        let (now, fresh, life) = self.life(hash, ttl, idle);
        // Without a time to live they count from when it is made to expire.
        let has_windows =
            held.is_some() && (options.stale_while_revalidate.is_some() || options.stale_if_error.is_some());
        let extra = if options.tags.is_empty() && !has_windows {
            None
        } else {
            let windows = (options.stale_while_revalidate, options.stale_if_error);
            let windows = if has_windows { windows } else { (None, None) };
            Some(Box::new(self.extra(&mut options.tags, fresh, windows)))
        };
        // Made in one go from what is in registers: to change it afterwards costs another move.
        (Entry::new(held, weight, fresh, Idle::new(now, idle), life, extra), now)
    }

    /// As [`entry`](Self::entry), of a value that follows the cache in everything.
    #[inline]
    pub(crate) fn plain_entry(&self, hash: u64, held: Held<V>, weight: u64) -> (Entry<V>, Tick) {
        let idle = self.config.time_to_idle;
        let (now, fresh, life) = self.life(hash, self.ttl, idle);
        (Entry::new(Some(held), weight, fresh, Idle::new(now, idle), life, None), now)
    }

    /// Reads the clock if anything is to end, and returns when the time to live will.
    #[inline]
    fn life(&self, hash: u64, ttl: Option<u64>, idle: Option<Duration>) -> (Tick, Deadline, Life) {
        let Some(ttl) = ttl else {
            let now = if idle.is_none() { self.now() } else { self.read_clock_for_end() };
            return (now, Deadline::NEVER, Life::UNKNOWN);
        };
        let now = self.read_clock_for_end();
        let ttl = self.jitter.shorten(ttl, hash ^ now.noise());
        (now, Deadline::after_nanos(now, ttl), Life::of_nanos(ttl))
    }

    #[cold]
    fn extra(&self, tags: &mut Vec<Tag>, fresh: Deadline, windows: (Option<Duration>, Option<Duration>)) -> Extra {
        let mut extra = Extra { tags: std::mem::take(tags).into(), ..Extra::default() };
        if windows != (None, None) {
            let revalidate = windows.0.or(self.rules.stale_while_revalidate);
            let on_error = windows.1.or(self.rules.stale_if_error);
            extra.keep = Some(fresh.plus(revalidate.max(on_error).unwrap_or_default()));
            extra.on_error = windows.1;
            extra.revalidate = windows.0.map(|window| fresh.plus(window));
        }
        extra
    }

    /// Weighs an entry with its node and tags.
    #[inline]
    pub(crate) fn weigh(&self, key: &K, value: Option<&V>, tags: &[Tag]) -> u64 {
        let own = match value {
            Some(value) => self.weigher.weigh(key, value),
            None => self.weigher.weigh_absent(key),
        };
        let tags = if tags.is_empty() && !self.attached.stamps() { 0 } else { Extra::bytes(tags) };
        own.saturating_add(NODE_BYTES).saturating_add(tags)
    }

    /// Stores a value; without options it follows the cache in everything, which is known where this is called.
    #[inline]
    pub(crate) fn insert(&self, key: K, value: V, options: Option<&mut EntryOptions>) -> Insertion<V> {
        let hash = self.hash(&key);
        let tags = options.as_ref().map_or(&[][..], |options| &*options.tags);
        let weight = self.weigh(&key, Some(&value), tags);
        if weight > self.budget.max_entry() {
            return self.refuse(hash, &key, value, weight);
        }
        let held = self.hold(value);
        let (mut entry, now) = match options {
            Some(options) => self.entry_of(hash, Some(held), weight, options),
            None => self.plain_entry(hash, held, weight),
        };
        let mut out = Outgoing::new();
        let mut shard = self.shard(hash).lock();
        // A load that began before this insert would bring an older value.
        shard.core.flights.detach(hash, &key);
        entry.begin_in(self.generations.current());
        let displaced = shard.put(&self.budget, hash, key, entry, now, &mut out);
        let ended = displaced.as_ref().and_then(|gone| self.ended(gone, now));
        if let Some(why) = ended {
            shard.core.counts.gone(why, 1);
        }
        drop(shard);
        // Before any of the user's code, which may panic.
        self.settle(hash, &mut out);
        self.weighed(hash, weight);
        self.emit(CacheEvent::Inserted { weight });
        self.release(out);
        match (displaced, ended) {
            (Some((_, old)), None) => match old.into_held() {
                Some(previous) => Insertion::Replaced { previous: previous.into_value() },
                None => Insertion::Inserted,
            },
            (Some((_, old)), Some(why)) => {
                self.emit(why.event(old.weight()));
                Insertion::Inserted
            }
            (None, _) => Insertion::Inserted,
        }
    }

    /// Tells whether and why an entry that was taken out no longer had a live value.
    fn ended(&self, (key, entry): &(K, Entry<V>), now: Tick) -> Option<Why> {
        let entry = entry.view();
        entry.end(&self.judge(now), key).or_else(|| (!entry.is_fresh(now)).then_some(Why::Expired))
    }

    /// Gives a value back that is too heavy, and drops what was stored under its key: the caller
    /// said that it is no longer true.
    #[cold]
    fn refuse(&self, hash: u64, key: &K, value: V, weight: u64) -> Insertion<V> {
        let mut out = Outgoing::new();
        let mut shard = self.shard(hash).lock();
        shard.core.flights.detach(hash, key);
        if let Some(gone) = shard.take(&self.budget, &Lookup::new(hash, key)) {
            out.push(Why::Removed, gone);
        }
        shard.core.counts.refusals += 1;
        drop(shard);
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
        shard.core.flights.detach(hash, key);
        let gone = shard.take(&self.budget, &Lookup::new(hash, key));
        let ended = gone.as_ref().and_then(|gone| self.ended(gone, now));
        if let Some(why) = ended {
            shard.core.counts.gone(why, 1);
        }
        drop(shard);
        let (_, entry) = gone?;
        self.emit(ended.unwrap_or(Why::Removed).event(entry.weight()));
        if ended.is_some() { None } else { entry.into_held().map(Held::into_value) }
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
        stats.remote_hits = self.attached.remote_hits();
        stats.load_latency = self.latency.snapshot();
        stats.fallbacks = self.fallbacks.load(Ordering::Relaxed);
        stats.timeouts = self.timeouts.load(Ordering::Relaxed);
        stats
    }

    /// Lets entries of other shards give way until the budget holds again, after an insert into the
    /// shard of `hash` could not do so from its own. One lock at a time; what leaves is the caller's to tell
    /// of and to drop.
    #[inline]
    pub(crate) fn settle(&self, hash: u64, out: &mut Outgoing<K, V>) {
        if self.budget.is_exceeded() {
            self.borrow_room(self.shard(hash), out);
        }
    }

    #[cold]
    fn borrow_room(&self, own: &Shard<K, V>, out: &mut Outgoing<K, V>) {
        let now = self.now();
        while self.budget.is_exceeded() {
            let others = self.shards.iter().filter(|shard| !std::ptr::eq(*shard, own));
            let fullest = others.max_by_key(|shard| shard.bytes()).filter(|shard| shard.bytes() > 0);
            match fullest {
                // If it was emptied meanwhile there is a new fullest to look for.
                Some(shard) => {
                    shard.lock().evict(&self.budget, now, out);
                }
                // Only this one is left. Its newest entry fits alone: if the budget is exceeded all
                // the same, by an insert that is under way, that one settles after itself.
                None => {
                    if !own.lock().evict_older(&self.budget, now, out) {
                        break;
                    }
                }
            }
        }
    }

    /// Counts a caller that waited and was given what was held.
    pub(crate) fn tell_fallback(&self, source: Source) {
        self.fallbacks.fetch_add(1, Ordering::Relaxed);
        self.emit(hit_event(source));
    }

    /// Counts a caller that waited for as long as it may, and got nothing.
    pub(crate) fn tell_timeout(&self) {
        self.timeouts.fetch_add(1, Ordering::Relaxed);
        self.emit(CacheEvent::TimedOut);
    }

    pub(crate) const fn has_sink(&self) -> bool {
        self.sink.is_some()
    }

    pub(crate) fn tell_sink(&self, invalidation: &Invalidation<K>) {
        if let Some(sink) = &self.sink {
            sink.publish(invalidation);
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
