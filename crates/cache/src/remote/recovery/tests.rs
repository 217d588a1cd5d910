use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::remote::{Envelope, EnvelopeKind, EnvelopeMeta, NodeId};

fn write(key: &'static str, at: u64) -> Pending {
    let stamp = Stamp::new(at, 0, NodeId::new(1));
    let key = Bytes::from_static(key.as_bytes());
    let meta = EnvelopeMeta::new(EnvelopeKind::Value, stamp);
    let envelope = Envelope::seal(&meta, 0, &at.to_be_bytes(), None).unwrap();
    Pending::new(stamp, Change::Written(key.clone()), Some(PendingWrite::new(key, envelope, Some(at + 100))))
}

fn queue(max_items: usize) -> RecoveryQueue {
    RecoveryQueue::new(RecoveryConfig { max_items, ..RecoveryConfig::default() })
}

/// Replays all, and returns for every step whether it was a write, and its time.
fn drain(queue: &mut RecoveryQueue) -> Vec<(bool, u64)> {
    let mut steps = Vec::new();
    while let Some(step) = queue.peek() {
        match step {
            Step::Store { id, write } => {
                steps.push((true, write.envelope.stamp().millis()));
                queue.done(id);
            }
            Step::Publish { id, stamp, .. } => {
                steps.push((false, stamp.millis()));
                queue.done(id);
            }
        }
    }
    steps
}

#[test]
fn the_remote_comes_first_then_the_notification() {
    let mut queue = queue(10);
    queue.push(write("a", 1));
    queue.push(write("b", 2));
    assert_eq!(drain(&mut queue), [(true, 1), (false, 1), (true, 2), (false, 2)]);
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
}

#[test]
fn a_step_that_was_not_done_is_next_again() {
    let mut queue = queue(10);
    queue.push(write("a", 1));
    assert_eq!(queue.peek(), queue.peek());
}

#[test]
fn the_last_word_on_a_key_wins_even_while_the_one_before_is_under_way() {
    let mut queue = queue(10);
    queue.push(write("a", 1));
    let Some(Step::Store { id, .. }) = queue.peek() else { panic!("a write is next") };
    assert_eq!(queue.push(write("a", 3)), Pushed::Replaced);
    assert_eq!(queue.push(write("a", 2)), Pushed::Outdated);
    queue.done(id);
    assert_eq!(drain(&mut queue), [(true, 3), (false, 3)]);
}

#[test]
fn a_removal_replaces_a_write_of_its_key_but_a_tag_of_that_name_does_not() {
    let mut queue = queue(10);
    queue.push(write("a", 1));
    let stamp = Stamp::new(2, 0, NodeId::new(1));
    assert_eq!(queue.push(Pending::new(stamp, Change::Tag("a".to_owned()), None)), Pushed::Queued);
    assert_eq!(queue.push(Pending::new(stamp, Change::Removed(Bytes::from_static(b"a")), None)), Pushed::Replaced);
    assert_eq!(drain(&mut queue), [(false, 2), (false, 2)]);
}

#[test]
fn an_overflow_is_counted_and_noted_once() {
    let mut queue = queue(2);
    let pushed = ["a", "b", "c"].map(|key| queue.push(write(key, 1)));
    assert_eq!(pushed, [Pushed::Queued, Pushed::Queued, Pushed::Overflowed]);
    assert_eq!((queue.len(), queue.lost()), (2, 1));
    assert!(queue.take_suspicion());
    assert!(!queue.take_suspicion());
}

#[test]
fn bytes_are_bounded_even_by_one_item() {
    let mut queue = RecoveryQueue::new(RecoveryConfig { max_bytes: 10, ..RecoveryConfig::default() });
    let key = Bytes::from(vec![b'k'; 5000]);
    let stamp = Stamp::new(2, 0, NodeId::new(1));
    assert_eq!(queue.push(Pending::new(stamp, Change::Removed(key), None)), Pushed::Overflowed);
    assert_eq!((queue.len(), queue.bytes()), (0, 0));
    assert!(queue.take_suspicion());
    assert_eq!(queue.push(write("a", 1)), Pushed::Queued, "there is always room for a small word");
}

proptest! {
    #[test]
    fn it_replays_the_newest_word_on_every_key_once(words in prop::collection::vec((0_usize..6, 1_u64..50), 0..60)) {
        const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
        let mut queue = queue(100);
        let mut newest = BTreeMap::new();
        for (key, at) in words {
            queue.push(write(KEYS[key], at));
            let known = newest.entry(KEYS[key]).or_insert(at);
            *known = (*known).max(at);
            prop_assert_eq!(queue.len(), newest.len());
        }
        let mut written: Vec<u64> = drain(&mut queue).into_iter().filter(|step| step.0).map(|step| step.1).collect();
        written.sort_unstable();
        let mut expected: Vec<u64> = newest.into_values().collect();
        expected.sort_unstable();
        prop_assert_eq!(written, expected);
    }

    #[test]
    fn the_bounds_hold(words in prop::collection::vec((0_usize..6, 1_u64..50), 0..60), items in 1_usize..5) {
        const KEYS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
        let mut queue = queue(items);
        for (key, at) in words {
            queue.push(write(KEYS[key], at));
            prop_assert!(queue.len() <= items);
            prop_assert_eq!(queue.slots.len(), queue.items.len());
        }
        prop_assert_eq!(queue.lost() > 0, queue.take_suspicion());
    }
}
