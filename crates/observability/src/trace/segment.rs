//! Traces that were not kept, one after another in a few vectors.

use std::sync::Arc;

use crate::RequestContext;
use crate::ids::TraceId;
use crate::span_context::SpanContext;
use crate::trace::buffer::{Rows, SpanRow};
use crate::trace::record::EventRow;
use crate::trace::value::{Attribute, Texts};

/// Traces one after another. The rows of each are those that it had, and their places count from its own beginnings.
#[derive(Debug, Clone, Default)]
pub(crate) struct Segment {
    traces: Vec<Trace>,
    spans: Vec<SpanRow>,
    attributes: Vec<Attribute>,
    events: Vec<EventRow>,
    links: Vec<SpanContext>,
    requests: Vec<Arc<RequestContext>>,
    states: Vec<Arc<str>>,
    texts: Texts,
}

/// A trace, and how many rows it has of each kind.
#[derive(Debug, Clone, Copy)]
struct Trace {
    id: Option<TraceId>,
    anchor: u64,
    spans: u32,
    attributes: u32,
    events: u32,
    links: u32,
    requests: u32,
    texts: u32,
    dropped_spans: u32,
    has_state: bool,
}

impl Segment {
    /// Copies a trace to the end. Returns about how many bytes are used.
    pub(crate) fn append(&mut self, rows: &mut Rows) -> usize {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        self.traces.push(Trace {
            id: rows.trace_id,
            anchor: rows.anchor,
            spans: count(rows.spans.len()),
            attributes: count(rows.attributes.len()),
            events: count(rows.events.len()),
            links: count(rows.links.len()),
            requests: count(rows.requests.len()),
            texts: rows.texts.len(),
            dropped_spans: rows.dropped_spans,
            has_state: rows.state.is_some(),
        });
        self.spans.extend_from_slice(&rows.spans);
        self.attributes.extend_from_slice(&rows.attributes);
        self.events.extend_from_slice(&rows.events);
        self.texts.append(&rows.texts);
        self.links.append(&mut rows.links);
        self.requests.append(&mut rows.requests);
        self.states.extend(rows.state.take());
        self.traces.len() * size_of::<Trace>()
            + self.spans.len() * size_of::<SpanRow>()
            + self.attributes.len() * size_of::<Attribute>()
            + self.events.len() * size_of::<EventRow>()
            + self.links.len() * size_of::<SpanContext>()
            + self.requests.len() * 64
            + self.texts.len() as usize
    }

    /// Traces held.
    pub(crate) const fn len(&self) -> usize {
        self.traces.len()
    }

    /// What it holds of memory, about.
    pub(crate) const fn bytes(&self) -> usize {
        self.traces.capacity() * size_of::<Trace>()
            + self.spans.capacity() * size_of::<SpanRow>()
            + self.attributes.capacity() * size_of::<Attribute>()
            + self.events.capacity() * size_of::<EventRow>()
            + self.links.capacity() * size_of::<SpanContext>()
            + self.requests.capacity() * 64
            + self.states.capacity() * size_of::<Arc<str>>()
            + self.texts.capacity()
    }

    pub(crate) fn clear(&mut self) {
        self.traces.clear();
        self.spans.clear();
        self.attributes.clear();
        self.events.clear();
        self.links.clear();
        self.requests.clear();
        self.states.clear();
        self.texts.empty();
    }

    /// Calls `with` on the traces whose id is wanted, oldest first.
    pub(crate) fn each(&self, wanted: impl Fn(TraceId) -> bool, with: &mut impl FnMut(&Rows)) {
        let [mut spans, mut attributes, mut events, mut links, mut requests, mut texts, mut states] = [0_usize; 7];
        for trace in &self.traces {
            if trace.id.is_some_and(&wanted) {
                with(&Rows {
                    trace_id: trace.id,
                    anchor: trace.anchor,
                    spans: part(&self.spans, spans, trace.spans),
                    attributes: part(&self.attributes, attributes, trace.attributes),
                    events: part(&self.events, events, trace.events),
                    links: part(&self.links, links, trace.links),
                    requests: part(&self.requests, requests, trace.requests),
                    texts: self.texts.part(texts, trace.texts),
                    state: if trace.has_state { self.states.get(states).cloned() } else { None },
                    dropped_spans: trace.dropped_spans,
                    ..Rows::default()
                });
            }
            spans += trace.spans as usize;
            attributes += trace.attributes as usize;
            events += trace.events as usize;
            links += trace.links as usize;
            requests += trace.requests as usize;
            texts += trace.texts as usize;
            states += usize::from(trace.has_state);
        }
    }
}

fn part<T: Clone>(all: &[T], from: usize, count: u32) -> Vec<T> {
    all.get(from..from + count as usize).unwrap_or_default().to_vec()
}
