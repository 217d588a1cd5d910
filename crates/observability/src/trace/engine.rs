//! Where spans of a trace come together, are decided on, and are handed to the recorder and the exporters.
//!
//! A span that closes locks its own trace's buffer and nothing else; the table of open traces, the recorder and the rest
//! are touched once per trace, each in one of several parts.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use foldhash::fast::FixedState;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::ids::TraceId;
use crate::trace::buffer::{Decided, Rows, TraceBuffer, TraceState, give_back_buffer};
use crate::trace::config::Settings;
use crate::trace::decision::{ErrorTypes, KeepReason, SamplingThreshold, Slowness};
use crate::trace::export::ExportQueue;
use crate::trace::lane::Lanes;
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
    lanes: Lanes,
    ring: Ring,
    slow: Parts<HashMap<Box<str>, Slowness, FixedState>>,
    errors: Mutex<ErrorTypes>,
    next_sweep: AtomicU64,
    active: AtomicUsize,
    decided_early: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    open: HashMap<TraceId, Arc<TraceBuffer>, FixedState>,
    /// Why traces that are over were kept, for spans that come late; the oldest is forgotten first.
    kept: HashMap<TraceId, KeepReason, FixedState>,
    order: VecDeque<TraceId>,
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
        let baseline = if settings.rules.all { SamplingThreshold::of(1.0) } else { settings.rules.baseline };
        Self {
            clock: Clock::new(),
            baseline_state: baseline.tracestate().map(Arc::from),
            table: Parts::new(Table::default),
            lanes: Lanes::default(),
            ring: Ring::new(settings.recorder_bytes, Lanes::COUNT),
            slow: Parts::new(HashMap::default),
            errors: Mutex::new(ErrorTypes::new(settings.first_errors)),
            next_sweep: AtomicU64::new(0),
            active: AtomicUsize::new(0),
            decided_early: AtomicU64::new(0),
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
        let mut over = None;
        if let Some(buffer) = table.open.get(&id) {
            let mut state = buffer.state.lock();
            if !state.gone {
                state.opened(&head, &self.settings.limits);
                drop(state);
                record.trace = Some(Arc::clone(buffer));
                return;
            }
            // Another thread decided on it in this moment and is about to take it out.
            over = Some(state.decided).filter(|decided| matches!(decided, Decided::Kept(_)));
        }
        // What was kept stays whole. What was not is looked at again: the late part may hold the error.
        let known = over.or_else(|| table.kept.get(&id).map(|reason| Decided::Kept(*reason)));
        let decided = known.unwrap_or(Decided::Open);
        let buffer = TraceBuffer::take(id, self.clock.anchor(), decided, &head, &self.settings.limits);
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
        let failed = record.failed();
        let new_error = failed && {
            let kind = record.said.error_type.map_or("", |text| record.fields.texts.get(text));
            self.errors.lock().is_new(record.operation(), kind)
        };
        let slow = head.local_root && self.settings.rules.slow && self.is_slow(record, head.start, now);
        let mut state = buffer.state.lock();
        state.closed(&head, now);
        let sampled = state.sampled_by_caller;
        let facts = &mut state.rows.facts;
        facts.failed |= failed || record.said.error_event;
        facts.new_error |= new_error;
        facts.slow |= slow;
        facts.keep |= record.said.keep;
        facts.sampled_by_caller |= sampled;
        state.rows.add(record, now, &self.settings.limits);
        if state.is_over() {
            self.finish(&buffer, state);
            give_back_buffer(buffer);
        } else {
            drop(state);
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
        let mut stats = TraceStats {
            active: self.active.load(Ordering::Relaxed) as u64,
            decided_early: self.decided_early.load(Ordering::Relaxed),
            recorder_bytes: self.ring.bytes() as u64,
            ..TraceStats::default()
        };
        // What ended of a trace is counted when it is decided on, so those that are open are looked at.
        for buffer in self.buffers() {
            let rows = &buffer.state.lock().rows;
            stats.spans += rows.ended();
            stats.dropped_spans += u64::from(rows.dropped_spans);
        }
        for lane in self.lanes.iter() {
            stats.spans += lane.spans;
            stats.dropped_spans += lane.dropped_spans;
            stats.kept += lane.kept;
            stats.not_kept += lane.not_kept;
            stats.forgotten += lane.forgotten;
            stats.recorder_bytes += lane.segment.bytes() as u64;
        }
        stats
    }

    /// Calls `with` on every finished trace that is held and wanted, those of the recorder first.
    pub(crate) fn each_finished(
        &self,
        wanted: impl Fn(TraceId, Option<KeepReason>) -> bool,
        mut with: impl FnMut(&Rows),
    ) {
        let wants = |rows: &Rows| rows.trace_id.is_some_and(|id| wanted(id, rows.kept));
        let held = self.ring.held(&self.lanes);
        for rows in held.kept.iter().filter(|rows| wants(rows)) {
            with(rows);
        }
        for segment in &held.others {
            segment.each(|id| wanted(id, None), &mut with);
        }
        for buffer in self.buffers() {
            let state = buffer.state.lock();
            if let Some(rows) = state.rows().filter(|rows| wants(rows)) {
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
    fn finish(&self, buffer: &Arc<TraceBuffer>, mut state: MutexGuard<'_, TraceState>) {
        let rows = self.settle(&mut state, buffer.id);
        let leaves = !std::mem::replace(&mut state.gone, true);
        let decided = state.decided;
        drop(state);
        if leaves {
            let mut table = self.table.of(part_of(buffer.id)).lock();
            // Whoever joined since then has put a buffer of its own in the place.
            if let Entry::Occupied(entry) = table.open.entry(buffer.id)
                && Arc::ptr_eq(entry.get(), buffer)
            {
                entry.remove();
            }
            table.remember(buffer.id, decided);
            drop(table);
            self.active.fetch_sub(1, Ordering::Relaxed);
        }
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
        self.decided_early.fetch_add(1, Ordering::Relaxed);
        self.hand_over(rows);
    }

    /// Decides on what has ended, puts away what is not kept, and takes out what is. A decision to keep stands, also for
    /// what follows.
    fn settle(&self, state: &mut TraceState, id: TraceId) -> Option<Rows> {
        let kept = match state.decided {
            Decided::Kept(reason) => Some(reason),
            _ => self.settings.rules.decide(id, state.rows.facts),
        };
        state.decided = kept.map_or(Decided::NotKept, Decided::Kept);
        if state.rows.ended() == 0 {
            return None;
        }
        if kept.is_some() {
            return Some(Rows { kept, ..state.take_rows(id) });
        }
        let mut lane = self.lanes.own();
        let (spans, dropped) = (state.rows.ended(), u64::from(state.rows.dropped_spans));
        let gone = if self.settings.record_all { self.ring.push(&mut lane.segment, &mut state.rows) } else { 0 };
        lane.count(spans, dropped, gone);
        lane.not_kept += 1;
        drop(lane);
        state.rows.empty();
        None
    }

    /// Gives a kept trace to all who want it.
    fn hand_over(&self, rows: Option<Rows>) {
        let Some(rows) = rows.map(Arc::new) else { return };
        let (spans, dropped) = (rows.ended(), u64::from(rows.dropped_spans));
        if let Some(export) = &self.export {
            export.push(&rows);
        }
        #[cfg(feature = "otlp")]
        if let Some(otlp) = &self.otlp {
            otlp.push_trace(&rows);
        }
        let gone = self.ring.push_kept(rows);
        let mut lane = self.lanes.own();
        lane.count(spans, dropped, gone);
        lane.kept += 1;
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
