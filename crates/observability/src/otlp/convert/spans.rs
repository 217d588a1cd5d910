use std::sync::Arc;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, span};

#[cfg(feature = "interop")]
use super::scope;
use super::{own_scope, pair};
use crate::clock::unix_nanos;
use crate::trace::{AttributeValue, FinishedSpan, FinishedTrace, Rows, SCHEMA_URL, SpanEvent, SpanKind, SpanStatus};
use crate::{SpanContext, TraceFlags};

/// What waits to be sent.
#[derive(Debug)]
pub(crate) enum SpanItem {
    /// Kept spans of a trace.
    Rows(Arc<Rows>),
    /// A span of the SDK's, by the name of its scope.
    #[cfg(feature = "interop")]
    Foreign(String, Box<Span>),
}

impl SpanItem {
    pub(in crate::otlp) fn weight(&self) -> u64 {
        match self {
            Self::Rows(rows) => rows.spans.len() as u64,
            #[cfg(feature = "interop")]
            Self::Foreign(..) => 1,
        }
    }

    /// About what it holds of memory.
    pub(in crate::otlp) fn bytes(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.bytes(),
            #[cfg(feature = "interop")]
            Self::Foreign(_, span) => prost::Message::encoded_len(&**span),
        }
    }
}

pub(in crate::otlp) fn spans(resource: &ProtoResource, items: &[SpanItem]) -> ExportTraceServiceRequest {
    let mut own = Vec::new();
    let mut scopes: Vec<ScopeSpans> = Vec::new();
    for item in items {
        match item {
            SpanItem::Rows(rows) => {
                own.extend(FinishedTrace::new(rows).into_iter().flat_map(|trace| trace.spans).map(finished));
            }
            #[cfg(feature = "interop")]
            SpanItem::Foreign(name, foreign) => {
                match scopes.iter_mut().find(|one| one.scope.as_ref().is_some_and(|scope| scope.name == *name)) {
                    Some(known) => known.spans.push((**foreign).clone()),
                    None => scopes.push(scoped(scope(name), vec![(**foreign).clone()], "")),
                }
            }
        }
    }
    if !own.is_empty() {
        scopes.push(scoped(own_scope(), own, SCHEMA_URL));
    }
    let resource = Some(resource.clone());
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans: scopes, schema_url: SCHEMA_URL.to_owned() }],
    }
}

/// What is ours follows the conventions of one version; what is not, those of nobody knows which.
fn scoped(
    scope: opentelemetry_proto::tonic::common::v1::InstrumentationScope,
    spans: Vec<Span>,
    schema_url: &str,
) -> ScopeSpans {
    ScopeSpans { scope: Some(scope), spans, schema_url: schema_url.to_owned() }
}

fn finished(span: FinishedSpan) -> Span {
    let kind = match span.kind {
        SpanKind::Internal => span::SpanKind::Internal,
        SpanKind::Server => span::SpanKind::Server,
        SpanKind::Client => span::SpanKind::Client,
        SpanKind::Producer => span::SpanKind::Producer,
        SpanKind::Consumer => span::SpanKind::Consumer,
    };
    // OTLP's numbers of the codes.
    let (code, message) = match span.status {
        SpanStatus::Unset => (0, String::new()),
        SpanStatus::Ok => (1, String::new()),
        SpanStatus::Error(why) => (2, why),
    };
    Span {
        trace_id: span.context.trace_id().to_bytes().to_vec(),
        span_id: span.context.span_id().to_bytes().to_vec(),
        trace_state: span.context.state().to_owned(),
        parent_span_id: span.parent.map_or_else(Vec::new, |parent| parent.to_bytes().to_vec()),
        flags: flags(span.context.flags(), span.parent_is_remote),
        name: span.name,
        kind: kind.into(),
        start_time_unix_nano: unix_nanos(span.start),
        end_time_unix_nano: unix_nanos(span.end),
        attributes: span.attributes.into_iter().map(|(name, value)| pair(name, value)).collect(),
        dropped_attributes_count: span.dropped_attributes,
        events: span.events.into_iter().map(event).collect(),
        dropped_events_count: span.dropped_events,
        links: span.links.iter().map(link).collect(),
        dropped_links_count: span.dropped_links,
        status: Some(Status { message, code }),
    }
}

/// The bits 8 and 9 say whether it is known that the other is remote, and whether it is.
fn flags(flags: TraceFlags, remote: bool) -> u32 {
    u32::from(flags.bits()) | if remote { 0x300 } else { 0x100 }
}

fn event(event: SpanEvent) -> span::Event {
    let level = [("level", AttributeValue::Text(event.level.to_string()))];
    span::Event {
        time_unix_nano: unix_nanos(event.time),
        name: event.name,
        attributes: event.attributes.into_iter().chain(level).map(|(name, value)| pair(name, value)).collect(),
        dropped_attributes_count: event.dropped_attributes,
    }
}

fn link(link: &SpanContext) -> span::Link {
    span::Link {
        trace_id: link.trace_id().to_bytes().to_vec(),
        span_id: link.span_id().to_bytes().to_vec(),
        trace_state: link.state().to_owned(),
        attributes: Vec::new(),
        dropped_attributes_count: 0,
        flags: flags(link.flags(), link.is_remote()),
    }
}
