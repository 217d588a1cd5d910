use proptest::prelude::*;

use super::*;

#[test]
fn names_beyond_the_bound_are_counted_together() {
    let operations = Operations::new(2).unwrap();
    for name in ["a", "b", "c", "d", "a"] {
        operations.record(name, Duration::from_millis(1), false);
    }
    let metrics = operations.snapshot();
    assert_eq!(metrics.total.requests, 5);
    let counts: Vec<(&str, u64)> = metrics.operations.iter().map(|(name, one)| (&**name, one.requests)).collect();
    assert_eq!(counts, [("_other", 2), ("a", 2), ("b", 1)]);
}

#[test]
fn without_requests_nothing_is_divided_by() {
    assert_eq!(Operations::new(1).unwrap().snapshot().total, Aggregate::default());
    assert_eq!(Operations::new(0).unwrap_err().field, "observability.operations");
}

proptest! {
    #[test]
    fn percentiles_are_within_one_percent_of_the_sorted_truth(
        millis in prop::collection::vec((1_u64..100_000, any::<bool>()), 1..200),
    ) {
        let operations = Operations::new(10).unwrap();
        for (one, failed) in &millis {
            operations.record("op", Duration::from_millis(*one), *failed);
        }
        let got = operations.snapshot().operations["op"];
        let mut sorted: Vec<u64> = millis.iter().map(|(one, _)| one * 1_000).collect();
        sorted.sort_unstable();
        prop_assert_eq!(got.requests, sorted.len() as u64);
        prop_assert_eq!(got.errors, millis.iter().filter(|(_, failed)| *failed).count() as u64);
        prop_assert_eq!(got.mean.as_micros(), (sorted.iter().sum::<u64>() / sorted.len() as u64).into());
        for (percent, found) in [(50, got.p50), (95, got.p95), (99, got.p99), (100, got.max)] {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            let truth = Duration::from_micros(sorted[rank - 1]);
            let off = found.abs_diff(truth).as_secs_f64() / truth.as_secs_f64();
            prop_assert!(off <= 0.011, "p{percent}: {found:?} for {truth:?}");
        }
    }
}

/// Who knows where names stand can choose such that all stand in one place.
#[test]
fn where_a_name_stands_is_not_the_same_twice() {
    let tables = [(); 2].map(|()| Operations::new(10).unwrap().table);
    let places = [&tables[0], &tables[1]]
        .map(|table| [table.hasher.hash_one("pay"), table.series.read().hasher().hash_one("pay")]);
    assert!(places[0][0] != places[1][0] && places[0][1] != places[1][1]);
}
