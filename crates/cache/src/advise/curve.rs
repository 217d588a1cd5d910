//! Hit ratio over budget, and what follows from it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Counts of requests by reuse distance, in steps of a sixteenth of a doubling.
#[derive(Debug)]
pub(super) struct Histogram {
    counts: Vec<f64>,
    cold: f64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self { counts: vec![0.0; BUCKETS], cold: 0.0 }
    }

    pub(super) fn reused(&mut self, distance: u64, count: f64) {
        if let Some(bucket) = self.counts.get_mut(bucket_of(distance)) {
            *bucket += count;
        }
    }

    pub(super) fn cold(&mut self, count: f64) {
        self.cold += count;
    }

    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts below 2^53")]
    pub(super) fn curve(&self, requests: u64, followed: usize) -> HitRatioCurve {
        let counted: f64 = self.counts.iter().sum::<f64>() + self.cold;
        let requests = requests as f64;
        // The adjustment of the paper: sampled requests that are missing or too many belong to keys that
        // are asked for so often that their distance is the smallest.
        let mut hits = if requests > 0.0 { requests - counted } else { 0.0 };
        let total = if requests > 0.0 { requests } else { counted.max(1.0) };
        let mut points = Vec::new();
        for (bucket, count) in self.counts.iter().enumerate() {
            hits += count;
            if *count > 0.0 {
                points.push(CurvePoint { bytes: upper_bound(bucket), hit_ratio: (hits / total).clamp(0.0, 1.0) });
            }
        }
        // The clamp of a correction may leave a fall, which no such curve has.
        let mut highest = 0.0_f64;
        for point in &mut points {
            highest = highest.max(point.hit_ratio);
            point.hit_ratio = highest;
        }
        HitRatioCurve { points, followed }
    }
}

/// What hit ratio which budget gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HitRatioCurve {
    points: Vec<CurvePoint>,
    followed: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct CurvePoint {
    bytes: u64,
    hit_ratio: f64,
}

impl HitRatioCurve {
    /// Returns the hit ratio of a budget.
    pub fn hit_ratio(&self, bytes: u64) -> f64 {
        let within = self.points.partition_point(|point| point.bytes <= bytes);
        within.checked_sub(1).and_then(|last| self.points.get(last)).map_or(0.0, |point| point.hit_ratio)
    }

    /// Returns the smallest budget that reaches a hit ratio, if one does.
    pub fn bytes_for(&self, hit_ratio: f64) -> Option<u64> {
        self.points.iter().find(|point| point.hit_ratio >= hit_ratio).map(|point| point.bytes)
    }

    /// Returns the hit ratio of a budget without limit.
    pub fn ceiling(&self) -> f64 {
        self.points.last().map_or(0.0, |point| point.hit_ratio)
    }

    /// Says what a hit ratio needs.
    pub fn advise(&self, target: f64) -> Advice {
        if self.followed < ENOUGH {
            return Advice::TooLittleSeen { followed: self.followed };
        }
        if let Some(bytes) = self.bytes_for(target) {
            return Advice::Needs { target, bytes };
        }
        let ceiling = self.ceiling();
        // The last percent of the way up is not worth its bytes.
        let bytes = self.bytes_for(ceiling * 0.99).unwrap_or(u64::MAX);
        Advice::Ceiling { target, ceiling, bytes }
    }
}

/// What a hit ratio needs.
///
/// ```
/// use bedplate_cache::advise::{Shadow, ShadowConfig};
///
/// let mut shadow = Shadow::new(ShadowConfig::default())?;
/// for _round in 0..4 {
///     for key in 0..50_000_u64 {
///         shadow.record(key, 1_000);
///     }
/// }
/// let advice = shadow.curve(200_000).advise(0.95);
/// assert!(advice.to_string().contains("is the ceiling at any size"), "{advice}");
/// # Ok::<(), bedplate_cache::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Advice {
    /// This budget reaches it.
    #[non_exhaustive]
    Needs {
        /// The hit ratio that was asked about.
        target: f64,
        /// The budget.
        bytes: u64,
    },
    /// No budget reaches it.
    #[non_exhaustive]
    Ceiling {
        /// The hit ratio that was asked about.
        target: f64,
        /// The hit ratio of a budget without limit.
        ceiling: f64,
        /// The budget that reaches 99 % of the ceiling.
        bytes: u64,
    },
    /// Too few keys were followed to say anything.
    #[non_exhaustive]
    TooLittleSeen {
        /// How many keys are followed.
        followed: usize,
    },
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needs { target, bytes } => write!(f, "{} needs {}", Percent(*target), Size(*bytes)),
            Self::Ceiling { ceiling, bytes, .. } => {
                write!(f, "{} is the ceiling at any size, {} comes within 1 % of it", Percent(*ceiling), Size(*bytes))
            }
            Self::TooLittleSeen { followed } => write!(f, "too little seen, {followed} keys are followed"),
        }
    }
}

struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} %", self.0 * 100.0)
    }
}

struct Size(u64);

impl fmt::Display for Size {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut size = self.0 as f64;
        for unit in ["B", "kB", "MB", "GB", "TB"] {
            if size < 999.5 {
                return write!(f, "{size:.0} {unit}");
            }
            if size < 9_950.0 {
                let next = match unit {
                    "B" => "kB",
                    "kB" => "MB",
                    "MB" => "GB",
                    "GB" => "TB",
                    _ => "PB",
                };
                return write!(f, "{:.1} {next}", size / 1000.0);
            }
            size /= 1000.0;
        }
        write!(f, "{size:.0} PB")
    }
}

fn bucket_of(distance: u64) -> usize {
    let distance = distance.max(1);
    let octave = distance.ilog2();
    // The four bits below the highest one.
    let step = if octave >= 4 { (distance >> (octave - 4)) & 15 } else { (distance << (4 - octave)) & 15 };
    usize::try_from(u64::from(octave) * 16 + step).unwrap_or(BUCKETS - 1)
}

/// The largest distance in a bucket: a budget of that many bytes holds all of it.
fn upper_bound(bucket: usize) -> u64 {
    let (octave, step) = (bucket / 16, u64::try_from(bucket % 16).unwrap_or(15));
    let next = ((u128::from(16 + step + 1) << octave) + 15) >> 4;
    u64::try_from(next.saturating_sub(1)).unwrap_or(u64::MAX).max(1)
}

const BUCKETS: usize = 64 * 16;
/// Keys that must be followed before anything is said.
const ENOUGH: usize = 200;
