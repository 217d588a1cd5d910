//! The little statistics that the judgments need. Every function is total: no input makes NaN.

/// The natural logarithm of n!, by Stirling's series above a table's worth.
pub(super) fn ln_factorial(n: f64) -> f64 {
    if n < 2.0 {
        return 0.0;
    }
    if n < 20.0 {
        let mut product = 1.0;
        let mut factor = 2.0;
        while factor <= n {
            product *= factor;
            factor += 1.0;
        }
        return f64::ln(product);
    }
    let square = n * n;
    n.ln().mul_add(n, -n) + (std::f64::consts::TAU * n).ln() / 2.0 + (1.0 / 12.0 - 1.0 / (360.0 * square)) / n
}

/// How surprising it is to see at least `hits` of `trials` at this rate: -log10 of the binomial tail, 0 to 300.
pub(super) fn binomial_surprise(hits: f64, trials: f64, rate: f64) -> f64 {
    let rate = rate.clamp(1e-9, 1.0 - 1e-9);
    if hits <= trials * rate || trials < 1.0 {
        return 0.0;
    }
    let ln_choose = ln_factorial(trials) - ln_factorial(hits) - ln_factorial(trials - hits);
    let first = hits.mul_add(rate.ln(), ln_choose) + (trials - hits) * (-rate).ln_1p();
    // Terms fall at least as fast as this ratio beyond the mean, so a geometric series bounds the rest.
    let ratio = (trials - hits) / (hits + 1.0) * rate / (1.0 - rate);
    surprise(first, ratio)
}

/// How surprising it is to see `count` or further off where `mean` is usual: -log10 of the Poisson tail, 0 to 300.
pub(super) fn poisson_surprise(count: f64, mean: f64) -> f64 {
    let mean = mean.max(1e-9);
    let first = count.mul_add(mean.ln(), -mean) - ln_factorial(count);
    let ratio = if count > mean { mean / (count + 1.0) } else { count / mean };
    surprise(first, ratio)
}

fn surprise(ln_first: f64, ratio: f64) -> f64 {
    let rest = -(1.0 - ratio.clamp(0.0, 0.999)).ln();
    let digits = -(ln_first + rest) / std::f64::consts::LN_10;
    if digits.is_finite() { digits.clamp(0.0, 300.0) } else { 0.0 }
}

/// The score of a normal deviate that is as improbable as so many digits, so that all kinds share one scale.
pub(super) fn score_of(digits: f64) -> f64 {
    // From the tail's leading term: p is about exp(-z^2 / 2) / (z sqrt(2 pi)); two steps settle it well enough.
    let ln = digits.max(0.0) * std::f64::consts::LN_10;
    let mut z = (2.0 * ln).sqrt();
    for _ in 0..3 {
        z = (2.0 * (ln - (z.max(1.0) * std::f64::consts::TAU.sqrt()).ln())).max(0.0).sqrt();
    }
    z
}

/// The middle of the values, which it sorts in part; 0 of none.
pub(super) fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "{found} is not {expected}");
    }

    #[test]
    fn the_tails_are_those_of_the_tables() {
        near(ln_factorial(10.0), 3_628_800_f64.ln(), 1e-9);
        near(ln_factorial(25.0), 58.003_605, 1e-5);
        // P(X >= 8), X ~ Bin(20, 0.1) = 4.16e-4; P(X >= 20), X ~ Poisson(10) = 3.45e-3; P(X <= 2) = 2.77e-3.
        near(binomial_surprise(8.0, 20.0, 0.1), 3.381, 0.05);
        near(poisson_surprise(20.0, 10.0), 2.462, 0.06);
        near(poisson_surprise(2.0, 10.0), 2.557, 0.06);
        // One-sided: 1.35e-3 at 3 sigma, 2.87e-7 at 5.
        near(score_of(2.870), 3.0, 0.12);
        near(score_of(6.543), 5.0, 0.06);
    }

    proptest! {
        #[test]
        fn nothing_is_ever_nan(hits in 0_u32.., more in 0_u32.., rate in any::<f64>(), mean in any::<f64>()) {
            let (hits, trials) = (f64::from(hits), f64::from(hits) + f64::from(more));
            let rate = if rate.is_finite() { rate } else { 0.0 };
            let mean = if mean.is_finite() { mean.abs() } else { 0.0 };
            for digits in [binomial_surprise(hits, trials, rate), poisson_surprise(hits, mean)] {
                prop_assert!((0.0..=300.0).contains(&digits), "{}", digits);
                prop_assert!(score_of(digits).is_finite());
            }
        }
    }
}
