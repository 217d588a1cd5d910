use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::RwLock;

use super::family::Family;
use super::handles::Cell;
use super::{
    CounterFamily, GaugeFamily, HistogramFamily, HistogramPoint, Metric, MetricKind, Sample, legal_label, legal_name,
};
use crate::ConfigError;
use crate::metrics::prometheus::{DURATION, OWN};

/// All metrics by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    entries: Arc<RwLock<BTreeMap<&'static str, Entry>>>,
}

#[derive(Debug, Clone)]
struct Entry {
    help: &'static str,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Supplied(Metric),
    Counter(CounterFamily),
    Gauge(GaugeFamily),
    Histogram(HistogramFamily, Arc<[f64]>),
}

/// One metric at one moment.
pub(crate) struct View {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) points: Points,
}

pub(crate) enum Points {
    Counter(Vec<Sample>),
    Gauge(Vec<Sample>),
    Histogram(Vec<HistogramPoint>),
}

impl Registry {
    /// Adds a supplied metric.
    pub(crate) fn add(&self, metric: Metric) -> Result<(), ConfigError> {
        let (name, help, kind) = (metric.name, metric.help, metric.kind);
        check(name, help, &[], kind == MetricKind::Counter)?;
        insert(&mut self.entries.write(), name, help, Source::Supplied(metric))
    }

    pub(crate) fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Result<CounterFamily, ConfigError> {
        check(name, help, labels, true)?;
        let mut entries = self.entries.write();
        match entries.get(name).map(|entry| &entry.source) {
            Some(Source::Counter(known)) if known.0.labels == labels => return Ok(known.clone()),
            _ => {}
        }
        let made = CounterFamily(Arc::new(Family::new(name, labels, MAX_SERIES, || AtomicU64::new(0))));
        insert(&mut entries, name, help, Source::Counter(made.clone()))?;
        Ok(made)
    }

    pub(crate) fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Result<GaugeFamily, ConfigError> {
        check(name, help, labels, false)?;
        let mut entries = self.entries.write();
        match entries.get(name).map(|entry| &entry.source) {
            Some(Source::Gauge(known)) if known.0.labels == labels => return Ok(known.clone()),
            _ => {}
        }
        let made = GaugeFamily(Arc::new(Family::new(name, labels, MAX_SERIES, || AtomicU64::new(0))));
        insert(&mut entries, name, help, Source::Gauge(made.clone()))?;
        Ok(made)
    }

    pub(crate) fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &[f64],
    ) -> Result<HistogramFamily, ConfigError> {
        check(name, help, labels, false)?;
        let rising = bounds.iter().zip(bounds.iter().skip(1)).all(|(low, high)| low < high);
        if bounds.len() > 200 || !rising || bounds.iter().any(|bound| !bound.is_finite()) {
            return Err(ConfigError {
                field: "metric.bounds",
                value: format!("{bounds:?}"),
                expected: "up to 200 finite bounds that rise",
            });
        }
        let mut entries = self.entries.write();
        match entries.get(name).map(|entry| &entry.source) {
            Some(Source::Histogram(known, own)) if known.0.labels == labels => {
                return if **own == *bounds {
                    Ok(known.clone())
                } else {
                    let (value, expected) = (format!("{bounds:?}"), "the bounds under which the name is registered");
                    Err(ConfigError { field: "metric.bounds", value, expected })
                };
            }
            _ => {}
        }
        let bounds: Arc<[f64]> = bounds.into();
        let own = Arc::clone(&bounds);
        let made = HistogramFamily(Arc::new(Family::new(name, labels, MAX_SERIES, move || Cell::new(&own))));
        insert(&mut entries, name, help, Source::Histogram(made.clone(), bounds))?;
        Ok(made)
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.entries.read().keys().copied().chain(OWN).collect();
        names.sort_unstable();
        names
    }

    /// Every metric at this moment, and how often each overflowed. Supplied metrics are read without the lock.
    pub(crate) fn views(&self) -> (Vec<View>, Vec<Sample>) {
        let entries: Vec<(&'static str, Entry)> =
            self.entries.read().iter().map(|(name, entry)| (*name, entry.clone())).collect();
        let overflowed = entries.iter().filter_map(|(name, entry)| {
            let count = match &entry.source {
                Source::Supplied(_) => return None,
                Source::Counter(family) => family.0.overflowed(),
                Source::Gauge(family) => family.0.overflowed(),
                Source::Histogram(family, _) => family.0.overflowed(),
            };
            (count > 0).then(|| Sample::count(count).label("metric", *name))
        });
        let overflowed = overflowed.collect();
        let views = entries.into_iter().map(|(name, Entry { help, source })| {
            let points = match source {
                Source::Supplied(metric) if metric.kind == MetricKind::Counter => Points::Counter(supplied(&metric)),
                Source::Supplied(metric) => Points::Gauge(supplied(&metric)),
                Source::Counter(family) => Points::Counter(family.samples()),
                Source::Gauge(family) => Points::Gauge(family.samples()),
                Source::Histogram(family, _) => Points::Histogram(family.points()),
            };
            View { name, help, points }
        });
        (views.collect(), overflowed)
    }
}

/// Adds a metric if none of its names stands in the texts already: a name that stood twice could not be read.
fn insert(
    entries: &mut BTreeMap<&'static str, Entry>,
    name: &'static str,
    help: &'static str,
    source: Source,
) -> Result<(), ConfigError> {
    let kind_of_own = |name: &str| match name {
        DURATION => Kind::Histogram,
        name if name.ends_with("_total") => Kind::Counter,
        _ => Kind::Gauge,
    };
    let own = OWN.into_iter().map(|name| (name, kind_of_own(name)));
    let mut known = entries.iter().map(|(name, entry)| (*name, entry.source.kind())).chain(own);
    let names = spoken(name, source.kind());
    if known.any(|(known, kind)| spoken(known, kind).iter().any(|known| names.contains(known))) {
        return Err(taken(name));
    }
    entries.insert(name, Entry { help, source });
    Ok(())
}

/// What a part supplies; one that panics costs its own metric and no other.
fn supplied(metric: &Metric) -> Vec<Sample> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| (metric.read)())).unwrap_or_default()
}

/// The names under which a metric's samples or family stand in either text.
fn spoken(name: &str, kind: Kind) -> Vec<String> {
    let with = |suffixes: &[&str]| suffixes.iter().map(|suffix| format!("{name}{suffix}")).collect();
    match kind {
        Kind::Counter => vec![name.to_owned(), name.strip_suffix("_total").unwrap_or(name).to_owned()],
        Kind::Gauge => with(&[""]),
        Kind::Histogram => with(&["", "_bucket", "_sum", "_count"]),
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Source {
    const fn kind(&self) -> Kind {
        match self {
            Self::Supplied(Metric { kind: MetricKind::Counter, .. }) | Self::Counter(_) => Kind::Counter,
            Self::Supplied(_) | Self::Gauge(_) => Kind::Gauge,
            Self::Histogram(..) => Kind::Histogram,
        }
    }
}

/// As many series as OpenTelemetry's own default for a metric.
const MAX_SERIES: usize = 2_000;

fn check(name: &str, help: &str, labels: &[&str], counter: bool) -> Result<(), ConfigError> {
    let invalid = |field, value: &str, expected| Err(ConfigError { field, value: format!("{value:?}"), expected });
    if !legal_name(name) {
        return invalid("metric.name", name, "letters, digits and underscores, not beginning with a digit");
    }
    if counter && !name.ends_with("_total") {
        return invalid("metric.name", name, "a counter's name that ends in _total");
    }
    if !counter && name.ends_with("_total") {
        return invalid("metric.name", name, "a name without _total, which is for counters");
    }
    if help.is_empty() {
        return Err(ConfigError { field: "metric.help", value: "empty".to_owned(), expected: "one sentence" });
    }
    if let Some(label) = labels.iter().find(|label| !legal_label(label)) {
        return invalid("metric.labels", label, "letters, digits and underscores, and neither le nor quantile");
    }
    Ok(())
}

fn taken(name: &str) -> ConfigError {
    ConfigError { field: "metric.name", value: format!("{name:?}"), expected: "a name that is not registered yet" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_names_are_refused() {
        let registry = Registry::default();
        let add = |name, kind, help| registry.add(Metric::new(name, kind, help, Vec::new)).map_err(|error| error.field);
        assert_eq!(add("fine", MetricKind::Gauge, "Help."), Ok(()));
        for (name, kind) in [
            ("fine", MetricKind::Gauge),
            ("operation_errors_total", MetricKind::Counter),
            ("1st", MetricKind::Gauge),
            ("", MetricKind::Gauge),
            ("with space", MetricKind::Gauge),
            ("hits", MetricKind::Counter),
            ("hits_total", MetricKind::Gauge),
        ] {
            assert_eq!(add(name, kind, "Help."), Err("metric.name"), "{name}");
        }
        assert_eq!(add("silent", MetricKind::Gauge, ""), Err("metric.help"));
    }

    #[test]
    fn an_instrument_is_made_once_and_only_with_one_shape() {
        let registry = Registry::default();
        let first = registry.counter("jobs_total", "Jobs.", &["kind"]).unwrap();
        first.with(&["a"]).add(2);
        assert_eq!(registry.counter("jobs_total", "Jobs.", &["kind"]).unwrap().with(&["a"]).value(), 2);
        assert_eq!(registry.counter("jobs_total", "Jobs.", &["other"]).unwrap_err().field, "metric.name");
        assert_eq!(registry.gauge("depth", "Depth.", &["le"]).unwrap_err().field, "metric.labels");
        for bounds in [&[1.0, 1.0][..], &[f64::NAN], &[2.0, 1.0]] {
            assert_eq!(registry.histogram("h", "H.", &[], bounds).unwrap_err().field, "metric.bounds");
        }
    }
}
