use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::target::{Compression, Protocol, Target};
use crate::{ConfigError, Signal};

/// Sends kept traces, log records and metrics to a collector over OTLP.
///
/// # Examples
/// ```
/// use bedplate_observability::otlp::{Compression, Otlp, Protocol};
/// use bedplate_observability::Observability;
/// use std::time::Duration;
/// let otlp = Otlp::new("http://127.0.0.1:4318")
///     .protocol(Protocol::HttpProtobuf)
///     .header("authorization", "Bearer abc")
///     .compression(Compression::Gzip);
/// let telemetry = Observability::builder("checkout").otlp(otlp).build()?;
/// // Nobody listens there: the report says so, within the deadline.
/// let report = telemetry.shutdown(Duration::from_millis(200));
/// println!("{report}");
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Otlp {
    /// By signal, in the order of [`Signal::ALL`]; `None` is not sent.
    pub(super) targets: [Option<Target>; 3],
    pub(super) log_level: LevelFilter,
    pub(super) interval: Duration,
    pub(super) retry_for: Duration,
    pub(super) trace_queue: usize,
    pub(super) log_queue: usize,
    pub(super) request_bytes: usize,
}

impl Otlp {
    /// Sends all signals to this collector: a URL of `http` or `https` with host and port, to which the HTTP protocols add
    /// `/v1/traces`, `/v1/logs` and `/v1/metrics`.
    pub fn new(endpoint: impl Into<String>) -> Self {
        let target = Target::new(endpoint.into());
        Self {
            targets: [Some(target.clone()), Some(target.clone()), Some(target)],
            log_level: LevelFilter::INFO,
            interval: Duration::from_mins(1),
            retry_for: Duration::from_secs(30),
            trace_queue: 2_048,
            log_queue: 8_192,
            request_bytes: 2 << 20,
        }
    }

    /// Takes what OpenTelemetry's environment variables say, now and at no other time: `OTEL_EXPORTER_OTLP_ENDPOINT`,
    /// `_PROTOCOL`, `_HEADERS`, `_TIMEOUT` and `_COMPRESSION`, the same for one signal as
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, `OTEL_TRACES_EXPORTER`, `OTEL_LOGS_EXPORTER`, `OTEL_METRICS_EXPORTER` (`otlp`
    /// or `none`) and `OTEL_METRIC_EXPORT_INTERVAL`. Without any it is HTTP with protobuf to port 4318 of this host.
    ///
    /// # Errors
    /// [`ConfigError`] names a variable that holds nonsense.
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_vars(crate::environment::process)
    }

    /// Takes what these variables say, as [`from_env`](Self::from_env) does.
    ///
    /// # Errors
    /// [`ConfigError`] names a variable that holds nonsense.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        super::variables::read(&var)
    }

    /// Speaks this protocol, default gRPC.
    pub fn protocol(self, protocol: Protocol) -> Self {
        self.each(|target| target.protocol = protocol)
    }

    /// Sends a header, or gRPC metadata, with each request; its value is never shown.
    pub fn header(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let header = (name.into(), value.into());
        self.each(|target| target.headers.push(header.clone()))
    }

    /// Sends these headers with each request.
    pub fn headers<N: Into<String>, V: Into<String>>(self, headers: impl IntoIterator<Item = (N, V)>) -> Self {
        headers.into_iter().fold(self, |otlp, (name, value)| otlp.header(name, value))
    }

    /// Gives up on a request after this time, 10 ms to 5 min, default 10 s. Too short and a slow collector gets the same
    /// batch again and again; too long and one that hangs holds up those behind.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.each(|target| target.timeout = timeout)
    }

    /// Packs bodies so, default not.
    pub fn compression(self, compression: Compression) -> Self {
        self.each(|target| target.compression = compression)
    }

    /// Sends one signal to another place: for the HTTP protocols the whole URL, with its path.
    pub fn signal_endpoint(mut self, signal: Signal, endpoint: impl Into<String>) -> Self {
        if let Some(Some(target)) = self.targets.get_mut(signal.index()) {
            target.endpoint = endpoint.into();
            target.verbatim = true;
        }
        self
    }

    /// Does not send this signal.
    pub fn without(mut self, signal: Signal) -> Self {
        if let Some(target) = self.targets.get_mut(signal.index()) {
            *target = None;
        }
        self
    }

    /// Sends log records up to this level, default INFO; the log's own filter is another matter.
    pub fn log_level(mut self, level: tracing::Level) -> Self {
        self.log_level = LevelFilter::from_level(level);
        self
    }

    /// Sends metrics this often, 1 s to 1 h, default 60 s.
    pub const fn metric_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Tries a batch again for this long, up to 10 min, default 30 s; then it is dropped and counted. A shutdown's
    /// deadline ends it sooner.
    pub const fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// Bounds the traces that wait, 1 to 100,000, default 2,048, and 64 MiB; those beyond are dropped and
    /// counted.
    pub const fn trace_queue(mut self, traces: usize) -> Self {
        self.trace_queue = traces;
        self
    }

    /// Bounds the log records that wait, 1 to 1,000,000, default 8,192, and 64 MiB; those beyond are dropped and
    /// counted.
    pub const fn log_queue(mut self, records: usize) -> Self {
        self.log_queue = records;
        self
    }

    /// Bounds one request before it is packed, 4 KiB to 64 MiB, default 2 MiB: what has more bytes goes in several, and a
    /// single span, record or value that has more goes alone. Collectors take 4 MiB over gRPC unless told otherwise, and
    /// proxies often 1 MiB; what is refused as too large is halved and sent again. Too small and there are many requests;
    /// too large and each batch is sent in vain first.
    pub const fn request_bytes(mut self, bytes: usize) -> Self {
        self.request_bytes = bytes;
        self
    }

    pub(super) fn target(&self, signal: Signal) -> Option<&Target> {
        self.targets.get(signal.index())?.as_ref()
    }

    fn each(mut self, change: impl Fn(&mut Target)) -> Self {
        self.targets.iter_mut().flatten().for_each(change);
        self
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        self.targets.iter().flatten().try_for_each(Target::validate)?;
        let check = |holds: bool, field, value: String, expected| {
            if holds { Ok(()) } else { Err(ConfigError { field, value, expected }) }
        };
        let interval = Duration::from_secs(1)..=Duration::from_hours(1);
        let value = format!("{:?}", self.interval);
        check(interval.contains(&self.interval), "otlp.metric_interval", value, "1 s to 1 h")?;
        let value = format!("{:?}", self.retry_for);
        check(self.retry_for <= Duration::from_mins(10), "otlp.retry_for", value, "up to 10 min")?;
        let (traces, logs) = (self.trace_queue, self.log_queue);
        check((1..=100_000).contains(&traces), "otlp.trace_queue", traces.to_string(), "1 to 100000 traces")?;
        check((1..=1_000_000).contains(&logs), "otlp.log_queue", logs.to_string(), "1 to 1000000 records")?;
        let bytes = self.request_bytes;
        check((4 << 10..=64 << 20).contains(&bytes), "otlp.request_bytes", bytes.to_string(), "4096 to 67108864 bytes")
    }

    /// For the doctor.
    pub(crate) fn describe(&self) -> String {
        let all = Signal::ALL.into_iter().map(|signal| {
            let target = self.target(signal).map_or_else(|| "not sent".to_owned(), ToString::to_string);
            format!("{signal}: {target}")
        });
        all.collect::<Vec<_>>().join(", ")
    }
}
