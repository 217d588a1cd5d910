//! The `tracing` layer: ids, log lines and operation counts from one set of spans.
//!
//! Spans and log lines are filtered apart: a log level of WARN must not remove the spans from which ids are inherited
//! and durations counted. So each has a filter of its own, and the log's never removes a span. Where the layer stands
//! alone the filters also keep `tracing` from making what nobody wants; beside other layers they must not, since a
//! layer that is not wrapped in a filter of `tracing_subscriber` decides for all of them.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use crate::clock;
use crate::ids::{SpanId, TraceFlags, TraceId};
use crate::logs::{Line, LogSink};
use crate::metrics::Operations;
use crate::span_context::SpanContext;

/// What the layer knows of an open span.
#[derive(Debug)]
pub(crate) struct SpanRecord {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) flags: TraceFlags,
    /// The `tracestate` that came with the trace.
    pub(crate) state: Option<Arc<str>>,
    pub(crate) links: Vec<SpanContext>,
    /// The span's own fields, each value as JSON.
    pub(crate) fields: Vec<(&'static str, String)>,
    operation: Option<Box<str>>,
    failed: bool,
    began: Instant,
}

/// Gives spans their ids, writes log lines, and counts operations.
///
/// A span with a field `operation` is counted under that name when it closes, as failed if a field `error` was recorded
/// with any value but `false`. Part of an [`Observability`](crate::Observability), which installs it; take it from
/// [`Observability::layer`](crate::Observability::layer) to compose it with layers of your own.
#[derive(Clone)]
pub struct TelemetryLayer {
    pub(crate) logs: Option<Arc<LogSink>>,
    pub(crate) log_filter: Targets,
    pub(crate) span_level: LevelFilter,
    pub(crate) operations: Operations,
    /// Whether no other layer shares its registry.
    pub(crate) alone: bool,
}

impl TelemetryLayer {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        if metadata.is_span() {
            *metadata.level() <= self.span_level
        } else {
            self.logs.is_some() && self.log_filter.would_enable(metadata.target(), metadata.level())
        }
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
        if !self.wants(attributes.metadata()) {
            return;
        }
        let Some(span) = context.span(id) else { return };
        // The nearest that was taken: beside other layers there may be spans between that this one does not want.
        let parent =
            span.scope().skip(1).find_map(|outer| outer.extensions().get::<SpanRecord>().map(SpanRecord::context));
        let (trace_id, flags) = parent.as_ref().map_or_else(
            || (TraceId::random(), TraceFlags::SAMPLED.with(TraceFlags::RANDOM)),
            |parent| (parent.trace_id(), parent.flags()),
        );
        let mut record = SpanRecord {
            trace_id,
            span_id: SpanId::random(),
            parent: parent.as_ref().map(SpanContext::span_id),
            flags,
            state: parent.and_then(|parent| parent.shared_state()),
            links: Vec::new(),
            fields: Vec::new(),
            operation: None,
            failed: false,
            began: clock::now(),
        };
        attributes.record(&mut record);
        span.extensions_mut().insert(record);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(record) = span.extensions_mut().get_mut::<SpanRecord>() {
            values.record(record);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Some(logs) = &self.logs else { return };
        if !self.wants(event.metadata()) {
            return;
        }
        let mut line = Line::new(event.metadata(), clock::wall_clock());
        event.record(&mut line);
        if let Some(spans) = context.event_scope(event) {
            for span in spans {
                add_span(&mut line, &span);
            }
        }
        logs.write(&line);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else {
            return;
        };
        let extensions = span.extensions();
        if let Some(record) = extensions.get::<SpanRecord>()
            && let Some(operation) = &record.operation
        {
            let took = clock::now().saturating_duration_since(record.began);
            self.operations.record(operation, took, record.failed);
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        if !self.alone {
            return None;
        }
        let logs = if self.logs.is_some() { max_level(&self.log_filter) } else { LevelFilter::OFF };
        Some(self.span_level.max(logs))
    }
}

fn max_level(filter: &Targets) -> LevelFilter {
    filter.iter().map(|(_, level)| level).chain(filter.default_level()).max().unwrap_or(LevelFilter::OFF)
}

fn add_span<S>(line: &mut Line, span: &SpanRef<'_, S>)
where
    S: for<'a> LookupSpan<'a>,
{
    if let Some(record) = span.extensions().get::<SpanRecord>() {
        line.add_span(span.name(), record);
    }
}

impl fmt::Debug for TelemetryLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryLayer")
            .field("log_filter", &self.log_filter)
            .field("span_level", &self.span_level)
            .finish_non_exhaustive()
    }
}

impl SpanRecord {
    pub(crate) fn context(&self) -> SpanContext {
        SpanContext::new(self.trace_id, self.span_id, self.flags).with_valid_state(self.state.clone())
    }

    fn set(&mut self, name: &'static str, json: String) {
        match self.fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, value)) => *value = json,
            None => self.fields.push((name, json)),
        }
    }

    fn note(&mut self, name: &'static str, text: &str) {
        match name {
            "operation" => self.operation = Some(text.into()),
            "error" => self.failed = text != "false",
            _ => {}
        }
    }
}

impl Visit for SpanRecord {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field.name(), value);
        self.set(field.name(), crate::logs::json_text(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.note(field.name(), if value { "true" } else { "false" });
        self.set(field.name(), value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.note(field.name(), &value.to_string());
        self.set(field.name(), value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.note(field.name(), &value.to_string());
        self.set(field.name(), value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.note(field.name(), &value.to_string());
        self.set(field.name(), crate::logs::json_number(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.record_str(field, &value.to_string());
    }
}
