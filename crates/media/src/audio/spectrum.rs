use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

/// Follows the short-time spectrum: windows of some 46 ms under a Hann window, a quarter of that apart.
///
/// The first window is half empty, so that what starts at once is heard as a start.
pub(super) struct Spectrum {
    rate: u32,
    window: Vec<f32>,
    transform: Arc<dyn RealToComplex<f32>>,
    input: Vec<f32>,
    output: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    pending: Vec<f32>,
    magnitudes: Vec<f32>,
    flux: Vec<Flux>,
    weighted: f64,
    weight: f64,
}

/// How much a spectrum rose over the one before, and how much there is of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Flux {
    pub(super) rise: f32,
    pub(super) total: f32,
}

impl Spectrum {
    pub(super) fn new(rate: u32) -> Self {
        let length =
            usize::try_from(rate / 21).unwrap_or(usize::MAX).clamp(256, 16_384).next_power_of_two().min(16_384);
        let transform = RealFftPlanner::<f32>::new().plan_fft_forward(length);
        let (input, output) = (transform.make_input_vec(), transform.make_output_vec());
        let scratch = transform.make_scratch_vec();
        Self {
            rate: rate.max(1),
            window: hann(length),
            input,
            scratch,
            pending: vec![0.0; length / 2],
            magnitudes: vec![0.0; output.len()],
            output,
            transform,
            flux: Vec::new(),
            weighted: 0.0,
            weight: 0.0,
        }
    }

    pub(super) fn add(&mut self, mono: &[f32]) {
        self.pending.extend_from_slice(mono);
        let (length, hop) = (self.window.len(), self.hop());
        let mut at = 0;
        while at + length <= self.pending.len() {
            self.step(at);
            at += hop;
        }
        self.pending.drain(..at);
    }

    /// Pads the rest with silence, so that no sample goes unheard.
    pub(super) fn flush(&mut self) {
        let silence = vec![0.0; self.window.len()];
        self.add(&silence);
    }

    pub(super) fn flux(&self) -> &[Flux] {
        &self.flux
    }

    #[expect(clippy::cast_precision_loss, reason = "a window has few samples")]
    pub(super) fn hop_seconds(&self) -> f64 {
        self.hop() as f64 / f64::from(self.rate)
    }

    /// What to add to the start of a window to get the time of the event that made its spectrum rise most.
    ///
    /// A click is weighed most differently by two windows a quarter apart where the Hann window is steepest, so it lies
    /// five eighths into the second; half a window of silence stands before the sound.
    pub(super) fn offset_seconds(&self) -> f64 {
        (0.625 - 0.5) * 4.0 * self.hop_seconds()
    }

    pub(super) fn centroid_hertz(&self) -> Option<f64> {
        let hertz = self.weighted / self.weight;
        hertz.is_finite().then_some(hertz)
    }

    fn hop(&self) -> usize {
        self.window.len() / 4
    }

    #[expect(clippy::cast_precision_loss, reason = "a spectrum has at most 8,193 bins")]
    fn step(&mut self, at: usize) {
        let samples = self.pending.iter().skip(at);
        for ((slot, sample), weight) in self.input.iter_mut().zip(samples).zip(&self.window) {
            *slot = sample * weight;
        }
        let done = self.transform.process_with_scratch(&mut self.input, &mut self.output, &mut self.scratch);
        if done.is_err() {
            return;
        }
        let bin_hertz = f64::from(self.rate) / self.window.len() as f64;
        let mut flux = Flux { rise: 0.0, total: 0.0 };
        let bins = self.output.iter().zip(&mut self.magnitudes).enumerate().skip(1);
        for (bin, (value, before)) in bins {
            let magnitude = value.norm();
            flux.rise += (magnitude - *before).max(0.0);
            flux.total += magnitude;
            self.weighted += bin as f64 * bin_hertz * f64::from(magnitude);
            *before = magnitude;
        }
        self.weight += f64::from(flux.total);
        self.flux.push(flux);
    }
}

#[expect(clippy::cast_precision_loss, reason = "a window has at most 16,384 samples")]
fn hann(length: usize) -> Vec<f32> {
    let step = std::f32::consts::TAU / length as f32;
    (0..length).map(|i| 0.5 - 0.5 * (step * i as f32).cos()).collect()
}
