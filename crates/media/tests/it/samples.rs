//! Real files, and files made by hand.
#![cfg_attr(
    not(all(feature = "audio", feature = "image", feature = "video")),
    expect(dead_code, reason = "each modality uses its own samples")
)]

pub(crate) const CHINA: &[u8] = include_bytes!("../data/china.jpg");
pub(crate) const BELL: &[u8] = include_bytes!("../data/bell.oga");
pub(crate) const COMPLETE: &[u8] = include_bytes!("../data/complete.oga");
pub(crate) const BUNNY: &[u8] = include_bytes!("../data/bigbuckbunny.mp4");

/// A WAV file of 32-bit floats (format tag 3), channels interleaved.
pub(crate) fn wav(rate: u32, channels: u16, samples: &[f32]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let length = u32::try_from(data.len()).unwrap();
    let mut out = b"RIFF".to_vec();
    out.extend((36 + length).to_le_bytes());
    out.extend(b"WAVEfmt \x10\0\0\0\x03\0");
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend((rate * u32::from(channels) * 4).to_le_bytes());
    out.extend((channels * 4).to_le_bytes());
    out.extend(32_u16.to_le_bytes());
    out.extend(b"data");
    out.extend(length.to_le_bytes());
    out.extend(data);
    out
}

/// A sine on every channel, at a peak level in dBFS.
pub(crate) fn sine(rate: u32, channels: u16, hertz: f64, dbfs: f64, seconds: f64) -> Vec<f32> {
    let amplitude = 10_f64.powf(dbfs / 20.0);
    let frames = (f64::from(rate) * seconds).round();
    let mut out = Vec::new();
    let mut frame = 0.0;
    while frame < frames {
        let value = amplitude * (std::f64::consts::TAU * hertz * frame / f64::from(rate)).sin();
        #[expect(clippy::cast_possible_truncation, reason = "the file holds 32-bit samples")]
        out.extend(std::iter::repeat_n(value as f32, usize::from(channels)));
        frame += 1.0;
    }
    out
}

/// A PNG file of the given chunks, with their checksums.
pub(crate) fn png(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    for (kind, body) in chunks {
        out.extend(u32::try_from(body.len()).unwrap().to_be_bytes());
        let checked = [kind.as_slice(), body].concat();
        out.extend(&checked);
        out.extend(crc32(&checked).to_be_bytes());
    }
    out
}

/// The checksum of PNG (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    })
}

/// A PNG header that claims a size.
pub(crate) fn png_claiming(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend([8, 2, 0, 0, 0]);
    png(&[(b"IHDR", &header), (b"IDAT", &[0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]), (b"IEND", &[])])
}

pub(crate) fn ebml(id: &[u8], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap();
    let size = (0x1000_0000 | length).to_be_bytes();
    [id, &size, body].concat()
}

pub(crate) const ENGLISH: &str = "\
The harbor wakes before the city does. Long before the first tram crosses the bridge, fishing boats\n\
return with the catch of the night, and the harbor master writes every boat into his ledger. The\n\
fish market opens at five, when the boats are unloaded and the ice is fresh.\n\
\n\
Old fishermen say that the harbor was once twice as large. Storms took the northern wall in 1911, and\n\
the city never rebuilt it. Since then the fishing boats share the harbor with ferries, and the ferries\n\
do not wait. A ferry leaves every hour, and its wake rocks the small boats at their moorings.\n\
\n\
Prices at the fish market follow the weather. After a storm the boats stay in the harbor and fish is\n\
dear; after a week of calm the market overflows, and the fish is sold by the crate. The harbor master\n\
knows the weather before anyone else, and so the fish market listens to him.\n";
