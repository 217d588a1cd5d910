//! What is untrue, against a list of all that ever happened.

use proptest::prelude::*;

use super::*;

fn pattern(digit: u64) -> Scope<u64> {
    Scope::Pattern { name: digit.to_string(), fits: Box::new(move |key| key % 10 == digit) }
}

#[test]
fn a_tombstone_hits_what_is_older_and_nothing_else() {
    let generations = Generations::new();
    let tags = [Tag::from("red")];
    let before = generations.current();
    assert!(!generations.open(Scope::Tag(Tag::from("red"))));
    let after = generations.current();
    assert_eq!(generations.overtaken(before, &tags, &1), after);
    assert_eq!(generations.overtaken(before, &[Tag::from("blue")], &1), 0);
    assert_eq!(generations.overtaken(before, &[], &1), 0);
    assert_eq!(generations.overtaken(after, &tags, &1), 0);
}

#[test]
fn a_load_under_way_keeps_the_tombstones_it_must_be_compared_with() {
    let generations = Generations::new();
    let load = generations.current();
    assert!(!generations.open(Scope::Tag(Tag::from("red"))));
    let late = generations.current();
    assert!(!generations.open(pattern(3)));
    generations.retire(generations.current(), load);
    assert_eq!(generations.tombstones(), 2);
    assert_ne!(generations.overtaken_load(load, &[Tag::from("red")], &1), 0);
    // The first load has ended; the second began after the tag and before the pattern.
    generations.retire(generations.current(), late);
    assert_eq!(generations.tombstones(), 1);
    assert_ne!(generations.overtaken_load(late, &[], &13), 0);
    generations.retire(generations.current(), u64::MAX);
    assert_eq!((generations.tombstones(), generations.newest()), (0, 0));
}

#[test]
fn too_many_tombstones_are_given_up_and_old_loads_with_them() {
    let generations = Generations::<u64>::new();
    let load = generations.current();
    let mut crowded = false;
    for number in 0..=MAX_TAGS {
        assert!(!crowded, "full before its bound");
        crowded = generations.open(Scope::Tag(Tag::from(number.to_string())));
    }
    assert!(crowded);
    let newer = generations.current();
    generations.retire(generations.current(), load);
    assert_eq!(generations.tombstones(), 0);
    assert_ne!(generations.overtaken_load(load, &[], &1), 0, "nobody can tell any more");
    assert_eq!(generations.overtaken_load(newer, &[], &1), 0);
}

#[test]
fn a_pattern_given_again_takes_the_place_of_the_first() {
    let generations = Generations::new();
    for _ in 0..1000 {
        assert!(!generations.open(pattern(3)));
    }
    assert_eq!(generations.tombstones(), 1);
}

#[derive(Debug, Clone)]
enum Op {
    Tag(u8),
    Pattern(u64),
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![4 => (0..4u8).prop_map(Op::Tag), 2 => (0..4u64).prop_map(Op::Pattern), 1 => Just(Op::Clear)]
}

proptest! {
    #[test]
    fn it_remembers_as_a_list_would(
        ops in proptest::collection::vec(op(), 0..30),
        born in 0..30usize,
        tags in proptest::collection::vec(0..4u8, 0..3),
        key in 0..4u64,
    ) {
        let generations = Generations::new();
        let (mut seq, mut untrue) = (generations.current(), false);
        for (step, op) in ops.into_iter().enumerate() {
            if step == born {
                (seq, untrue) = (generations.current(), false);
            }
            untrue |= match &op {
                Op::Tag(tag) => tags.contains(tag),
                Op::Pattern(digit) => key == *digit,
                Op::Clear => true,
            };
            let _crowded = generations.open(match op {
                Op::Tag(tag) => Scope::Tag(Tag::from(tag.to_string())),
                Op::Pattern(digit) => pattern(digit),
                Op::Clear => Scope::Everything,
            });
            // With the entry still there a sweep would have taken it out, so only what it is compared
            // with as a load may be retired.
            generations.retire(generations.current(), seq);
        }
        let tags: Vec<Tag> = tags.into_iter().map(|tag| Tag::from(tag.to_string())).collect();
        prop_assert_eq!(generations.overtaken_load(seq, &tags, &key) != 0, untrue);
    }
}
