//! Attributes, and the crate by another name.

use bedplate_cache as kept;
use kept::memoize;

#[memoize(crate = "kept", tags = ["sums"], ttl = "1h")]
fn sum(_left_out: (), numbers: &[u64]) -> u64 {
    numbers.iter().sum()
}

/// Joins words.
#[expect(clippy::too_many_arguments, reason = "a lint that is let be is so in all parts")]
#[must_use]
#[memoize(key = "one.clone()")]
pub(super) fn joined(one: String, a1: u8, a2: u8, a3: u8, a4: u8, a5: u8, a6: u8, a7: u8) -> String {
    one + &format!("{a1}{a2}{a3}{a4}{a5}{a6}{a7}")
}

#[cfg(any())]
#[memoize]
fn nowhere() -> Nothing {}

#[test]
fn attributes_go_where_they_belong() {
    assert_eq!(joined("x".to_owned(), 1, 2, 3, 4, 5, 6, 7), "x1234567");
    assert!(joined_invalidate("x".to_owned()));
}

#[test]
fn the_crate_may_be_known_by_another_name() {
    assert_eq!((sum((), &[1, 2, 3]), sum((), &[1, 2, 3])), (6, 6));
    assert_eq!(sum_cache().stats().hits, 1);
    sum_cache().invalidate_tag("sums");
    assert!(!sum_invalidate((), &[1, 2, 3]));
}
