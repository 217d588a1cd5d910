use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join3, select};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use tokio::sync::watch;
use tracing::Metadata;

use super::config::Otlp;
use super::convert::{self, LogRow, SpanItem};
use super::lane::{Lane, Lost, Next, TOO_LATE, Why};
use super::payload::Payload;
use super::target::shown;
use super::transport::{Accepted, Client, Failure, Request, SendError, Unprepared};
use crate::clock::{self, unix_nanos};
use crate::metrics::{Operations, Registry, own};
use crate::trace::{Resource, Rows};
use crate::{ConfigError, ExportReport, Signal};

/// The way to the collector: three queues and the thread that empties them.
pub(crate) struct Pipeline {
    config: Otlp,
    lanes: Arc<Lanes>,
    /// When there must be an end, once that is known.
    stop: watch::Sender<Option<Instant>>,
}

struct Lanes {
    traces: Lane<SpanItem>,
    logs: Lane<LogRow>,
    /// Its items are orders to read the metrics.
    metrics: Lane<()>,
}

/// What the thread reads metrics from.
pub(crate) struct Source {
    pub(crate) registry: Registry,
    pub(crate) operations: Operations,
    pub(crate) resource: Arc<Resource>,
}

impl Pipeline {
    pub(crate) fn start(config: Otlp, source: Source) -> Result<Self, ConfigError> {
        config.validate()?;
        let lanes = Arc::new(Lanes {
            traces: Lane::new(Signal::Traces, config.trace_queue, SpanItem::weight, SpanItem::bytes),
            logs: Lane::new(Signal::Logs, config.log_queue, |_| 1, LogRow::bytes),
            metrics: Lane::new(Signal::Metrics, 1, |()| 0, |()| 0),
        });
        let (stop, stopped) = watch::channel(None);
        let worker = Worker {
            config: config.clone(),
            lanes: Arc::clone(&lanes),
            resource: convert::resource(&source.resource),
            source,
            start: unix_nanos(clock::wall_clock()),
            stopped,
        };
        let run = move || tracing::dispatcher::with_default(&tracing::Dispatch::none(), || worker.run());
        thread::Builder::new().name("bedplate-otlp".to_owned()).spawn(run).map_err(|error| ConfigError {
            field: "otlp",
            value: format!("without a thread: {error}"),
            expected: "a system that can start one more thread",
        })?;
        Ok(Self { config, lanes, stop })
    }

    pub(crate) fn wants(&self, event: &Metadata<'_>) -> bool {
        *event.level() <= self.config.log_level && self.sends(Signal::Logs)
    }

    pub(crate) fn log_level(&self) -> tracing::level_filters::LevelFilter {
        if self.sends(Signal::Logs) { self.config.log_level } else { tracing::level_filters::LevelFilter::OFF }
    }

    pub(crate) fn push_trace(&self, rows: &Arc<Rows>) {
        if self.sends(Signal::Traces) {
            self.lanes.traces.push(SpanItem::Rows(Arc::clone(rows)));
        }
    }

    /// Takes a span that was not recorded here.
    #[cfg(feature = "interop")]
    pub(crate) fn push_foreign(&self, scope: String, span: opentelemetry_proto::tonic::trace::v1::Span) {
        if self.sends(Signal::Traces) {
            self.lanes.traces.push(SpanItem::Foreign(scope, Box::new(span)));
        }
    }

    pub(crate) fn push_log(&self, row: LogRow) {
        self.lanes.logs.push(row);
    }

    /// Takes nothing more, and sends what waits up to the deadline; the first deadline holds.
    pub(crate) fn close(&self, until: Instant) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            if first {
                *stop = Some(until);
            }
            first
        });
        self.lanes.close();
    }

    /// Sends what waits and the metrics as they are, up to the deadline.
    pub(crate) fn flush(&self, until: Instant) -> bool {
        let Lanes { traces, logs, metrics } = &*self.lanes;
        traces.hurry();
        logs.hurry();
        metrics.hurry();
        let (traces, logs, metrics) = (traces.flushed(until), logs.flushed(until), metrics.flushed(until));
        traces && logs && metrics
    }

    pub(crate) fn reports(&self, until: Instant) -> Vec<ExportReport> {
        let Lanes { traces, logs, metrics } = &*self.lanes;
        let all = [traces.report(until), logs.report(until), metrics.report(until)];
        all.into_iter().filter(|report| self.sends(report.signal)).collect()
    }

    /// Asks each endpoint whether it answers, by an empty request.
    pub(crate) fn checks(&self) -> Vec<(String, impl Fn() -> Result<String, String> + Send + Sync + 'static)> {
        let targets = Signal::ALL.into_iter().filter_map(|signal| Some((signal, self.config.target(signal)?.clone())));
        let check = |(signal, target): (Signal, super::target::Target)| {
            let name = format!("otlp {signal} {}", shown(&target.url(signal)));
            (name, move || probe(&target, signal))
        };
        targets.map(check).collect()
    }

    fn sends(&self, signal: Signal) -> bool {
        self.config.target(signal).is_some()
    }
}

impl Lanes {
    fn close(&self) {
        self.traces.close();
        self.logs.close();
        self.metrics.close();
    }
}

/// On a thread and runtime of its own, since it may be called from anywhere.
fn probe(target: &super::target::Target, signal: Signal) -> Result<String, String> {
    let ask = || {
        let runtime = runtime().map_err(|error| error.to_string())?;
        let asked = runtime.block_on(async {
            let client = Client::new(target, signal)?;
            let began = clock::now();
            let request = client.prepare(Payload::empty(signal), usize::MAX);
            let request = request.map_err(|error| format!("{error:?}"))?;
            let answer = tokio::time::timeout(target.timeout.min(PROBE), client.send(&request)).await;
            match answer {
                Ok(Ok(_)) => Ok(format!("answered in {:.1?}", clock::now().saturating_duration_since(began))),
                Ok(Err(error)) => Err(error.reason),
                Err(_) => Err(format!("no answer in {:?}", target.timeout.min(PROBE))),
            }
        });
        runtime.shutdown_background();
        asked
    };
    let quiet = || tracing::dispatcher::with_default(&tracing::Dispatch::none(), ask);
    thread::scope(|scope| scope.spawn(quiet).join()).unwrap_or_else(|_| Err("the check panicked".to_owned()))
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build()
}

/// What the thread has.
struct Worker {
    config: Otlp,
    lanes: Arc<Lanes>,
    resource: ProtoResource,
    source: Source,
    /// When counting began, in nanoseconds since the Unix epoch.
    start: u64,
    stopped: watch::Receiver<Option<Instant>>,
}

impl Worker {
    fn run(self) {
        let _ended = Ended(&self.lanes);
        let Ok(runtime) = runtime() else { return };
        let Lanes { traces, logs, metrics } = &*self.lanes;
        runtime.block_on(join3(
            self.signal(traces, |items| Payload::Traces(convert::spans(&self.resource, items))),
            self.signal(logs, |rows| Payload::Logs(convert::logs(&self.resource, rows))),
            self.metrics(metrics),
        ));
        // A name that is being resolved must not hold up the end.
        runtime.shutdown_background();
    }

    async fn signal<T>(&self, lane: &Lane<T>, convert: impl Fn(&[T]) -> Payload) {
        let _ended = EndedLane(lane);
        let Some(client) = self.client(lane) else { return };
        loop {
            lane.wait(EVERY).await;
            match lane.take() {
                Next::Idle => {}
                Next::End => return,
                Next::Send(items) => {
                    let payload = convert(&items);
                    drop(items);
                    self.send(lane, &client, payload).await;
                }
            }
        }
    }

    async fn metrics(&self, lane: &Lane<()>) {
        let _ended = EndedLane(lane);
        let Some(client) = self.client(lane) else { return };
        let mut due = clock::now() + self.config.interval;
        loop {
            lane.wait(due.saturating_duration_since(clock::now())).await;
            let closing = lane.is_closing();
            if !closing && !lane.in_hurry() && clock::now() < due {
                continue;
            }
            due = clock::now() + self.config.interval;
            let request = self.read_metrics();
            let payload = Payload::Metrics(request);
            lane.holds(payload.weight() as u64);
            self.send(lane, &client, payload).await;
            // Whoever waited in a hurry has what there was.
            if let Next::End = lane.take()
                && closing
            {
                return;
            }
        }
    }

    fn read_metrics(&self) -> opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest {
        let Source { registry, operations, .. } = &self.source;
        let read = std::panic::AssertUnwindSafe(|| {
            let (mut views, overflowed) = registry.views();
            views.extend(own(operations, overflowed));
            views
        });
        // A supplied metric that panics costs this reading and not the thread.
        let views = std::panic::catch_unwind(read).unwrap_or_default();
        // By the wall clock itself, since a machine that slept or was set has left the monotonic one behind.
        let now = unix_nanos(clock::wall_clock());
        convert::metrics(&self.resource, views, self.start.min(now), now)
    }

    /// What can be wrong with a target is found when it is validated; what is left is a system without certificates.
    fn client<T>(&self, lane: &Lane<T>) -> Option<Client> {
        let target = self.config.target(lane.signal())?;
        Client::new(target, lane.signal()).map_err(|reason| lane.failed(reason)).ok()
    }

    /// Sends all of it, in as many requests as it takes.
    async fn send<T>(&self, lane: &Lane<T>, client: &Client, payload: Payload) {
        let mut parts = vec![payload];
        while let Some(payload) = parts.pop() {
            let weight = payload.weight();
            if weight == 0 {
                continue;
            }
            let request = match client.prepare(payload, self.config.request_bytes) {
                Ok(request) => request,
                Err(Unprepared::TooLarge(payload)) => {
                    parts.extend(halves(payload));
                    continue;
                }
                Err(Unprepared::Unwritable(reason)) => {
                    lane.done(weight, Err(Lost { reason, why: Why::Failed(Failure::Refused) }));
                    continue;
                }
            };
            let result = self.deliver(lane.signal(), client, &request, || lane.is_closing()).await;
            let why = result.as_ref().err().map(|lost| lost.why);
            let half_may_do = match why {
                Some(Why::Failed(Failure::TooLarge)) => true,
                // It may be a quota, of which many small requests take more than one.
                Some(Why::Failed(Failure::Exhausted)) => request.bytes > LARGE,
                _ => false,
            };
            if half_may_do && weight > 1 {
                parts.extend(halves(request.payload));
                continue;
            }
            lane.done(weight, result);
            // Whom this one did not reach, those behind it will not reach either, and everybody waits for the end.
            if why == Some(Why::Late) || (why == Some(Why::Failed(Failure::Unreachable)) && lane.is_closing()) {
                lane.give_up();
                break;
            }
        }
        lane.put_down();
    }

    /// Sends until it is taken, refused for good, or too late.
    async fn deliver(
        &self,
        signal: Signal,
        client: &Client,
        request: &Request,
        closing: impl Fn() -> bool,
    ) -> Result<Accepted, Lost> {
        let timeout = self.config.target(signal).map_or(EVERY, |target| target.timeout);
        let give_up = clock::now() + self.config.retry_for;
        let mut failures = 0_u32;
        loop {
            let attempt = tokio::time::timeout(timeout, client.send(request));
            let Some(answer) = self.unless_stopped(attempt).await else {
                return Err(Lost { reason: TOO_LATE.to_owned(), why: Why::Late });
            };
            let error = match answer {
                Ok(Ok(accepted)) => return Ok(accepted),
                Ok(Err(error)) => error,
                Err(_) => SendError {
                    reason: format!("no answer in {timeout:?}"),
                    kind: Failure::Unreachable,
                    retry_after: None,
                },
            };
            failures += 1;
            // Whoever says "at once" each time is not asked without end.
            let pause = error.retry_after.filter(|pause| !pause.is_zero()).unwrap_or_else(|| backoff(failures));
            // Not added up: how long to pause is for a stranger to say.
            let late =
                pause >= give_up.saturating_duration_since(clock::now()) || (closing() && failures >= ATTEMPTS_AT_END);
            let again = matches!(error.kind, Failure::Unreachable | Failure::Later);
            if !again || late {
                return Err(Lost { reason: error.reason, why: Why::Failed(error.kind) });
            }
            // One that waits hears of the end; there is no use in waiting longer than that.
            if self.unless_stopped(tokio::time::sleep(pause)).await.is_none() {
                return Err(Lost { reason: error.reason, why: Why::Late });
            }
        }
    }

    /// The future's output, or `None` once there must be an end.
    async fn unless_stopped<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut stopped = self.stopped.clone();
        let stop = pin!(async move {
            // An error says that nobody is left who could ask for an end, or wait for one.
            let until = stopped.wait_for(Option::is_some).await.ok().and_then(|until| *until);
            if let Some(until) = until {
                let left = until.saturating_duration_since(clock::now());
                // A little sooner, so that what became of it is in the report.
                tokio::time::sleep(left.saturating_sub((left / 20).min(MARGIN))).await;
            }
        });
        match select(pin!(future), stop).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }
}

/// The second first, since the last is taken next.
fn halves(mut payload: Payload) -> [Payload; 2] {
    let second = payload.split_off_half();
    [second, payload]
}

/// From 200 ms, doubled up to 5 s, with jitter so that a fleet does not come back at once.
fn backoff(failures: u32) -> Duration {
    let most = Duration::from_millis(200).saturating_mul(1 << failures.min(5)).min(Duration::from_secs(5));
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Marks the thread's end, however it comes.
struct Ended<'a>(&'a Lanes);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.traces.end();
        self.0.logs.end();
        self.0.metrics.end();
    }
}

struct EndedLane<'a, T>(&'a Lane<T>);

impl<T> Drop for EndedLane<'_, T> {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl Drop for Pipeline {
    /// Gives a short while to what still waits.
    fn drop(&mut self) {
        let until = clock::now() + Duration::from_millis(500);
        self.close(until);
        let Lanes { traces, logs, metrics } = &*self.lanes;
        let _late = (traces.ended(until), logs.ended(until), metrics.ended(until));
    }
}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("config", &self.config).finish_non_exhaustive()
    }
}

/// How long a trace or record waits for others.
const EVERY: Duration = Duration::from_secs(1);
/// How long the doctor waits for an answer.
const PROBE: Duration = Duration::from_secs(2);
/// How often a collector is asked that takes nothing, when everybody waits for the end.
const ATTEMPTS_AT_END: u32 = 3;
/// From how many bytes on a collector may have found a request too large without saying so.
const LARGE: usize = 64 << 10;
const MARGIN: Duration = Duration::from_millis(50);
