//! Where spans of a trace come together, are decided on, and are handed to the recorder and the exporters.
//!
//! A span that closes locks its own trace's buffer and nothing else; the table of open traces, the recorder and the rest
//! are touched once per trace, each in one of several parts.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::fast::FixedState;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::ids::TraceId;
use crate::trace::buffer::{Decided, Gathered, Rows, TraceBuffer, TraceState, give_back};
use crate::trace::config::Settings;
use crate::trace::decision::{ErrorTypes, KeepReason, SamplingThreshold, Slowness};
use crate::trace::export::ExportQueue;
use crate::trace::record::SpanRecord;
use crate::trace::ring::Ring;

/// What became of spans and traces so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TraceStats {
    /// Spans that ended.
    pub spans: u64,
    /// Spans that a trace had no room for.
    pub dropped_spans: u64,
    /// Traces that were kept, whole or in part.
    pub kept: u64,
    /// Traces that were not.
    pub not_kept: u64,
    /// Traces with open spans.
    pub active: u64,
    /// Traces decided on with spans still open: after the grace, by age, or for want of room.
    pub decided_early: u64,
    /// Traces that left the recorder for newer ones.
    pub forgotten: u64,
    /// About what the recorder holds, in bytes.
    pub recorder_bytes: u64,
}

#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    pub(crate) export: Option<Arc<ExportQueue>>,
    #[cfg(feature = "otlp")]
    pub(crate) otlp: Option<Arc<crate::otlp::Pipeline>>,
    /// The `tracestate` of a trace that begins here and belongs to the baseline: what share that is.
    pub(crate) baseline_state: Option<Arc<str>>,
    table: Parts<Table>,
    rings: Parts<Ring>,
    slow: Parts<HashMap<Box<str>, Slowness, FixedState>>,
    errors: Mutex<ErrorTypes>,
    next_sweep: AtomicU64,
    active: AtomicUsize,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<TraceId, Arc<TraceBuffer>, FixedState>,
    /// Why traces that are over were kept, for spans that come late; the oldest is forgotten first.
    kept: HashMap<TraceId, KeepReason, FixedState>,
    order: VecDeque<TraceId>,
}

#[derive(Debug, Default)]
struct Counts {
    spans: AtomicU64,
    dropped_spans: AtomicU64,
    kept: AtomicU64,
    not_kept: AtomicU64,
    decided_early: AtomicU64,
    forgotten: AtomicU64,
}

/// Several of the same, each behind a lock; which one is up to a hash.
#[derive(Debug)]
struct Parts<T> {
    first: Mutex<T>,
    rest: Box<[Mutex<T>]>,
}

impl<T> Parts<T> {
    fn new(make: impl Fn() -> T) -> Self {
        Self { first: Mutex::new(make()), rest: (1..PARTS).map(|_| Mutex::new(make())).collect() }
    }

    fn of(&self, hash: u64) -> &Mutex<T> {
        usize::try_from(hash % PARTS).ok().and_then(|at| self.rest.get(at)).unwrap_or(&self.first)
    }

    fn iter(&self) -> impl Iterator<Item = &Mutex<T>> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

impl Engine {
    pub(crate) fn new(settings: Settings, export: Option<Arc<ExportQueue>>) -> Self {
        let part = settings.recorder_bytes / usize::try_from(PARTS).unwrap_or(1);
        let baseline = if settings.rules.all { SamplingThreshold::of(1.0) } else { settings.rules.baseline };
        Self {
            clock: Clock::new(),
            baseline_state: baseline.tracestate().map(Arc::from),
            table: Parts::new(Table::default),
            rings: Parts::new(|| Ring::new(part)),
            slow: Parts::new(HashMap::default),
            errors: Mutex::new(ErrorTypes::new(settings.first_errors)),
            next_sweep: AtomicU64::new(0),
            active: AtomicUsize::new(0),
            counts: Counts::default(),
            settings,
            export,
            #[cfg(feature = "otlp")]
            otlp: None,
        }
    }

    /// The buffer of a trace for a local root that begins in it.
    pub(crate) fn join(&self, record: &mut SpanRecord) {
        let Some(head) = record.head else { return };
        let id = head.trace_id;
        let mut table = self.table.of(part_of(id)).lock();
        if let Some(buffer) = table.open.get(&id) {
            buffer.state.lock().opened(&head, &self.settings.limits);
            record.trace = Some(Arc::clone(buffer));
            return;
        }
        let mut buffer = TraceBuffer::new(id, head.start, self.clock.anchor());
        // Nobody else has it yet, so there is nothing to lock.
        let state = buffer.state.get_mut();
        state.opened(&head, &self.settings.limits);
        // What was kept stays whole. What was not is looked at again: the late part may hold the error.
        if let Some(reason) = table.kept.get(&id) {
            state.decided = Decided::Kept(*reason);
        }
        let buffer = Arc::new(buffer);
        table.open.insert(id, Arc::clone(&buffer));
        drop(table);
        record.trace = Some(buffer);
        if self.active.fetch_add(1, Ordering::Relaxed) >= self.settings.max_active {
            self.make_room(part_of(id), id);
        }
    }

    /// A span that leaves its trace for another, before it ended.
    pub(crate) fn leave(&self, record: &mut SpanRecord) {
        let (Some(head), Some(buffer)) = (record.head, record.trace.take()) else { return };
        let idle = {
            let mut state = buffer.state.lock();
            state.closed(&head, head.start);
            state.is_idle() && state.rows().is_none()
        };
        if idle {
            let mut table = self.table.of(part_of(buffer.id)).lock();
            let mut state = buffer.state.lock();
            if state.is_idle() && state.rows().is_none() && !state.gone {
                state.gone = true;
                table.open.remove(&buffer.id);
                self.active.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// Takes in a span that closed.
    pub(crate) fn closed(&self, record: &mut SpanRecord, now: u64) {
        let (Some(head), Some(buffer)) = (record.head, record.trace.take()) else { return };
        self.counts.spans.fetch_add(1, Ordering::Relaxed);
        let failed = record.failed();
        let new_error = failed && {
            let kind = record.said.error_type.map_or("", |text| record.fields.texts.get(text));
            self.errors.lock().is_new(record.operation(), kind)
        };
        let slow = head.local_root && self.settings.rules.slow && self.is_slow(record, head.start, now);
        let over = {
            let mut state = buffer.state.lock();
            state.closed(&head, now);
            let sampled = state.sampled_by_caller;
            if let Some(rows) = state.rows_mut(buffer.id) {
                let facts = &mut rows.facts;
                facts.failed |= failed || record.said.error_event;
                facts.new_error |= new_error;
                facts.slow |= slow;
                facts.keep |= record.said.keep;
                facts.sampled_by_caller |= sampled;
                if !rows.add(record, now, &self.settings.limits) {
                    self.counts.dropped_spans.fetch_add(1, Ordering::Relaxed);
                }
            }
            state.is_over()
        };
        if over {
            self.finish(&buffer);
        }
        self.sweep_if_due(now);
    }

    /// Sweeps twice a second, however many call.
    pub(crate) fn sweep_if_due(&self, now: u64) {
        let next = self.next_sweep.load(Ordering::Relaxed);
        if now >= next
            && self.next_sweep.compare_exchange(next, now + SWEEP, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.sweep(now);
        }
    }

    /// Decides on what waits too long for spans that are still open.
    pub(crate) fn sweep(&self, now: u64) {
        self.clock.refresh();
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (grace, age) = (nanos(self.settings.grace), nanos(self.settings.max_age));
        for part in self.table.iter() {
            let waiting: Vec<Arc<TraceBuffer>> = {
                let table = part.lock();
                let late = |buffer: &&Arc<TraceBuffer>| {
                    let state = buffer.state.lock();
                    let quiet = state.open_roots == 0 && now.saturating_sub(state.last_root_closed) >= grace;
                    quiet && state.rows().is_some() || now.saturating_sub(buffer.began) >= age
                };
                table.open.values().filter(late).cloned().collect()
            };
            for buffer in waiting {
                self.decide_early(part, &buffer, now.saturating_sub(buffer.began) >= age);
            }
        }
    }

    /// Decides on all that has ended, whatever is still open: there will be no other time.
    pub(crate) fn decide_all(&self) {
        for part in self.table.iter() {
            let open: Vec<Arc<TraceBuffer>> = part.lock().open.values().cloned().collect();
            for buffer in open.iter().filter(|buffer| buffer.state.lock().rows().is_some()) {
                self.decide_early(part, buffer, false);
            }
        }
    }

    pub(crate) fn stats(&self) -> TraceStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TraceStats {
            spans: count(&self.counts.spans),
            dropped_spans: count(&self.counts.dropped_spans),
            kept: count(&self.counts.kept),
            not_kept: count(&self.counts.not_kept),
            active: self.active.load(Ordering::Relaxed) as u64,
            decided_early: count(&self.counts.decided_early),
            forgotten: count(&self.counts.forgotten),
            recorder_bytes: self.rings.iter().map(|ring| ring.lock().bytes() as u64).sum(),
        }
    }

    /// Calls `with` on every finished trace that is held, those of the recorder first.
    pub(crate) fn each_finished(&self, mut with: impl FnMut(&Rows)) {
        for ring in self.rings.iter() {
            let held: Vec<Arc<Rows>> = ring.lock().iter().cloned().collect();
            for rows in &held {
                with(rows);
            }
        }
        for buffer in self.buffers() {
            let state = buffer.state.lock();
            if let Some(rows) = state.rows() {
                with(rows);
            }
        }
    }

    /// The traces with open spans.
    pub(crate) fn buffers(&self) -> Vec<Arc<TraceBuffer>> {
        self.table.iter().flat_map(|part| part.lock().open.values().cloned().collect::<Vec<_>>()).collect()
    }

    fn is_slow(&self, record: &SpanRecord, start: u64, now: u64) -> bool {
        use std::hash::BuildHasher as _;
        let operation = record.operation();
        let mut part = self.slow.of(FixedState::default().hash_one(operation)).lock();
        let took = Duration::from_nanos(now.saturating_sub(start));
        if let Some(slowness) = part.get_mut(operation) {
            return slowness.record(now, took, self.settings.slow_after);
        }
        let name = if part.len() < OPERATIONS { operation } else { OTHER };
        part.entry(name.into()).or_insert_with(|| Slowness::new(now)).record(now, took, self.settings.slow_after)
    }

    /// The last open span of a trace closed, or one of a trace that nobody looks after any more.
    fn finish(&self, buffer: &Arc<TraceBuffer>) {
        let rows = {
            let mut table = self.table.of(part_of(buffer.id)).lock();
            let mut state = buffer.state.lock();
            // Another may have joined, or finished it first.
            if !state.is_over() {
                return;
            }
            let rows = self.settle(&mut state, buffer.id);
            if !state.gone {
                state.gone = true;
                table.open.remove(&buffer.id);
                self.active.fetch_sub(1, Ordering::Relaxed);
                table.remember(buffer.id, state.decided);
            }
            rows
        };
        self.hand_over(rows);
    }

    fn decide_early(&self, part: &Mutex<Table>, buffer: &Arc<TraceBuffer>, leaves: bool) {
        let rows = {
            let mut table = part.lock();
            let mut state = buffer.state.lock();
            if state.gone {
                return;
            }
            if leaves {
                state.gone = true;
                table.open.remove(&buffer.id);
                self.active.fetch_sub(1, Ordering::Relaxed);
            }
            let rows = self.settle(&mut state, buffer.id);
            table.remember(buffer.id, state.decided);
            rows
        };
        self.counts.decided_early.fetch_add(1, Ordering::Relaxed);
        self.hand_over(rows);
    }

    /// Takes the finished rows with the decision on them; a decision to keep stands, also for what follows.
    fn settle(&self, state: &mut TraceState, id: TraceId) -> Option<Arc<Rows>> {
        let mut rows = state.rows.take();
        let decided = match state.decided {
            Decided::Kept(reason) => Some(reason),
            _ => self.settings.rules.decide(id, rows.as_ref().map_or_else(Gathered::default, |rows| rows.facts)),
        };
        state.decided = decided.map_or(Decided::NotKept, Decided::Kept);
        if let Some(own) = rows.as_mut().and_then(Arc::get_mut) {
            own.kept = decided;
        }
        rows
    }

    fn hand_over(&self, rows: Option<Arc<Rows>>) {
        let Some(rows) = rows else { return };
        let Some(id) = rows.trace_id.filter(|_| !rows.spans.is_empty()) else { return give_back(rows) };
        if rows.kept.is_some() {
            self.counts.kept.fetch_add(1, Ordering::Relaxed);
            if let Some(export) = &self.export {
                export.push(&rows);
            }
            #[cfg(feature = "otlp")]
            if let Some(otlp) = &self.otlp {
                otlp.push_trace(&rows);
            }
        } else {
            self.counts.not_kept.fetch_add(1, Ordering::Relaxed);
            if !self.settings.record_all {
                return give_back(rows);
            }
        }
        let gone = self.rings.of(part_of(id)).lock().push(rows);
        if gone > 0 {
            self.counts.forgotten.fetch_add(gone, Ordering::Relaxed);
        }
    }

    /// Decides on the oldest trace of a part, so that spans which never close do not take all room.
    fn make_room(&self, part: u64, except: TraceId) {
        let part = self.table.of(part);
        let oldest = {
            let table = part.lock();
            table.open.values().filter(|buffer| buffer.id != except).min_by_key(|buffer| buffer.began).cloned()
        };
        if let Some(oldest) = oldest {
            self.decide_early(part, &oldest, true);
        }
    }
}

impl Table {
    fn remember(&mut self, id: TraceId, decided: Decided) {
        // What was not kept is decided on anew, so there is nothing to remember.
        let Decided::Kept(reason) = decided else { return };
        if self.kept.insert(id, reason).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.kept.remove(&oldest);
        }
    }
}

fn part_of(id: TraceId) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "any bits of the id do")]
    let low = id.to_u128() as u64;
    low ^ (low >> 32)
}

/// As many parts as there may be threads in the same moment at the end of a trace.
const PARTS: u64 = 16;
/// Nanoseconds between two looks for traces that wait.
const SWEEP: u64 = 500_000_000;
/// Operations of a part whose percentile is followed.
const OPERATIONS: usize = 128;
const OTHER: &str = "_other";
/// Decisions of a part that late spans find.
const REMEMBERED: usize = 512;
