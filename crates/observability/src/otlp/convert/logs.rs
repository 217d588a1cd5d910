use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use tracing::{Level, Metadata};

use super::{pair, scope, text};
use crate::trace::finished::public;
use crate::trace::record::Fields;
use crate::trace::value::{Attribute, Text};
use crate::trace::{AttributeValue, SCHEMA_URL};
use crate::{RequestContext, SpanContext};

/// An event on its way, with what it inherits.
#[derive(Debug)]
pub(crate) struct LogRow {
    pub(crate) metadata: &'static Metadata<'static>,
    /// Nanoseconds since the Unix epoch.
    pub(crate) at: u64,
    pub(crate) message: Option<Text>,
    pub(crate) fields: Fields,
    pub(crate) span: Option<SpanContext>,
    pub(crate) request: Option<Arc<RequestContext>>,
}

impl LogRow {
    /// About what it holds of memory.
    pub(in crate::otlp) fn bytes(&self) -> usize {
        size_of::<Self>() + self.fields.texts.capacity() + self.fields.attributes.capacity() * size_of::<Attribute>()
    }
}

/// The records, by the module they come from.
pub(in crate::otlp) fn logs(resource: &ProtoResource, rows: &[LogRow]) -> ExportLogsServiceRequest {
    let mut scopes: Vec<(&'static str, Vec<LogRecord>)> = Vec::new();
    for row in rows {
        let target = row.metadata.target();
        match scopes.iter_mut().find(|(known, _)| *known == target) {
            Some((_, records)) => records.push(record(row)),
            None => scopes.push((target, vec![record(row)])),
        }
    }
    let scopes = scopes.into_iter().map(|(target, log_records)| ScopeLogs {
        scope: Some(scope(target)),
        log_records,
        schema_url: SCHEMA_URL.to_owned(),
    });
    let resource = Some(resource.clone());
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs: scopes.collect(), schema_url: SCHEMA_URL.to_owned() }],
    }
}

fn record(row: &LogRow) -> LogRecord {
    let severity = match *row.metadata.level() {
        Level::TRACE => SeverityNumber::Trace,
        Level::DEBUG => SeverityNumber::Debug,
        Level::INFO => SeverityNumber::Info,
        Level::WARN => SeverityNumber::Warn,
        Level::ERROR => SeverityNumber::Error,
    };
    let own = row.fields.attributes.iter().map(|attribute| public(attribute, &row.fields.texts));
    let mut attributes: Vec<_> = own.map(|(name, value)| pair(name, value)).collect();
    for (name, id) in row.request.iter().flat_map(|request| request.ids()) {
        if !attributes.iter().any(|known| known.key == name) {
            attributes.push(pair(name, AttributeValue::Text(id.to_owned())));
        }
    }
    let (trace_id, span_id, flags) = row.span.as_ref().map_or_else(Default::default, |span| {
        let ids = (span.trace_id().to_bytes().to_vec(), span.span_id().to_bytes().to_vec());
        (ids.0, ids.1, u32::from(span.flags().bits()))
    });
    LogRecord {
        time_unix_nano: row.at,
        observed_time_unix_nano: row.at,
        severity_number: severity.into(),
        severity_text: row.metadata.level().to_string(),
        body: Some(text(row.message.map_or("", |message| row.fields.texts.get(message)))),
        attributes,
        dropped_attributes_count: row.fields.dropped,
        flags,
        trace_id,
        span_id,
        event_name: String::new(),
    }
}
