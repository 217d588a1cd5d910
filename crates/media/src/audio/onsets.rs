use super::spectrum::Flux;

/// Picks onsets from spectral flux (Dixon, "Onset Detection Revisited", `DAFx` 2006): a window is one where the flux is the
/// largest around, well above its local mean, and a real part of the spectrum.
///
/// Returns the times at which the windows start, in seconds.
pub(super) fn pick(flux: &[Flux], hop_seconds: f64) -> Vec<f64> {
    let top = flux.iter().fold(0.0_f32, |top, flux| top.max(flux.rise));
    if top <= SILENCE {
        return Vec::new();
    }
    let mut times = Vec::new();
    let mut last: Option<usize> = None;
    for (index, here) in flux.iter().enumerate() {
        let around = |reach: usize| {
            let end = (index + reach + 1).min(flux.len());
            flux.get(index.saturating_sub(reach)..end).unwrap_or_default()
        };
        let largest = around(PEAK_REACH).iter().all(|other| other.rise <= here.rise);
        let stands_out = here.rise > FACTOR * mean(around(MEAN_REACH)) + FLOOR * top;
        let is_new = here.rise > NEW_SHARE * here.total;
        let apart = last.is_none_or(|last| index - last > PEAK_REACH);
        if largest && stands_out && is_new && apart {
            times.push(seconds(index, hop_seconds));
            last = Some(index);
        }
    }
    times
}

#[expect(clippy::cast_precision_loss, reason = "the slice is short")]
fn mean(flux: &[Flux]) -> f32 {
    flux.iter().map(|flux| flux.rise).sum::<f32>() / flux.len().max(1) as f32
}

#[expect(clippy::cast_precision_loss, reason = "window counts stay below 2^52")]
fn seconds(index: usize, hop_seconds: f64) -> f64 {
    index as f64 * hop_seconds
}

/// Four windows of some 11 ms on either side: two onsets nearer than 46 ms are one.
const PEAK_REACH: usize = 4;
const MEAN_REACH: usize = 10;
/// A lone peak holds a 21st of its own neighborhood's mean, so any factor well below 21 lets it pass; noise does not reach 1.8.
const FACTOR: f32 = 1.8;
const FLOOR: f32 = 0.03;
const NEW_SHARE: f32 = 0.2;
const SILENCE: f32 = 1e-3;
