//! Traces as OTLP/JSON: ids in hexadecimal, 64-bit integers as texts, enums as numbers (OTLP 1.x, JSON encoding).

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use crate::clock::unix_nanos;
use crate::trace::SCHEMA_URL;
use crate::trace::finished::{AttributeValue, FinishedSpan, FinishedTrace, Resource, SpanKind, SpanStatus};

pub(crate) fn request(resource: &Resource, traces: &[FinishedTrace]) -> Value {
    let spans: Vec<Value> = traces.iter().flat_map(|trace| &trace.spans).map(span).collect();
    let attributes: Vec<Value> = resource.attributes.iter().map(|(name, own)| pair(name, own)).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": attributes},
        "scopeSpans": [{
            "scope": {"name": "bedplate-observability", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
            "schemaUrl": SCHEMA_URL,
        }],
        "schemaUrl": SCHEMA_URL,
    }]})
}

fn span(span: &FinishedSpan) -> Value {
    let kind = match span.kind {
        SpanKind::Internal => 1,
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        SpanKind::Consumer => 5,
    };
    let events = span.events.iter().map(|event| {
        let level = AttributeValue::Text(event.level.to_string());
        let own = event.attributes.iter().map(|(name, value)| pair(name, value));
        json!({
            "timeUnixNano": nanos(event.time),
            "name": event.name,
            "attributes": own.chain([pair("level", &level)]).collect::<Vec<_>>(),
            "droppedAttributesCount": event.dropped_attributes,
        })
    });
    let links = span.links.iter().map(|link| {
        json!({
            "traceId": link.trace_id(), "spanId": link.span_id(), "traceState": link.state(), "flags": link.flags().bits(),
        })
    });
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| out.insert(name.to_owned(), value);
    set("traceId", json!(span.context.trace_id()));
    set("spanId", json!(span.context.span_id()));
    if let Some(parent) = span.parent {
        set("parentSpanId", json!(parent));
    }
    if !span.context.state().is_empty() {
        set("traceState", json!(span.context.state()));
    }
    // The bits 8 and 9 say whether it is known that the parent is remote, and whether it is.
    let remote = if span.parent_is_remote { 0x300 } else { 0x100 };
    set("flags", json!(u32::from(span.context.flags().bits()) | remote));
    set("name", json!(span.name));
    set("kind", json!(kind));
    set("startTimeUnixNano", nanos(span.start));
    set("endTimeUnixNano", nanos(span.end));
    set("attributes", span.attributes.iter().map(|(name, value)| pair(name, value)).collect());
    set("events", events.collect());
    set("links", links.collect());
    set("droppedAttributesCount", json!(span.dropped_attributes));
    set("droppedEventsCount", json!(span.dropped_events));
    set("droppedLinksCount", json!(span.dropped_links));
    let status = match &span.status {
        SpanStatus::Unset => json!({}),
        SpanStatus::Ok => json!({"code": 1}),
        SpanStatus::Error(why) => json!({"code": 2, "message": why}),
    };
    set("status", status);
    Value::Object(out)
}

fn pair(name: &str, value: &AttributeValue) -> Value {
    let value = match value {
        AttributeValue::Bool(value) => json!({"boolValue": value}),
        AttributeValue::I64(value) => json!({"intValue": value.to_string()}),
        // OTLP has no unsigned integers.
        AttributeValue::U64(value) => json!({"stringValue": value.to_string()}),
        AttributeValue::F64(value) if value.is_finite() => json!({"doubleValue": value}),
        AttributeValue::F64(value) => json!({"doubleValue": non_finite(*value)}),
        AttributeValue::Text(value) => json!({"stringValue": value}),
    };
    json!({"key": name, "value": value})
}

/// As the JSON mapping of protobuf spells them.
fn non_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn nanos(time: SystemTime) -> Value {
    Value::String(unix_nanos(time).to_string())
}
