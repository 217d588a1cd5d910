//! `bedplate-cache` against `quick_cache`, `moka`, `foyer` and `lru` behind one lock and behind
//! many.
//!
//! What makes it fair: every cache may hold the same number of entries (ours counts bytes, so its
//! weigher counts none and each entry weighs exactly its node), key and value types are the same,
//! the keys of a round are the same sequence for each, results go through `black_box`, and shards,
//! hashers and policies are as each crate ships them (`foyer`: S3-FIFO, which of its policies is
//! the fastest but one). In the hit cases every cache holds every key, which is checked. All but
//! `moka` evict on the spot; it keeps its books in batches on the threads that use it, so that its
//! samples carry that cost too. Ours keeps exact counts meanwhile and nobody else does
//! (`quick_cache` has them behind a feature that is off), and in the cases `get`, `90_10`, `50_50`
//! and `load` it also has a time to live, as `moka` has; the others know none. In `hit_tags` and
//! `hit_tags_after` its entries have a tag each besides, and nobody else's. A missing key is loaded
//! in the caller's own future, as the peers do it; but if the loader has to wait, ours goes on in a
//! task of its own, which `load_miss` does not show since its loader never waits.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a bench that cannot go on has no figures to give")]

mod sequence;

use std::convert::Infallible;
use std::hash::{BuildHasher as _, Hash};
use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bedplate_benches::{Build, Settings, Suite, Work};
use bedplate_cache::{Clock, EntryOptions, TokioClock};
use lru::LruCache;
use parking_lot::Mutex;

use sequence::{block_on, shuffled, walk, walk_async, zipf_sequence};

type Ours<K, V> = bedplate_cache::Cache<K, V>;
type Quick<K, V> = quick_cache::sync::Cache<K, V>;
type Moka<K, V> = moka::sync::Cache<K, V>;
type Foyer<K, V> = foyer_memory::Cache<K, V>;
type Locked<K, V> = Mutex<LruCache<K, V>>;

fn main() -> std::io::Result<()> {
    let mut suite = Suite::new("cache", Settings::from_process());
    hit_u64(&mut suite);
    hit_ttl(&mut suite);
    hit_tags(&mut suite);
    hit_string(&mut suite);
    miss(&mut suite);
    insert_evict(&mut suite);
    for (threads, cases) in [
        (1, ["hit_1", "get_1", "90_10_1", "50_50_1", "load_1"]),
        (2, ["hit_2", "get_2", "90_10_2", "50_50_2", "load_2"]),
        (4, ["hit_4", "get_4", "90_10_4", "50_50_4", "load_4"]),
    ] {
        let [hit, get, mostly_read, half_and_half, load] = cases;
        hit_shared(&mut suite, hit, threads);
        zipf(&mut suite, get, threads, Mix::Writes { every: 0 });
        zipf(&mut suite, mostly_read, threads, Mix::Writes { every: 10 });
        zipf(&mut suite, half_and_half, threads, Mix::Writes { every: 2 });
        zipf(&mut suite, load, threads, Mix::WhatIsMissing);
    }
    load_hit(&mut suite);
    load_miss(&mut suite);
    memory(&mut suite);
    suite.finish()
}

/// Every key is there; a small value that is copied.
fn hit_u64(suite: &mut Suite) {
    if !suite.wants("hit_u64") {
        return;
    }
    let caches = Caches::<u64, u64>::new(2 * RESIDENT, None);
    caches.fill(|| (0..RESIDENT).map(|key| (key, key)));
    let order: Vec<u64> = shuffled(RESIDENT);
    caches.run(suite, "hit_u64", |cache, work| {
        walk(&order, work, |key| {
            black_box(cache.get(key));
        });
    });
}

/// Every key is there, with all of it in use: a time to live, counts, and a tag for each entry; once as they
/// were stored, and once after another tag was invalidated and before the next sweep, when each
/// entry must be compared with it.
fn hit_tags(suite: &mut Suite) {
    for case in ["hit_tags", "hit_tags_after"] {
        if !suite.wants(case) {
            continue;
        }
        let caches = Caches::<u64, u64>::new(4 * RESIDENT, Some(Duration::from_hours(1)));
        let tags: Vec<String> = (0..100).map(|n| format!("tenant:{n}")).collect();
        caches.fill(|| (0..RESIDENT).map(|key| (key, key)));
        for (key, tag) in (0..RESIDENT).zip(tags.iter().cycle()) {
            caches.ours.insert_with(key, key, EntryOptions::new().tag(tag.as_str()));
        }
        assert!((0..RESIDENT).all(|key| caches.ours.contains(&key)), "tags are weighed, and pushed an entry out");
        if case == "hit_tags_after" {
            caches.ours.invalidate_tag("tenant:none");
        }
        let order: Vec<u64> = shuffled(RESIDENT);
        caches.run(suite, case, |cache, work| {
            walk(&order, work, |key| {
                black_box(cache.get(key));
            });
        });
    }
}

/// Every key is there, with a time to live that no entry reaches: whoever has one must look at a clock.
/// `quick_cache`, `foyer` and `lru` have none and go without. Ours once with each of its clocks.
fn hit_ttl(suite: &mut Suite) {
    let exact: Arc<dyn Clock> = Arc::new(TokioClock::new());
    for (case, clock) in [("hit_ttl", None), ("hit_ttl_exact", Some(exact))] {
        if !suite.wants(case) {
            continue;
        }
        let mut caches = Caches::<u64, u64>::new(2 * RESIDENT, Some(Duration::from_hours(1)));
        if let Some(clock) = clock {
            let builder = Ours::builder("exact").max_bytes(2 * RESIDENT * node_bytes()).clock(clock);
            let builder = builder.ttl(Duration::from_hours(1)).weigher(|_, _| 0);
            caches.ours = builder.build().expect("valid settings");
        }
        caches.fill(|| (0..RESIDENT).map(|key| (key, key)));
        let order: Vec<u64> = shuffled(RESIDENT);
        caches.run(suite, case, |cache, work| {
            walk(&order, work, |key| {
                black_box(cache.get(key));
            });
        });
    }
}

/// Every key is there, with a time to live; shared values, several threads on the same keys.
fn hit_shared(suite: &mut Suite, case: &'static str, threads: usize) {
    if !suite.wants(case) {
        return;
    }
    let caches = Caches::<u64, Arc<[u8; 64]>>::new(2 * RESIDENT, Some(Duration::from_hours(1)));
    caches.fill(|| (0..RESIDENT).map(|key| (key, Arc::new([0; 64]))));
    let order: Vec<u64> = shuffled(RESIDENT);
    caches.run_on(suite, case, threads, |cache, work| {
        walk(&order, work, |key| {
            black_box(cache.get(key));
        });
    });
}

/// Every key is there; keys are text and values shared.
fn hit_string(suite: &mut Suite) {
    if !suite.wants("hit_string") {
        return;
    }
    let caches = Caches::<String, Arc<str>>::new(2 * RESIDENT, None);
    caches.fill(|| (0..RESIDENT).map(|n| (format!("tenant-7:user:{n:08}"), Arc::from("value"))));
    let order: Vec<String> = shuffled(RESIDENT).into_iter().map(|n| format!("tenant-7:user:{n:08}")).collect();
    caches.run(suite, "hit_string", |cache, work| {
        walk(&order, work, |key| {
            black_box(cache.get(key));
        });
    });
}

/// The cache is as full as for the hits, but none of the keys is there.
fn miss(suite: &mut Suite) {
    if !suite.wants("miss") {
        return;
    }
    let caches = Caches::<u64, u64>::new(2 * RESIDENT, None);
    caches.fill(|| (0..RESIDENT).map(|key| (key, key)));
    let order: Vec<u64> = shuffled(RESIDENT).into_iter().map(|key| key + (1 << 40)).collect();
    caches.run(suite, "miss", |cache, work| {
        walk(&order, work, |key| {
            black_box(cache.get(key));
        });
    });
}

/// The cache is full and every key is new, so that each insert lets another entry go (or, with
/// `moka`, is not admitted).
fn insert_evict(suite: &mut Suite) {
    if !suite.wants("insert_evict") {
        return;
    }
    let caches = Caches::<u64, u64>::new(RESIDENT, None);
    let next = AtomicU64::new(0);
    caches.fill_unchecked(|| (0..2 * RESIDENT).map(|_| (next.fetch_add(1, Ordering::Relaxed), 0)));
    caches.run(suite, "insert_evict", |cache, work| {
        // A range of its own for each sample, so that no key was ever seen.
        let first = next.fetch_add(work.iterations, Ordering::Relaxed);
        for key in first..first + work.iterations {
            cache.insert(black_box(key), key);
        }
    });
}

/// What is done with a key that was drawn.
#[derive(Clone, Copy)]
enum Mix {
    /// It is read, or written each so-many-th time; never, if that is zero.
    Writes { every: u8 },
    /// It is read, and written if it was not there.
    WhatIsMissing,
}

/// A million keys by Zipf's law with exponent 0.99, an eighth of which fit; a write makes a new
/// 64-byte value. With a time to live.
fn zipf(suite: &mut Suite, case: &'static str, threads: usize, mix: Mix) {
    if !suite.wants(case) {
        return;
    }
    let (keys, draws) = if suite.is_smoke() { (10_000, 1 << 12) } else { (1_000_000, 1 << 20) };
    let sequence = zipf_sequence(keys, draws);
    let caches = Caches::<u64, Arc<[u8; 64]>>::new(keys / 8, Some(Duration::from_hours(1)));
    caches.fill_unchecked(|| sequence.iter().map(|&key| (key, Arc::new([0; 64]))));
    caches.run_on(suite, case, threads, |cache, work| {
        let mut turn = 0u8;
        walk(&sequence, work, |&key| match mix {
            Mix::Writes { every } => {
                turn = turn.wrapping_add(1);
                if every > 0 && turn >= every {
                    turn = 0;
                    cache.insert(key, Arc::new([turn; 64]));
                } else {
                    black_box(cache.get(&key));
                }
            }
            Mix::WhatIsMissing => {
                if black_box(cache.get(&key)).is_none() {
                    cache.insert(key, Arc::new([0; 64]));
                }
            }
        });
    });
}

/// `get_or_load` of keys that are all there; the future variants of the peers.
fn load_hit(suite: &mut Suite) {
    if !suite.wants("load_hit") {
        return;
    }
    let (ours, quick, moka) = loading(2 * RESIDENT);
    block_on(async {
        for key in 0..RESIDENT {
            ours.insert(key, key);
            quick.insert(key, key);
            moka.insert(key, key).await;
        }
        moka.run_pending_tasks().await;
    });
    let order = shuffled(RESIDENT);
    suite
        .case("load_hit")
        .ours("bedplate-cache", |work| {
            block_on(walk_async(&order, work, async |&key| {
                black_box(ours.get_or_load(key, move |_| async move { Ok::<_, Infallible>(key) }).await.is_ok());
            }));
        })
        .peer("quick_cache", |work| {
            block_on(walk_async(&order, work, async |&key| {
                black_box(quick.get_or_insert_async(&key, async { Ok::<_, Infallible>(key) }).await.is_ok());
            }));
        })
        .peer("moka", |work| {
            block_on(walk_async(&order, work, async |&key| {
                black_box(moka.try_get_with(key, async { Ok::<_, Infallible>(key) }).await.is_ok());
            }));
        })
        .run();
}

/// `get_or_load` of keys that are never there, with a loader that has the value at once: the cost
/// of the machinery around a load.
fn load_miss(suite: &mut Suite) {
    if !suite.wants("load_miss") {
        return;
    }
    let (ours, quick, moka) = loading(RESIDENT);
    let next = AtomicU64::new(0);
    let fresh = |work: Work| {
        let first = next.fetch_add(work.iterations, Ordering::Relaxed);
        first..first + work.iterations
    };
    suite
        .case("load_miss")
        .ours("bedplate-cache", |work| {
            block_on(async {
                for key in fresh(work) {
                    black_box(ours.get_or_load(key, move |_| async move { Ok::<_, Infallible>(key) }).await.is_ok());
                }
            });
        })
        .peer("quick_cache", |work| {
            block_on(async {
                for key in fresh(work) {
                    black_box(quick.get_or_insert_async(&key, async { Ok::<_, Infallible>(key) }).await.is_ok());
                }
            });
        })
        .peer("moka", |work| {
            block_on(async {
                for key in fresh(work) {
                    black_box(moka.try_get_with(key, async { Ok::<_, Infallible>(key) }).await.is_ok());
                }
            });
        })
        .run();
}

/// What an entry of two words takes, with everything around it, at a number of entries that leaves
/// tables about three quarters full.
fn memory(suite: &mut Suite) {
    const ENTRIES: u64 = 200_000;
    fn built<C: Subject<u64, u64> + 'static>(new: fn() -> C) -> Build<'static> {
        Box::new(move || {
            let cache = new();
            (0..ENTRIES).for_each(|key| cache.insert(key, key));
            cache.settle();
            Box::new(cache)
        })
    }
    suite.case("memory_u64").memory(
        ENTRIES,
        vec![
            ("bedplate-cache", built(|| ours::<u64, u64>(2 * ENTRIES, Some(Duration::from_hours(1))))),
            ("quick_cache", built(|| quick::<u64, u64>(2 * ENTRIES))),
            ("moka", built(|| moka::<u64, u64>(2 * ENTRIES, None))),
            ("foyer", built(|| foyer::<u64, u64>(2 * ENTRIES))),
            ("sharded-lru", built(|| ShardedLru::<u64, u64>::new(2 * ENTRIES))),
            ("lru+mutex", built(|| locked::<u64, u64>(2 * ENTRIES))),
        ],
    );
}

/// What the synchronous cases ask of each cache.
trait Subject<K, V>: Sync {
    fn get(&self, key: &K) -> Option<V>;
    fn insert(&self, key: K, value: V);
    /// Lets a cache catch up with what it has put off.
    fn settle(&self) {}
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Subject<K, V> for Ours<K, V> {
    #[inline]
    fn get(&self, key: &K) -> Option<V> {
        Self::get(self, key)
    }

    #[inline]
    fn insert(&self, key: K, value: V) {
        drop(Self::insert(self, key, value));
    }
}

impl<K: Hash + Eq + Send + Sync, V: Clone + Send + Sync> Subject<K, V> for Quick<K, V> {
    #[inline]
    fn get(&self, key: &K) -> Option<V> {
        Self::get(self, key)
    }

    #[inline]
    fn insert(&self, key: K, value: V) {
        Self::insert(self, key, value);
    }
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Subject<K, V> for Moka<K, V> {
    #[inline]
    fn get(&self, key: &K) -> Option<V> {
        Self::get(self, key)
    }

    #[inline]
    fn insert(&self, key: K, value: V) {
        Self::insert(self, key, value);
    }

    fn settle(&self) {
        self.run_pending_tasks();
    }
}

impl<K: Hash + Eq + Send + Sync, V: Clone + Send + Sync> Subject<K, V> for Locked<K, V> {
    #[inline]
    fn get(&self, key: &K) -> Option<V> {
        self.lock().get(key).cloned()
    }

    #[inline]
    fn insert(&self, key: K, value: V) {
        self.lock().put(key, value);
    }
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Subject<K, V> for Foyer<K, V> {
    #[inline]
    fn get(&self, key: &K) -> Option<V> {
        Self::get(self, key).map(|entry| entry.value().clone())
    }

    #[inline]
    fn insert(&self, key: K, value: V) {
        drop(Self::insert(self, key, value));
    }
}

/// `lru` as many put it to use: sixteen of it, each behind a lock.
struct ShardedLru<K, V> {
    shards: Vec<Locked<K, V>>,
    hasher: foldhash::fast::RandomState,
}

impl<K: Hash + Eq, V> ShardedLru<K, V> {
    fn new(entries: u64) -> Self {
        Self {
            shards: (0..16).map(|_| locked(entries.div_ceil(16))).collect(),
            hasher: foldhash::fast::RandomState::default(),
        }
    }

    #[inline]
    fn shard(&self, key: &K) -> &Locked<K, V> {
        let hash = self.hasher.hash_one(key);
        &self.shards[usize::try_from(hash >> 60).expect("four bits")]
    }
}

impl<K: Hash + Eq + Send + Sync, V: Clone + Send + Sync> Subject<K, V> for ShardedLru<K, V> {
    #[inline]
    fn get(&self, key: &K) -> Option<V> {
        self.shard(key).lock().get(key).cloned()
    }

    #[inline]
    fn insert(&self, key: K, value: V) {
        let old = self.shard(&key).lock().push(key, value);
        drop(old);
    }
}

/// One of each, of the same capacity.
struct Caches<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static> {
    ours: Ours<K, V>,
    quick: Quick<K, V>,
    moka: Moka<K, V>,
    foyer: Foyer<K, V>,
    sharded: ShardedLru<K, V>,
    locked: Locked<K, V>,
}

impl<K: Clone + Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Caches<K, V> {
    fn new(entries: u64, ttl: Option<Duration>) -> Self {
        Self {
            ours: ours(entries, ttl),
            quick: quick(entries),
            moka: moka(entries, ttl),
            foyer: foyer(entries),
            sharded: ShardedLru::new(entries),
            locked: locked(entries),
        }
    }

    /// Fills one after the other, each with values of its own, as it would find itself in a service: what one touches
    /// lies together, and brings nothing of another's near to the processor.
    fn fill_unchecked<I: Iterator<Item = (K, V)>>(&self, items: impl Fn() -> I) {
        items().for_each(|(key, value)| Subject::insert(&self.ours, key, value));
        items().for_each(|(key, value)| Subject::insert(&self.quick, key, value));
        items().for_each(|(key, value)| Subject::insert(&self.moka, key, value));
        items().for_each(|(key, value)| Subject::insert(&self.foyer, key, value));
        items().for_each(|(key, value)| Subject::insert(&self.sharded, key, value));
        items().for_each(|(key, value)| Subject::insert(&self.locked, key, value));
        self.moka.settle();
    }

    /// Fills all, and makes sure that every cache holds every key.
    fn fill<I: Iterator<Item = (K, V)>>(&self, items: impl Fn() -> I) {
        self.fill_unchecked(&items);
        for (key, _) in items() {
            let key = &key;
            let held = [
                Subject::get(&self.ours, key),
                Subject::get(&self.quick, key),
                Subject::get(&self.moka, key),
                Subject::get(&self.foyer, key),
                Subject::get(&self.sharded, key),
                Subject::get(&self.locked, key),
            ];
            assert!(held.iter().all(Option::is_some), "a cache does not hold what it has room for");
        }
    }

    fn run(&self, suite: &mut Suite, case: &'static str, work: impl Fn(&dyn Subject<K, V>, Work) + Sync) {
        self.run_on(suite, case, 1, work);
    }

    /// All through the same vtable, so that none is inlined into the loop and each pays the same
    /// call.
    fn run_on(
        &self,
        suite: &mut Suite,
        case: &'static str,
        threads: usize,
        work: impl Fn(&dyn Subject<K, V>, Work) + Sync,
    ) {
        suite
            .case(case)
            .threads(threads)
            .ours("bedplate-cache", |part| work(&self.ours, part))
            .peer("quick_cache", |part| work(&self.quick, part))
            .peer("moka", |part| work(&self.moka, part))
            .peer("foyer", |part| work(&self.foyer, part))
            .peer("sharded-lru", |part| work(&self.sharded, part))
            .peer("lru+mutex", |part| work(&self.locked, part))
            .run();
    }
}

fn ours<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static>(
    entries: u64,
    ttl: Option<Duration>,
) -> Ours<K, V> {
    let mut builder = Ours::builder("bench").max_bytes(entries * node_bytes());
    if let Some(ttl) = ttl {
        builder = builder.ttl(ttl);
    }
    builder.weigher(|_: &K, _: &V| 0).build().expect("valid settings")
}

/// What an entry of ours weighs when its weigher counts nothing.
fn node_bytes() -> u64 {
    let cache = Ours::<u64, ()>::builder("probe").weigher(|_, ()| 0).build().expect("valid settings");
    cache.insert(0, ());
    cache.bytes()
}

fn quick<K: Hash + Eq, V: Clone>(entries: u64) -> Quick<K, V> {
    Quick::new(usize::try_from(entries).expect("a small number"))
}

fn moka<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static>(
    entries: u64,
    ttl: Option<Duration>,
) -> Moka<K, V> {
    let builder = Moka::builder().max_capacity(entries);
    match ttl {
        Some(ttl) => builder.time_to_live(ttl).build(),
        None => builder.build(),
    }
}

fn foyer<K: Hash + Eq + Send + Sync + 'static, V: Send + Sync + 'static>(entries: u64) -> Foyer<K, V> {
    let entries = usize::try_from(entries).expect("a small number");
    let policy = foyer_memory::S3FifoConfig::default();
    foyer_memory::CacheBuilder::new(entries).with_eviction_config(policy).build()
}

fn locked<K: Hash + Eq, V>(entries: u64) -> Locked<K, V> {
    let entries = usize::try_from(entries).ok().and_then(NonZeroUsize::new);
    // As ours, `quick_cache` and `moka` do, the table grows with the entries.
    Mutex::new(LruCache::sparse(entries.expect("more than none")))
}

fn loading(entries: u64) -> (Ours<u64, u64>, Quick<u64, u64>, moka::future::Cache<u64, u64>) {
    (ours(entries, None), quick(entries), moka::future::Cache::new(entries))
}

const RESIDENT: u64 = 10_000;
