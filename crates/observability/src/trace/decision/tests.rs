use proptest::prelude::*;

use super::*;

#[test]
fn the_threshold_is_written_as_the_specification_has_it() {
    for (share, text) in [(1.0, "0"), (0.5, "8"), (0.25, "c"), (0.1, "e6666666666668"), (0.0, "ffffffffffffff")] {
        assert_eq!(SamplingThreshold::of(share).to_string(), text, "{share}");
    }
    assert_eq!(SamplingThreshold::of(0.0).tracestate(), None);
    assert_eq!(SamplingThreshold::of(f64::NAN), SamplingThreshold::of(-1.0));
}

#[test]
fn the_first_of_each_kind_are_new_and_the_kinds_are_bounded() {
    let mut types = ErrorTypes::new(2);
    let new: Vec<bool> = (0..4).map(|_| types.is_new("pay", "declined")).collect();
    assert_eq!(new, [true, true, false, false]);
    assert!(types.is_new("pay", "timeout") && types.is_new("refund", "declined"));
    for index in 0..100_000 {
        types.is_new("flood", &index.to_string());
    }
    assert!(types.seen.len() <= KINDS);
    assert!(!ErrorTypes::new(0).is_new("pay", "declined"));
}

/// Who knows where names stand can choose such that all stand in one place.
#[test]
fn where_a_name_stands_is_not_the_same_twice() {
    use std::hash::BuildHasher as _;
    let (one, two) = (ErrorTypes::new(1), ErrorTypes::new(1));
    assert_ne!(one.seen.hasher().hash_one("pay"), two.seen.hasher().hash_one("pay"));
}

proptest! {
    #[test]
    fn each_rule_alone_keeps_what_it_says(
        id in 1_u128.., flags in prop::array::uniform5(any::<bool>()), rules in prop::array::uniform3(any::<bool>()), share in 0.0_f64..=1.0,
    ) {
        let trace = TraceId::new(id).unwrap();
        let [failed, keep, new_error, sampled_by_caller, slow] = flags;
        let [all, errors, by_slowness] = rules;
        let baseline = SamplingThreshold::of(share);
        let facts = Gathered { failed, keep, new_error, sampled_by_caller, slow };
        let kept = Rules { all, errors, slow: by_slowness, baseline }.decide(trace, facts);
        let reasons = [
            (keep, KeepReason::Asked),
            (failed && errors, KeepReason::Error),
            (new_error, KeepReason::NewError),
            (slow && by_slowness, KeepReason::Slow),
            (sampled_by_caller, KeepReason::Caller),
            (all || baseline.keeps(trace), KeepReason::Baseline),
        ];
        prop_assert_eq!(kept, reasons.into_iter().find(|(holds, _)| *holds).map(|(_, reason)| reason));
    }

    /// A process that keeps less keeps none that one which keeps more drops.
    #[test]
    fn shares_are_nested(id in 1_u128.., a in 0.0_f64..=1.0, b in 0.0_f64..=1.0) {
        let trace = TraceId::new(id).unwrap();
        let (small, large) = (SamplingThreshold::of(a.min(b)), SamplingThreshold::of(a.max(b)));
        prop_assert!(!small.keeps(trace) || large.keeps(trace));
        prop_assert!(SamplingThreshold::of(1.0).keeps(trace));
    }

    #[test]
    fn slow_is_what_the_naive_percentile_says(durations in prop::collection::vec(1_u64..1_000_000, 64..600)) {
        let mut slowness = Slowness::new(0);
        let mut before: Vec<u64> = Vec::new();
        let mut threshold = None;
        for (index, micros) in durations.iter().enumerate() {
            if index % 64 == 0 && before.len() >= 100 {
                let mut sorted = before.clone();
                sorted.sort_unstable();
                threshold = Some(sorted[(sorted.len() * 99).div_ceil(100) - 1]);
            }
            let slow = slowness.record(1, Duration::from_micros(*micros), 100);
            match threshold {
                None => prop_assert!(!slow),
                Some(truth) if *micros * 100 > truth * 102 => prop_assert!(slow, "{micros} of {truth}"),
                Some(truth) if *micros * 102 < truth * 100 => prop_assert!(!slow, "{micros} of {truth}"),
                Some(_) => {}
            }
            before.push(*micros);
        }
    }
}

#[test]
fn the_percentile_forgets_what_is_two_minutes_old() {
    let mut slowness = Slowness::new(0);
    for _ in 0..1_000 {
        slowness.record(0, Duration::from_secs(1), 10);
    }
    assert!(!slowness.record(1, Duration::from_millis(10), 10));
    for minute in 1..4 {
        for _ in 0..1_000 {
            slowness.record(minute * HALF, Duration::from_millis(1), 10);
        }
    }
    assert!(slowness.record(3 * HALF, Duration::from_millis(10), 10));
}
