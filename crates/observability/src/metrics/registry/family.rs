use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::{Equivalent, HashMap};
use parking_lot::RwLock;

use super::metric::Labels;

/// The series of one metric by their label values, bounded.
pub(super) struct Family<T> {
    pub(super) name: &'static str,
    pub(super) labels: &'static [&'static str],
    bound: usize,
    make: Box<dyn Fn() -> T + Send + Sync>,
    series: RwLock<HashMap<Key, Arc<T>>>,
    /// How often a series was asked for that did not fit.
    overflowed: AtomicU64,
}

/// The label values of a series.
type Key = Box<[Box<str>]>;

/// Label values that are looked for without being owned.
struct Wanted<'a>(&'a [&'a str]);

impl Hash for Wanted<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Equivalent<Key> for Wanted<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        key.len() == self.0.len() && key.iter().zip(self.0).all(|(own, wanted)| **own == **wanted)
    }
}

impl<T> Family<T> {
    pub(super) fn new(
        name: &'static str,
        labels: &'static [&'static str],
        bound: usize,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Self {
        let (series, overflowed) = (RwLock::default(), AtomicU64::new(0));
        Self { name, labels, bound, make: Box::new(make), series, overflowed }
    }

    /// The series of these values; missing values are empty and surplus ones ignored. Beyond the bound it is the one
    /// whose values are all [`OVERFLOW`].
    pub(super) fn with(&self, values: &[&str]) -> Arc<T> {
        if let Some(found) = self.series.read().get(&Wanted(values)) {
            return Arc::clone(found);
        }
        let mut fitted: Vec<&str> = self.labels.iter().zip(values).map(|(_, value)| bounded(value)).collect();
        fitted.resize(self.labels.len(), "");
        let mut series = self.series.write();
        if let Some(found) = series.get(&Wanted(&fitted)) {
            return Arc::clone(found);
        }
        let overflow = vec![OVERFLOW; self.labels.len()];
        if series.len() < self.bound || self.labels.is_empty() {
            let made = Arc::new((self.make)());
            series.insert(owned(&fitted), Arc::clone(&made));
            return made;
        }
        let first = self.overflowed.fetch_add(1, Ordering::Relaxed) == 0;
        let label = first.then(|| most_varied(self.labels, &series));
        let made = series.entry(owned(&overflow)).or_insert_with(|| Arc::new((self.make)()));
        let made = Arc::clone(made);
        drop(series);
        if let Some(label) = label {
            // Once per metric; without the lock, since a log layer may count on this very metric.
            tracing::warn!(
                metric = self.name,
                label,
                bound = self.bound,
                "a metric has more series than its bound; further ones are counted together"
            );
        }
        made
    }

    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Each series' labels and itself.
    pub(super) fn each(&self) -> Vec<(Labels, Arc<T>)> {
        let series = self.series.read();
        let labeled = |values: &[Box<str>]| {
            self.labels.iter().zip(values).map(|(name, value)| (*name, value.to_string())).collect()
        };
        series.iter().map(|(values, one)| (labeled(values), Arc::clone(one))).collect()
    }
}

fn owned(values: &[&str]) -> Key {
    values.iter().map(|value| Box::from(*value)).collect()
}

/// A value of bounded length, cut between characters.
fn bounded(value: &str) -> &str {
    if value.len() <= MAX_VALUE {
        return value;
    }
    value.get(..value.floor_char_boundary(MAX_VALUE)).unwrap_or_default()
}

/// The label with the most different values, which is the one that should not be a label.
fn most_varied<T>(labels: &'static [&'static str], series: &HashMap<Key, T>) -> &'static str {
    let mut values: Vec<HashSet<&str>> = vec![HashSet::new(); labels.len()];
    for key in series.keys() {
        for (set, value) in values.iter_mut().zip(key) {
            set.insert(value);
        }
    }
    labels.iter().zip(&values).max_by_key(|(_, set)| set.len()).map_or("", |(label, _)| label)
}

/// What every label of the overflow series says.
pub(super) const OVERFLOW: &str = "_other";
const MAX_VALUE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn family(bound: usize) -> Family<AtomicU64> {
        Family::new("jobs_total", &["kind", "user"], bound, || AtomicU64::new(0))
    }

    #[test]
    fn the_same_values_are_the_same_series() {
        let family = family(10);
        assert!(Arc::ptr_eq(&family.with(&["a", "1"]), &family.with(&["a", "1"])));
        assert!(!Arc::ptr_eq(&family.with(&["a", "1"]), &family.with(&["a", "2"])));
        assert!(Arc::ptr_eq(&family.with(&["a"]), &family.with(&["a", "", "surplus"])));
    }

    #[test]
    fn beyond_the_bound_there_is_one_more_series_and_no_other() {
        let family = family(3);
        for user in 0..1_000 {
            family.with(&["a", &user.to_string()]).fetch_add(1, Ordering::Relaxed);
        }
        let each = family.each();
        assert_eq!((each.len(), family.overflowed()), (4, 997));
        let (_, other) = each.iter().find(|(labels, _)| labels[0].1 == OVERFLOW).unwrap();
        assert_eq!(other.load(Ordering::Relaxed), 997);
        assert_eq!(most_varied(family.labels, &family.series.read()), "user");
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        let family = family(10);
        family.with(&["\u{e9}".repeat(200).as_str()]);
        assert_eq!(family.each()[0].0[0].1.len(), 256);
        family.with(&[format!("x{}", "\u{e9}".repeat(200)).as_str()]);
        assert!(family.each().iter().any(|(labels, _)| labels[0].1.len() == 255));
    }
}
