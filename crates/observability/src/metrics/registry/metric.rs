use std::fmt;
use std::sync::Arc;

/// A series' label names and values.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// What a metric's values mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A count that only grows; its name ends in `_total`.
    Counter,
    /// A value that rises and falls.
    Gauge,
}

/// One value of a metric, under its labels.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sample {
    /// Label names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value, in the base unit of the metric's name.
    pub value: f64,
}

impl Sample {
    /// Returns a value without labels.
    #[must_use]
    pub const fn new(value: f64) -> Self {
        Self { labels: Vec::new(), value }
    }

    /// Returns a count, exact up to 2^53.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "the format's values are 64-bit floats")]
    pub const fn count(value: u64) -> Self {
        Self::new(value as f64)
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

/// A metric that another part of the program supplies: its name, meaning and values at each reading.
///
/// # Examples
/// ```
/// use bedplate_observability::{Metric, MetricKind, Observability, Sample};
/// let telemetry = Observability::builder("checkout").build()?;
/// telemetry.register(Metric::new("queue_depth", MetricKind::Gauge, "Waiting tasks.", || vec![Sample::count(3)]))?;
/// assert!(telemetry.prometheus().contains("queue_depth 3\n"));
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Metric {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) kind: MetricKind,
    pub(crate) read: Arc<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

impl Metric {
    /// Describes a metric whose values `read` returns. It is called at each reading, must be quick, and must not read
    /// the metrics itself.
    #[must_use]
    pub fn new(
        name: &'static str,
        kind: MetricKind,
        help: &'static str,
        read: impl Fn() -> Vec<Sample> + Send + Sync + 'static,
    ) -> Self {
        Self { name, help, kind, read: Arc::new(read) }
    }

    /// Returns the name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

impl fmt::Debug for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metric").field("name", &self.name).field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Whether the name may be a label's, which is none that the formats use themselves.
pub(crate) fn legal_label(name: &str) -> bool {
    legal_name(name) && !name.starts_with("__") && !matches!(name, "le" | "quantile")
}

/// Whether the name fits both text formats; a colon is for recording rules alone.
pub(crate) fn legal_name(name: &str) -> bool {
    let legal = |(index, c): (usize, char)| c.is_ascii_alphabetic() || c == '_' || (index > 0 && c.is_ascii_digit());
    !name.is_empty() && name.chars().enumerate().all(legal)
}
