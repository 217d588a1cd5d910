//! The `tracing` layer: ids, traces, log lines and operation counts from one set of spans.
//!
//! Spans and log lines are filtered apart: a log level of WARN must not remove the spans from which ids are inherited
//! and durations counted. So each has a filter of its own, and the log's never removes a span. Where the layer stands
//! alone the filters also keep `tracing` from making what nobody wants; beside other layers they must not, since a
//! layer that is not wrapped in a filter of `tracing_subscriber` decides for all of them.
//!
//! What a field's `Debug` writes is asked for while no lock is held, since it may itself trace or log.

mod scratch;
mod span;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "http")]
pub(crate) use span::HTTP_CLIENT;
pub(crate) use span::{DATABASE_CLIENT, add_link, change_parent, context_of, record_client, request_of};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::anomaly::Anomalies;
use crate::clock::from_unix_nanos;
use crate::housekeeping::Housekeeping;
use crate::ids::{SpanId, TraceFlags};
use crate::layer::scratch::Scratch;
use crate::layer::span::{Owner, Slot};
use crate::logs::LogSink;
use crate::metrics::{Ended, Operations};
use crate::redact::Redact;
use crate::trace::Engine;
use crate::trace::lane::Lanes;
use crate::trace::record::{EventRow, Head, Recording, Said, SpanRecord};

/// Gives spans their ids, records them, writes log lines, and counts operations.
///
/// A span with a field `operation` is counted under that name when it closes, as failed if a field `error` was recorded
/// with any value but `false`. The fields `otel.kind`, `otel.name`, `otel.status_code` and `otel.status_description` set
/// what they name, and `keep = true` keeps the trace. Part of an [`Observability`](crate::Observability), which installs
/// it; take it from [`Observability::layer`](crate::Observability::layer) to compose it with layers of your own.
#[derive(Clone)]
pub struct TelemetryLayer {
    pub(crate) shared: Arc<Shared>,
    /// Whether no other layer shares its registry.
    pub(crate) alone: bool,
}

/// What all copies of the layer have in common.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) operations: Operations,
    pub(crate) logs: Option<Arc<LogSink>>,
    pub(crate) log_filter: Targets,
    pub(crate) span_level: LevelFilter,
    pub(crate) event_level: LevelFilter,
    pub(crate) redact: Redact,
    pub(crate) registry: crate::metrics::Registry,
    pub(crate) anomalies: Option<Anomalies>,
    /// The thread that looks after what waits, where something does.
    pub(crate) housekeeping: std::sync::OnceLock<Housekeeping>,
    /// The durations of calls to others, once there is one.
    #[cfg(feature = "http")]
    pub(crate) http_client: std::sync::OnceLock<Option<crate::HistogramFamily>>,
    pub(crate) database_client: std::sync::OnceLock<Option<crate::HistogramFamily>>,
}

impl TelemetryLayer {
    /// Whose a record of a span is: over one registry there may be layers of several telemetries.
    fn owner(&self) -> Owner {
        Owner::of(&self.shared)
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            *metadata.level() <= self.shared.span_level
        } else {
            self.records(metadata) || self.logs(metadata) || self.exports(metadata)
        }
    }

    fn records(&self, event: &Metadata<'_>) -> bool {
        *event.level() <= self.shared.event_level
    }

    /// Whether it goes to a collector as a log record.
    #[cfg(feature = "otlp")]
    fn exports(&self, event: &Metadata<'_>) -> bool {
        self.shared.engine.otlp.as_ref().is_some_and(|otlp| otlp.wants(event))
    }

    #[cfg(not(feature = "otlp"))]
    #[expect(clippy::unused_self, reason = "it has the form that it has with the feature")]
    const fn exports(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn logs(&self, event: &Metadata<'_>) -> bool {
        self.shared.logs.is_some() && self.shared.log_filter.would_enable(event.target(), event.level())
    }
}

#[cfg(feature = "otlp")]
impl TelemetryLayer {
    /// Hands an event over as a log record.
    fn export<'span, S: LookupSpan<'span>>(
        &self,
        fields: &crate::trace::record::Fields,
        message: Option<crate::trace::value::Text>,
        metadata: &'static Metadata<'static>,
        at: u64,
        span: Option<&tracing_subscriber::registry::SpanRef<'span, S>>,
    ) {
        let engine = &self.shared.engine;
        let Some(otlp) = &engine.otlp else { return };
        let inherited = span.and_then(|span| {
            span.scope().find_map(|span| {
                let extensions = span.extensions();
                let record = extensions.get::<Slot>()?.of(self.owner())?;
                Some((record.context(), record.request.clone()))
            })
        });
        let (span, request) = inherited.unwrap_or_default();
        let (at, fields) = (engine.clock.anchor().saturating_add(at), fields.clone());
        otlp.push_log(crate::otlp::LogRow { metadata, at, message, fields, span, request });
    }
}

impl<S> Layer<S> for TelemetryLayer
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        !self.alone || self.wants(metadata)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        if *metadata.level() > self.shared.span_level {
            return;
        }
        let Some(span) = context.span(id) else { return };
        let owner = self.owner();
        let engine = &self.shared.engine;
        let limits = &engine.settings.limits;
        let mut record = SpanRecord::take();
        // The nearest that was taken: beside other layers there may be spans between that this one does not want.
        let mut around = span.parent();
        let mut inherited = None;
        while let Some(outer) = around.take() {
            if let Some(outer) = outer.extensions().get::<Slot>().and_then(|slot| slot.of(owner)) {
                record.state.clone_from(&outer.state);
                record.request.clone_from(&outer.request);
                record.trace.clone_from(&outer.trace);
                inherited = outer.head;
                break;
            }
            around = outer.parent();
        }
        let start = engine.clock.nanos();
        let (trace_id, parent, flags) = if let Some(outer) = inherited {
            (outer.trace_id, Some(outer.span_id), outer.flags)
        } else {
            let trace_id = Lanes::new_id();
            // Only what every process decides alike may be told to others before the trace is over.
            let rules = &engine.settings.rules;
            let sampled = rules.all || rules.baseline.keeps(trace_id);
            if sampled {
                record.state.clone_from(&engine.baseline_state);
            }
            let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::NONE };
            (trace_id, None, flags.with(TraceFlags::RANDOM))
        };
        let (span_id, local_root) = (SpanId::random(), parent.is_none());
        let head = Head { trace_id, span_id, parent, local_root, remote_parent: false, flags, metadata, start };
        record.head = Some(head);
        if !attributes.is_empty() {
            let SpanRecord { fields, said, .. } = &mut *record;
            attributes.record(&mut Recording {
                fields,
                said,
                message: None,
                redact: &self.shared.redact,
                limits,
                most: limits.attributes,
                of_event: false,
            });
            record.note(&self.shared.operations);
        }
        if let Some(trace) = &record.trace {
            let mut state = trace.state.lock();
            state.opened(&head, limits);
            state.asked |= record.said.keep;
        } else if local_root {
            engine.begin(&mut record);
        } else {
            engine.join(&mut record);
        }
        let mut extensions = span.extensions_mut();
        match extensions.get_mut::<Slot>() {
            None => extensions.insert(Slot::new(owner, record)),
            Some(slot) if slot.of(owner).is_none() => slot.add(owner, record),
            Some(_) => {
                drop(extensions);
                // The same telemetry was added twice, and has the span already.
                if let Some(series) = record.series.take() {
                    series.left();
                }
                engine.leave(&mut record);
                record.give_back();
            }
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let owner = self.owner();
        if span.extensions().get::<Slot>().is_none_or(|slot| slot.of(owner).is_none()) {
            return;
        }
        let limits = &self.shared.engine.settings.limits;
        Scratch::with(|scratch| {
            scratch.fields.clear();
            let mut said = Said::default();
            values.record(&mut Recording {
                fields: &mut scratch.fields,
                said: &mut said,
                message: None,
                redact: &self.shared.redact,
                limits,
                most: limits.attributes,
                of_event: false,
            });
            if let Some(record) = span.extensions_mut().get_mut::<Slot>().and_then(|slot| slot.of_mut(owner)) {
                record.merge(&scratch.fields, said, limits);
                if let (true, Some(trace)) = (said.keep, &record.trace) {
                    trace.state.lock().asked = true;
                }
                record.note(&self.shared.operations);
            }
        });
    }

    fn on_follows_from(&self, span: &Id, follows: &Id, context: Context<'_, S>) {
        let owner = self.owner();
        let link = context.span(follows).and_then(|span| span.extensions().get::<Slot>()?.of(owner)?.context());
        if let (Some(link), Some(span)) = (link, context.span(span))
            && let Some(record) = span.extensions_mut().get_mut::<Slot>().and_then(|slot| slot.of_mut(owner))
        {
            record.add_link(link, &self.shared.engine.settings.limits);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let records = self.records(metadata);
        let logs = self.shared.logs.as_ref().filter(|_| self.logs(metadata));
        let exports = self.exports(metadata);
        let mut innermost = if records || logs.is_some() || exports { context.event_span(event) } else { return };
        if innermost.is_none() && logs.is_none() && !exports {
            return;
        }
        let owner = self.owner();
        let engine = &self.shared.engine;
        let limits = &engine.settings.limits;
        Scratch::with(|scratch| {
            scratch.fields.clear();
            let mut recording = Recording {
                fields: &mut scratch.fields,
                said: &mut Said::default(),
                message: None,
                redact: &self.shared.redact,
                limits,
                most: limits.event_attributes,
                of_event: true,
            };
            event.record(&mut recording);
            let message = recording.message;
            let at = engine.clock.nanos();
            if let Some(logs) = logs {
                let time = engine.clock.anchor().saturating_add(at);
                scratch.line.begin(logs.style(), metadata, time, message, &scratch.fields);
            }
            #[cfg(feature = "otlp")]
            if exports {
                self.export(&scratch.fields, message, metadata, at, innermost.as_ref());
            }
            let mut waiting = records;
            while let Some(span) = innermost.take() {
                if waiting {
                    if let Some(record) = span.extensions_mut().get_mut::<Slot>().and_then(|slot| slot.of_mut(owner)) {
                        waiting = false;
                        let row = EventRow { at, metadata, message, first: 0, count: 0, dropped: 0 };
                        record.add_event(row, &scratch.fields, limits);
                        if *metadata.level() == tracing::Level::ERROR {
                            record.said.error_event = true;
                        }
                        if logs.is_some() {
                            scratch.line.add_span(record);
                        }
                    }
                } else if logs.is_some()
                    && let Some(record) = span.extensions().get::<Slot>().and_then(|slot| slot.of(owner))
                {
                    scratch.line.add_span(record);
                }
                if !waiting && logs.is_none() {
                    break;
                }
                innermost = span.parent();
            }
            if let Some(logs) = logs {
                logs.write(scratch.line.finish());
            }
            // Where nothing but events happens, what waits is looked after still, and a clock that was set is followed.
            engine.sweep_if_due(at);
        });
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let taken = span.extensions_mut().get_mut::<Slot>().and_then(|slot| slot.take(self.owner()));
        let Some(mut record) = taken else { return };
        let engine = &self.shared.engine;
        let now = engine.clock.nanos();
        if let (Some(series), Some(head)) = (record.series.take(), record.head) {
            let at = from_unix_nanos(engine.clock.anchor().saturating_add(now));
            let how = Ended {
                failed: record.failed(),
                cancelled: record.said.cancelled,
                trace: Some((head.trace_id, head.span_id, at)),
            };
            let took = Duration::from_nanos(now.saturating_sub(head.start));
            series.left();
            series.ended(took, how);
            // How long somebody was willing to wait is not how long the operation takes.
            if let (Some(anomalies), false) = (&self.shared.anomalies, how.cancelled) {
                let now = engine.clock.instant(now);
                anomalies.feed(now, record.operation(), took, how.failed, Some(head.trace_id));
            }
        }
        engine.closed(&mut record, now);
        record.give_back();
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        if !self.alone {
            return None;
        }
        let logs = if self.shared.logs.is_some() { max_level(&self.shared.log_filter) } else { LevelFilter::OFF };
        let level = self.shared.span_level.max(self.shared.event_level).max(logs);
        #[cfg(feature = "otlp")]
        let level = self.shared.engine.otlp.as_ref().map_or(level, |otlp| level.max(otlp.log_level()));
        Some(level)
    }
}

fn max_level(filter: &Targets) -> LevelFilter {
    filter.iter().map(|(_, level)| level).chain(filter.default_level()).max().unwrap_or(LevelFilter::OFF)
}

impl fmt::Debug for TelemetryLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryLayer")
            .field("log_filter", &self.shared.log_filter)
            .field("span_level", &self.shared.span_level)
            .finish_non_exhaustive()
    }
}
