use std::collections::BTreeMap;

use image::{DynamicImage, GenericImageView as _};

use super::PaletteColor;
use super::color::Oklab;

/// Finds up to six colors by k-means in Oklab over a grid of pixels.
///
/// Pixels are picked, not averaged, since a scaled-down copy has colors at its edges that the picture has not. Centers
/// start at the commonest color, then wherever count times squared distance is largest: the deterministic form of
/// k-means++. Fewer colors come back where the picture has fewer.
pub(super) fn extract(picture: &DynamicImage) -> Vec<PaletteColor> {
    let cells = cells(picture);
    let total: f64 = cells.iter().map(|cell| cell.count).sum();
    if total <= 0.0 {
        return Vec::new();
    }
    let mut centers = seeds(&cells);
    let mut clusters = Vec::new();
    for _ in 0..ROUNDS {
        clusters = assign(&cells, &centers);
        let next: Vec<Oklab> = clusters.iter().map(|c: &Cluster| Oklab::from_srgb(c.srgb())).collect();
        let settled = next.iter().zip(&centers).all(|(a, b)| a.distance_squared(*b) < 1e-9);
        let same = next.len() == centers.len() && settled;
        centers = next;
        if same {
            break;
        }
    }
    clusters.sort_by(|a, b| b.count.total_cmp(&a.count).then_with(|| a.hex().cmp(&b.hex())));
    clusters.iter().map(|cluster| PaletteColor { hex: cluster.hex(), share: cluster.count / total }).collect()
}

/// Pixels that share the upper five bits of each channel, with their mean.
struct Cell {
    lab: Oklab,
    srgb: [f64; 3],
    count: f64,
}

#[derive(Default, Clone)]
struct Cluster {
    sum: [f64; 3],
    count: f64,
}

impl Cluster {
    fn srgb(&self) -> [f64; 3] {
        self.sum.map(|sum| sum / self.count.max(1.0))
    }

    fn hex(&self) -> String {
        let [red, green, blue] = self.srgb().map(to_byte);
        format!("#{red:02x}{green:02x}{blue:02x}")
    }
}

fn cells(picture: &DynamicImage) -> Vec<Cell> {
    let (width, height) = picture.dimensions();
    let mut buckets: BTreeMap<[u8; 3], Cluster> = BTreeMap::new();
    for y in grid(height) {
        for x in grid(width) {
            let [red, green, blue, alpha] = picture.get_pixel(x, y).0;
            if alpha < 128 {
                continue;
            }
            let rgb = [red, green, blue];
            let bucket = buckets.entry(rgb.map(|channel| channel >> 3)).or_default();
            for (sum, channel) in bucket.sum.iter_mut().zip(rgb) {
                *sum += f64::from(channel);
            }
            bucket.count += 1.0;
        }
    }
    buckets
        .into_values()
        .map(|bucket| Cell { lab: Oklab::from_srgb(bucket.srgb()), srgb: bucket.srgb(), count: bucket.count })
        .collect()
}

/// Up to 128 evenly spaced positions, each in the middle of its part.
fn grid(length: u32) -> impl Iterator<Item = u32> + Clone {
    let steps = u64::from(length.min(GRID));
    (0..steps).map(move |step| {
        let position = (2 * step + 1) * u64::from(length) / (2 * steps);
        u32::try_from(position).unwrap_or(u32::MAX)
    })
}

fn seeds(cells: &[Cell]) -> Vec<Oklab> {
    let mut centers: Vec<Oklab> = Vec::with_capacity(COLORS);
    let first = cells.iter().max_by(|a, b| a.count.total_cmp(&b.count));
    centers.extend(first.map(|cell| cell.lab));
    while centers.len() < COLORS {
        let farthest = cells
            .iter()
            .map(|cell| (nearest(cell.lab, &centers).1, cell))
            .filter(|(distance, _)| *distance > SAME_COLOR)
            .max_by(|a, b| (a.0 * a.1.count).total_cmp(&(b.0 * b.1.count)));
        let Some((_, cell)) = farthest else {
            break;
        };
        centers.push(cell.lab);
    }
    centers
}

fn assign(cells: &[Cell], centers: &[Oklab]) -> Vec<Cluster> {
    let mut clusters = vec![Cluster::default(); centers.len()];
    for cell in cells {
        if let Some(cluster) = clusters.get_mut(nearest(cell.lab, centers).0) {
            for (sum, channel) in cluster.sum.iter_mut().zip(cell.srgb) {
                *sum += channel * cell.count;
            }
            cluster.count += cell.count;
        }
    }
    clusters.retain(|cluster| cluster.count > 0.0);
    clusters
}

fn nearest(color: Oklab, centers: &[Oklab]) -> (usize, f64) {
    centers
        .iter()
        .map(|center| color.distance_squared(*center))
        .enumerate()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap_or((0, f64::INFINITY))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and the value is rounded"
)]
fn to_byte(channel: f64) -> u8 {
    channel.round() as u8
}

const COLORS: usize = 6;
const GRID: u32 = 128;
const ROUNDS: usize = 24;
/// Two colors nearer than 0.05 in Oklab look like one.
const SAME_COLOR: f64 = 0.05 * 0.05;
