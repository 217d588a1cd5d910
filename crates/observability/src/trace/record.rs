//! What is known of an open span, and the visitor that fills it.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tracing::Metadata;
use tracing::field::{Field, Visit};

use crate::RequestContext;
use crate::ids::{SpanId, TraceFlags, TraceId};
use crate::metrics::Series;
use crate::redact::{REDACTED, Redact};
use crate::span_context::SpanContext;
use crate::trace::buffer::TraceBuffer;
use crate::trace::finished::SpanKind;
use crate::trace::limits::SpanLimits;
use crate::trace::value::{Attribute, Text, Texts, Value};

/// An open span. Boxes of it are used again by the thread that closed one, with all they have grown.
#[derive(Debug, Default)]
pub(crate) struct SpanRecord {
    pub(crate) head: Option<Head>,
    pub(crate) state: Option<Arc<str>>,
    pub(crate) request: Option<Arc<RequestContext>>,
    pub(crate) trace: Option<Arc<TraceBuffer>>,
    pub(crate) series: Option<Arc<Series>>,
    pub(crate) fields: Fields,
    pub(crate) events: Vec<EventRow>,
    pub(crate) event_attributes: Vec<Attribute>,
    pub(crate) links: Vec<SpanContext>,
    pub(crate) dropped_events: u32,
    pub(crate) dropped_links: u32,
    pub(crate) said: Said,
    /// From how many bytes of texts on there may be some to drop.
    crowded: usize,
}

/// What a span has from its beginning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub(crate) trace_id: TraceId,
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    /// Whether it has no parent in this process.
    pub(crate) local_root: bool,
    pub(crate) remote_parent: bool,
    pub(crate) flags: TraceFlags,
    pub(crate) metadata: &'static Metadata<'static>,
    pub(crate) start: u64,
}

/// What some fields say of the span itself.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is said by a field of its own")]
pub(crate) struct Said {
    pub(crate) name: Option<Text>,
    pub(crate) kind: SpanKind,
    pub(crate) status: Option<bool>,
    pub(crate) description: Option<Text>,
    pub(crate) operation: Option<Text>,
    pub(crate) error_type: Option<Text>,
    pub(crate) failed: bool,
    pub(crate) cancelled: bool,
    pub(crate) keep: bool,
    /// Whether an event of level ERROR happened within.
    pub(crate) error_event: bool,
    /// Whether a field of a request's ids was recorded since the last look.
    pub(crate) ids: bool,
}

/// An event within a span.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventRow {
    pub(crate) at: u64,
    pub(crate) metadata: &'static Metadata<'static>,
    pub(crate) message: Option<Text>,
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) dropped: u32,
}

/// Fields and the bytes of their texts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fields {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) texts: Texts,
    pub(crate) dropped: u32,
}

impl SpanRecord {
    /// Takes a record that was used before, or makes one.
    pub(crate) fn take() -> Box<Self> {
        POOL.try_with(|pool| pool.try_borrow_mut().ok()?.pop()).ok().flatten().unwrap_or_default()
    }

    /// Keeps an emptied record for the next span of this thread.
    pub(crate) fn give_back(mut self: Box<Self>) {
        self.head = None;
        self.state = None;
        self.request = None;
        self.trace = None;
        self.series = None;
        self.fields.clear();
        self.events.clear();
        self.event_attributes.clear();
        self.links.clear();
        self.dropped_events = 0;
        self.dropped_links = 0;
        self.said = Said::default();
        self.crowded = 0;
        // A thread that ends has no pool any more.
        let _kept = POOL.try_with(|pool| {
            if let Ok(mut pool) = pool.try_borrow_mut()
                && pool.len() < POOLED
            {
                pool.push(self);
            }
        });
    }

    pub(crate) fn context(&self) -> Option<SpanContext> {
        let head = self.head?;
        Some(SpanContext::new(head.trace_id, head.span_id, head.flags).with_valid_state(self.state.clone()))
    }

    /// What the span is called: `otel.name`, else the name in the source.
    pub(crate) fn name(&self) -> &str {
        match (self.said.name, self.head) {
            (Some(name), _) => self.fields.texts.get(name),
            (None, Some(head)) => head.metadata.name(),
            (None, None) => "",
        }
    }

    /// What it is counted as, else what it is called.
    pub(crate) fn operation(&self) -> &str {
        match self.said.operation {
            Some(operation) => self.fields.texts.get(operation),
            None => self.name(),
        }
    }

    /// Whether the span failed: by its fields or its status.
    pub(crate) const fn failed(&self) -> bool {
        match self.said.status {
            Some(ok) => !ok,
            None => self.said.failed || (self.said.error_type.is_some() && !self.said.cancelled),
        }
    }

    pub(crate) fn add_link(&mut self, link: SpanContext, limits: &SpanLimits) -> bool {
        let fits = self.links.len() < limits.links;
        if fits {
            self.links.push(link);
        } else {
            self.dropped_links += 1;
        }
        fits
    }

    pub(crate) fn add_event(&mut self, event: EventRow, fields: &Fields, limits: &SpanLimits) {
        if self.events.len() >= limits.events || self.fields.texts.len() as usize >= Texts::MAX {
            self.dropped_events = self.dropped_events.saturating_add(1);
            return;
        }
        let by = self.fields.texts.len();
        self.fields.texts.append(&fields.texts);
        let first = u32::try_from(self.event_attributes.len()).unwrap_or(u32::MAX);
        self.event_attributes.extend(fields.attributes.iter().map(|(name, value)| (*name, value.moved(by))));
        let count = u32::try_from(fields.attributes.len()).unwrap_or(u32::MAX);
        let message = event.message.map(|message| message.moved(by));
        self.events.push(EventRow { message, first, count, dropped: fields.dropped, ..event });
    }

    /// Takes over what was recorded later.
    pub(crate) fn merge(&mut self, fields: &Fields, said: Said, limits: &SpanLimits) {
        if self.fields.texts.len() as usize >= self.crowded.max(Texts::MAX * 2) {
            self.compact();
        }
        for (name, value) in &fields.attributes {
            let value = match value {
                Value::Text(text) => Value::Text(self.adopt(fields, *text, limits)),
                other => *other,
            };
            self.fields.set(name, value, limits.attributes);
        }
        self.fields.dropped += fields.dropped;
        let adopted = [said.name, said.description, said.operation, said.error_type]
            .map(|text| text.map(|text| self.adopt(fields, text, limits)));
        let own = &mut self.said;
        let [name, description, operation, error_type] = adopted;
        own.name = name.or(own.name);
        own.description = description.or(own.description);
        own.operation = operation.or(own.operation);
        own.error_type = error_type.or(own.error_type);
        if said.kind != SpanKind::Internal {
            own.kind = said.kind;
        }
        own.status = said.status.or(own.status);
        own.failed |= said.failed;
        own.cancelled |= said.cancelled;
        own.keep |= said.keep;
        own.ids |= said.ids;
    }

    /// Drops the texts that were replaced, which a field recorded in a loop leaves behind.
    fn compact(&mut self) {
        let old = std::mem::take(&mut self.fields.texts);
        let texts = &mut self.fields.texts;
        let mut moved = |text: &mut Text| *text = texts.push(old.get(*text), usize::MAX);
        let attributes = self.fields.attributes.iter_mut().chain(&mut self.event_attributes);
        for (_, value) in attributes {
            if let Value::Text(text) = value {
                moved(text);
            }
        }
        self.events.iter_mut().filter_map(|event| event.message.as_mut()).for_each(&mut moved);
        let Said { name, description, operation, error_type, .. } = &mut self.said;
        [name, description, operation, error_type].into_iter().flatten().for_each(moved);
        // Where all of it is in use, the next look comes when it has doubled.
        self.crowded = self.fields.texts.len() as usize * 2;
    }

    fn adopt(&mut self, fields: &Fields, text: Text, limits: &SpanLimits) -> Text {
        self.fields.texts.push(fields.texts.get(text), limits.value_bytes)
    }
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.attributes.clear();
        self.texts.clear();
        self.dropped = 0;
    }

    /// Sets a field; a name stands once, its last value wins.
    #[inline]
    pub(crate) fn set(&mut self, name: &'static str, value: Value, most: usize) {
        if let Some((_, known)) = self.attributes.iter_mut().find(|(known, _)| same(known, name)) {
            *known = match (*known, value) {
                (Value::Text(old), Value::Text(new)) => Value::Text(self.texts.replace(old, new)),
                (_, new) => new,
            };
        } else if self.attributes.len() < most {
            self.attributes.push((name, value));
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| *known == name).and_then(|(_, value)| match value {
            Value::Text(text) => Some(self.texts.get(*text)),
            _ => None,
        })
    }
}

/// Field names are mostly the same bytes at the same place.
pub(crate) fn same(a: &'static str, b: &'static str) -> bool {
    std::ptr::eq(a, b) || a == b
}

/// Records fields of a span or an event.
pub(crate) struct Recording<'a> {
    pub(crate) fields: &'a mut Fields,
    pub(crate) said: &'a mut Said,
    pub(crate) message: Option<Text>,
    pub(crate) redact: &'a Redact,
    pub(crate) limits: &'a SpanLimits,
    pub(crate) most: usize,
    pub(crate) of_event: bool,
}

impl Recording<'_> {
    fn text(&mut self, field: &Field, text: &str) {
        let name = field.name();
        if self.redact.is_field(name) {
            let redacted = self.fields.texts.push(REDACTED, usize::MAX);
            return self.put(name, redacted);
        }
        if self.full() {
            return;
        }
        let place = if self.redact.has_patterns() {
            self.fields.texts.push(&self.redact.text(text), self.limits.value_bytes)
        } else {
            self.fields.texts.push(text, self.limits.value_bytes)
        };
        self.put(name, place);
    }

    fn args(&mut self, field: &Field, text: fmt::Arguments<'_>) {
        if self.redact.has_patterns() || self.redact.is_field(field.name()) {
            // Formatted apart, so that a pattern is found wherever the value writes it; bounded before it is looked at.
            let mut apart = Texts::default();
            let place = apart.push_args(text, self.limits.value_bytes);
            return self.text(field, apart.get(place));
        }
        if self.full() {
            return;
        }
        let place = self.fields.texts.push_args(text, self.limits.value_bytes);
        self.put(field.name(), place);
    }

    #[inline]
    fn full(&mut self) -> bool {
        let full = self.fields.texts.len() as usize >= Texts::MAX;
        if full {
            self.fields.dropped = self.fields.dropped.saturating_add(1);
        }
        full
    }

    fn put(&mut self, name: &'static str, text: Text) {
        if self.of_event {
            if name == "message" {
                self.message = Some(text);
                return;
            }
        } else if self.says(name, text) {
            return;
        }
        self.fields.set(name, Value::Text(text), self.most);
    }

    /// Notes what a field says of its span; whether it says nothing else.
    fn says(&mut self, name: &'static str, text: Text) -> bool {
        let value = self.fields.texts.get(text);
        match name {
            "operation" => self.said.operation = Some(text),
            "error" => self.said.failed = value != "false",
            "error.type" => self.said.error_type = Some(text),
            "request_id" | "user_id" | "session_id" => self.said.ids = true,
            "otel.name" => {
                self.said.name = Some(text);
                return true;
            }
            "otel.kind" => {
                self.said.kind = SpanKind::parse(value).unwrap_or(self.said.kind);
                return true;
            }
            "otel.status_code" => {
                self.said.status = match value {
                    _ if value.eq_ignore_ascii_case("ok") => Some(true),
                    _ if value.eq_ignore_ascii_case("error") => Some(false),
                    _ => None,
                };
                return true;
            }
            "otel.status_description" | "otel.status_message" => {
                self.said.description = Some(text);
                return true;
            }
            _ => {}
        }
        false
    }

    fn plain(&mut self, field: &Field, value: Value) {
        let name = field.name();
        if self.redact.is_field(name) {
            let redacted = self.fields.texts.push(REDACTED, usize::MAX);
            return self.put(name, redacted);
        }
        if !self.of_event {
            match (name, value) {
                ("error", _) => self.said.failed = !matches!(value, Value::Bool(false)),
                ("keep", Value::Bool(keep)) => {
                    self.said.keep = keep;
                    return;
                }
                ("cancelled", Value::Bool(cancelled)) => self.said.cancelled = cancelled,
                // Ids and names may be numbers; they are kept as the text they are.
                ("operation" | "request_id" | "user_id" | "session_id" | "error.type", _) => {
                    let text = match value {
                        Value::I64(value) => self.fields.texts.push_args(format_args!("{value}"), 32),
                        Value::U64(value) => self.fields.texts.push_args(format_args!("{value}"), 32),
                        Value::F64(value) => self.fields.texts.push_args(format_args!("{value}"), 32),
                        Value::Bool(value) => self.fields.texts.push_args(format_args!("{value}"), 32),
                        Value::Text(text) => text,
                    };
                    return self.put(name, text);
                }
                _ => {}
            }
        }
        self.fields.set(name, value, self.most);
    }
}

impl Visit for Recording<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.args(field, format_args!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field, Value::Bool(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field, Value::I64(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field, Value::U64(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.plain(field, Value::F64(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.args(field, format_args!("{value}"));
    }
}

/// Records that a thread keeps.
const POOLED: usize = 64;

thread_local! {
    #[expect(clippy::vec_box, reason = "the boxes are what is used again")]
    static POOL: RefCell<Vec<Box<SpanRecord>>> = const { RefCell::new(Vec::new()) };
}
