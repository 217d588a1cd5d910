//! The cache against a naive model: a list in the order of use.

use std::sync::Arc;
use std::time::Duration;

use bedplate_cache::{Cache, EntryOptions, EvictionPolicy, Insertion, ManualClock};
use proptest::prelude::*;

const NODE: u64 = 88;
const MAX: u64 = 1000;
const MAX_ENTRY: u64 = 400;

#[derive(Debug, Clone)]
enum Op {
    Insert { key: u8, size: u16, ttl: Option<u8> },
    Get(u8),
    Contains(u8),
    Remove(u8),
    Advance(u8),
    Maintain,
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..12u8;
    prop_oneof![
        6 => (key.clone(), 1..400u16, proptest::option::of(0..6u8)).prop_map(|(key, size, ttl)| Op::Insert { key, size, ttl }),
        6 => key.clone().prop_map(Op::Get),
        1 => key.clone().prop_map(Op::Contains),
        1 => key.prop_map(Op::Remove),
        2 => (0..4u8).prop_map(Op::Advance),
        1 => Just(Op::Maintain),
        1 => Just(Op::Clear),
    ]
}

/// Entries from the least to the most recently used.
#[derive(Default)]
struct Model {
    entries: Vec<Stored>,
    now: u64,
    hits: u64,
    absent: u64,
    expired: u64,
    inserts: u64,
    evictions: u64,
    expirations: u64,
    refusals: u64,
}

#[derive(Clone)]
struct Stored {
    key: u8,
    value: (u32, u16),
    deadline: Option<u64>,
}

impl Stored {
    fn weight(&self) -> u64 {
        u64::from(self.value.1) + NODE
    }
}

impl Model {
    fn bytes(&self) -> u64 {
        self.entries.iter().map(Stored::weight).sum()
    }

    fn is_live(&self, stored: &Stored) -> bool {
        stored.deadline.is_none_or(|deadline| self.now < deadline)
    }

    fn take(&mut self, key: u8) -> Option<Stored> {
        let at = self.entries.iter().position(|stored| stored.key == key)?;
        Some(self.entries.remove(at))
    }

    fn take_live(&mut self, key: u8) -> Option<Stored> {
        let stored = self.take(key)?;
        let live = self.is_live(&stored);
        self.expirations += u64::from(!live);
        live.then_some(stored)
    }

    fn insert(&mut self, stored: Stored) -> Insertion<(u32, u16)> {
        if stored.weight() > MAX_ENTRY {
            self.take(stored.key);
            self.refusals += 1;
            return Insertion::Refused { value: stored.value, weight: stored.weight(), limit: MAX_ENTRY };
        }
        let previous = self.take_live(stored.key);
        self.inserts += 1;
        self.entries.push(stored);
        while self.bytes() > MAX {
            // What has expired goes first, but the newest stays.
            let others = self.entries.len() - 1;
            let expired = self.entries.iter().take(others).position(|stored| self.now > 0 && !self.is_live(stored));
            self.entries.remove(expired.unwrap_or(0));
            self.evictions += 1;
        }
        previous.map_or(Insertion::Inserted, |previous| Insertion::Replaced { previous: previous.value })
    }

    fn get(&mut self, key: u8) -> Option<(u32, u16)> {
        if !self.entries.iter().any(|stored| stored.key == key) {
            self.absent += 1;
            return None;
        }
        let Some(stored) = self.take_live(key) else {
            self.expired += 1;
            return None;
        };
        self.hits += 1;
        self.entries.push(stored.clone());
        Some(stored.value)
    }

    fn maintain(&mut self) -> usize {
        let before = self.entries.len();
        let now = self.now;
        self.entries.retain(|stored| stored.deadline.is_none_or(|deadline| now < deadline));
        let swept = before - self.entries.len();
        self.expirations += u64::try_from(swept).unwrap();
        swept
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_model(ops in proptest::collection::vec(op(), 1..120)) {
        let clock = Arc::new(ManualClock::new());
        let cache: Cache<u8, (u32, u16)> = Cache::builder("model")
            .policy(EvictionPolicy::Lru)
            .max_bytes(MAX)
            .max_entry_bytes(MAX_ENTRY)
            .shards(1)
            .weigher(|_: &u8, value: &(u32, u16)| u64::from(value.1))
            .clock(Arc::<ManualClock>::clone(&clock))
            .build()
            .unwrap();
        let mut model = Model::default();
        for (step, op) in (0u32..).zip(ops) {
            match op {
                Op::Insert { key, size, ttl } => {
                    let options = ttl.map_or(EntryOptions::new(), |ttl| EntryOptions::new().ttl(Duration::from_secs(ttl.into())));
                    let stored = Stored { key, value: (step, size), deadline: ttl.map(|ttl| model.now + u64::from(ttl)) };
                    prop_assert_eq!(cache.insert_with(key, (step, size), options), model.insert(stored));
                }
                Op::Get(key) => prop_assert_eq!(cache.get(&key), model.get(key)),
                Op::Contains(key) => {
                    let expected = model.entries.iter().any(|stored| stored.key == key && model.is_live(stored));
                    prop_assert_eq!(cache.contains(&key), expected);
                }
                Op::Remove(key) => prop_assert_eq!(cache.remove(&key), model.take_live(key).map(|stored| stored.value)),
                Op::Advance(by) => {
                    clock.advance(Duration::from_secs(by.into()));
                    model.now += u64::from(by);
                }
                Op::Maintain => prop_assert_eq!(cache.maintain(), model.maintain()),
                Op::Clear => {
                    cache.clear();
                    model.entries.clear();
                }
            }
            let stats = cache.stats();
            prop_assert!(stats.bytes <= MAX);
            prop_assert_eq!(cache.bytes(), model.bytes());
            prop_assert_eq!((stats.bytes, stats.entries), (model.bytes(), u64::try_from(model.entries.len()).unwrap()));
            prop_assert_eq!((stats.hits, stats.misses_absent, stats.misses_expired), (model.hits, model.absent, model.expired));
            prop_assert_eq!(
                (stats.inserts, stats.evictions, stats.expirations, stats.refusals),
                (model.inserts, model.evictions, model.expirations, model.refusals)
            );
        }
        let mut live: Vec<u8> = model.entries.iter().filter(|stored| model.is_live(stored)).map(|stored| stored.key).collect();
        live.sort_unstable();
        let kept: Vec<u8> = (0..12).filter(|key| cache.contains(key)).collect();
        prop_assert_eq!(kept, live);
    }

    /// Order is kept per shard, so with several only what must hold for any order is compared.
    #[test]
    fn many_shards_keep_one_budget(inserts in proptest::collection::vec((any::<u64>(), 1..700u16), 1..200)) {
        let cache: Cache<u64, u16> = Cache::builder("shards")
            .max_bytes(2000)
            .max_entry_bytes(788)
            .shards(16)
            .weigher(|_: &u64, value: &u16| u64::from(*value))
            .build()
            .unwrap();
        for (key, size) in inserts {
            prop_assert!(cache.insert(key, size).is_stored());
            prop_assert_eq!(cache.get(&key), Some(size), "the newest entry stays, whatever its weight and shard");
            let stats = cache.stats();
            prop_assert!(stats.bytes <= 2000);
            prop_assert_eq!(stats.bytes, cache.bytes());
            prop_assert_eq!(stats.inserts, stats.entries + stats.evictions);
        }
    }
}
