use std::fmt;

use serde::{Deserialize, Serialize};

use crate::report::counted;
use crate::support::Support;
use crate::{Depth, Format, Warning};

/// Says what a sound contains. Levels that would be minus infinity are absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AudioReport {
    /// How far the analysis went.
    pub depth: Depth,
    /// The file format.
    pub container: Format,
    /// The short name of the codec, e.g. `"vorbis"`.
    pub codec: String,
    /// What became of the track.
    pub support: Support,
    /// The length of the body in bytes.
    pub bytes: u64,
    /// The length of the sound in seconds: as decoded, or as the header says where merely inspected.
    pub duration_seconds: Option<f64>,
    /// The sample rate in hertz.
    pub sample_rate_hertz: Option<u32>,
    /// The number of channels.
    pub channels: Option<u16>,
    /// The bits of a decoded sample, where the codec has such a figure.
    pub bits_per_sample: Option<u32>,
    /// The integrated loudness in LUFS (ITU-R BS.1770-4, EBU R 128).
    pub integrated_loudness_lufs: Option<f64>,
    /// The loudness range in LU (EBU Tech 3342); absent below 3 s.
    pub loudness_range_lu: Option<f64>,
    /// The greatest true peak of all channels in dBTP (BS.1770-4, annex 2).
    pub true_peak_dbtp: Option<f64>,
    /// The greatest sample in dBFS.
    pub peak_dbfs: Option<f64>,
    /// The root mean square of all samples in dBFS; a full-scale sine is −3.01.
    pub rms_dbfs: Option<f64>,
    /// The mean frequency in hertz weighted by magnitude, over the mix of all channels: how bright it sounds.
    pub spectral_centroid_hertz: Option<f64>,
    /// The number of onsets (notes, strokes, syllables) by spectral flux; absent where not analyzed.
    pub onset_count: Option<u64>,
    /// When the onsets are, in seconds, up to the limit.
    pub onsets_seconds: Vec<f64>,
    /// What the report lacks.
    pub warnings: Vec<Warning>,
}

impl fmt::Display for AudioReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.container, self.codec)?;
        if let Some(duration) = self.duration_seconds {
            write!(f, ", {duration:.2} s")?;
        }
        if let (Some(rate), Some(channels)) = (self.sample_rate_hertz, self.channels) {
            write!(f, ", {rate} Hz, {}", counted(channels, "channel"))?;
        }
        if let Support::Unsupported { reason } = &self.support {
            write!(f, "\nnot decoded: {reason}")?;
        }
        if let Some(loudness) = self.integrated_loudness_lufs {
            write!(f, "\nloudness {loudness:.1} LUFS")?;
            if let Some(range) = self.loudness_range_lu {
                write!(f, ", range {range:.1} LU")?;
            }
            if let Some(peak) = self.true_peak_dbtp {
                write!(f, ", true peak {peak:.1} dBTP")?;
            }
        }
        if let (Some(centroid), Some(onsets)) = (self.spectral_centroid_hertz, self.onset_count) {
            write!(f, "\nspectral centroid {centroid:.0} Hz, {}", counted(onsets, "onset"))?;
        }
        for warning in self.warnings.iter().take(2) {
            write!(f, "\nnote: {warning}")?;
        }
        Ok(())
    }
}
