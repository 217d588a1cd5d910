//! What the rest of the crate asks of an open span.

use std::sync::{Arc, OnceLock};

use tracing::span::Id;
use tracing::{Dispatch, Span};
use tracing_subscriber::Registry;
use tracing_subscriber::registry::LookupSpan as _;

use crate::layer::{Shared, TelemetryLayer};
use crate::metrics::Operations;
use crate::span_context::SpanContext;
use crate::trace::record::SpanRecord;
use crate::{HistogramFamily, RequestContext, context};

/// A span's records in the registry's extensions, one for each telemetry that took it; the boxes are used again.
#[derive(Debug)]
pub(super) struct Slot {
    owner: Owner,
    record: Option<Box<SpanRecord>>,
    /// Those of further telemetries over the same registry.
    rest: Vec<(Owner, Box<SpanRecord>)>,
}

/// Which telemetry a record belongs to: where that is in memory, since it lives as long as its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner(usize);

impl Owner {
    pub(super) fn of(shared: &Arc<Shared>) -> Self {
        Self(Arc::as_ptr(shared).addr())
    }
}

impl Slot {
    pub(super) const fn new(owner: Owner, record: Box<SpanRecord>) -> Self {
        Self { owner, record: Some(record), rest: Vec::new() }
    }

    /// Adds the record of a further telemetry.
    pub(super) fn add(&mut self, owner: Owner, record: Box<SpanRecord>) {
        self.rest.push((owner, record));
    }

    #[inline]
    pub(super) fn of(&self, owner: Owner) -> Option<&SpanRecord> {
        if self.owner == owner {
            return self.record.as_deref();
        }
        self.rest.iter().find(|(own, _)| *own == owner).map(|(_, record)| &**record)
    }

    #[inline]
    pub(super) fn of_mut(&mut self, owner: Owner) -> Option<&mut SpanRecord> {
        if self.owner == owner {
            return self.record.as_deref_mut();
        }
        self.rest.iter_mut().find(|(own, _)| *own == owner).map(|(_, record)| &mut **record)
    }

    pub(super) fn take(&mut self, owner: Owner) -> Option<Box<SpanRecord>> {
        if self.owner == owner {
            return self.record.take();
        }
        let at = self.rest.iter().position(|(own, _)| *own == owner)?;
        Some(self.rest.swap_remove(at).1)
    }
}

impl SpanRecord {
    /// Acts on what fields said of the span: which operation it is counted as, and whose request it belongs to.
    pub(super) fn note(&mut self, operations: &Operations) {
        if let Some(operation) = self.said.operation {
            let operation = self.fields.texts.get(operation);
            let series = operations.series(operation);
            if !self.series.as_ref().is_some_and(|known| Arc::ptr_eq(known, &series)) {
                if let Some(known) = self.series.take() {
                    known.left();
                }
                series.began();
                self.series = Some(series);
            }
        }
        if std::mem::take(&mut self.said.ids) {
            let mut request = self.request.as_deref().cloned().unwrap_or_default();
            for name in context::CORRELATION_FIELDS {
                if let Some(id) = self.fields.text(name) {
                    request.set(name, id);
                }
            }
            self.request = Some(Arc::new(request));
        }
    }
}

/// The context of the span, or of the nearest around it that was taken.
pub(crate) fn context_of(span: &Span) -> Option<SpanContext> {
    nearest(span, SpanRecord::context)
}

/// The ids of the request that the span belongs to.
pub(crate) fn request_of(span: &Span) -> Option<Arc<RequestContext>> {
    nearest(span, |record| record.request.clone())
}

/// Moves a span into the trace of a parent elsewhere.
pub(crate) fn change_parent(span: &Span, parent: &SpanContext) -> bool {
    with_record(span, |record, layer| {
        let engine = &layer.shared.engine;
        engine.leave(record);
        if let Some(head) = &mut record.head {
            head.trace_id = parent.trace_id();
            head.parent = Some(parent.span_id());
            head.flags = parent.flags();
            head.remote_parent = parent.is_remote();
            head.local_root = true;
        }
        record.state = parent.shared_state();
        engine.join(record);
        true
    })
}

pub(crate) fn add_link(span: &Span, link: SpanContext) -> bool {
    with_record(span, |record, layer| record.add_link(link, &layer.shared.engine.settings.limits))
}

/// The histogram of the durations of calls to one kind of other services.
pub(crate) struct ClientMetric {
    name: &'static str,
    help: &'static str,
    labels: &'static [&'static str],
    bounds: &'static [f64],
    family: fn(&Shared) -> &OnceLock<Option<HistogramFamily>>,
}

/// Records the duration of a call with the telemetry that has its span.
pub(crate) fn record_client(span: &Span, metric: &ClientMetric, labels: &[&str], seconds: f64) {
    let family = span.with_subscriber(|(_, dispatch): (&Id, &Dispatch)| {
        let shared = &dispatch.downcast_ref::<TelemetryLayer>()?.shared;
        // A name that somebody took costs this metric and nothing else.
        let make = || shared.registry.histogram(metric.name, metric.help, metric.labels, metric.bounds).ok();
        (metric.family)(shared).get_or_init(make).clone()
    });
    if let Some(family) = family.flatten() {
        family.with(labels).record_in(seconds, context_of(span).as_ref());
    }
}

#[cfg(feature = "http")]
pub(crate) static HTTP_CLIENT: ClientMetric = ClientMetric {
    name: "http_client_request_duration_seconds",
    help: "Duration of HTTP client requests.",
    labels: &[
        "http_request_method",
        "server_address",
        "server_port",
        "url_template",
        "http_response_status_code",
        "error_type",
    ],
    bounds: &crate::DURATION_BOUNDS,
    family: |shared| &shared.http_client,
};

pub(crate) static DATABASE_CLIENT: ClientMetric = ClientMetric {
    name: "db_client_operation_duration_seconds",
    help: "Duration of database client operations.",
    labels: &[
        "db_system_name",
        "db_namespace",
        "db_collection_name",
        "db_operation_name",
        "db_query_summary",
        "db_response_status_code",
        "error_type",
        "server_address",
        "server_port",
    ],
    // The conventions' own, since databases answer sooner than services.
    bounds: &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0],
    family: |shared| &shared.database_client,
};

fn nearest<T>(span: &Span, read: impl Fn(&SpanRecord) -> Option<T>) -> Option<T> {
    span.with_subscriber(|(id, dispatch): (&Id, &Dispatch)| {
        let owner = Owner::of(&dispatch.downcast_ref::<TelemetryLayer>()?.shared);
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        span.scope().find_map(|span| span.extensions().get::<Slot>()?.of(owner).map(&read))?
    })?
}

fn with_record(span: &Span, change: impl FnOnce(&mut SpanRecord, &TelemetryLayer) -> bool) -> bool {
    let changed = span.with_subscriber(|(id, dispatch): (&Id, &Dispatch)| {
        let layer = dispatch.downcast_ref::<TelemetryLayer>()?;
        let span = dispatch.downcast_ref::<Registry>()?.span(id)?;
        let mut extensions = span.extensions_mut();
        let record = extensions.get_mut::<Slot>()?.of_mut(Owner::of(&layer.shared))?;
        Some(change(record, layer))
    });
    changed.flatten().unwrap_or(false)
}
