use super::loudness::{Loudness, LoudnessMeter};
use super::onsets;
use super::spectrum::Spectrum;

/// Measures decoded sound as it comes, packet by packet.
pub(super) struct Meter {
    channels: u16,
    rate: u32,
    frames: u64,
    peak: f64,
    squares: f64,
    loudness: Option<LoudnessMeter>,
    spectrum: Spectrum,
    mono: Vec<f32>,
}

/// What the meter says at the end.
pub(super) struct Measured {
    pub(super) duration_seconds: f64,
    pub(super) peak_dbfs: Option<f64>,
    pub(super) rms_dbfs: Option<f64>,
    pub(super) loudness: Loudness,
    pub(super) centroid_hertz: Option<f64>,
    pub(super) onsets_seconds: Vec<f64>,
}

impl Meter {
    pub(super) fn new(channels: u16, rate: u32) -> Self {
        Self {
            channels,
            rate,
            frames: 0,
            peak: 0.0,
            squares: 0.0,
            loudness: LoudnessMeter::new(channels, rate),
            spectrum: Spectrum::new(rate),
            mono: Vec::new(),
        }
    }

    pub(super) fn frames(&self) -> u64 {
        self.frames
    }

    /// Takes interleaved samples; an incomplete last frame is left out.
    pub(super) fn add(&mut self, samples: &mut [f32]) {
        let channels = usize::from(self.channels).max(1);
        let whole = samples.len() - samples.len() % channels;
        let Some(samples) = samples.get_mut(..whole) else {
            return;
        };
        // A float file may hold anything; what is no number would poison every sum behind it.
        for sample in samples.iter_mut().filter(|sample| !sample.is_finite()) {
            *sample = 0.0;
        }
        for sample in samples.iter() {
            let sample = f64::from(*sample);
            self.peak = self.peak.max(sample.abs());
            self.squares += sample * sample;
        }
        self.frames += (samples.len() / channels) as u64;
        if self.loudness.as_mut().is_some_and(|meter| !meter.add(samples)) {
            self.loudness = None;
        }
        self.mono.clear();
        let share = 1.0 / f32::from(self.channels.max(1));
        self.mono.extend(samples.chunks_exact(channels).map(|frame| frame.iter().sum::<f32>() * share));
        self.spectrum.add(&self.mono);
    }

    #[expect(clippy::cast_precision_loss, reason = "frame counts stay below 2^52")]
    pub(super) fn finish(mut self) -> Measured {
        self.spectrum.flush();
        let samples = self.frames as f64 * f64::from(self.channels.max(1));
        let duration_seconds = self.frames as f64 / f64::from(self.rate.max(1));
        let silent = Loudness { integrated: None, range: None, true_peak: None };
        Measured {
            duration_seconds,
            peak_dbfs: decibels(self.peak),
            rms_dbfs: decibels((self.squares / samples.max(1.0)).sqrt()),
            loudness: self.loudness.as_ref().map_or(silent, |meter| meter.finish(self.frames)),
            centroid_hertz: self.spectrum.centroid_hertz(),
            onsets_seconds: onsets::pick(self.spectrum.flux(), self.spectrum.hop_seconds())
                .into_iter()
                .map(|time| time + self.spectrum.offset_seconds())
                .map(|time| time.max(0.0))
                // Sound that breaks off is heard as a click where the silence behind it begins.
                .filter(|time| *time < duration_seconds)
                .collect(),
        }
    }
}

/// Returns the level of an amplitude; silence has none.
pub(super) fn decibels(amplitude: f64) -> Option<f64> {
    let level = 20.0 * amplitude.log10();
    level.is_finite().then_some(level)
}
