//! Finished spans as the public sees them, made from rows when somebody asks.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::clock::from_unix_nanos;
use crate::ids::{SpanId, TraceId};
use crate::span_context::SpanContext;
use crate::trace::buffer::{Rows, SpanRow};
use crate::trace::decision::KeepReason;
use crate::trace::value::{Attribute, Texts, Value};

/// The role of a span among those of other processes, as OpenTelemetry has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SpanKind {
    /// Work within the process.
    #[default]
    Internal,
    /// Answers a request from elsewhere.
    Server,
    /// Asks another process and waits.
    Client,
    /// Hands over a message.
    Producer,
    /// Works on a message.
    Consumer,
}

/// Whether a span's work succeeded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SpanStatus {
    /// Nobody said.
    #[default]
    Unset,
    /// It was said to be fine.
    Ok,
    /// It failed, for this reason; which may be empty.
    Error(String),
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum AttributeValue {
    /// A truth value.
    Bool(bool),
    /// An integer.
    I64(i64),
    /// An integer beyond what `I64` holds.
    U64(u64),
    /// A number.
    F64(f64),
    /// A text.
    Text(String),
}

/// Something that happened within a span.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SpanEvent {
    /// When.
    pub time: SystemTime,
    /// The event's message, else its name in the source.
    pub name: String,
    /// Its level.
    pub level: tracing::Level,
    /// The module it comes from.
    pub target: &'static str,
    /// Its fields.
    pub attributes: Vec<(&'static str, AttributeValue)>,
    /// Fields beyond the limit.
    pub dropped_attributes: u32,
}

/// A span that ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FinishedSpan {
    /// The span's ids, flags and `tracestate`.
    pub context: SpanContext,
    /// The span around it, in this process or another.
    pub parent: Option<SpanId>,
    /// Whether the parent is in another process.
    pub parent_is_remote: bool,
    /// Its role.
    pub kind: SpanKind,
    /// Its name.
    pub name: String,
    /// The operation it is counted as.
    pub operation: Option<String>,
    /// When it began.
    pub start: SystemTime,
    /// When it ended.
    pub end: SystemTime,
    /// Its level.
    pub level: tracing::Level,
    /// The module it comes from.
    pub target: &'static str,
    /// Its fields, and the ids of its request.
    pub attributes: Vec<(&'static str, AttributeValue)>,
    /// What happened within.
    pub events: Vec<SpanEvent>,
    /// Spans that caused it without being its parent.
    pub links: Vec<SpanContext>,
    /// Whether it succeeded.
    pub status: SpanStatus,
    /// Attributes beyond the limit.
    pub dropped_attributes: u32,
    /// Events beyond the limit.
    pub dropped_events: u32,
    /// Links beyond the limit.
    pub dropped_links: u32,
}

/// The spans of one trace that ended in this process; displayed as a tree with a waterfall.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FinishedTrace {
    /// The trace.
    pub id: TraceId,
    /// Why it was kept; `None` if it was not, or is not decided yet.
    pub kept: Option<KeepReason>,
    /// Its spans, by their beginning.
    pub spans: Vec<FinishedSpan>,
    /// Spans beyond the limit.
    pub dropped_spans: u32,
}

impl SpanKind {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        const ALL: [(&str, SpanKind); 5] = [
            ("internal", SpanKind::Internal),
            ("server", SpanKind::Server),
            ("client", SpanKind::Client),
            ("producer", SpanKind::Producer),
            ("consumer", SpanKind::Consumer),
        ];
        ALL.into_iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, kind)| kind)
    }

    /// Returns the kind's name as the field `otel.kind` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

impl FinishedSpan {
    /// Returns how long it took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.end.duration_since(self.start).unwrap_or_default()
    }

    /// Returns the attribute of this name.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&AttributeValue> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Returns whether it failed.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self.status, SpanStatus::Error(_))
    }
}

impl FinishedTrace {
    pub(crate) fn new(rows: &Rows) -> Option<Self> {
        let id = rows.trace_id?;
        let mut spans: Vec<FinishedSpan> = rows.spans.iter().map(|span| rows.span(span)).collect();
        spans.sort_by_key(|span| span.start);
        Some(Self { id, kept: rows.kept, spans, dropped_spans: rows.dropped_spans })
    }

    /// Adds what ended of the same trace at another time.
    pub(crate) fn join(&mut self, other: Self) {
        self.spans.extend(other.spans);
        self.spans.sort_by_key(|span| span.start);
        self.kept = self.kept.or(other.kept);
        self.dropped_spans = self.dropped_spans.saturating_add(other.dropped_spans);
    }

    /// Returns the first span without a parent in this process.
    #[must_use]
    pub fn root(&self) -> Option<&FinishedSpan> {
        self.spans.iter().find(|span| self.parent_of(span).is_none())
    }

    /// Returns the spans whose parent is this one.
    pub fn children(&self, span: SpanId) -> impl Iterator<Item = &FinishedSpan> {
        self.spans.iter().filter(move |one| one.parent == Some(span) && one.context.span_id() != span)
    }

    /// Returns the time from the first beginning to the last end.
    #[must_use]
    pub fn duration(&self) -> Duration {
        let start = self.spans.iter().map(|span| span.start).min();
        let end = self.spans.iter().map(|span| span.end).max();
        start.zip(end).and_then(|(start, end)| end.duration_since(start).ok()).unwrap_or_default()
    }

    /// Returns whether a span failed.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.spans.iter().any(FinishedSpan::is_error)
    }

    fn parent_of(&self, span: &FinishedSpan) -> Option<&FinishedSpan> {
        let parent = span.parent.filter(|parent| *parent != span.context.span_id())?;
        self.spans.iter().find(|one| one.context.span_id() == parent)
    }
}

/// What the tree is drawn from, gathered once, so that a trace of many spans is drawn in time that grows with them.
struct Waterfall<'a> {
    trace: &'a FinishedTrace,
    start: SystemTime,
    seconds: f64,
    /// The spans below each, by their places.
    children: HashMap<SpanId, Vec<usize>>,
    roots: Vec<usize>,
}

impl<'a> Waterfall<'a> {
    fn new(trace: &'a FinishedTrace) -> Self {
        let known: HashSet<SpanId> = trace.spans.iter().map(|span| span.context.span_id()).collect();
        let (mut children, mut roots) = (HashMap::<SpanId, Vec<usize>>::new(), Vec::new());
        for (at, span) in trace.spans.iter().enumerate() {
            match span.parent.filter(|parent| *parent != span.context.span_id() && known.contains(parent)) {
                Some(parent) => children.entry(parent).or_default().push(at),
                None => roots.push(at),
            }
        }
        let start = trace.spans.iter().map(|span| span.start).min().unwrap_or(SystemTime::UNIX_EPOCH);
        Self { trace, start, seconds: trace.duration().as_secs_f64().max(f64::MIN_POSITIVE), children, roots }
    }

    fn show(&mut self, f: &mut fmt::Formatter<'_>, at: usize, depth: usize) -> fmt::Result {
        let Some(span) = self.trace.spans.get(at) else { return Ok(()) };
        if depth > MAX_DEPTH {
            return writeln!(f, "{:indent$}…", "", indent = depth * 2);
        }
        let from = span.start.duration_since(self.start).unwrap_or_default();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a column between 0 and the width"
        )]
        let column = |at: Duration| ((at.as_secs_f64() / self.seconds * WIDTH as f64) as usize).min(WIDTH);
        let (left, right) = (column(from), column(from + span.duration()).max(column(from) + 1).min(WIDTH + 1));
        let bar = format!("{}{}", " ".repeat(left), "█".repeat(right - left));
        let name = format!("{:indent$}{}", "", span.name, indent = depth * 2);
        write!(f, "{name:<40} {:>10} |{bar:<w$}|", format!("{:.1?}", span.duration()), w = WIDTH + 1)?;
        match &span.status {
            SpanStatus::Error(why) if why.is_empty() => writeln!(f, " error")?,
            SpanStatus::Error(why) => writeln!(f, " error: {why}")?,
            _ => writeln!(f)?,
        }
        // Taken out, so that spans which name one another as ancestors are not followed forever.
        let below = self.children.remove(&span.context.span_id()).unwrap_or_default();
        below.into_iter().try_for_each(|child| self.show(f, child, depth + 1))
    }
}

const WIDTH: usize = 30;
const MAX_DEPTH: usize = 100;

impl fmt::Display for FinishedTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trace {} {:.1?} {} spans", self.id, self.duration(), self.spans.len())?;
        match self.kept {
            Some(reason) => writeln!(f, ", kept: {reason}")?,
            None => writeln!(f, ", not kept")?,
        }
        let mut waterfall = Waterfall::new(self);
        for root in std::mem::take(&mut waterfall.roots) {
            waterfall.show(f, root, 0)?;
        }
        Ok(())
    }
}

impl fmt::Display for AttributeValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::I64(value) => value.fmt(f),
            Self::U64(value) => value.fmt(f),
            Self::F64(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident),*) => {$(
        impl From<$from> for AttributeValue {
            fn from(value: $from) -> Self {
                Self::$variant(value.into())
            }
        }
    )*};
}

from!(bool => Bool, i64 => I64, i32 => I64, u32 => I64, f64 => F64, &str => Text, String => Text);

/// As an `I64` wherever it fits, so that equal numbers are equal values.
impl From<u64> for AttributeValue {
    fn from(value: u64) -> Self {
        i64::try_from(value).map_or(Self::U64(value), Self::I64)
    }
}

impl Rows {
    fn span(&self, row: &SpanRow) -> FinishedSpan {
        let head = row.head;
        let mut attributes = self.attributes(row.attributes);
        if let Some(request) = row.request.and_then(|at| self.requests.get(at as usize)) {
            for (name, id) in request.ids() {
                if !attributes.iter().any(|(known, _)| *known == name) {
                    attributes.push((name, AttributeValue::Text(id.to_owned())));
                }
            }
        }
        let text = |place| self.texts.get(place).to_owned();
        let status = match row.ok {
            None => SpanStatus::Unset,
            Some(true) => SpanStatus::Ok,
            Some(false) => SpanStatus::Error(row.description.map(text).unwrap_or_default()),
        };
        FinishedSpan {
            context: SpanContext::new(head.trace_id, head.span_id, head.flags).with_valid_state(self.state.clone()),
            parent: head.parent,
            parent_is_remote: head.remote_parent,
            kind: row.kind,
            name: row.name.map_or_else(|| head.metadata.name().to_owned(), text),
            operation: row.operation.map(text),
            start: from_unix_nanos(self.anchor.saturating_add(head.start)),
            end: from_unix_nanos(self.anchor.saturating_add(row.end)),
            level: *head.metadata.level(),
            target: head.metadata.target(),
            attributes,
            events: slice(&self.events, row.events)
                .iter()
                .map(|event| SpanEvent {
                    time: from_unix_nanos(self.anchor.saturating_add(event.at)),
                    name: event.message.map_or_else(|| event.metadata.name().to_owned(), text),
                    level: *event.metadata.level(),
                    target: event.metadata.target(),
                    attributes: self.attributes((event.first, event.count)),
                    dropped_attributes: event.dropped,
                })
                .collect(),
            links: slice(&self.links, row.links).to_vec(),
            status,
            dropped_attributes: row.dropped_attributes,
            dropped_events: row.dropped_events,
            dropped_links: row.dropped_links,
        }
    }

    fn attributes(&self, part: (u32, u32)) -> Vec<(&'static str, AttributeValue)> {
        slice(&self.attributes, part).iter().map(|attribute| public(attribute, &self.texts)).collect()
    }
}

pub(crate) fn public((name, value): &Attribute, texts: &Texts) -> (&'static str, AttributeValue) {
    let value = match *value {
        Value::Bool(value) => AttributeValue::Bool(value),
        Value::I64(value) => AttributeValue::I64(value),
        Value::U64(value) => AttributeValue::from(value),
        Value::F64(value) => AttributeValue::F64(value),
        Value::Text(text) => AttributeValue::Text(texts.get(text).to_owned()),
    };
    (name, value)
}

fn slice<T>(all: &[T], (first, count): (u32, u32)) -> &[T] {
    let first = first as usize;
    all.get(first..first + count as usize).unwrap_or_default()
}

/// What all spans of a process have in common: the service and its surroundings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Resource {
    /// Names by OpenTelemetry's conventions, each once, sorted.
    pub attributes: std::collections::BTreeMap<String, AttributeValue>,
}

impl Resource {
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<AttributeValue>) {
        self.attributes.insert(name.into(), value.into());
    }

    pub(crate) fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }
}
