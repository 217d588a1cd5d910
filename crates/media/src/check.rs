use crate::{Format, Limits, MediaError, Modality, sniff};

/// Tells what a body is and refuses one that is not what it claims, within the default [`Limits`].
///
/// `declared` is the modality the caller was promised, `file_name` the name the body came under; either may be absent. A
/// file name is held against the body by modality alone: a PNG named `.mp3` is refused, a PNG named `.jpg` is not, since
/// that mistake is common, harmless and told by [`Format`]. An unknown extension says nothing.
///
/// # Errors
///
/// [`MediaError::Empty`], [`MediaError::TooLarge`], [`MediaError::InvalidUtf8`] where text was promised,
/// [`MediaError::Unrecognized`] where nothing known fits, [`MediaError::Mismatch`] where a claim is wrong.
///
/// # Examples
///
/// ```
/// use bedplate_media::{MediaError, Modality, check};
///
/// let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
/// assert!(check(png, Some(Modality::Image), Some("logo.png")).is_ok());
///
/// let error = check(png, None, Some("song.mp3")).unwrap_err();
/// assert!(matches!(error, MediaError::Mismatch { field: "file_name", .. }));
/// assert_eq!(error.to_string(), "file_name says audio (.mp3), but the body is image (PNG)");
/// ```
pub fn check(bytes: &[u8], declared: Option<Modality>, file_name: Option<&str>) -> Result<Format, MediaError> {
    check_within(bytes, declared, file_name, &Limits::default())
}

/// Tells what a body is and refuses one that is not what it claims, as [`check`] does, within the given limits.
///
/// # Errors
///
/// As [`check`].
pub fn check_within(
    bytes: &[u8],
    declared: Option<Modality>,
    file_name: Option<&str>,
    limits: &Limits,
) -> Result<Format, MediaError> {
    if bytes.is_empty() {
        return Err(MediaError::Empty);
    }
    let named = file_name.and_then(extension);
    // The size is held against the most generous modality in question before a byte is looked at.
    let ceiling = declared.map_or_else(|| limits.max_bytes_of_any(), |m| limits.max_bytes(m));
    require_size(bytes, ceiling)?;
    let expects_text = declared == Some(Modality::Text)
        || (declared.is_none() && named.is_some_and(|(_, format)| format == Format::Text));
    let Some(found) = sniff(bytes) else {
        return Err(unrecognized(bytes, expects_text, declared));
    };
    if let Some(declared) = declared
        && declared != found.modality()
    {
        return Err(mismatch("modality", declared.to_string(), found));
    }
    if let Some((extension, format)) = named
        && format.modality() != found.modality()
    {
        let claim = format!("{} (.{})", format.modality(), extension.to_lowercase());
        return Err(mismatch("file_name", claim, found));
    }
    require_size(bytes, limits.max_bytes(found.modality()))?;
    Ok(found)
}

pub(crate) fn require_size(bytes: &[u8], limit: u64) -> Result<(), MediaError> {
    let length = bytes.len() as u64;
    if length > limit {
        return Err(MediaError::TooLarge { bytes: length, limit });
    }
    Ok(())
}

/// Reads the format of a body for one modality's analyser.
#[cfg(any(feature = "image", feature = "audio", feature = "video"))]
pub(crate) fn require_format(
    bytes: &[u8],
    modality: Modality,
    accepts: impl Fn(Format) -> bool,
    limit: u64,
) -> Result<Format, MediaError> {
    if bytes.is_empty() {
        return Err(MediaError::Empty);
    }
    require_size(bytes, limit)?;
    let expected = || names(Format::ALL.into_iter().filter(|format| accepts(*format)));
    match sniff(bytes) {
        Some(format) if accepts(format) => Ok(format),
        Some(format) => Err(MediaError::WrongFormat { modality, format, expected: expected() }),
        None => Err(MediaError::Unrecognized { expected: expected() }),
    }
}

fn extension(file_name: &str) -> Option<(&str, Format)> {
    let base = file_name.rsplit(['/', '\\']).next()?;
    let (stem, extension) = base.rsplit_once('.')?;
    if stem.is_empty() {
        return None;
    }
    Format::from_extension(extension).map(|format| (extension, format))
}

fn unrecognized(bytes: &[u8], expects_text: bool, declared: Option<Modality>) -> MediaError {
    if expects_text && let Err(error) = std::str::from_utf8(bytes) {
        return MediaError::InvalidUtf8 { offset: error.valid_up_to() };
    }
    let fits = |format: &Format| declared.is_none_or(|modality| format.modality() == modality);
    MediaError::Unrecognized { expected: names(Format::ALL.into_iter().filter(fits)) }
}

fn mismatch(field: &'static str, declared: String, found: Format) -> MediaError {
    MediaError::Mismatch { field, declared, found: format!("{} ({})", found.modality(), found.name()) }
}

fn names(formats: impl Iterator<Item = Format>) -> String {
    formats.map(Format::name).collect::<Vec<_>>().join(", ")
}
