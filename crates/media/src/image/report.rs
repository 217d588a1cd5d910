use std::fmt;

use serde::{Deserialize, Serialize};

use super::PerceptualHash;
use crate::report::counted;
use crate::{Depth, Format, Warning};

/// Says what a picture contains.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ImageReport {
    /// How far the analysis went.
    pub depth: Depth,
    /// The file format.
    pub format: Format,
    /// The length of the body in bytes.
    pub bytes: u64,
    /// The width in pixels, as stored; EXIF may ask for a quarter turn.
    pub width: u32,
    /// The height in pixels, as stored.
    pub height: u32,
    /// The channels and their depth, e.g. `"rgb8"`.
    pub color_type: String,
    /// The number of frames of a GIF, an animated PNG or an animated WebP; absent for other formats.
    pub frames: Option<u32>,
    /// What the camera wrote; absent where there is none.
    pub exif: Option<Exif>,
    /// Up to six colors that stand for the picture, the largest share first.
    pub palette: Vec<PaletteColor>,
    /// A 4 × 3 BlurHash, a placeholder of some 28 characters.
    pub blurhash: Option<String>,
    /// A hash that survives scaling and recompression.
    pub perceptual_hash: Option<PerceptualHash>,
    /// The variance of the Laplacian over 8-bit luma (Pech-Pacheco et al. 2000): higher is sharper. It compares pictures
    /// of like size and subject; below some 100 a photograph is blurred.
    pub sharpness: Option<f64>,
    /// The mean luma, from 0 (black) to 1 (white).
    pub brightness: Option<f64>,
    /// The standard deviation of luma, from 0 (flat) to 0.5 (half black, half white).
    pub contrast: Option<f64>,
    /// What the report lacks.
    pub warnings: Vec<Warning>,
}

/// Holds a color and how much of the picture it covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PaletteColor {
    /// The color as `#rrggbb` in sRGB.
    pub hex: String,
    /// The share of the visible pixels, from 0 to 1.
    pub share: f64,
}

/// Holds what the camera wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exif {
    /// The orientation, 1 to 8; 1 is upright.
    pub orientation: Option<u8>,
    /// The maker of the camera.
    pub camera_make: Option<String>,
    /// The model of the camera.
    pub camera_model: Option<String>,
    /// When the picture was taken, as `YYYY-MM-DDThh:mm:ss` in the camera's own time zone.
    pub taken_at: Option<String>,
    /// Where the picture was taken. Personal data: drop it before a report is shown to others.
    pub position: Option<Position>,
    /// All fields in the order of the file, up to the limit.
    pub fields: Vec<ExifField>,
}

/// Holds a place on Earth (WGS 84).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Position {
    /// Degrees north of the equator, from −90 to 90.
    pub latitude: f64,
    /// Degrees east of Greenwich, from −180 to 180.
    pub longitude: f64,
    /// Meters above sea level.
    pub altitude_meters: Option<f64>,
}

/// Holds an EXIF field as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ExifField {
    /// The name of the tag, e.g. `"FNumber"`.
    pub name: String,
    /// The value for people, cut to 120 characters.
    pub value: String,
}

impl fmt::Display for ImageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} × {} pixels, {}", self.format, self.width, self.height, self.color_type)?;
        if let Some(frames) = self.frames.filter(|frames| *frames > 1) {
            write!(f, ", {frames} frames")?;
        }
        if let Some(exif) = &self.exif {
            let camera = exif.camera_model.as_deref().unwrap_or("unknown camera");
            write!(f, "\nEXIF: {camera}, {}", counted(exif.fields.len(), "field"))?;
        }
        if !self.palette.is_empty() {
            write!(f, "\npalette:")?;
            for color in &self.palette {
                write!(f, " {} {:.0}%", color.hex, color.share * 100.0)?;
            }
        }
        if let (Some(sharpness), Some(brightness), Some(contrast)) = (self.sharpness, self.brightness, self.contrast) {
            write!(f, "\nsharpness {sharpness:.0}, brightness {brightness:.2}, contrast {contrast:.2}")?;
        }
        if let (Some(blurhash), Some(hash)) = (&self.blurhash, self.perceptual_hash) {
            write!(f, "\nBlurHash {blurhash}, perceptual hash {hash}")?;
        }
        for warning in self.warnings.iter().take(2) {
            write!(f, "\nnote: {warning}")?;
        }
        Ok(())
    }
}
