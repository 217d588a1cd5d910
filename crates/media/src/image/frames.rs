use crate::Format;

/// Counts the frames of an animation by its block headers, without decoding one; `None` for formats without animation.
///
/// A truncated file counts what is there.
pub(super) fn count(bytes: &[u8], format: Format) -> Option<u32> {
    match format {
        Format::Gif => gif(bytes),
        Format::Png => Some(png(bytes).unwrap_or(1)),
        Format::WebP => Some(webp(bytes).unwrap_or(1)),
        _ => None,
    }
}

/// Walks the blocks of `GIF89a`: images and extensions, each a chain of sub-blocks.
fn gif(bytes: &[u8]) -> Option<u32> {
    let table = |flags: u8| {
        if flags & 0x80 == 0 { 0 } else { 3 << (usize::from(flags & 7) + 1) }
    };
    let mut at = 13 + table(*bytes.get(10)?);
    let mut frames = 0;
    loop {
        match bytes.get(at) {
            Some(0x2c) => {
                frames += 1;
                let Some(flags) = bytes.get(at + 9) else {
                    return Some(frames);
                };
                at += 10 + table(*flags) + 1;
            }
            Some(0x21) => at += 2,
            _ => return Some(frames),
        }
        while let Some(length) = bytes.get(at) {
            at += 1 + usize::from(*length);
            if *length == 0 {
                break;
            }
        }
    }
}

/// Reads the animation control chunk, which stands before the first pixels.
fn png(bytes: &[u8]) -> Option<u32> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (kind, body) = tail.split_first_chunk::<4>()?;
        match kind {
            b"acTL" => {
                return body.first_chunk::<4>().map(|count| u32::from_be_bytes(*count));
            }
            b"IDAT" | b"IEND" => return None,
            _ => {}
        }
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        rest = body.get(length.checked_add(4)?..)?;
    }
}

/// Counts the frame chunks of the RIFF container.
fn webp(bytes: &[u8]) -> Option<u32> {
    let mut rest = bytes.get(12..)?;
    let mut frames = 0;
    while let Some((kind, tail)) = rest.split_first_chunk::<4>() {
        frames += u32::from(kind == b"ANMF");
        let Some((length, body)) = tail.split_first_chunk::<4>() else {
            break;
        };
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let Some(next) = body.get(length.checked_add(length & 1)?..) else {
            break;
        };
        rest = next;
    }
    (frames > 0).then_some(frames)
}
