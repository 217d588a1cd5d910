use std::io::Cursor;

use ::image::{DynamicImage, ImageFormat, Rgb, RgbImage, imageops::FilterType};
use bedplate_media::image::{ImageReport, PerceptualHash, analyze, inspect};
use bedplate_media::{Depth, Format, Limits, MediaError, WarningKind};

use crate::samples::{CHINA, png, png_claiming};

fn report(bytes: &[u8]) -> ImageReport {
    analyze(bytes, &Limits::default()).unwrap()
}

fn encoded(picture: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

fn hash(picture: &RgbImage) -> PerceptualHash {
    report(&encoded(picture, ImageFormat::Png)).perceptual_hash.unwrap()
}

#[test]
fn a_photograph_is_described() {
    let report = report(CHINA);
    assert_eq!((report.depth, report.format), (Depth::Analyzed, Format::Jpeg));
    assert_eq!((report.width, report.height), (640, 427));
    assert_eq!(report.color_type, "rgb8");
    assert!((4..=6).contains(&report.palette.len()));
    let shares: f64 = report.palette.iter().map(|color| color.share).sum();
    assert!((shares - 1.0).abs() < 1e-9);
    let blurhash = report.blurhash.as_deref().unwrap();
    assert_eq!(blurhash.len(), 4 + 2 * 12);
    assert!((0.2..0.8).contains(&report.brightness.unwrap()));
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ImageReport>(&json).unwrap(), report);
    assert!((2..=8).contains(&report.to_string().lines().count()), "{report}");
}

#[test]
fn the_palette_of_two_colors_has_both_and_their_shares() {
    let picture = RgbImage::from_fn(100, 40, |x, _| if x < 75 { Rgb([200, 30, 40]) } else { Rgb([20, 60, 220]) });
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP] {
        let palette = report(&encoded(&picture, format)).palette;
        let found: Vec<(&str, f64)> = palette.iter().map(|c| (&*c.hex, c.share)).collect();
        assert_eq!(found, [("#c81e28", 0.75), ("#143cdc", 0.25)], "{format:?}");
    }
}

#[test]
fn a_checkerboard_is_sharp_until_it_is_blurred() {
    let board = RgbImage::from_fn(64, 64, |x, y| Rgb([if (x / 4 + y / 4) % 2 == 0 { 0 } else { 255 }; 3]));
    let sharpness = |picture: &RgbImage| report(&encoded(picture, ImageFormat::Png)).sharpness.unwrap();
    let sharp = sharpness(&board);
    let soft = sharpness(&::image::imageops::blur(&board, 1.0));
    let flat = sharpness(&RgbImage::from_pixel(64, 64, Rgb([90; 3])));
    assert!(sharp > 4.0 * soft && soft > flat, "{sharp} {soft} {flat}");
    assert!(flat.abs() < 1e-9);
    let report = report(&encoded(&board, ImageFormat::Png));
    assert!((report.brightness.unwrap() - 0.5).abs() < 0.01);
    assert!((report.contrast.unwrap() - 0.5).abs() < 0.01);
}

#[test]
fn copies_hash_alike_and_strangers_do_not() {
    let china = ::image::load_from_memory(CHINA).unwrap();
    let original = report(CHINA).perceptual_hash.unwrap();
    let half = china.resize_exact(320, 213, FilterType::Triangle).to_rgb8();
    assert!(original.distance(hash(&half)) <= 6);
    let mut poor = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(half).write_to(&mut poor, ImageFormat::Jpeg).unwrap();
    assert!(original.distance(report(poor.get_ref()).perceptual_hash.unwrap()) <= 8);
    let stranger = RgbImage::from_fn(300, 200, |x, y| {
        let inside = x.abs_diff(90).pow(2) + y.abs_diff(140).pow(2) < 2_500;
        Rgb([if inside { 250 } else { 15 }, 80, 90])
    });
    assert!(original.distance(hash(&stranger)) >= 16);
    let turned = ::image::imageops::rotate180(&china.to_rgb8());
    assert!(original.distance(hash(&turned)) >= 16);
}

/// A JPEG with an EXIF block written field by field: orientation 6, a camera, a time, and a place in Cologne.
fn jpeg_with_exif() -> Vec<u8> {
    let mut tiff = b"MM\0*\0\0\0\x08".to_vec();
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        let mut out = tag.to_be_bytes().to_vec();
        out.extend(kind.to_be_bytes());
        out.extend(count.to_be_bytes());
        out.extend(value);
        out
    };
    // The main directory has four entries, so what they point to begins at 8 + 2 + 4 * 12 + 4 = 62.
    tiff.extend(4_u16.to_be_bytes());
    tiff.extend(entry(0x0110, 2, 10, 62_u32.to_be_bytes()));
    tiff.extend(entry(0x0112, 3, 1, [0, 6, 0, 0]));
    tiff.extend(entry(0x0132, 2, 20, 72_u32.to_be_bytes()));
    tiff.extend(entry(0x8825, 4, 1, 92_u32.to_be_bytes()));
    tiff.extend([0; 4]);
    tiff.extend(b"Bedplate1\0");
    tiff.extend(b"2024:05:17 18:30:05\0");
    // The GPS directory at 92 has four entries too: its fractions begin at 92 + 54 = 146.
    tiff.extend(4_u16.to_be_bytes());
    tiff.extend(entry(1, 2, 2, *b"N\0\0\0"));
    tiff.extend(entry(2, 5, 3, 146_u32.to_be_bytes()));
    tiff.extend(entry(3, 2, 2, *b"W\0\0\0"));
    tiff.extend(entry(4, 5, 3, 170_u32.to_be_bytes()));
    tiff.extend([0; 4]);
    for fraction in [(50, 1), (56, 1), (285, 10), (6, 1), (57, 1), (324, 10)] {
        tiff.extend(u32::to_be_bytes(fraction.0));
        tiff.extend(u32::to_be_bytes(fraction.1));
    }
    let plain = encoded(&RgbImage::from_pixel(8, 4, Rgb([9, 9, 9])), ImageFormat::Jpeg);
    let mut out = vec![0xff, 0xd8, 0xff, 0xe1];
    out.extend(u16::try_from(2 + 6 + tiff.len()).unwrap().to_be_bytes());
    out.extend(b"Exif\0\0");
    out.extend(tiff);
    out.extend(&plain[2..]);
    out
}

#[test]
fn exif_is_read_into_typed_fields() {
    let exif = report(&jpeg_with_exif()).exif.unwrap();
    assert_eq!(exif.orientation, Some(6));
    assert_eq!(exif.camera_model.as_deref(), Some("Bedplate1"));
    assert_eq!(exif.camera_make, None);
    assert_eq!(exif.taken_at.as_deref(), Some("2024-05-17T18:30:05"));
    let position = exif.position.unwrap();
    assert!((position.latitude - (50.0 + 56.0 / 60.0 + 28.5 / 3_600.0)).abs() < 1e-9);
    assert!((position.longitude + (6.0 + 57.0 / 60.0 + 32.4 / 3_600.0)).abs() < 1e-9);
    assert!(exif.fields.iter().any(|field| field.name == "Model"));
    let mut limits = Limits::default();
    limits.image.max_exif_fields = 2;
    let few = inspect(&jpeg_with_exif(), &limits).unwrap().exif.unwrap();
    assert_eq!(few.fields.len(), 2);
    assert_eq!(few.orientation, Some(6));
}

#[test]
fn claims_of_a_header_are_refused_before_anything_is_decoded() {
    for (width, height, field) in
        [(60_000, 60_000, "image.width"), (1, 60_000, "image.height"), (16_000, 16_000, "image.pixels")]
    {
        let error = analyze(&png_claiming(width, height), &Limits::default()).unwrap_err();
        assert!(
            matches!(error, MediaError::LimitExceeded { field: found, .. } if found == field),
            "{width} × {height}: {error}"
        );
    }
    let mut limits = Limits::default();
    limits.image.max_decoded_bytes = 100_000;
    let error = analyze(CHINA, &limits).unwrap_err();
    assert!(
        matches!(error, MediaError::LimitExceeded { field: "image.decoded_bytes", value: 819_840, limit: 100_000 }),
        "{error}"
    );
}

#[test]
fn inspection_reads_the_header_alone() {
    // The pixels are missing, which only decoding finds out.
    let hollow = png_claiming(64, 32);
    let report = inspect(&hollow, &Limits::default()).unwrap();
    assert_eq!((report.depth, report.width, report.height), (Depth::Inspected, 64, 32));
    assert!(report.palette.is_empty() && report.sharpness.is_none());
    assert!(matches!(analyze(&hollow, &Limits::default()), Err(MediaError::Decoder { format: Format::Png, .. })));
}

#[test]
fn a_cut_off_photograph_is_reported_as_far_as_it_goes() {
    let last = CHINA.len() - 2;
    for end in [40_000, CHINA.len() / 2, last] {
        let cut = &CHINA[..end];
        for report in [report(cut), inspect(cut, &Limits::default()).unwrap()] {
            let [warning] = &*report.warnings else { unreachable_warnings(&report) };
            assert_eq!(warning.kind, WarningKind::Truncated, "{end}");
            assert_eq!(warning.message, "the file ends before the picture does");
            assert_eq!((report.width, report.height), (640, 427));
        }
        assert!(!report(cut).palette.is_empty());
    }
    assert!(report(CHINA).warnings.is_empty());
    assert!(report(&[CHINA, &b"\xff\xe1 and more"[..]].concat()).warnings.is_empty());
    // The camera's block comes before the cut and is still read.
    let mut camera = jpeg_with_exif();
    camera.truncate(camera.len() - 2);
    let camera = report(&camera);
    assert_eq!(camera.exif.unwrap().camera_model.as_deref(), Some("Bedplate1"));
    assert!(matches!(&*camera.warnings, [warning] if warning.kind == WarningKind::Truncated));
}

#[expect(clippy::panic, reason = "a test fails by panicking")]
fn unreachable_warnings(report: &ImageReport) -> ! {
    panic!("expected one warning: {report}")
}

#[test]
fn frames_of_animations_are_counted() {
    let mut gif = Vec::new();
    {
        let mut encoder = ::image::codecs::gif::GifEncoder::new(&mut gif);
        for shade in [0, 120, 250] {
            let picture = RgbImage::from_pixel(9, 7, Rgb([shade; 3]));
            let frame = ::image::Frame::new(DynamicImage::ImageRgb8(picture).to_rgba8());
            encoder.encode_frame(frame).unwrap();
        }
    }
    assert_eq!(report(&gif).frames, Some(3));
    assert_eq!(report(&encoded(&RgbImage::new(3, 3), ImageFormat::Png)).frames, Some(1));
    assert_eq!(report(CHINA).frames, None);
    let header = [0, 0, 0, 1, 0, 0, 0, 1, 8, 2, 0, 0, 0];
    let animated = png(&[(b"IHDR", &header), (b"acTL", &[0, 0, 0, 5, 0, 0, 0, 0]), (b"IDAT", &[]), (b"IEND", &[])]);
    assert_eq!(inspect(&animated, &Limits::default()).unwrap().frames, Some(5));
}

#[test]
fn other_modalities_are_refused_by_name() {
    let error = analyze(b"just text", &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "image analysis does not read UTF-8 text: expected PNG, JPEG, GIF, WebP, BMP, TIFF");
}
