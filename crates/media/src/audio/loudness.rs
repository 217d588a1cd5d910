use ebur128::{EbuR128, Mode};

/// Measures loudness by ITU-R BS.1770-4 as sound comes in.
pub(super) struct LoudnessMeter {
    state: EbuR128,
    rate: u32,
}

/// What the meter says at the end; minus infinity is absent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Loudness {
    pub(super) integrated: Option<f64>,
    pub(super) range: Option<f64>,
    pub(super) true_peak: Option<f64>,
}

impl LoudnessMeter {
    /// `None` where the meter does not know the rate or the number of channels.
    pub(super) fn new(channels: u16, rate: u32) -> Option<Self> {
        let mode = Mode::I | Mode::LRA | Mode::TRUE_PEAK;
        let state = EbuR128::new(u32::from(channels), rate, mode).ok()?;
        Some(Self { state, rate })
    }

    /// Takes interleaved samples of whole frames.
    pub(super) fn add(&mut self, samples: &[f32]) -> bool {
        self.state.add_frames_f32(samples).is_ok()
    }

    pub(super) fn finish(&self, frames: u64) -> Loudness {
        let finite = |value: f64| value.is_finite().then_some(value);
        let integrated = self.state.loudness_global().ok().and_then(finite);
        let long_enough = frames >= 3 * u64::from(self.rate);
        let range =
            (long_enough && integrated.is_some()).then(|| self.state.loudness_range().ok().and_then(finite)).flatten();
        let peak =
            (0..self.state.channels()).filter_map(|channel| self.state.true_peak(channel).ok()).fold(0.0, f64::max);
        Loudness { integrated, range, true_peak: super::meter::decibels(peak) }
    }
}
