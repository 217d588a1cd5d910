use std::io::Cursor;

use image::{DynamicImage, ImageDecoder as _, ImageError, ImageFormat, ImageReader};

use crate::guard::catching;
use crate::{Format, Limits, MediaError};

/// What a decoder reads before the first pixel.
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) color_type: String,
}

/// Reads the header and holds it against the limits.
pub(super) fn header(bytes: &[u8], format: Format, limits: &Limits) -> Result<Header, MediaError> {
    let (width, height, color_type, decoded_bytes) = catching(format, || {
        let decoder = reader(bytes, format, limits)?.into_decoder().map_err(|error| refused(format, error, limits))?;
        let (width, height) = decoder.dimensions();
        let color_type = format!("{:?}", decoder.original_color_type()).to_lowercase();
        Ok((width, height, color_type, decoder.total_bytes()))
    })?;
    let of = &limits.image;
    let pixels = u64::from(width) * u64::from(height);
    for (field, value, limit) in [
        ("image.width", u64::from(width), u64::from(of.max_width)),
        ("image.height", u64::from(height), u64::from(of.max_height)),
        ("image.pixels", pixels, of.max_pixels),
        ("image.decoded_bytes", decoded_bytes, of.max_decoded_bytes),
    ] {
        if value > limit {
            return Err(MediaError::LimitExceeded { field, value, limit });
        }
    }
    if pixels == 0 {
        let detail = format!("the picture is {width} × {height} pixels, expected at least 1 × 1");
        return Err(MediaError::malformed(format, detail));
    }
    Ok(Header { width, height, color_type })
}

/// Decodes the pixels of a picture whose header was found within the limits.
pub(super) fn pixels(bytes: &[u8], format: Format, limits: &Limits) -> Result<DynamicImage, MediaError> {
    catching(format, || reader(bytes, format, limits)?.decode().map_err(|error| refused(format, error, limits)))
}

fn reader<'a>(bytes: &'a [u8], format: Format, limits: &Limits) -> Result<ImageReader<Cursor<&'a [u8]>>, MediaError> {
    let kind = match format {
        Format::Png => ImageFormat::Png,
        Format::Jpeg => ImageFormat::Jpeg,
        Format::Gif => ImageFormat::Gif,
        Format::WebP => ImageFormat::WebP,
        Format::Bmp => ImageFormat::Bmp,
        Format::Tiff => ImageFormat::Tiff,
        other => return Err(MediaError::malformed(other, "expected a picture")),
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), kind);
    // Width and height are ours to check, so that the error names field, value and limit.
    let mut own = image::Limits::no_limits();
    own.max_alloc = Some(limits.image.max_decoded_bytes.saturating_mul(2));
    reader.limits(own);
    Ok(reader)
}

fn refused(format: Format, error: ImageError, limits: &Limits) -> MediaError {
    if let ImageError::Limits(_) = error {
        let limit = limits.image.max_decoded_bytes;
        return MediaError::LimitExceeded {
            field: "image.decoded_bytes",
            // The decoder does not say how much it asked for, only that it was more.
            value: limit.saturating_add(1),
            limit,
        };
    }
    MediaError::decoder(format, error)
}
