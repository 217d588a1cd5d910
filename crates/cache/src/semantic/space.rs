//! The entries of one namespace, and the scan over them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Vectors in one block of memory, so that a scan reads it from end to end.
#[derive(Debug)]
pub(super) struct Space<V> {
    dimensions: usize,
    vectors: Vec<f32>,
    pub(super) entries: Vec<Entry<V>>,
}

#[derive(Debug)]
pub(super) struct Entry<V> {
    pub(super) id: u64,
    pub(super) text: Arc<str>,
    pub(super) value: Arc<V>,
    pub(super) until: Duration,
    /// When it was last a hit, or stored: what was not for longest gives way.
    pub(super) used: AtomicU64,
}

/// An entry that is alike, taken out of the lock.
#[derive(Debug)]
pub(super) struct Near<V> {
    pub(super) score: f32,
    pub(super) id: u64,
    pub(super) text: Arc<str>,
    pub(super) value: Arc<V>,
}

impl<V> Space<V> {
    pub(super) const fn new(dimensions: usize) -> Self {
        Self { dimensions, vectors: Vec::new(), entries: Vec::new() }
    }

    pub(super) fn push(&mut self, entry: Entry<V>, vector: &[f32]) {
        self.vectors.extend_from_slice(vector);
        self.entries.push(entry);
    }

    /// Returns the entries most alike, the most first, that live and reach the threshold.
    pub(super) fn nearest(&self, vector: &[f32], threshold: f32, now: Duration) -> Vec<Near<V>> {
        let mut best: Vec<(f32, usize)> = Vec::with_capacity(CANDIDATES + 1);
        let mut floor = threshold;
        for (at, stored) in self.vectors.chunks_exact(self.dimensions.max(1)).enumerate() {
            let score = dot(stored, vector);
            if score >= floor && self.entries.get(at).is_some_and(|entry| entry.until > now) {
                let place = best.partition_point(|(other, _)| *other >= score);
                best.insert(place, (score, at));
                best.truncate(CANDIDATES);
                if best.len() == CANDIDATES {
                    floor = best.last().map_or(threshold, |(score, _)| *score);
                }
            }
        }
        let near = |(score, at): (f32, usize)| {
            let entry = self.entries.get(at)?;
            let (text, value) = (Arc::clone(&entry.text), Arc::clone(&entry.value));
            Some(Near { score, id: entry.id, text, value })
        };
        best.into_iter().filter_map(near).collect()
    }

    /// Removes those for which this says so, and returns them.
    pub(super) fn take_out(&mut self, mut out: impl FnMut(&Entry<V>) -> bool) -> Vec<Entry<V>> {
        let mut taken = Vec::new();
        let mut at = 0;
        while let Some(entry) = self.entries.get(at) {
            if out(entry) {
                taken.push(self.entries.swap_remove(at));
                let (last, size) = (self.vectors.len() - self.dimensions, self.dimensions);
                self.vectors.copy_within(last.., at * size);
                self.vectors.truncate(last);
            } else {
                at += 1;
            }
        }
        taken
    }

    pub(super) fn touch(&self, id: u64, tick: u64) {
        if let Some(entry) = self.entries.iter().find(|entry| entry.id == id) {
            entry.used.store(tick, Ordering::Relaxed);
        }
    }
}

/// Eight sums side by side, which the compiler turns into vector instructions: a single one would have
/// to keep the order of the additions.
fn dot(one: &[f32], other: &[f32]) -> f32 {
    let mut sums = [0.0_f32; LANES];
    let ((ones, one_rest), (others, other_rest)) = (one.as_chunks::<LANES>(), other.as_chunks::<LANES>());
    for (one, other) in ones.iter().zip(others) {
        for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
            *sum += one * other;
        }
    }
    let rest: f32 = one_rest.iter().zip(other_rest).map(|(one, other)| one * other).sum();
    sums.iter().sum::<f32>() + rest
}

const LANES: usize = 8;
/// Entries that the gate sees per look-up.
const CANDIDATES: usize = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(id: u64, until: u64) -> Entry<u64> {
        let until = Duration::from_secs(until);
        Entry { id, text: "".into(), value: Arc::new(id), until, used: AtomicU64::new(0) }
    }

    proptest! {
        #[test]
        fn the_scan_finds_what_a_sort_finds_after_any_removals(
            vectors in prop::collection::vec(prop::collection::vec(-1.0_f32..1.0, 11), 1..40),
            query in prop::collection::vec(-1.0_f32..1.0, 11),
            threshold in -1.0_f32..1.0,
            removed in 1_u64..5,
        ) {
            let mut space = Space::new(11);
            for (id, vector) in (0..).zip(&vectors) {
                space.push(entry(id, 1 + id % 2), vector);
            }
            space.take_out(|entry| entry.id % removed == 0);
            let kept = |id: u64| !id.is_multiple_of(removed) && id % 2 == 1;
            let mut expected: Vec<(f32, u64)> =
                (0..).zip(&vectors).filter(|(id, _)| kept(*id)).map(|(id, vector)| (dot(vector, &query), id)).collect();
            expected.retain(|(score, _)| *score >= threshold);
            expected.sort_by(|one, other| other.0.total_cmp(&one.0));
            expected.truncate(CANDIDATES);
            let found = space.nearest(&query, threshold, Duration::from_secs(1));
            let found: Vec<(f32, u64)> = found.iter().map(|near| (near.score, near.id)).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn a_product_is_that_of_the_definition(pairs in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 0..70)) {
            let (one, other): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
            let expected: f64 = pairs.iter().map(|(one, other)| f64::from(*one) * f64::from(*other)).sum();
            prop_assert!((f64::from(dot(&one, &other)) - expected).abs() < 1e-4);
        }
    }
}
