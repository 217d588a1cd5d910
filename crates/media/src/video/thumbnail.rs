use image::{ImageFormat, RgbImage};

use super::Thumbnail;
use super::avc::Picture;
use super::frames::Luma;

/// Scales a frame down by averaging luma over the pixels behind each one, and converts it to sRGB.
///
/// Colors are taken as BT.709 from 720 rows up, else as BT.601, in studio range, as players do where a stream does not say.
pub(super) fn scale(
    luma: &Luma<'_>,
    chroma: Option<[&Luma<'_>; 2]>,
    picture: Picture,
    max_width: u32,
) -> Option<RgbImage> {
    let (from_width, from_height) = (luma.width(), luma.height());
    let width = picture.width.min(max_width).max(1);
    let scaled = u64::from(picture.height) * u64::from(width) / u64::from(picture.width.max(1));
    let height = u32::try_from(scaled).ok()?.clamp(1, MAX_HEIGHT);
    let span = |at: u32, to: u32, from: usize| -> (usize, usize) {
        let start = at as usize * from / to as usize;
        let end = (at as usize + 1) * from / to as usize;
        (start, end.max(start + 1).min(from.max(start + 1)))
    };
    let mut out = RgbImage::new(width, height);
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        let (left, right) = span(x, width, from_width);
        let (top, bottom) = span(y, height, from_height);
        let light = luma.mean(left..right, top..bottom);
        let color = chroma.map(|planes| {
            planes.map(|plane| {
                let (left, right) = span(x, width, plane.width());
                let (top, bottom) = span(y, height, plane.height());
                plane.mean(left..right, top..bottom)
            })
        });
        let [blue, red] = color.unwrap_or([128.0, 128.0]);
        pixel.0 = to_rgb(light, blue, red, picture.height >= 720);
    }
    Some(out)
}

/// Encodes the picture.
pub(super) fn encode(picture: &RgbImage, seconds: f64) -> Option<Thumbnail> {
    let mut png = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut png, ImageFormat::Png).ok()?;
    Some(Thumbnail { seconds, width: picture.width(), height: picture.height(), png: png.into_inner() })
}

fn to_rgb(luma: f64, blue: f64, red: f64, high_definition: bool) -> [u8; 3] {
    let (kr, kb) = if high_definition { (0.2126, 0.0722) } else { (0.299, 0.114) };
    let y = (luma - 16.0) * 255.0 / 219.0;
    let b = (blue - 128.0) * 255.0 / 112.0;
    let r = (red - 128.0) * 255.0 / 112.0;
    let green = y - (kb * (1.0 - kb) * b + kr * (1.0 - kr) * r) / (1.0 - kr - kb);
    [y + (1.0 - kr) * r, green, y + (1.0 - kb) * b].map(to_byte)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, which is the clamping that is wanted"
)]
fn to_byte(value: f64) -> u8 {
    value.round() as u8
}

/// A film of one column would make a thumbnail without end.
const MAX_HEIGHT: u32 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn studio_black_white_and_red_convert_as_the_standard_says() {
        assert_eq!(to_rgb(16.0, 128.0, 128.0, true), [0, 0, 0]);
        assert_eq!(to_rgb(235.0, 128.0, 128.0, false), [255, 255, 255]);
        // 100% red in BT.601 is Y 81, Cb 90, Cr 240.
        let [red, green, blue] = to_rgb(81.0, 90.0, 240.0, false);
        assert!(red >= 253 && green <= 2 && blue <= 2, "{red} {green} {blue}");
    }
}
