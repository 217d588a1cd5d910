use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use crate::ConfigError;
use crate::trace::decision::{Rules, SamplingThreshold};
use crate::trace::export::Exporter;
use crate::trace::limits::SpanLimits;

/// Which traces are kept, how much of them, and where they go.
///
/// All spans are recorded; when a trace is over here, it is decided whether it is kept: because a span asked for it
/// (`keep = true`) or failed, because it was slow, because the caller sampled it, or as part of the baseline. Kept traces
/// go to the exporters and stay in the recorder; the others stay there while there is room.
///
/// # Examples
/// ```
/// use bedplate_observability::{Observability, Traces};
/// let traces = Traces::new().baseline(0.05).recorder_bytes(8 << 20);
/// let telemetry = Observability::builder("checkout").traces(traces).build()?;
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Traces {
    pub(crate) settings: Settings,
    pub(crate) baseline: f64,
    pub(crate) event_level: LevelFilter,
    pub(crate) exporters: Vec<Arc<dyn Exporter>>,
    pub(crate) export_queue: usize,
}

/// What the engine goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) limits: SpanLimits,
    pub(crate) rules: Rules,
    pub(crate) slow_after: u64,
    pub(crate) first_errors: u32,
    pub(crate) max_active: usize,
    pub(crate) max_age: Duration,
    pub(crate) recorder_bytes: usize,
    pub(crate) record_all: bool,
}

impl Traces {
    /// Keeps errors, what is slower than its operation's 99th percentile, what the caller sampled, and 1 % of the rest.
    pub fn new() -> Self {
        let baseline = 0.01;
        let rules = Rules { all: false, errors: true, slow: true, baseline: SamplingThreshold::of(baseline) };
        let settings = Settings {
            limits: SpanLimits::default(),
            rules,
            slow_after: 200,
            first_errors: 3,
            max_active: 10_000,
            max_age: Duration::from_hours(1),
            recorder_bytes: 32 << 20,
            record_all: true,
        };
        Self { settings, baseline, event_level: LevelFilter::INFO, exporters: Vec::new(), export_queue: 2_048 }
    }

    /// Keeps every trace.
    pub const fn keep_all(mut self) -> Self {
        self.settings.rules.all = true;
        self
    }

    /// Does not keep a trace only because a span failed; the first of each kind are kept still.
    pub const fn without_errors(mut self) -> Self {
        self.settings.rules.errors = false;
        self
    }

    /// Does not keep a trace only because it was slow.
    pub const fn without_slow(mut self) -> Self {
        self.settings.rules.slow = false;
        self
    }

    /// Keeps this share of all traces, 0.0 to 1.0, default 0.01; the same ones in every service that goes by the trace's
    /// id; in place of [`keep_all`](Self::keep_all). Too small leaves nothing to compare a bad trace with; too large costs
    /// what the collector costs.
    pub const fn baseline(mut self, share: f64) -> Self {
        self.baseline = share;
        self.settings.rules.all = false;
        self
    }

    /// Calls a trace slow only after this many of its operation in the last two minutes, 10 to 1,000,000, default 200.
    /// Too small keeps what is slow by chance.
    pub const fn slow_after(mut self, traces: u64) -> Self {
        self.settings.slow_after = traces;
        self
    }

    /// Keeps the first so many failures of each `error.type` of each operation, default 3; 0 for none. It matters with
    /// [`without_errors`](Self::without_errors).
    pub const fn first_errors(mut self, count: u32) -> Self {
        self.settings.first_errors = count;
        self
    }

    /// Bounds the traces with open spans, 16 to 1,000,000, default 10,000. Beyond, the oldest ones, one of 64, are decided
    /// on as they stand: spans that never close do not take all memory. Traces of many threads are counted apart, a sixteenth of the bound
    /// for each before they are added up, so that twice as many may be open in the worst case.
    pub const fn max_active(mut self, traces: usize) -> Self {
        self.settings.max_active = traces;
        self
    }

    /// Decides on a trace of this age with what has ended of it, 1 s to 7 days, default 1 h.
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.settings.max_age = age;
        self
    }

    /// Bounds the recorder's memory, 64 KiB to 4 GiB, default 32 MiB: about 100,000 small spans. The oldest traces that
    /// were not kept go first.
    pub const fn recorder_bytes(mut self, bytes: usize) -> Self {
        self.settings.recorder_bytes = bytes;
        self
    }

    /// Holds only kept traces in the recorder, so that they stay longer.
    pub const fn record_kept_only(mut self) -> Self {
        self.settings.record_all = false;
        self
    }

    /// Bounds the spans of a trace, 1 to 100,000, default 2,000; those beyond are counted.
    pub const fn spans_per_trace(mut self, spans: usize) -> Self {
        self.settings.limits.spans = spans;
        self
    }

    /// Bounds the attributes of a span or an event, 1 to 1,024, default 128.
    pub const fn attributes_per_span(mut self, attributes: usize) -> Self {
        self.settings.limits.attributes = attributes;
        self.settings.limits.event_attributes = attributes;
        self
    }

    /// Bounds the events of a span, 0 to 10,000, default 128.
    pub const fn events_per_span(mut self, events: usize) -> Self {
        self.settings.limits.events = events;
        self
    }

    /// Bounds the links of a span, 0 to 1,024, default 128.
    pub const fn links_per_span(mut self, links: usize) -> Self {
        self.settings.limits.links = links;
        self
    }

    /// Cuts texts to this many bytes, 16 to 65,536, default 4,096; also in log lines.
    pub const fn value_bytes(mut self, bytes: usize) -> Self {
        self.settings.limits.value_bytes = bytes;
        self
    }

    /// Keeps events up to this level with their spans, default INFO.
    pub fn event_level(mut self, level: tracing::Level) -> Self {
        self.event_level = LevelFilter::from_level(level);
        self
    }

    /// Keeps no events with spans; they still go to the log.
    pub const fn without_events(mut self) -> Self {
        self.event_level = LevelFilter::OFF;
        self
    }

    /// Adds a place that kept traces go to, by a thread of its own.
    pub fn exporter(mut self, exporter: impl Exporter + 'static) -> Self {
        self.exporters.push(Arc::new(exporter));
        self
    }

    /// Bounds the traces that wait for an exporter, 1 to 100,000, default 2,048, and 64 MiB; those beyond are
    /// counted as dropped.
    pub const fn export_queue(mut self, traces: usize) -> Self {
        self.export_queue = traces;
        self
    }

    pub(crate) fn validate(&mut self) -> Result<(), ConfigError> {
        let Settings { limits, slow_after, max_active, max_age, recorder_bytes, .. } = self.settings;
        limits.validate()?;
        let check = |holds: bool, field, value: String, expected| {
            if holds { Ok(()) } else { Err(ConfigError { field, value, expected }) }
        };
        let baseline = self.baseline;
        check((0.0..=1.0).contains(&baseline), "traces.baseline", baseline.to_string(), "a share from 0.0 to 1.0")?;
        check((10..=1_000_000).contains(&slow_after), "traces.slow_after", slow_after.to_string(), "10 to 1000000")?;
        check((16..=1_000_000).contains(&max_active), "traces.max_active", max_active.to_string(), "16 to 1000000")?;
        let age = Duration::from_secs(1)..=Duration::from_hours(7 * 24);
        check(age.contains(&max_age), "traces.max_age", format!("{max_age:?}"), "1 s to 7 days")?;
        let bytes = 64 << 10..=4 << 30_usize;
        let expected = "65536 to 4294967296 bytes";
        check(bytes.contains(&recorder_bytes), "traces.recorder_bytes", recorder_bytes.to_string(), expected)?;
        let queue = self.export_queue;
        check((1..=100_000).contains(&queue), "traces.export_queue", queue.to_string(), "1 to 100000 traces")?;
        self.settings.rules.baseline = SamplingThreshold::of(baseline);
        Ok(())
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exporters: Vec<&str> = self.exporters.iter().map(|exporter| exporter.name()).collect();
        f.debug_struct("Traces")
            .field("settings", &self.settings)
            .field("baseline", &self.baseline)
            .field("exporters", &exporters)
            .finish_non_exhaustive()
    }
}
