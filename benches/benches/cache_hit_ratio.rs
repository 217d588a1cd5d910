//! Hit ratios of `bedplate-cache`, its peers and the optimum on recorded requests.
//!
//! `BEDPLATE_TRACES=DIR` names a directory of `NAME.u32.zst` (little-endian key numbers, one per
//! request) and `NAME.u32pair.zst` (pairs of key number and size in bytes). Without it, the one
//! trace that comes with the repository is replayed, which says little alone.
//!
//! What makes it fair: each cache is asked for each key and given it when it did not have it; each
//! has room for exactly the same number of entries (1, 10 and 30 % of the keys), or for sizes that
//! add up to as many percent of the sum of all. Ours counts bytes, so its weigher counts none and
//! its budget is the wanted number times what a node weighs; with sizes, these and the budget are
//! scaled up so far that the node is part of the size. It has the shards that its configuration
//! picks for the budget before that scaling. Keys are mixed, so that no hasher sees runs of small
//! numbers. The peers are built as each crate ships them; `foyer`, which has no default of its own
//! for a small cache, has one shard below 4096 entries and 16 above. The optimum lets go of what is
//! asked for again last; with sizes that is a good bound, not the best there is.
//!
//! A word as argument replays only the caches whose name contains it; `--smoke` cuts the traces.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a bench that cannot go on has no figures to give")]

use std::collections::BinaryHeap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bedplate_benches::Settings;
use bedplate_cache::{Cache, CacheConfig, EvictionPolicy};
use lru::LruCache;

fn main() -> io::Result<()> {
    let settings = Settings::from_process();
    let most = if settings.is_smoke() { 20_000 } else { 4_000_000 };
    let directory = std::env::var_os("BEDPLATE_TRACES");
    let vendored = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let traces = read_traces(directory.as_ref().map_or(&vendored, |path| Path::new(path)), most)?;
    let subjects: Vec<Subject> = SUBJECTS.iter().copied().filter(|subject| settings.wants(subject.name())).collect();
    let jobs: Vec<(&Trace, u64)> = traces.iter().flat_map(|trace| PERCENT.map(|percent| (trace, percent))).collect();
    let rows = replay_all(&jobs, &subjects);
    let mut out = io::stdout().lock();
    if directory.is_none() {
        writeln!(out, "BEDPLATE_TRACES is not set: only the trace that comes with the repository is replayed.\n")?;
    }
    print_table(&mut out, &jobs, &subjects, &rows)?;
    print_summary(&mut out, &jobs, &subjects, &rows)
}

/// Requests by key number.
struct Trace {
    name: String,
    requests: Vec<Request>,
    keys: u64,
    /// The sizes of all keys together, where the trace knows them.
    footprint: Option<u64>,
}

#[derive(Clone, Copy)]
struct Request {
    key: u32,
    size: u32,
}

/// The room that a cache is given.
#[derive(Clone, Copy)]
enum Room {
    Entries(u64),
    Bytes { bytes: u64, entries: u64 },
}

/// What a cache served, of all requests and of all bytes asked for.
#[derive(Clone, Copy, Default)]
struct Ratio {
    requests: f64,
    bytes: f64,
}

impl Trace {
    fn room(&self, percent: u64) -> Room {
        let entries = (self.keys * percent / 100).max(1);
        self.footprint
            .map_or(Room::Entries(entries), |all| Room::Bytes { bytes: (all * percent / 100).max(1), entries })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Subject {
    Ours,
    OursLru,
    ExactLru,
    Moka,
    MokaLru,
    QuickCache,
    FoyerLru,
    FoyerLfu,
    FoyerS3Fifo,
    FoyerSieve,
    Optimum,
}

const SUBJECTS: [Subject; 11] = [
    Subject::Ours,
    Subject::OursLru,
    Subject::ExactLru,
    Subject::Moka,
    Subject::MokaLru,
    Subject::QuickCache,
    Subject::FoyerLru,
    Subject::FoyerLfu,
    Subject::FoyerS3Fifo,
    Subject::FoyerSieve,
    Subject::Optimum,
];

impl Subject {
    const fn name(self) -> &'static str {
        match self {
            Self::Ours => "bedplate-cache",
            Self::OursLru => "bedplate-cache-lru",
            Self::ExactLru => "exact-lru",
            Self::Moka => "moka",
            Self::MokaLru => "moka-lru",
            Self::QuickCache => "quick_cache",
            Self::FoyerLru => "foyer-lru",
            Self::FoyerLfu => "foyer-lfu",
            Self::FoyerS3Fifo => "foyer-s3fifo",
            Self::FoyerSieve => "foyer-sieve",
            Self::Optimum => "belady-optimum",
        }
    }

    fn replay(self, trace: &Trace, room: Room) -> Ratio {
        let requests = &trace.requests;
        match self {
            Self::Ours => ours(requests, room, EvictionPolicy::S3Fifo),
            Self::OursLru => ours(requests, room, EvictionPolicy::Lru),
            Self::ExactLru => exact_lru(requests, room),
            Self::Moka => moka(requests, room, moka::policy::EvictionPolicy::tiny_lfu()),
            Self::MokaLru => moka(requests, room, moka::policy::EvictionPolicy::lru()),
            Self::QuickCache => quick(requests, room),
            Self::FoyerLru => foyer(requests, room, foyer_memory::LruConfig::default().into()),
            Self::FoyerLfu => foyer(requests, room, foyer_memory::LfuConfig::default().into()),
            Self::FoyerS3Fifo => foyer(requests, room, foyer_memory::S3FifoConfig::default().into()),
            Self::FoyerSieve => foyer(requests, room, foyer_memory::SieveConfig.into()),
            Self::Optimum => optimum(requests, room),
        }
    }
}

/// Asks for each key, and stores it where it was not there.
fn replay(requests: &[Request], mut get: impl FnMut(u64) -> bool, mut insert: impl FnMut(u64, u32)) -> Ratio {
    let (mut hits, mut hit_bytes, mut bytes) = (0u64, 0u64, 0u64);
    for request in requests {
        let key = mix(request.key);
        bytes += u64::from(request.size);
        if get(key) {
            hits += 1;
            hit_bytes += u64::from(request.size);
        } else {
            insert(key, request.size);
        }
    }
    Ratio { requests: percent(hits, count(requests.len())), bytes: percent(hit_bytes, bytes) }
}

fn ours(requests: &[Request], room: Room, policy: EvictionPolicy) -> Ratio {
    let probe: Cache<u64, u32> = Cache::builder("probe").weigher(|_: &u64, _: &u32| 0).build().expect("defaults");
    probe.insert(0, 0);
    let node = probe.bytes();
    let builder = Cache::<u64, u32>::builder("replay").policy(policy);
    let cache = match room {
        // A budget of a single entry is below the least that a cache takes.
        Room::Entries(entries) => {
            builder.max_bytes((entries * node).max(2 * node)).weigher(|_: &u64, _: &u32| 0).build()
        }
        Room::Bytes { bytes, .. } => {
            let mut as_it_is = CacheConfig::default();
            as_it_is.max_bytes = bytes;
            let scaled = move |_: &u64, size: &u32| u64::from(*size) * SCALE - node;
            builder.max_bytes(bytes * SCALE).shards(as_it_is.effective_shards()).weigher(scaled).build()
        }
    };
    let cache = cache.expect("the budget is in bounds");
    replay(
        requests,
        |key| cache.get(&key).is_some(),
        |key, size| {
            cache.insert(key, size);
        },
    )
}

fn exact_lru(requests: &[Request], room: Room) -> Ratio {
    let mut cache: LruCache<u64, u32> = LruCache::unbounded();
    let mut used = 0u64;
    let (limit, weighted) = match room {
        Room::Entries(entries) => (entries, false),
        Room::Bytes { bytes, .. } => (bytes, true),
    };
    let weight = |size: u32| if weighted { u64::from(size) } else { 1 };
    let cell = std::cell::RefCell::new((&mut cache, &mut used));
    replay(
        requests,
        |key| cell.borrow_mut().0.get(&key).is_some(),
        |key, size| {
            let (cache, used) = &mut *cell.borrow_mut();
            if weight(size) > limit {
                return;
            }
            cache.put(key, size);
            **used += weight(size);
            while **used > limit {
                let (_, gone) = cache.pop_lru().expect("what is counted is there");
                **used -= weight(gone);
            }
        },
    )
}

fn moka(requests: &[Request], room: Room, policy: moka::policy::EvictionPolicy) -> Ratio {
    let builder = moka::sync::Cache::<u64, u32>::builder().eviction_policy(policy);
    let cache = match room {
        Room::Entries(entries) => builder.max_capacity(entries).build(),
        Room::Bytes { bytes, .. } => builder.max_capacity(bytes).weigher(|_, size| *size).build(),
    };
    replay(requests, |key| cache.get(&key).is_some(), |key, size| cache.insert(key, size))
}

#[derive(Clone)]
struct BySize;

impl quick_cache::Weighter<u64, u32> for BySize {
    fn weight(&self, _: &u64, size: &u32) -> u64 {
        u64::from(*size)
    }
}

fn quick(requests: &[Request], room: Room) -> Ratio {
    match room {
        Room::Entries(entries) => {
            let cache = quick_cache::sync::Cache::<u64, u32>::new(index(entries));
            replay(requests, |key| cache.get(&key).is_some(), |key, size| cache.insert(key, size))
        }
        Room::Bytes { bytes, entries } => {
            let cache = quick_cache::sync::Cache::<u64, u32, BySize>::with_weighter(index(entries), bytes, BySize);
            replay(requests, |key| cache.get(&key).is_some(), |key, size| cache.insert(key, size))
        }
    }
}

fn foyer(requests: &[Request], room: Room, policy: foyer_memory::EvictionConfig) -> Ratio {
    let (Room::Entries(entries) | Room::Bytes { entries, .. }) = room;
    let shards = if entries < 4096 { 1 } else { 16 };
    let builder = |capacity: u64| {
        foyer_memory::CacheBuilder::new(index(capacity)).with_shards(shards).with_eviction_config(policy)
    };
    let cache: foyer_memory::Cache<u64, u32> = match room {
        Room::Entries(entries) => builder(entries).build(),
        Room::Bytes { bytes, .. } => {
            builder(bytes).with_weighter(|_: &u64, size: &u32| index(u64::from(*size))).build()
        }
    };
    replay(requests, |key| cache.get(&key).is_some(), |key, size| drop(cache.insert(key, size)))
}

/// Lets go of what is asked for again last.
fn optimum(requests: &[Request], room: Room) -> Ratio {
    let (limit, weighted) = match room {
        Room::Entries(entries) => (entries, false),
        Room::Bytes { bytes, .. } => (bytes, true),
    };
    let mut next = vec![usize::MAX; requests.len()];
    let mut seen = vec![usize::MAX; requests.iter().map(|request| index(request.key.into()) + 1).max().unwrap_or(0)];
    for (at, request) in requests.iter().enumerate().rev() {
        next[at] = std::mem::replace(&mut seen[index(request.key.into())], at);
    }
    // By key: when it is asked for again, and what it weighs; those not held have neither.
    let mut held: Vec<Option<(usize, u64)>> = vec![None; seen.len()];
    let mut farthest: BinaryHeap<(usize, u32)> = BinaryHeap::new();
    let (mut used, mut hits, mut hit_bytes, mut bytes) = (0u64, 0u64, 0u64, 0u64);
    for (at, request) in requests.iter().enumerate() {
        let (key, size) = (index(request.key.into()), u64::from(request.size));
        bytes += size;
        if let Some((_, weight)) = held[key] {
            hits += 1;
            hit_bytes += size;
            held[key] = Some((next[at], weight));
        } else {
            let weight = if weighted { size } else { 1 };
            if weight > limit {
                continue;
            }
            held[key] = Some((next[at], weight));
            used += weight;
        }
        farthest.push((next[at], request.key));
        while used > limit {
            let (when, key) = farthest.pop().expect("what is counted is there");
            let place = &mut held[index(key.into())];
            // Entries of the heap that a later request has overtaken mean nothing.
            if let Some((_, weight)) = place.filter(|(current, _)| *current == when) {
                *place = None;
                used -= weight;
            }
        }
    }
    Ratio { requests: percent(hits, count(requests.len())), bytes: percent(hit_bytes, bytes) }
}

/// Replays every job, the longest first, on as many threads as there are cores.
fn replay_all(jobs: &[(&Trace, u64)], subjects: &[Subject]) -> Vec<Vec<Ratio>> {
    let mut order: Vec<(usize, usize)> =
        (0..jobs.len()).flat_map(|job| (0..subjects.len()).map(move |subject| (job, subject))).collect();
    order.sort_by_key(|(job, _)| std::cmp::Reverse(jobs[*job].0.requests.len()));
    let rows = Mutex::new(vec![vec![Ratio::default(); subjects.len()]; jobs.len()]);
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((job, subject)) = order.get(next.fetch_add(1, Ordering::Relaxed)).copied() {
                    let (trace, percent) = jobs[job];
                    let ratio = subjects[subject].replay(trace, trace.room(percent));
                    rows.lock().expect("no other thread panicked")[job][subject] = ratio;
                }
            });
        }
    });
    rows.into_inner().expect("no thread panicked")
}

fn print_table(
    out: &mut impl io::Write,
    jobs: &[(&Trace, u64)],
    subjects: &[Subject],
    rows: &[Vec<Ratio>],
) -> io::Result<()> {
    writeln!(out, "hit ratio in percent of the requests; (of the bytes) where the trace has sizes\n")?;
    write!(out, "{:<16} {:>4}", "trace", "room")?;
    for subject in subjects {
        write!(out, " {:>18}", subject.name())?;
    }
    writeln!(out)?;
    for ((trace, percent), row) in jobs.iter().zip(rows) {
        write!(out, "{:<16} {percent:>3}%", trace.name)?;
        for ratio in row {
            let bytes = trace.footprint.map_or_else(String::new, |_| format!(" ({:.2})", ratio.bytes));
            write!(out, " {:>18}", format!("{:.2}{bytes}", ratio.requests))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn print_summary(
    out: &mut impl io::Write,
    jobs: &[(&Trace, u64)],
    subjects: &[Subject],
    rows: &[Vec<Ratio>],
) -> io::Result<()> {
    let mean = |at: usize| {
        let sum: f64 = rows.iter().map(|row| row[at].requests).sum();
        #[expect(clippy::cast_precision_loss, reason = "there are few rows")]
        let rows = rows.len().max(1) as f64;
        sum / rows
    };
    write!(out, "{:<21}", "mean")?;
    for at in 0..subjects.len() {
        write!(out, " {:>18.3}", mean(at))?;
    }
    writeln!(out, "\n")?;
    let place = |wanted: Subject| subjects.iter().position(|subject| *subject == wanted);
    let Some(ours) = place(Subject::Ours) else { return Ok(()) };
    if let Some(lru) = place(Subject::ExactLru) {
        let gap = |row: &&Vec<Ratio>| row[lru].requests - row[ours].requests;
        let worst = jobs.iter().zip(rows).max_by(|(_, a), (_, b)| gap(a).total_cmp(&gap(b)));
        if let Some(((trace, percent), row)) = worst {
            let under = gap(&row);
            writeln!(out, "most under exact LRU: {under:.2} points, {} at {percent} %", trace.name)?;
        }
    }
    for (at, subject) in subjects.iter().enumerate() {
        if at != ours && *subject != Subject::OursLru {
            writeln!(out, "RATIO hit_ratio/mean vs {} {:.4}", subject.name(), mean(ours) / mean(at))?;
        }
    }
    Ok(())
}

fn read_traces(directory: &Path, most: usize) -> io::Result<Vec<Trace>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    let mut traces = Vec::new();
    for path in paths {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if let Some(name) = name.strip_suffix(".u32.zst") {
            traces.push(read_trace(name, &path, most, Layout::Keys)?);
        } else if let Some(name) = name.strip_suffix(".u32pair.zst") {
            traces.push(read_trace(name, &path, most, Layout::KeysAndSizes)?);
        }
    }
    if traces.is_empty() {
        return Err(io::Error::other(format!("there is no trace in {}", directory.display())));
    }
    Ok(traces)
}

#[derive(Clone, Copy)]
enum Layout {
    Keys,
    KeysAndSizes,
}

/// Room is a part of all keys of the trace; of the requests only the first are replayed.
fn read_trace(name: &str, path: &Path, most: usize, layout: Layout) -> io::Result<Trace> {
    let mut raw = Vec::new();
    let decoder = ruzstd::decoding::StreamingDecoder::new(fs::File::open(path)?).map_err(io::Error::other)?;
    { decoder }.read_to_end(&mut raw)?;
    let words: Vec<u32> = raw.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let mut requests: Vec<Request> = match layout {
        Layout::Keys => words.into_iter().map(|key| Request { key, size: 1 }).collect(),
        Layout::KeysAndSizes => {
            words.as_chunks::<2>().0.iter().map(|[key, size]| Request { key: *key, size: (*size).max(1) }).collect()
        }
    };
    let mut sizes = vec![0u64; requests.iter().map(|request| index(request.key.into()) + 1).max().unwrap_or(0)];
    for request in &requests {
        sizes[index(request.key.into())] = request.size.into();
    }
    let footprint = matches!(layout, Layout::KeysAndSizes).then(|| sizes.iter().sum());
    requests.truncate(most);
    Ok(Trace { name: name.to_owned(), requests, keys: count(sizes.len()), footprint })
}

/// The finisher of splitmix64.
const fn mix(key: u32) -> u64 {
    let mut mixed = (key as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 27)
}

#[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 52 bits")]
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("it fits in memory")
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("it was a length")
}

const PERCENT: [u64; 3] = [1, 10, 30];
/// Far more than a node weighs.
const SCALE: u64 = 4096;
