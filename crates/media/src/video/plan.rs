use std::fmt;

use serde::{Deserialize, Serialize};

use super::Sample;

/// Says which frames of a track were decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FrameSampling {
    /// Every frame.
    EveryFrame,
    /// The frames that others need; the ones between were skipped.
    ReferenceFrames,
    /// Key frames alone, spread over the whole film.
    KeyFrames,
    /// The frames that others need, from the beginning until the budget was used up.
    Beginning,
}

impl fmt::Display for FrameSampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::EveryFrame => "every frame",
            Self::ReferenceFrames => "reference frames",
            Self::KeyFrames => "key frames",
            Self::Beginning => "the beginning",
        })
    }
}

/// Chooses the samples to decode within a budget of frames, in decoding order.
///
/// Frames that nothing refers to can be left out without harm to the rest, so they go first. Key frames stand alone and cover
/// the whole film, so they come next where there are enough of them to find shots by; else the beginning is watched closely.
pub(super) fn choose(samples: &[Sample], budget: usize) -> (FrameSampling, Vec<usize>) {
    let of = |keep: fn(&Sample) -> bool| -> Vec<usize> {
        let kept = samples.iter().enumerate().filter(|(_, sample)| keep(sample));
        kept.map(|(index, _)| index).collect()
    };
    if samples.len() <= budget {
        return (FrameSampling::EveryFrame, (0..samples.len()).collect());
    }
    let mut references = of(|sample| sample.reference || sample.key);
    if references.len() <= budget {
        return (FrameSampling::ReferenceFrames, references);
    }
    let keys = of(|sample| sample.key);
    if keys.len() >= MIN_KEYS.min(budget) {
        let spread = keys.len().min(budget);
        let chosen = (0..spread).filter_map(|step| keys.get(step * keys.len() / spread).copied());
        return (FrameSampling::KeyFrames, chosen.collect());
    }
    references.truncate(budget);
    (FrameSampling::Beginning, references)
}

const MIN_KEYS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    fn film(frames: usize, key_every: usize) -> Vec<Sample> {
        (0..frames)
            .map(|index| Sample {
                start: 0,
                length: 0,
                seconds: 0.0,
                key: index % key_every == 0,
                reference: index % 2 == 0,
            })
            .collect()
    }

    #[test]
    fn frames_are_left_out_in_the_order_of_their_worth() {
        let (sampling, chosen) = choose(&film(100, 10), 100);
        assert_eq!((sampling, chosen.len()), (FrameSampling::EveryFrame, 100));
        let (sampling, chosen) = choose(&film(100, 10), 60);
        assert_eq!((sampling, chosen.len()), (FrameSampling::ReferenceFrames, 50));
        let (sampling, chosen) = choose(&film(1_000, 10), 50);
        assert_eq!((sampling, chosen.len()), (FrameSampling::KeyFrames, 50));
        assert_eq!(chosen.last(), Some(&980));
        let (sampling, chosen) = choose(&film(1_000, 500), 20);
        assert_eq!((sampling, chosen.len()), (FrameSampling::Beginning, 20));
        assert_eq!(choose(&film(10, 1), 0).1, Vec::<usize>::new());
    }
}
