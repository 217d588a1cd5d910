use image::GrayImage;

/// The mean luma, from 0 to 1.
pub(super) fn brightness(luma: &GrayImage) -> Option<f64> {
    moments(luma).map(|(mean, _)| mean / 255.0)
}

/// The standard deviation of luma, from 0 to 0.5.
pub(super) fn contrast(luma: &GrayImage) -> Option<f64> {
    moments(luma).map(|(_, variance)| variance.max(0.0).sqrt() / 255.0)
}

/// The variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000).
///
/// Three rows run down the picture side by side, and two integer sums take the place of a second picture.
#[expect(clippy::cast_precision_loss, reason = "a rounding in the 53rd bit does not matter to a focus measure")]
pub(super) fn sharpness(luma: &GrayImage) -> Option<f64> {
    let width = luma.width() as usize;
    if width < 3 || luma.height() < 3 {
        return None;
    }
    let rows = || luma.as_raw().chunks_exact(width);
    let (mut sum, mut squares, mut count) = (0_i64, 0_i64, 0_u64);
    for ((above, row), below) in rows().zip(rows().skip(1)).zip(rows().skip(2)) {
        let inner = above.iter().skip(1).zip(below.iter().skip(1));
        for (across, (up, down)) in row.windows(3).zip(inner) {
            if let [left, middle, right] = *across {
                let around = i64::from(left) + i64::from(right) + i64::from(*up) + i64::from(*down);
                let laplacian = 4 * i64::from(middle) - around;
                sum += laplacian;
                squares += laplacian * laplacian;
                count += 1;
            }
        }
    }
    let mean = sum as f64 / count as f64;
    Some(squares as f64 / count as f64 - mean * mean)
}

#[expect(clippy::cast_precision_loss, reason = "sums over at most 2^32 pixels lose nothing that matters")]
fn moments(luma: &GrayImage) -> Option<(f64, f64)> {
    let count = luma.as_raw().len();
    if count == 0 {
        return None;
    }
    let (sum, squares) = luma.as_raw().iter().fold((0_u64, 0_u64), |(sum, squares), value| {
        let value = u64::from(*value);
        (sum + value, squares + value * value)
    });
    let mean = sum as f64 / count as f64;
    Some((mean, squares as f64 / count as f64 - mean * mean))
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn a_single_bright_pixel_has_the_laplacian_of_its_definition() {
        // On 5 × 5 pixels the nine inner Laplacians are one 4·100, four −100 and four 0: mean 0, variance 200 000 / 9.
        let mut luma = GrayImage::new(5, 5);
        luma.put_pixel(2, 2, Luma([100]));
        let found = sharpness(&luma).unwrap();
        assert!((found - 200_000.0 / 9.0).abs() < 1e-6, "{found}");
    }

    #[test]
    fn half_black_half_white_has_the_greatest_contrast() {
        let luma = GrayImage::from_fn(4, 4, |x, _| Luma([if x < 2 { 0 } else { 255 }]));
        assert!((brightness(&luma).unwrap() - 0.5).abs() < 1e-12);
        assert!((contrast(&luma).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!(sharpness(&GrayImage::new(2, 9)), None);
    }
}
