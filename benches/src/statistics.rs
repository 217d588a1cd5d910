//! Robust figures of few numbers.

use serde::Serialize;

/// The middle of some numbers, and how far they spread.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Spread {
    /// The 10th percentile.
    pub low: f64,
    /// The median.
    pub median: f64,
    /// The 90th percentile.
    pub high: f64,
}

impl Spread {
    /// Returns the spread of some numbers; all `NaN` if there are none.
    pub(crate) fn of(numbers: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self { low: quantile(&sorted, 0.1), median: quantile(&sorted, 0.5), high: quantile(&sorted, 0.9) }
    }
}

/// Interpolates between the two nearest of some sorted numbers.
fn quantile(sorted: &[f64], at: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    #[expect(clippy::cast_precision_loss, reason = "there are far fewer numbers than 2^52")]
    let position = at * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position lies between zero and the last index"
    )]
    let below = position.floor() as usize;
    let (Some(lower), Some(upper)) = (sorted.get(below), sorted.get((below + 1).min(last))) else {
        return f64::NAN;
    };
    lower + (upper - lower) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_outlier_moves_neither_median_nor_spread_far() {
        let spread = Spread::of([1.0, 1.1, 0.9, 1.0, 1.2, 1.0, 0.8, 1.0, 1.1, 1.0, 1000.0]);
        assert!((spread.median - 1.0).abs() < 1e-9, "{spread:?}");
        assert!((spread.low - 0.9).abs() < 1e-9 && (spread.high - 1.2).abs() < 1e-9, "{spread:?}");
    }

    #[test]
    fn few_numbers_are_no_trouble() {
        let one = Spread::of([2.0]);
        assert!([one.low, one.median, one.high].iter().all(|figure| (figure - 2.0).abs() < 1e-9));
        assert!((Spread::of([1.0, 2.0]).median - 1.5).abs() < 1e-9);
        assert!(Spread::of([]).median.is_nan());
    }
}
