//! The spans of one trace in this process, as rows in a few vectors that are used again.

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::Mutex;
use tracing::Metadata;

use crate::RequestContext;
use crate::ids::{SpanId, TraceId};
use crate::span_context::SpanContext;
use crate::trace::decision::KeepReason;
use crate::trace::limits::SpanLimits;
use crate::trace::record::{EventRow, Head, SpanRecord};
use crate::trace::value::{Attribute, Text, Texts};

/// A trace with open spans. Its open spans share it, so none of them needs a table to find it.
#[derive(Debug)]
pub(crate) struct TraceBuffer {
    pub(crate) id: TraceId,
    pub(crate) began: u64,
    pub(crate) state: Mutex<TraceState>,
}

#[derive(Debug)]
pub(crate) struct TraceState {
    /// What has ended since the last decision.
    pub(crate) rows: Rows,
    anchor: u64,
    pub(crate) open: Vec<OpenRow>,
    /// Open spans that the list above had no room for.
    pub(crate) open_unlisted: u32,
    pub(crate) decided: Decided,
    /// A root's caller sampled it; known from its beginning, since a part may be decided on before it ends.
    pub(crate) sampled_by_caller: bool,
    /// A span that is open still asked to keep it.
    pub(crate) asked: bool,
    /// No more spans may join: it left the table.
    pub(crate) gone: bool,
}

/// What was decided of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decided {
    Open,
    Kept(KeepReason),
    NotKept,
}

/// An open span, for the view of what is going on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenRow {
    pub(crate) span_id: SpanId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) metadata: &'static Metadata<'static>,
    pub(crate) start: u64,
}

/// Finished spans of one trace.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    pub(crate) trace_id: Option<TraceId>,
    pub(crate) kept: Option<KeepReason>,
    pub(crate) anchor: u64,
    pub(crate) spans: Vec<SpanRow>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) events: Vec<EventRow>,
    pub(crate) links: Vec<SpanContext>,
    pub(crate) requests: Vec<Arc<RequestContext>>,
    pub(crate) texts: Texts,
    pub(crate) state: Option<Arc<str>>,
    pub(crate) dropped_spans: u32,
    pub(crate) facts: Gathered,
}

/// What the decision to keep looks at, gathered as spans close.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Gathered {
    pub(crate) failed: bool,
    pub(crate) keep: bool,
    pub(crate) new_error: bool,
    pub(crate) sampled_by_caller: bool,
    pub(crate) slow: bool,
}

impl Gathered {
    const fn any(self) -> bool {
        let Self { failed, keep, new_error, sampled_by_caller, slow } = self;
        failed || keep || new_error || sampled_by_caller || slow
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct SpanRow {
    pub(crate) head: Head,
    pub(crate) end: u64,
    pub(crate) name: Option<Text>,
    pub(crate) operation: Option<Text>,
    pub(crate) description: Option<Text>,
    pub(crate) kind: crate::SpanKind,
    pub(crate) ok: Option<bool>,
    pub(crate) attributes: (u32, u32),
    pub(crate) events: (u32, u32),
    pub(crate) links: (u32, u32),
    pub(crate) request: Option<u32>,
    pub(crate) dropped_attributes: u32,
    pub(crate) dropped_events: u32,
    pub(crate) dropped_links: u32,
}

impl TraceBuffer {
    /// The buffer of a trace that begins with this span; one that was used before, if this thread has one.
    pub(crate) fn take(
        id: TraceId,
        anchor: u64,
        decided: Decided,
        asked: bool,
        head: &Head,
        limits: &SpanLimits,
    ) -> Arc<Self> {
        let used = POOL.try_with(|pool| pool.try_borrow_mut().ok()?.buffers.pop()).ok().flatten();
        let mut buffer = used.unwrap_or_else(|| {
            let state = TraceState {
                rows: Rows::default(),
                anchor,
                open: Vec::new(),
                open_unlisted: 0,
                decided,
                sampled_by_caller: false,
                asked,
                gone: false,
            };
            Arc::new(Self { id, began: head.start, state: Mutex::new(state) })
        });
        // Nobody else has it yet, so there is nothing to lock.
        if let Some(own) = Arc::get_mut(&mut buffer) {
            own.id = id;
            own.began = head.start;
            let state = own.state.get_mut();
            state.anchor = anchor;
            state.rows.begin(id, anchor);
            state.decided = decided;
            state.sampled_by_caller = false;
            state.asked = asked;
            state.opened(head, limits);
        }
        buffer
    }
}

/// Keeps the buffer of a trace that is over for the next trace of this thread, if nobody else holds it.
pub(crate) fn give_back_buffer(mut buffer: Arc<TraceBuffer>) {
    let Some(own) = Arc::get_mut(&mut buffer) else { return };
    let state = own.state.get_mut();
    if state.open.capacity() > 64 || !state.is_idle() {
        return;
    }
    state.gone = false;
    let _kept = POOL.try_with(|pool| {
        if let Ok(mut pool) = pool.try_borrow_mut()
            && pool.buffers.len() < POOLED
        {
            pool.buffers.push(buffer);
        }
    });
}

impl TraceState {
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.open_unlisted == 0
    }

    /// Whether what has ended is to be decided on now. What left the table is found by no sweep, and its spans may stay
    /// open for ever, as a worker's loop does: so it is not waited for until memory is full.
    pub(crate) fn is_over(&self) -> bool {
        self.is_idle() || self.gone && self.rows().is_some_and(|rows| rows.spans.len() >= PART || self.facts().any())
    }

    /// What the decision looks at: what ended, and what open spans said already.
    pub(crate) const fn facts(&self) -> Gathered {
        let mut facts = self.rows.facts;
        facts.keep |= self.asked;
        facts.sampled_by_caller |= self.sampled_by_caller;
        facts
    }

    #[inline]
    pub(crate) fn opened(&mut self, head: &Head, limits: &SpanLimits) {
        self.sampled_by_caller |= head.local_root && head.remote_parent && head.flags.sampled();
        if self.open.len() < limits.spans {
            let Head { span_id, parent, metadata, start, .. } = *head;
            self.open.push(OpenRow { span_id, parent, metadata, start });
        } else {
            self.open_unlisted += 1;
        }
    }

    #[inline]
    pub(crate) fn closed(&mut self, head: &Head) {
        // Spans mostly close in the reverse order.
        if let Some(at) = self.open.iter().rposition(|open| open.span_id == head.span_id) {
            self.open.swap_remove(at);
        } else {
            self.open_unlisted = self.open_unlisted.saturating_sub(1);
        }
    }

    pub(crate) fn rows(&self) -> Option<&Rows> {
        Some(&self.rows).filter(|rows| !rows.spans.is_empty())
    }

    /// Takes the rows out, for those who hold them longer; further spans begin anew.
    pub(crate) fn take_rows(&mut self, id: TraceId) -> Rows {
        let used = POOL.try_with(|pool| pool.try_borrow_mut().ok()?.rows.pop()).ok().flatten();
        let rows = std::mem::replace(&mut self.rows, used.unwrap_or_default());
        self.rows.begin(id, self.anchor);
        rows
    }
}

impl Rows {
    /// Adds a span that closed, if there is room.
    pub(crate) fn add(&mut self, record: &mut SpanRecord, end: u64, limits: &SpanLimits) {
        let Some(head) = record.head else { return };
        if self.spans.len() >= limits.spans || self.texts.len() as usize > MAX_TEXTS {
            self.dropped_spans = self.dropped_spans.saturating_add(1);
            return;
        }
        let by = self.texts.len();
        self.texts.append(&record.fields.texts);
        let first = at(self.attributes.len());
        self.attributes.extend(record.fields.attributes.iter().map(|(name, value)| (*name, value.moved(by))));
        let first_event_attribute = at(self.attributes.len());
        self.attributes.extend(record.event_attributes.iter().map(|(name, value)| (*name, value.moved(by))));
        let first_event = at(self.events.len());
        self.events.extend(record.events.iter().map(|event| EventRow {
            first: event.first + first_event_attribute,
            message: event.message.map(|message| message.moved(by)),
            ..*event
        }));
        let first_link = at(self.links.len());
        self.links.append(&mut record.links);
        let moved = |text: Option<Text>| text.map(|text| text.moved(by));
        let ok = match record.said.status {
            Some(ok) => Some(ok),
            None => record.failed().then_some(false),
        };
        let request = record.request.take().map(|request| {
            if !self.requests.last().is_some_and(|last| Arc::ptr_eq(last, &request)) {
                self.requests.push(request);
            }
            at(self.requests.len()).saturating_sub(1)
        });
        if self.state.is_none() {
            self.state = record.state.take();
        }
        self.spans.push(SpanRow {
            head,
            end,
            name: moved(record.said.name),
            operation: moved(record.said.operation),
            description: moved(record.said.description),
            kind: record.said.kind,
            ok,
            attributes: (first, at(record.fields.attributes.len())),
            events: (first_event, at(record.events.len())),
            links: (first_link, at(self.links.len()) - first_link),
            request,
            dropped_attributes: record.fields.dropped,
            dropped_events: record.dropped_events,
            dropped_links: record.dropped_links,
        });
    }

    /// Spans that ended, also those that there was no room for.
    pub(crate) fn ended(&self) -> u64 {
        self.spans.len() as u64 + u64::from(self.dropped_spans)
    }

    /// What it holds of memory, about.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.spans.capacity() * size_of::<SpanRow>()
            + self.attributes.capacity() * size_of::<Attribute>()
            + self.events.capacity() * size_of::<EventRow>()
            + self.links.capacity() * size_of::<SpanContext>()
            + self.requests.capacity() * 64
            + self.texts.capacity()
    }

    const fn begin(&mut self, id: TraceId, anchor: u64) {
        self.trace_id = Some(id);
        self.anchor = anchor;
    }

    /// Forgets the spans, and what they have grown where that is much.
    pub(crate) fn empty(&mut self) {
        if self.bytes() > LARGE {
            *self = Self { trace_id: self.trace_id, anchor: self.anchor, ..Self::default() };
        } else {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.kept = None;
        self.spans.clear();
        self.attributes.clear();
        self.events.clear();
        self.links.clear();
        self.requests.clear();
        self.texts.clear();
        self.state = None;
        self.dropped_spans = 0;
        self.facts = Gathered::default();
    }
}

/// Keeps the rows of a trace that nobody holds any more for the next that is kept on this thread.
pub(crate) fn give_back(rows: Arc<Rows>) {
    let Ok(mut rows) = Arc::try_unwrap(rows) else { return };
    if rows.bytes() > LARGE {
        return;
    }
    rows.clear();
    let _kept = POOL.try_with(|pool| {
        if let Ok(mut pool) = pool.try_borrow_mut()
            && pool.rows.len() < POOLED
        {
            pool.rows.push(rows);
        }
    });
}

fn at(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Texts of one trace beyond this drop its further spans.
const MAX_TEXTS: usize = 16 * 1024 * 1024;
/// Spans of a trace that left the table and goes on, which are decided on together.
const PART: usize = 64;
/// Rows that grew beyond this are not used again.
const LARGE: usize = 64 * 1024;
const POOLED: usize = 32;

#[derive(Default)]
struct Pool {
    rows: Vec<Rows>,
    buffers: Vec<Arc<TraceBuffer>>,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { rows: Vec::new(), buffers: Vec::new() }) };
}
