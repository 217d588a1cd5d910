use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::expiry::Mark;
use crate::policy::testing::{entry, timed};

fn spread(key: u32) -> u64 {
    u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn insert(policy: &mut S3Fifo<u32, u32>, key: u32, weight: u64) -> Option<u32> {
    policy.insert(spread(key), key, timed(key, weight, Deadline::NEVER)).map(|(key, _)| key)
}

fn hit(policy: &S3Fifo<u32, u32>, key: u32) -> bool {
    policy.hit_shared(&Lookup::new(spread(key), &key)).is_some()
}

/// The same rules on lists of keys, in the plainest way.
#[derive(Default)]
struct Naive {
    /// Newest first: key, weight, hits.
    small: VecDeque<(u32, u64, u8)>,
    main: VecDeque<(u32, u64, u8)>,
    ghosts: Ghosts,
    newest: Option<u32>,
    share: u64,
}

impl Naive {
    fn find(&mut self, key: u32) -> Option<&mut (u32, u64, u8)> {
        self.small.iter_mut().chain(&mut self.main).find(|node| node.0 == key)
    }

    fn len(&self) -> usize {
        self.small.len() + self.main.len()
    }

    fn weights(&self) -> (u64, u64) {
        let sum = |queue: &VecDeque<(u32, u64, u8)>| queue.iter().map(|node| node.1).sum();
        (sum(&self.small), sum(&self.main))
    }

    fn small_is_full(&self) -> bool {
        let (small, main) = self.weights();
        small > self.share.max(small + main) / SMALL_PART
    }

    fn hit(&mut self, key: u32) -> bool {
        self.find(key).map(|node| node.2 = (node.2 + 1).min(Mark::MOST_HITS)).is_some()
    }

    fn insert(&mut self, key: u32, weight: u64) -> Option<u32> {
        self.newest = Some(key);
        if self.hit(key) {
            self.find(key)?.1 = weight;
            return Some(key);
        }
        self.ghosts.fit(self.len() + 1);
        if self.ghosts.recall(spread(key)) {
            self.main.push_front((key, weight, 0));
        } else {
            self.small.push_front((key, weight, 0));
        }
        None
    }

    fn settle_in(&mut self) {
        while self.small.len() > 1 && self.small_is_full() {
            let (key, weight, _) = self.small.pop_back().unwrap();
            self.main.push_front((key, weight, 0));
        }
    }

    fn remove(&mut self, key: u32) -> Option<u32> {
        self.find(key)?;
        self.small.retain(|node| node.0 != key);
        self.main.retain(|node| node.0 != key);
        self.newest = self.newest.filter(|newest| *newest != key);
        Some(key)
    }

    fn evict(&mut self) -> Option<u32> {
        loop {
            let others_in_main = self.main.iter().any(|node| Some(node.0) != self.newest);
            let oldest = self.small.back().copied().filter(|node| Some(node.0) != self.newest);
            if let Some((key, weight, hits)) = oldest
                && (self.small_is_full() || !others_in_main)
            {
                self.small.pop_back();
                if hits < TRIAL_HITS {
                    self.ghosts.remember(spread(key));
                    return Some(key);
                }
                self.main.push_front((key, weight, 0));
            } else if others_in_main {
                let (key, weight, hits) = self.main.pop_back().unwrap();
                if hits == 0 && Some(key) != self.newest {
                    return Some(key);
                }
                self.main.push_front((key, weight, hits.saturating_sub(1)));
            } else {
                // The newest is the oldest of the small queue, by an update in place.
                if let Some(at) = self.small.iter().rposition(|node| Some(node.0) != self.newest) {
                    return self.small.remove(at).map(|node| node.0);
                }
                return self.newest.and_then(|newest| self.remove(newest));
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Op {
    Insert { key: u32, weight: u64 },
    Hit(u32),
    Remove(u32),
    SettleIn,
    Evict,
}

fn op() -> impl Strategy<Value = Op> {
    let key = 0..40u32;
    prop_oneof![
        6 => (key.clone(), 1..30u64).prop_map(|(key, weight)| Op::Insert { key, weight }),
        8 => key.clone().prop_map(Op::Hit),
        1 => key.prop_map(Op::Remove),
        2 => Just(Op::SettleIn),
        5 => Just(Op::Evict),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 512 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_plain_lists_do(share in 0..600u64, ops in proptest::collection::vec(op(), 1..200)) {
        let (mut policy, mut naive) = (S3Fifo::new(share), Naive { share, ..Naive::default() });
        for op in ops {
            match op {
                Op::Insert { key, weight } => prop_assert_eq!(insert(&mut policy, key, weight), naive.insert(key, weight)),
                Op::Hit(key) => prop_assert_eq!(hit(&policy, key), naive.hit(key)),
                Op::Remove(key) => {
                    let removed = policy.remove(&Lookup::new(spread(key), &key)).map(|(key, _)| key);
                    prop_assert_eq!(removed, naive.remove(key));
                }
                Op::SettleIn => {
                    policy.settle_in();
                    naive.settle_in();
                }
                Op::Evict => {
                    let newest = naive.newest;
                    let evicted = policy.evict(Tick::ORIGIN).map(|(key, _)| key);
                    prop_assert!(naive.len() < 2 || evicted != newest, "the newest was evicted before others");
                    prop_assert_eq!(evicted, naive.evict());
                }
            }
            prop_assert_eq!(policy.len(), naive.len());
            prop_assert_eq!((policy.small.weight, policy.main.weight), naive.weights());
            prop_assert_eq!((policy.small.len, policy.main.len), (naive.small.len(), naive.main.len()));
        }
        let left: Vec<u32> = std::iter::from_fn(|| policy.evict(Tick::ORIGIN)).map(|(key, _)| key).collect();
        let expected: Vec<u32> = std::iter::from_fn(|| naive.evict()).collect();
        prop_assert_eq!(left, expected);
        prop_assert_eq!((policy.small.weight, policy.main.weight), (0, 0));
    }
}

#[test]
fn a_scan_does_not_displace_what_is_in_use() {
    let mut policy = S3Fifo::new(100);
    for key in 0..100 {
        insert(&mut policy, key, 1);
        policy.settle_in();
    }
    for _ in 0..3 {
        assert!((0..50).all(|key| hit(&policy, key)));
    }
    for key in 1000..2000 {
        insert(&mut policy, key, 1);
        assert!(policy.evict(Tick::ORIGIN).is_some());
    }
    assert!((0..50).all(|key| hit(&policy, key)), "what was hit is gone");
}

#[test]
fn what_comes_back_soon_skips_the_trial() {
    let mut policy = S3Fifo::new(100);
    for key in 0..100 {
        insert(&mut policy, key, 1);
    }
    let (first, _) = policy.evict(Tick::ORIGIN).unwrap();
    insert(&mut policy, first, 1);
    assert_eq!((policy.main.len, policy.small.len), (1, 99));
}

#[test]
fn what_has_expired_gives_way_before_what_is_fresh() {
    let at = |seconds| Tick::from_duration(Duration::from_secs(seconds));
    let mut policy = S3Fifo::new(1000);
    for key in 0..20u32 {
        let deadline = if key % 2 == 0 { Deadline::NEVER } else { Deadline::after(at(0), Duration::from_secs(1)) };
        policy.insert(spread(key), key, timed(key, 1, deadline));
    }
    let mut gone: Vec<u32> = (0..10).filter_map(|_| policy.evict(at(2))).map(|(key, _)| key).collect();
    gone.sort_unstable();
    // The newest entry, 19, is the one that an eviction leaves alone.
    assert_eq!(gone.iter().filter(|key| *key % 2 == 1).count(), 9, "{gone:?}");
}

#[test]
fn keys_of_one_hash_are_told_apart() {
    let mut policy: S3Fifo<String, u32> = S3Fifo::new(100);
    for value in [10, 20, 30] {
        assert!(policy.insert(1, format!("key {value}"), entry(value)).is_none());
    }
    assert_eq!(policy.peek(&Lookup::new(1, "key 20")).map(|entry| *entry.value()), Some(20));
    assert_eq!(policy.remove(&Lookup::new(1, "key 20")).map(|(key, _)| key).as_deref(), Some("key 20"));
    assert!(policy.peek(&Lookup::new(1, "key 20")).is_none());
    assert_eq!(policy.peek(&Lookup::new(1, "key 30")).map(|entry| *entry.value()), Some(30));
}

#[test]
fn nobody_searches_before_the_first_end_nor_overlooks_one() {
    let at = |seconds| Tick::from_duration(Duration::from_secs(seconds));
    let mut policy = S3Fifo::new(1000);
    for key in 0..100u32 {
        let life = if key == 60 { 5 } else { 50 };
        policy.insert(spread(key), key, timed(key, 1, Deadline::after(at(0), Duration::from_secs(life))));
    }
    assert!(policy.evict(at(4)).is_some_and(|(key, _)| key != 60));
    assert_eq!(policy.cursor, 0, "nothing can have ended");
    let mut gone: Vec<u32> = (0..7).filter_map(|_| policy.evict(at(6))).map(|(key, _)| key).collect();
    assert!(gone.contains(&60), "{gone:?}");
    // It takes a round to know of the next end, and what changes meanwhile counts too.
    gone.extend((0..8).filter_map(|_| policy.evict(at(7))).map(|(key, _)| key));
    let cursor = policy.cursor;
    gone.extend(policy.evict(at(8)).map(|(key, _)| key));
    assert_eq!(policy.cursor, cursor, "the next end is known");
    let key = (0..100).rev().find(|key| !gone.contains(key) && *key != 99).unwrap();
    policy.peek_mut(&Lookup::new(spread(key), &key)).unwrap().hot.fresh = at(9).deadline();
    assert!((0..7).any(|_| policy.evict(at(10)).is_some_and(|(gone, _)| gone == key)));
}
