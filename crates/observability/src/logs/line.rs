use std::error::Error;
use std::fmt::{self, Write as _};
use std::time::SystemTime;

use tracing::Metadata;
use tracing::field::{Field, Visit};

use crate::context::CORRELATION_FIELDS;
use crate::ids::{SpanId, TraceId};
use crate::layer::SpanRecord;
use crate::logs::Form;

/// One event with what it inherits from its spans, ready to be written in either form.
///
/// Each key stands once: the event's value wins over its spans', the inner span's over the outer's.
pub(crate) struct Line {
    level: &'static str,
    target: &'static str,
    time: SystemTime,
    message: String,
    fields: Vec<(&'static str, String)>,
    span: Option<&'static str>,
    ids: Option<(TraceId, SpanId)>,
}

impl Line {
    pub(crate) fn new(metadata: &'static Metadata<'static>, time: SystemTime) -> Self {
        Self {
            level: metadata.level().as_str(),
            target: metadata.target(),
            time,
            message: String::new(),
            fields: Vec::new(),
            span: None,
            ids: None,
        }
    }

    /// Inherits from a span; called from the innermost outwards.
    pub(crate) fn add_span(&mut self, name: &'static str, record: &SpanRecord) {
        if self.ids.is_none() {
            self.ids = Some((record.trace_id, record.span_id));
            self.span = Some(name);
        }
        for (name, json) in &record.fields {
            self.add(name, || json.clone());
        }
    }

    fn add(&mut self, name: &'static str, json: impl FnOnce() -> String) {
        if !self.fields.iter().any(|(known, _)| *known == name) {
            self.fields.push((name, json()));
        }
    }

    pub(crate) fn render(&self, form: Form, redacted: &[String]) -> String {
        match form {
            Form::Json => self.json(redacted),
            Form::Pretty { color } => self.pretty(color, redacted),
        }
    }

    fn json(&self, redacted: &[String]) -> String {
        let mut out = format!("{{\"timestamp\":\"{}\",\"level\":\"{}\"", timestamp(self.time), self.level);
        if let Some((trace_id, span_id)) = self.ids {
            push(&mut out, format_args!(",\"trace_id\":\"{trace_id}\",\"span_id\":\"{span_id}\""));
        }
        for name in CORRELATION_FIELDS {
            if let Some((_, json)) = self.fields.iter().find(|(known, _)| *known == name) {
                push(&mut out, format_args!(",\"{name}\":{json}"));
            }
        }
        push(&mut out, format_args!(",\"message\":{},\"target\":{}", json_text(&self.message), json_text(self.target)));
        if let Some(span) = self.span {
            push(&mut out, format_args!(",\"span\":{}", json_text(span)));
        }
        for (name, json) in self.others() {
            let value = if is_redacted(name, redacted) { REDACTED } else { json };
            if RESERVED.contains(&name) {
                push(&mut out, format_args!(",\"field.{name}\":{value}"));
            } else {
                push(&mut out, format_args!(",{}:{value}", json_text(name)));
            }
        }
        out.push_str("}\n");
        out
    }

    fn pretty(&self, color: bool, redacted: &[String]) -> String {
        let (on, off) = match (color, self.level) {
            (false, _) => ("", ""),
            (true, "ERROR") => ("\u{1b}[31m", "\u{1b}[0m"),
            (true, "WARN") => ("\u{1b}[33m", "\u{1b}[0m"),
            (true, "INFO") => ("\u{1b}[32m", "\u{1b}[0m"),
            (true, _) => ("\u{1b}[2m", "\u{1b}[0m"),
        };
        let time = timestamp(self.time);
        let clock = time.get(11..23).unwrap_or(&time);
        let mut out = format!("{clock} {on}{:>5}{off} {}: {}", self.level, self.target, one_line(&self.message));
        for (name, json) in &self.fields {
            let value = if is_redacted(name, redacted) { REDACTED } else { json };
            push(&mut out, format_args!(" {name}={value}"));
        }
        out.push('\n');
        out
    }

    fn others(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.fields
            .iter()
            .filter(|(name, _)| !CORRELATION_FIELDS.contains(name))
            .map(|(name, json)| (*name, json.as_str()))
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else {
            self.add(field.name(), || json_text(&format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.add(field.name(), || json_text(value));
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field.name(), || value.to_string());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field.name(), || value.to_string());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field.name(), || value.to_string());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field.name(), || json_number(value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.add(field.name(), || json_text(&value.to_string()));
    }
}

const REDACTED: &str = "\"[redacted]\"";

/// Keys that the line itself uses; a field of such a name is written as `field.<name>`.
const RESERVED: [&str; 7] = ["timestamp", "level", "trace_id", "span_id", "message", "target", "span"];

fn is_redacted(name: &str, redacted: &[String]) -> bool {
    redacted.iter().any(|field| field.eq_ignore_ascii_case(name))
}

fn push(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _infallible = out.write_fmt(text);
}

fn timestamp(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map_or_else(|_| "unknown".to_owned(), |time| format!("{time:.6}"))
}

/// Without the characters that would break the line or command the terminal.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// The text as a JSON string, quotes included.
pub(crate) fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The number as JSON; what JSON has no number for is a string.
pub(crate) fn json_number(value: f64) -> String {
    if value.is_finite() { serde_json::Value::from(value).to_string() } else { format!("\"{value}\"") }
}
