use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Modality;

/// Names a file format that [`sniff`](crate::sniff()) can tell from its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Format {
    /// UTF-8 text without control characters other than white space and escape.
    Text,
    /// Portable Network Graphics.
    Png,
    /// JPEG, with or without JFIF or EXIF.
    Jpeg,
    /// `GIF87a` or `GIF89a`.
    Gif,
    /// WebP in a RIFF container.
    WebP,
    /// Windows bitmap.
    Bmp,
    /// Tagged image file format, either byte order.
    Tiff,
    /// RIFF or RF64 WAVE.
    Wav,
    /// Vorbis in an Ogg container.
    OggVorbis,
    /// An Ogg container whose first stream is not Vorbis (Opus, FLAC, Theora, …).
    Ogg,
    /// MPEG audio layer III, with or without an `ID3v2` tag.
    Mp3,
    /// Native FLAC.
    Flac,
    /// An ISO base media file whose brand says that it carries sound alone.
    M4a,
    /// An ISO base media file (MPEG-4).
    Mp4,
    /// A `QuickTime` movie.
    QuickTime,
    /// Matroska.
    Matroska,
    /// The web profile of Matroska.
    WebM,
}

impl Format {
    /// Every format, grouped by modality.
    pub const ALL: [Self; 17] = [
        Self::Text,
        Self::Png,
        Self::Jpeg,
        Self::Gif,
        Self::WebP,
        Self::Bmp,
        Self::Tiff,
        Self::Wav,
        Self::OggVorbis,
        Self::Ogg,
        Self::Mp3,
        Self::Flac,
        Self::M4a,
        Self::Mp4,
        Self::QuickTime,
        Self::Matroska,
        Self::WebM,
    ];

    /// Returns the modality whose analyser reads this format.
    #[must_use]
    pub const fn modality(self) -> Modality {
        match self {
            Self::Text => Modality::Text,
            Self::Png | Self::Jpeg | Self::Gif | Self::WebP | Self::Bmp | Self::Tiff => Modality::Image,
            Self::Wav | Self::OggVorbis | Self::Ogg | Self::Mp3 | Self::Flac | Self::M4a => Modality::Audio,
            Self::Mp4 | Self::QuickTime | Self::Matroska | Self::WebM => Modality::Video,
        }
    }

    /// Returns the media type of RFC 6838, without parameters.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
            Self::Wav => "audio/wav",
            Self::OggVorbis | Self::Ogg => "audio/ogg",
            Self::Mp3 => "audio/mpeg",
            Self::Flac => "audio/flac",
            Self::M4a => "audio/mp4",
            Self::Mp4 => "video/mp4",
            Self::QuickTime => "video/quicktime",
            Self::Matroska => "video/matroska",
            Self::WebM => "video/webm",
        }
    }

    /// Returns the file name extensions in use, lower case, without the dot, the usual one first.
    #[must_use]
    pub const fn extensions(self) -> &'static [&'static str] {
        match self {
            Self::Text => &[
                "txt", "text", "md", "markdown", "rst", "csv", "tsv", "json", "jsonl", "toml", "yaml", "yml", "xml",
                "html", "htm", "srt", "log",
            ],
            Self::Png => &["png", "apng"],
            Self::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Self::Gif => &["gif"],
            Self::WebP => &["webp"],
            Self::Bmp => &["bmp", "dib"],
            Self::Tiff => &["tif", "tiff"],
            Self::Wav => &["wav", "wave"],
            Self::OggVorbis | Self::Ogg => &["ogg", "oga", "opus", "spx", "ogx"],
            Self::Mp3 => &["mp3"],
            Self::Flac => &["flac"],
            Self::M4a => &["m4a", "m4b"],
            Self::Mp4 => &["mp4", "m4v"],
            Self::QuickTime => &["mov", "qt"],
            Self::Matroska => &["mkv", "mka", "mk3d"],
            Self::WebM => &["webm"],
        }
    }

    /// Returns the first format that uses the extension, in any case and without the dot.
    #[must_use]
    pub fn from_extension(extension: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.extensions().iter().any(|known| known.eq_ignore_ascii_case(extension)))
    }

    /// Returns a short name for people, e.g. `"Ogg Vorbis"`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "UTF-8 text",
            Self::Png => "PNG",
            Self::Jpeg => "JPEG",
            Self::Gif => "GIF",
            Self::WebP => "WebP",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
            Self::Wav => "WAV",
            Self::OggVorbis => "Ogg Vorbis",
            Self::Ogg => "Ogg",
            Self::Mp3 => "MP3",
            Self::Flac => "FLAC",
            Self::M4a => "MPEG-4 audio",
            Self::Mp4 => "MP4",
            Self::QuickTime => "QuickTime",
            Self::Matroska => "Matroska",
            Self::WebM => "WebM",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_lead_back_to_a_format_that_uses_them() {
        for format in Format::ALL {
            for extension in format.extensions() {
                let found = Format::from_extension(&extension.to_uppercase()).unwrap();
                assert_eq!(found.modality(), format.modality(), "{extension}");
                assert!(found.extensions().contains(extension));
            }
        }
        assert_eq!(Format::from_extension("exe"), None);
    }

    #[test]
    fn the_media_type_agrees_with_the_modality() {
        for format in Format::ALL {
            let prefix = format!("{}/", format.modality());
            assert!(format.media_type().starts_with(&prefix), "{format}");
        }
    }
}
