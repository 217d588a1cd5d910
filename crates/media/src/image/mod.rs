//! What a picture contains: size, EXIF, colors, hashes and focus.
//!
//! The header is read first and held against the limits; only then are pixels decoded, once, with the decoder's own
//! allocation bounded as well. Every measure is taken from that one decoding.

mod color;
mod decode;
mod exif;
mod focus;
mod frames;
mod hash;
mod jpeg;
mod palette;
mod report;

pub use self::hash::{ParsePerceptualHashError, PerceptualHash};
pub use self::report::{Exif, ExifField, ImageReport, PaletteColor, Position};

use crate::check::require_format;
use crate::{Depth, Format, Limits, MediaError, Modality, Warning, WarningKind};

/// Analyzes a picture: header, EXIF, palette, hashes, focus and exposure.
///
/// An animation is analyzed by its first frame, and a JPEG that is cut off by what is there of it, with a warning.
///
/// # Errors
///
/// [`MediaError::Empty`], [`MediaError::TooLarge`], [`MediaError::Unrecognized`] and [`MediaError::WrongFormat`] by the bytes;
/// [`MediaError::LimitExceeded`] by the header, before pixels are decoded; [`MediaError::Decoder`] and
/// [`MediaError::DecoderPanicked`] where the content is broken.
pub fn analyze(bytes: &[u8], limits: &Limits) -> Result<ImageReport, MediaError> {
    let (mut report, picture) = read(bytes, limits, decode::pixels)?;
    report.depth = Depth::Analyzed;
    let luma = picture.to_luma8();
    report.brightness = focus::brightness(&luma);
    report.contrast = focus::contrast(&luma);
    report.sharpness = focus::sharpness(&luma);
    if report.sharpness.is_none() {
        report.warnings.push(Warning::new(WarningKind::NotMeasurable, "sharpness needs at least 3 × 3 pixels"));
    }
    report.palette = palette::extract(&picture);
    report.blurhash = hash::blur_hash(&picture);
    report.perceptual_hash = hash::perceptual_hash(&picture);
    Ok(report)
}

/// Reads the header and EXIF of a picture alone, the cheap form of [`analyze`].
///
/// # Errors
///
/// As [`analyze`], less what only pixels show.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<ImageReport, MediaError> {
    read(bytes, limits, |_, _, _| Ok(())).map(|(report, ())| report)
}

fn read<T>(
    bytes: &[u8],
    limits: &Limits,
    decode: impl FnOnce(&[u8], Format, &Limits) -> Result<T, MediaError>,
) -> Result<(ImageReport, T), MediaError> {
    let is_image = |format: Format| format.modality() == Modality::Image;
    let format = require_format(bytes, Modality::Image, is_image, limits.image.max_bytes)?;
    let header = decode::header(bytes, format, limits)?;
    let mut warnings = Vec::new();
    let truncated = format == Format::Jpeg && jpeg::is_truncated(bytes);
    if truncated {
        warnings.push(Warning::new(WarningKind::Truncated, "the file ends before the picture does"));
    }
    let exif = match exif::read(bytes, format, limits.image.max_exif_fields, truncated) {
        Ok(exif) => exif,
        Err(error) => {
            let message = format!("EXIF could not be read: {error}");
            warnings.push(Warning::new(WarningKind::Metadata, message));
            None
        }
    };
    let decoded = decode(bytes, format, limits)?;
    let report = ImageReport {
        depth: Depth::Inspected,
        format,
        bytes: bytes.len() as u64,
        width: header.width,
        height: header.height,
        color_type: header.color_type,
        frames: frames::count(bytes, format),
        exif,
        palette: Vec::new(),
        blurhash: None,
        perceptual_hash: None,
        sharpness: None,
        brightness: None,
        contrast: None,
        warnings,
    };
    Ok((report, decoded))
}
