use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::{
    Event, Link, SpanContext as OtelContext, SpanId as OtelSpanId, SpanKind as OtelKind, Status, TraceFlags,
    TraceId as OtelTraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use parking_lot::Mutex;

use crate::trace::{AttributeValue, FinishedSpan, SCHEMA_URL, SpanKind, SpanStatus};
use crate::{ExportBatch, ExportError, Exporter, SpanContext};

/// Gives kept traces to an exporter of the OpenTelemetry SDK, of the re-exported version.
///
/// Like every [`Exporter`] it has a thread of its own, here with a tokio runtime that the SDK's exporter may use.
///
/// # Examples
/// ```
/// use bedplate_observability::otlp::SdkExporter;
/// use bedplate_observability::otel::opentelemetry_sdk::{error::OTelSdkResult, trace};
/// use bedplate_observability::{Observability, Traces};
/// #[derive(Debug)]
/// struct Print;
/// impl trace::SpanExporter for Print {
///     async fn export(&self, batch: Vec<trace::SpanData>) -> OTelSdkResult {
///         for span in batch {
///             println!("{} took {:?}", span.name, span.end_time.duration_since(span.start_time));
///         }
///         Ok(())
///     }
/// }
/// let traces = Traces::new().keep_all().exporter(SdkExporter::new("print", Print));
/// let telemetry = Observability::builder("checkout").traces(traces).build()?;
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
pub struct SdkExporter<E> {
    name: &'static str,
    state: Mutex<State<E>>,
}

struct State<E> {
    exporter: E,
    runtime: Option<tokio::runtime::Runtime>,
    resource_is_set: bool,
}

impl<E: opentelemetry_sdk::trace::SpanExporter> SdkExporter<E> {
    /// Wraps an exporter; the name is for reports.
    #[must_use]
    pub const fn new(name: &'static str, exporter: E) -> Self {
        Self { name, state: Mutex::new(State { exporter, runtime: None, resource_is_set: false }) }
    }
}

impl<E: opentelemetry_sdk::trace::SpanExporter> Exporter for SdkExporter<E> {
    fn name(&self) -> &str {
        self.name
    }

    fn export(&self, batch: Arc<ExportBatch>) -> Result<(), ExportError> {
        let mut state = self.state.lock();
        let State { exporter, runtime, resource_is_set } = &mut *state;
        if !*resource_is_set {
            *resource_is_set = true;
            let attributes = batch.resource.attributes.iter();
            let attributes = attributes.map(|(name, own)| KeyValue::new(name.clone(), value(own.clone())));
            let resource = opentelemetry_sdk::Resource::builder_empty().with_schema_url(attributes, SCHEMA_URL);
            exporter.set_resource(&resource.build());
        }
        let runtime = match runtime {
            Some(runtime) => runtime,
            None => runtime.insert(
                tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(|error| ExportError::new(error.to_string()))?,
            ),
        };
        let scope = InstrumentationScope::builder("bedplate-observability")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(SCHEMA_URL)
            .build();
        // Nobody else holds the batch, as a rule, so that its texts move on.
        let traces = Arc::try_unwrap(batch).map_or_else(|shared| shared.traces.clone(), |own| own.traces);
        let spans = traces.into_iter().flat_map(|trace| trace.spans).map(|span| span_data(span, &scope)).collect();
        runtime.block_on(exporter.export(spans)).map_err(|error| ExportError::new(error.to_string()))
    }

    fn finish(&self) {
        let state = self.state.lock();
        let _entered = state.runtime.as_ref().map(tokio::runtime::Runtime::enter);
        // What it could not deliver it has no way to tell by number.
        let _result = state.exporter.shutdown_with_timeout(Duration::from_secs(1));
    }
}

impl<E> fmt::Debug for SdkExporter<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SdkExporter").field("name", &self.name).finish_non_exhaustive()
    }
}

fn span_data(span: FinishedSpan, scope: &InstrumentationScope) -> SpanData {
    let mut events = SpanEvents::default();
    events.dropped_count = span.dropped_events;
    events.events = span
        .events
        .into_iter()
        .map(|event| Event::new(event.name, event.time, pairs(event.attributes), event.dropped_attributes))
        .collect();
    let mut links = SpanLinks::default();
    links.dropped_count = span.dropped_links;
    links.links = span.links.iter().map(|link| Link::new(context(link), Vec::new(), 0)).collect();
    SpanData {
        span_context: context(&span.context),
        parent_span_id: span.parent.map_or(OtelSpanId::INVALID, |parent| OtelSpanId::from(parent.to_u64())),
        parent_span_is_remote: span.parent_is_remote,
        span_kind: match span.kind {
            SpanKind::Internal => OtelKind::Internal,
            SpanKind::Server => OtelKind::Server,
            SpanKind::Client => OtelKind::Client,
            SpanKind::Producer => OtelKind::Producer,
            SpanKind::Consumer => OtelKind::Consumer,
        },
        name: Cow::Owned(span.name),
        start_time: span.start,
        end_time: span.end,
        attributes: pairs(span.attributes),
        dropped_attributes_count: span.dropped_attributes,
        events,
        links,
        status: match span.status {
            SpanStatus::Unset => Status::Unset,
            SpanStatus::Ok => Status::Ok,
            SpanStatus::Error(why) => Status::error(why),
        },
        instrumentation_scope: scope.clone(),
    }
}

fn context(own: &SpanContext) -> OtelContext {
    let (trace, span) = (OtelTraceId::from(own.trace_id().to_u128()), OtelSpanId::from(own.span_id().to_u64()));
    // The SDK's type does not hold all states that are legal at level 2; such a one is left out.
    let state = own.state().parse::<TraceState>().unwrap_or_default();
    OtelContext::new(trace, span, TraceFlags::new(own.flags().bits()), own.is_remote(), state)
}

fn pairs(attributes: Vec<(&'static str, AttributeValue)>) -> Vec<KeyValue> {
    attributes.into_iter().map(|(name, own)| KeyValue::new(name, value(own))).collect()
}

fn value(own: AttributeValue) -> Value {
    match own {
        AttributeValue::Bool(value) => Value::Bool(value),
        AttributeValue::I64(value) => Value::I64(value),
        AttributeValue::U64(value) => Value::String(value.to_string().into()),
        AttributeValue::F64(value) => Value::F64(value),
        AttributeValue::Text(value) => Value::String(value.into()),
    }
}
