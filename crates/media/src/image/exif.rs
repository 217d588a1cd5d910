use std::fmt::{self, Write as _};
use std::io::Cursor;

use exif::{DateTime, Field, In, Reader, Tag, Value};

use super::{Exif, ExifField, Position};
use crate::guard::catching;
use crate::{Format, MediaError};

/// Reads EXIF from any container that may carry it; `Ok(None)` where there is none.
///
/// The search goes on until the picture ends, so that of a truncated file without EXIF fails: that is no fault of EXIF.
pub(super) fn read(bytes: &[u8], format: Format, most: usize, truncated: bool) -> Result<Option<Exif>, MediaError> {
    if matches!(format, Format::Gif | Format::Bmp) {
        return Ok(None);
    }
    catching(format, || match Reader::new().read_from_container(&mut Cursor::new(bytes)) {
        Ok(exif) => Ok(Some(report(&exif, most))),
        Err(exif::Error::NotFound(_)) => Ok(None),
        Err(exif::Error::InvalidFormat("Broken JPEG file")) if truncated => Ok(None),
        Err(error) => Err(MediaError::decoder(format, error)),
    })
}

fn report(exif: &exif::Exif, most: usize) -> Exif {
    let primary = |tag| exif.get_field(tag, In::PRIMARY);
    Exif {
        orientation: primary(Tag::Orientation)
            .and_then(|field| field.value.get_uint(0))
            .and_then(|value| u8::try_from(value).ok())
            .filter(|value| (1..=8).contains(value)),
        camera_make: primary(Tag::Make).and_then(text),
        camera_model: primary(Tag::Model).and_then(text),
        taken_at: primary(Tag::DateTimeOriginal).or_else(|| primary(Tag::DateTime)).and_then(time),
        position: position(exif),
        fields: exif
            .fields()
            .take(most)
            .map(|field| ExifField { name: field.tag.to_string(), value: shown(field) })
            .collect(),
    }
}

fn text(field: &Field) -> Option<String> {
    let Value::Ascii(parts) = &field.value else {
        return None;
    };
    let text = String::from_utf8_lossy(parts.first()?);
    let text: String = text.trim().chars().take(MAX_TEXT).collect();
    (!text.is_empty()).then_some(text)
}

fn time(field: &Field) -> Option<String> {
    let Value::Ascii(parts) = &field.value else {
        return None;
    };
    let time = DateTime::from_ascii(parts.first()?).ok()?;
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        time.year, time.month, time.day, time.hour, time.minute, time.second
    ))
}

fn position(exif: &exif::Exif) -> Option<Position> {
    let latitude = degrees(exif, Tag::GPSLatitude, Tag::GPSLatitudeRef, b'S')?;
    let longitude = degrees(exif, Tag::GPSLongitude, Tag::GPSLongitudeRef, b'W')?;
    if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
        return None;
    }
    Some(Position { latitude, longitude, altitude_meters: altitude(exif) })
}

/// Degrees, minutes and seconds, each a fraction, and a letter for the half of the globe.
fn degrees(exif: &exif::Exif, value: Tag, reference: Tag, negative: u8) -> Option<f64> {
    let Value::Rational(parts) = &exif.get_field(value, In::PRIMARY)?.value else {
        return None;
    };
    let [degrees, minutes, seconds] = parts.get(..3)? else {
        return None;
    };
    let angle = degrees.to_f64() + minutes.to_f64() / 60.0 + seconds.to_f64() / 3_600.0;
    let Value::Ascii(half) = &exif.get_field(reference, In::PRIMARY)?.value else {
        return None;
    };
    let sign = if half.first()?.first() == Some(&negative) { -1.0 } else { 1.0 };
    // A denominator of zero makes no place.
    angle.is_finite().then_some(sign * angle)
}

fn altitude(exif: &exif::Exif) -> Option<f64> {
    let Value::Rational(parts) = &exif.get_field(Tag::GPSAltitude, In::PRIMARY)?.value else {
        return None;
    };
    let meters = parts.first()?.to_f64();
    let below = exif
        .get_field(Tag::GPSAltitudeRef, In::PRIMARY)
        .and_then(|field| field.value.get_uint(0).or_else(|| byte(&field.value)))
        == Some(1);
    meters.is_finite().then_some(if below { -meters } else { meters })
}

fn byte(value: &Value) -> Option<u32> {
    match value {
        Value::Byte(bytes) => bytes.first().map(|byte| u32::from(*byte)),
        _ => None,
    }
}

/// Formats a value up to the limit: a field may hold megabytes, and all of them would be spelled out first.
fn shown(field: &Field) -> String {
    let mut out = Bounded(String::new());
    // Being full is the one error, and means that there is enough.
    let _full = write!(out, "{}", field.display_value());
    out.0
}

struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MAX_TEXT.saturating_sub(self.0.chars().count());
        self.0.extend(text.chars().filter(|c| !c.is_control()).take(room));
        if self.0.chars().count() < MAX_TEXT { Ok(()) } else { Err(fmt::Error) }
    }
}

const MAX_TEXT: usize = 120;
