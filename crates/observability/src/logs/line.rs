//! One line: an event with what it inherits from its spans.
//!
//! Each key stands once: the event's value wins over its spans', the inner span's over the outer's. The ids stand first
//! but are known last, so a line is written as a head and a tail.

use tracing::Metadata;

use crate::context::CORRELATION_FIELDS;
use crate::logs::Form;
use crate::logs::json::{self, LastSecond};
use crate::trace::record::{Fields, SpanRecord, same};
use crate::trace::value::{Text, Texts, Value};

/// The bytes of a line and what stands in it, used again for the next.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    form: Form,
    head: Vec<u8>,
    tail: Vec<u8>,
    seen: Vec<&'static str>,
    /// The values of the correlation fields, as JSON; empty for those that are not known.
    ids: [Vec<u8>; CORRELATION_FIELDS.len()],
    message: Vec<u8>,
    span: Vec<u8>,
    in_span: bool,
    target: &'static str,
    event: Vec<u8>,
    time: LastSecond,
}

impl LineBuffer {
    pub(crate) fn begin(
        &mut self,
        form: Form,
        metadata: &'static Metadata<'static>,
        nanos: u64,
        message: Option<Text>,
        fields: &Fields,
    ) {
        self.form = form;
        self.head.clear();
        self.tail.clear();
        self.seen.clear();
        self.ids.iter_mut().for_each(Vec::clear);
        self.message.clear();
        self.event.clear();
        self.span.clear();
        self.in_span = false;
        self.target = metadata.target();
        let level = metadata.level().as_str();
        match form {
            Form::Json => {
                self.head.extend_from_slice(b"{\"timestamp\":\"");
                self.time.write(&mut self.head, nanos);
                self.head.extend_from_slice(b"\",\"level\":\"");
                self.head.extend_from_slice(level.as_bytes());
                self.head.push(b'"');
                let message = message.map_or(EMPTY, Value::Text);
                json::value(&mut self.message, message, &fields.texts);
            }
            Form::Pretty { color } => {
                let from = self.head.len();
                self.time.write(&mut self.head, nanos);
                // The time of day, to the millisecond.
                self.head.truncate(from + 23);
                self.head.drain(from..from + 11);
                let (on, off) = if color { (paint(level), "\x1b[0m") } else { ("", "") };
                let pad = " ".repeat(5_usize.saturating_sub(level.len()));
                for part in [" ", on, &pad, level, off, " ", self.target, ": "] {
                    self.head.extend_from_slice(part.as_bytes());
                }
                one_line(&mut self.head, message.map_or("", |message| fields.texts.get(message)));
            }
        }
        std::mem::swap(&mut self.event, &mut self.tail);
        for (name, value) in &fields.attributes {
            self.add(name, *value, &fields.texts);
        }
        std::mem::swap(&mut self.event, &mut self.tail);
    }

    /// Inherits from a span; called from the innermost outwards.
    pub(crate) fn add_span(&mut self, record: &SpanRecord) {
        if !self.in_span
            && let Some(head) = record.head
        {
            self.in_span = true;
            if self.form == Form::Json {
                self.head.extend_from_slice(b",\"trace_id\":\"");
                json::hex(&mut self.head, head.trace_id.to_u128(), 32);
                self.head.extend_from_slice(b"\",\"span_id\":\"");
                json::hex(&mut self.head, u128::from(head.span_id.to_u64()), 16);
                self.head.push(b'"');
                json::string(&mut self.span, record.name());
            }
        }
        for (name, value) in &record.fields.attributes {
            self.add(name, *value, &record.fields.texts);
        }
        if let Some(request) = &record.request {
            for (name, id) in request.ids() {
                if let Some(own) = self.id(name)
                    && own.is_empty()
                {
                    json::string(own, id);
                }
            }
        }
    }

    /// The whole line, with the line break.
    pub(crate) fn finish(&mut self) -> &[u8] {
        match self.form {
            Form::Json => {
                for (name, json) in CORRELATION_FIELDS.iter().zip(&self.ids) {
                    if !json.is_empty() {
                        self.head.extend_from_slice(b",\"");
                        self.head.extend_from_slice(name.as_bytes());
                        self.head.extend_from_slice(b"\":");
                        self.head.extend_from_slice(json);
                    }
                }
                self.head.extend_from_slice(b",\"message\":");
                self.head.extend_from_slice(&self.message);
                self.head.extend_from_slice(b",\"target\":");
                json::string(&mut self.head, self.target);
                if !self.span.is_empty() {
                    self.head.extend_from_slice(b",\"span\":");
                    self.head.extend_from_slice(&self.span);
                }
                self.head.extend_from_slice(&self.event);
                self.head.extend_from_slice(&self.tail);
                self.head.extend_from_slice(b"}\n");
            }
            Form::Pretty { .. } => {
                self.head.extend_from_slice(&self.event);
                self.head.extend_from_slice(&self.tail);
                for (name, json) in CORRELATION_FIELDS.iter().zip(&self.ids) {
                    if !json.is_empty() {
                        self.head.push(b' ');
                        self.head.extend_from_slice(name.as_bytes());
                        self.head.push(b'=');
                        self.head.extend_from_slice(json);
                    }
                }
                self.head.push(b'\n');
            }
        }
        &self.head
    }

    fn id(&mut self, name: &str) -> Option<&mut Vec<u8>> {
        let at = CORRELATION_FIELDS.iter().position(|known| *known == name)?;
        self.ids.get_mut(at)
    }

    fn add(&mut self, name: &'static str, value: Value, texts: &Texts) {
        if name.ends_with("_id")
            && let Some(id) = self.id(name)
        {
            if id.is_empty() {
                json::value(id, value, texts);
            }
            return;
        }
        if self.seen.iter().any(|known| same(known, name)) {
            return;
        }
        self.seen.push(name);
        match self.form {
            Form::Json => {
                if RESERVED.contains(&name) {
                    self.tail.extend_from_slice(b",\"field.");
                    self.tail.extend_from_slice(name.as_bytes());
                    self.tail.extend_from_slice(b"\":");
                } else {
                    self.tail.push(b',');
                    json::string(&mut self.tail, name);
                    self.tail.push(b':');
                }
            }
            Form::Pretty { .. } => {
                self.tail.push(b' ');
                self.tail.extend_from_slice(name.as_bytes());
                self.tail.push(b'=');
            }
        }
        json::value(&mut self.tail, value, texts);
    }
}

const EMPTY: Value = Value::Text(Text::EMPTY);

/// Keys that the line itself uses; a field of such a name is written as `field.<name>`.
const RESERVED: [&str; 7] = ["timestamp", "level", "trace_id", "span_id", "message", "target", "span"];

fn paint(level: &str) -> &'static str {
    match level {
        "ERROR" => "\x1b[31m",
        "WARN" => "\x1b[33m",
        "INFO" => "\x1b[32m",
        _ => "\x1b[2m",
    }
}

/// Without the characters that would break the line or command the terminal.
fn one_line(out: &mut Vec<u8>, text: &str) {
    let mut buffer = [0; 4];
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
    }
}
