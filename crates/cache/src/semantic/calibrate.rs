//! A threshold from pairs that somebody labeled.

use serde::{Deserialize, Serialize};

/// The score of a pair of texts, and whether they may share an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LabeledScore {
    /// The cosine of their vectors.
    pub score: f32,
    /// Whether one's answer is right for the other.
    pub same: bool,
}

impl LabeledScore {
    /// Puts one together.
    pub const fn new(score: f32, same: bool) -> Self {
        Self { score, same }
    }
}

/// A threshold and what it does on the pairs it was found on.
///
/// On other pairs it does a little worse: hold some pairs back, and count those.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Calibration {
    /// Scores from here up are hits.
    pub threshold: f32,
    /// The share of hits that are right.
    pub precision: f64,
    /// The 95 % interval of that share, by Wilson.
    pub precision_interval: (f64, f64),
    /// The share of the pairs that may share an answer that are hits.
    pub recall: f64,
    /// How many hits there are.
    pub hits: u64,
    /// How many of them are false.
    pub false_hits: u64,
}

/// Finds the lowest threshold whose hits are right in at least this share; `None` if none is.
pub fn calibrate(scores: &[LabeledScore], precision: f64) -> Option<Calibration> {
    let mut ordered: Vec<LabeledScore> = scores.iter().copied().filter(|pair| pair.score.is_finite()).collect();
    ordered.sort_by(|one, other| other.score.total_cmp(&one.score));
    let positives = count(ordered.iter().filter(|pair| pair.same));
    let (mut hits, mut right) = (0_u64, 0_u64);
    let mut best = None;
    for (at, pair) in ordered.iter().enumerate() {
        hits += 1;
        right += u64::from(pair.same);
        // Pairs of one score come and go together.
        if ordered.get(at + 1).is_some_and(|next| next.score >= pair.score) {
            continue;
        }
        let reached = ratio(right, hits);
        if reached >= precision && right > 0 {
            best = Some(Calibration {
                threshold: pair.score,
                precision: reached,
                precision_interval: wilson(right, hits),
                recall: ratio(right, positives),
                hits,
                false_hits: hits - right,
            });
        }
    }
    best
}

/// The 95 % interval of a share (Wilson, 1927), which holds for few trials and for shares near 0 and 1;
/// 0 to 1 without trials.
pub fn wilson(successes: u64, trials: u64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let (share, n) = (ratio(successes.min(trials), trials), ratio(trials, 1));
    let z2 = Z * Z;
    let center = share + z2 / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    (((center - spread) / scale).clamp(0.0, share), ((center + spread) / scale).clamp(share, 1.0))
}

fn count<T>(items: impl Iterator<Item = T>) -> u64 {
    u64::try_from(items.count()).unwrap_or(u64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_interval_is_that_of_the_tables() {
        // Newcombe, "Two-sided confidence intervals for the single proportion", 1998, table I.
        for (successes, trials, low, high) in
            [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)]
        {
            let (found_low, found_high) = wilson(successes, trials);
            assert!((found_low - low).abs() < 1e-4 && (found_high - high).abs() < 1e-4, "{found_low} {found_high}");
        }
        assert_eq!(wilson(0, 0), (0.0, 1.0));
    }

    proptest! {
        #[test]
        fn the_threshold_does_what_it_says(
            pairs in prop::collection::vec((0_u8..20, any::<bool>()), 0..60), target in 0.5_f64..1.0,
        ) {
            let scores: Vec<LabeledScore> =
                pairs.iter().map(|(score, same)| LabeledScore::new(f32::from(*score), *same)).collect();
            let at = |threshold: f32| {
                let hits: Vec<&LabeledScore> = scores.iter().filter(|pair| pair.score >= threshold).collect();
                (hits.len() as u64, hits.iter().filter(|pair| pair.same).count() as u64)
            };
            let good = |threshold: f32| {
                let (hits, right) = at(threshold);
                right > 0 && ratio(right, hits) >= target
            };
            let naive = (0_u8..20).map(f32::from).filter(|score| scores.iter().any(|pair| pair.score.total_cmp(score).is_eq()));
            let naive = naive.into_iter().find(|score| good(*score));
            let found = calibrate(&scores, target);
            prop_assert_eq!(found.map(|found| found.threshold), naive);
            if let Some(found) = found {
                prop_assert_eq!((found.hits, found.hits - found.false_hits), at(found.threshold));
            }
        }
    }
}
