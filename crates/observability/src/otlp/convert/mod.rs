//! Our records as OTLP's messages.

mod logs;
mod metrics;
mod spans;

pub(crate) use logs::LogRow;
pub(super) use logs::logs;
pub(super) use metrics::metrics;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
pub(super) use spans::{SpanItem, spans};

use crate::trace::{AttributeValue, Resource};

pub(super) fn resource(resource: &Resource) -> ProtoResource {
    let attributes = resource.attributes.iter().map(|(name, value)| pair(name, value.clone())).collect();
    ProtoResource { attributes, ..ProtoResource::default() }
}

fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope { name: name.to_owned(), ..InstrumentationScope::default() }
}

/// The scope of what this crate itself makes.
fn own_scope() -> InstrumentationScope {
    InstrumentationScope { version: env!("CARGO_PKG_VERSION").to_owned(), ..scope("bedplate-observability") }
}

fn pair(name: &str, own: AttributeValue) -> KeyValue {
    let value = match own {
        AttributeValue::Bool(value) => Value::BoolValue(value),
        AttributeValue::I64(value) => Value::IntValue(value),
        // OTLP has no unsigned integers, and its JSON form no agreement on numbers that are none.
        AttributeValue::U64(value) => Value::StringValue(value.to_string()),
        AttributeValue::F64(value) if value.is_finite() => Value::DoubleValue(value),
        AttributeValue::F64(value) => Value::StringValue(value.to_string()),
        AttributeValue::Text(value) => Value::StringValue(value),
    };
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(text: impl Into<String>) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text.into())) }
}
