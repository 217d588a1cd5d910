use super::Cut;
use super::frames::Luma;

/// Counts how much of a frame has each of 64 luma levels.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Histogram([f64; 64]);

impl Histogram {
    /// Every fourth pixel of every fourth row tells as much as all of them.
    pub(super) fn of(luma: &Luma<'_>) -> Self {
        let mut counts = [0_u32; 64];
        for row in luma.rows().step_by(4) {
            for value in row.iter().step_by(4) {
                if let Some(count) = counts.get_mut(usize::from(value >> 2)) {
                    *count += 1;
                }
            }
        }
        let total = f64::from(counts.iter().sum::<u32>().max(1));
        Self(counts.map(|count| f64::from(count) / total))
    }

    /// Half the sum of differences: 0 for the same, 1 for nothing in common.
    pub(super) fn distance(&self, other: &Self) -> f64 {
        let sum: f64 = self.0.iter().zip(&other.0).map(|(a, b)| (a - b).abs()).sum();
        sum / 2.0
    }

    /// The entropy in bits: 0 for a black frame, up to 6 for one with all tones.
    pub(super) fn entropy(&self) -> f64 {
        self.0.iter().filter(|share| **share > 0.0).map(|share| -share * share.log2()).sum()
    }
}

/// Finds cuts in frames as they are shown (Boreczky & Rowe, "Comparison of video shot boundary detection techniques", 1996:
/// global histograms do nearly as well as anything dearer).
#[derive(Debug, Default)]
pub(super) struct CutFinder {
    before: Option<Histogram>,
    changes: Vec<Cut>,
}

impl CutFinder {
    pub(super) fn add(&mut self, seconds: f64, histogram: Histogram) {
        let distance = self.before.as_ref().map_or(0.0, |before| before.distance(&histogram));
        self.changes.push(Cut { seconds, distance });
        self.before = Some(histogram);
    }

    /// A cut stands out from its neighbors; motion and fades change many frames in a row alike.
    pub(super) fn finish(self) -> Vec<Cut> {
        let at = |index: Option<usize>| {
            let change = index.and_then(|index| self.changes.get(index));
            change.map_or(0.0, |change| change.distance)
        };
        self.changes
            .iter()
            .enumerate()
            .filter(|(index, change)| {
                let around = at(index.checked_sub(1)).max(at(Some(index + 1)));
                change.distance > THRESHOLD && change.distance > PROMINENCE * around
            })
            .map(|(_, change)| *change)
            .collect()
    }
}

const THRESHOLD: f64 = 0.35;
const PROMINENCE: f64 = 1.5;

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(value: u8) -> Histogram {
        Histogram::of(&Luma::new(&[value; 64], 8, 8, 8).unwrap())
    }

    #[test]
    fn a_change_of_shot_is_a_cut_and_a_fade_is_not() {
        let mut finder = CutFinder::default();
        for (time, value) in [(0.0, 20), (1.0, 20), (2.0, 200), (3.0, 200)] {
            finder.add(time, flat(value));
        }
        assert_eq!(finder.finish(), [Cut { seconds: 2.0, distance: 1.0 }]);
        let mut finder = CutFinder::default();
        for step in 0..12_u8 {
            finder.add(f64::from(step), flat(step * 20));
        }
        assert_eq!(finder.finish(), []);
    }

    #[test]
    fn a_black_frame_has_no_entropy() {
        assert!(flat(0).entropy().abs() < 1e-12);
        let ramp: Vec<u8> = (0..=255).collect();
        let wide = Luma::new(&ramp, 16, 16, 16).unwrap();
        assert!(Histogram::of(&wide).entropy() > 1.0);
    }
}
