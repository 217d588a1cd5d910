//! Where spans of a trace come together, are decided on, and are handed to the recorder and the exporters.
//!
//! A span that closes locks its own trace's buffer and nothing else; the lane of its trace is touched at the trace's two
//! ends. Who needs both locks takes the lane's first.

use std::cell::Cell;
use std::collections::{BinaryHeap, HashMap};
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::ids::TraceId;
use crate::trace::buffer::{Decided, Rows, TraceBuffer, TraceState, give_back_buffer};
use crate::trace::config::Settings;
use crate::trace::decision::{ErrorTypes, KeepReason, SamplingThreshold, Slowness};
use crate::trace::export::ExportQueue;
use crate::trace::lane::{Lane, Lanes};
use crate::trace::record::{Head, SpanRecord};
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
    /// Traces decided on with spans still open: by age, for want of room, or at the end.
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
    lanes: Lanes,
    ring: Ring,
    slow: Parts<HashMap<Box<str>, Arc<Slow>, RandomState>>,
    /// Operations may be called as a caller likes, so nobody must know where their names stand.
    hasher: RandomState,
    /// Which one of the process it is.
    number: u64,
    errors: Mutex<ErrorTypes>,
    next_sweep: AtomicU64,
    decided_early: AtomicU64,
}

/// How slow an operation is.
#[derive(Debug)]
struct Slow {
    engine: u64,
    /// What it is found by; that of all that there was no room for has another name, and is looked up each time.
    operation: Box<str>,
    state: Mutex<Slowness>,
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
}

impl Engine {
    pub(crate) fn new(settings: Settings, export: Option<Arc<ExportQueue>>) -> Self {
        let baseline = if settings.rules.all { SamplingThreshold::of(1.0) } else { settings.rules.baseline };
        Self {
            clock: Clock::new(),
            baseline_state: baseline.tracestate().map(Arc::from),
            lanes: Lanes::default(),
            ring: Ring::new(settings.recorder_bytes, Lanes::COUNT),
            slow: Parts::new(HashMap::default),
            hasher: RandomState::default(),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            errors: Mutex::new(ErrorTypes::new(settings.first_errors)),
            next_sweep: AtomicU64::new(0),
            decided_early: AtomicU64::new(0),
            settings,
            export,
            #[cfg(feature = "otlp")]
            otlp: None,
        }
    }

    /// The buffer of a new trace, whose id nobody else knows.
    pub(crate) fn begin(&self, record: &mut SpanRecord) {
        let Some(head) = record.head else { return };
        self.open(self.lanes.of(head.trace_id).lock(), record, &head, Decided::Open);
    }

    /// The buffer of a trace for a local root that begins in it.
    pub(crate) fn join(&self, record: &mut SpanRecord) {
        let Some(head) = record.head else { return };
        let lane = self.lanes.of(head.trace_id).lock();
        if let Some(buffer) = lane.open.get(&head.trace_id) {
            let mut state = buffer.state.lock();
            state.opened(&head, &self.settings.limits);
            state.asked |= record.said.keep;
            drop(state);
            record.trace = Some(Arc::clone(buffer));
            return;
        }
        let decided = lane.recall(head.trace_id);
        self.open(lane, record, &head, decided);
    }

    fn open(&self, mut lane: MutexGuard<'_, Lane>, record: &mut SpanRecord, head: &Head, decided: Decided) {
        let (id, asked) = (head.trace_id, record.said.keep);
        let buffer = TraceBuffer::take(id, self.clock.anchor(), decided, asked, head, &self.settings.limits);
        lane.open.insert(id, Arc::clone(&buffer));
        let many = lane.open.len() > lane.look_at.max(self.share());
        drop(lane);
        record.trace = Some(buffer);
        if many {
            self.look_for_room(id);
        }
    }

    /// A span that leaves its trace for another, before it ended.
    pub(crate) fn leave(&self, record: &mut SpanRecord) {
        let (Some(head), Some(buffer)) = (record.head, record.trace.take()) else { return };
        let mut lane = self.lanes.of(buffer.id).lock();
        let mut state = buffer.state.lock();
        state.closed(&head);
        if state.is_idle() && state.rows().is_none() && !state.gone {
            state.gone = true;
            drop(state);
            lane.open.remove(&buffer.id);
            drop(lane);
            give_back_buffer(buffer);
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
        state.closed(&head);
        let facts = &mut state.rows.facts;
        facts.failed |= failed || record.said.error_event;
        facts.new_error |= new_error;
        facts.slow |= slow;
        facts.keep |= record.said.keep;
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
        let age = nanos(self.settings.max_age);
        for lane in self.lanes.all() {
            let late = |buffer: &&Arc<TraceBuffer>| now.saturating_sub(buffer.began) >= age;
            let waiting: Vec<_> = lane.lock().open.values().filter(late).cloned().collect();
            for buffer in waiting {
                self.decide_early(&buffer, true);
            }
        }
    }

    /// Decides on all that has ended, whatever is still open: there will be no other time.
    pub(crate) fn decide_all(&self) {
        for buffer in self.buffers().iter().filter(|buffer| buffer.state.lock().rows().is_some()) {
            self.decide_early(buffer, false);
        }
    }

    pub(crate) fn stats(&self) -> TraceStats {
        let mut stats = TraceStats {
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
            stats.active += lane.open.len() as u64;
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
        self.lanes.iter().flat_map(|lane| lane.open.values().cloned().collect::<Vec<_>>()).collect()
    }

    fn is_slow(&self, record: &SpanRecord, start: u64, now: u64) -> bool {
        let operation = record.operation();
        let took = Duration::from_nanos(now.saturating_sub(start));
        // A thread mostly ends the same operation again, and need not look for it.
        let last = LAST_SLOW.try_with(Cell::take).ok().flatten();
        let slow = match last.filter(|slow| slow.engine == self.number && *slow.operation == *operation) {
            Some(slow) => slow,
            None => self.slowness(operation, now),
        };
        let is_slow = slow.state.lock().record(now, took, self.settings.slow_after);
        let _kept = LAST_SLOW.try_with(|last| last.set(Some(slow)));
        is_slow
    }

    fn slowness(&self, operation: &str, now: u64) -> Arc<Slow> {
        let mut part = self.slow.of(self.hasher.hash_one(operation)).lock();
        if let Some(known) = part.get(operation) {
            return Arc::clone(known);
        }
        let name = if part.len() < OPERATIONS { operation } else { OTHER };
        let make = || Slow { engine: self.number, operation: name.into(), state: Mutex::new(Slowness::new(now)) };
        Arc::clone(part.entry(name.into()).or_insert_with(|| Arc::new(make())))
    }

    /// The last open span of a trace closed, or one of a trace that nobody looks after any more.
    fn finish<'a>(&self, buffer: &'a Arc<TraceBuffer>, state: MutexGuard<'a, TraceState>) {
        let lane = self.lanes.of(buffer.id);
        // Whoever needs both locks the lane first, so it is not waited for here.
        let (mut lane, mut state) = if let Some(lane) = lane.try_lock() {
            (lane, state)
        } else {
            drop(state);
            let lane = lane.lock();
            (lane, buffer.state.lock())
        };
        // Meanwhile another span may have begun, at whose end it will be over.
        if !state.is_over() {
            return;
        }
        let rows = self.settle(&mut lane, &mut state, buffer.id);
        let leaves = !std::mem::replace(&mut state.gone, true);
        let decided = state.decided;
        drop(state);
        if leaves {
            lane.open.remove(&buffer.id);
            lane.remember(buffer.id, decided);
        }
        drop(lane);
        self.hand_over(rows);
    }

    fn decide_early(&self, buffer: &TraceBuffer, leaves: bool) {
        let mut lane = self.lanes.of(buffer.id).lock();
        let mut state = buffer.state.lock();
        if state.gone {
            return;
        }
        if leaves {
            state.gone = true;
            lane.open.remove(&buffer.id);
        }
        let rows = self.settle(&mut lane, &mut state, buffer.id);
        lane.remember(buffer.id, state.decided);
        drop(state);
        drop(lane);
        self.decided_early.fetch_add(1, Ordering::Relaxed);
        self.hand_over(rows);
    }

    /// Decides on what has ended, puts away what is not kept, and takes out what is. A decision to keep stands, also for
    /// what follows.
    fn settle(&self, lane: &mut Lane, state: &mut TraceState, id: TraceId) -> Option<Rows> {
        let kept = match state.decided {
            Decided::Kept(reason) => Some(reason),
            _ => self.settings.rules.decide(id, state.facts()),
        };
        state.decided = kept.map_or(Decided::NotKept, Decided::Kept);
        if state.rows.ended() == 0 {
            return None;
        }
        let (spans, dropped) = (state.rows.ended(), u64::from(state.rows.dropped_spans));
        if kept.is_some() {
            lane.count(spans, dropped, 0);
            lane.kept += 1;
            return Some(Rows { kept, ..state.take_rows(id) });
        }
        let gone = if self.settings.record_all { self.ring.push(&mut lane.segment, &mut state.rows) } else { 0 };
        lane.count(spans, dropped, gone);
        lane.not_kept += 1;
        state.rows.empty();
        None
    }

    /// Gives a kept trace to all who want it.
    fn hand_over(&self, rows: Option<Rows>) {
        let Some(rows) = rows.map(Arc::new) else { return };
        let id = rows.trace_id;
        if let Some(export) = &self.export {
            export.push(&rows);
        }
        #[cfg(feature = "otlp")]
        if let Some(otlp) = &self.otlp {
            otlp.push_trace(&rows);
        }
        let gone = self.ring.push_kept(rows);
        if let Some(id) = id.filter(|_| gone > 0) {
            self.lanes.of(id).lock().count(0, 0, gone);
        }
    }

    /// Open traces of a lane below which nobody asks how many there are in all.
    const fn share(&self) -> usize {
        self.settings.max_active / Lanes::COUNT
    }

    /// Where too many traces are open, decides on the oldest ones of the lane that has the most, so that spans which
    /// never close do not take all room.
    fn look_for_room(&self, newest: TraceId) {
        let (mut all, mut most) = (0, 0);
        let mut crowded = None;
        for lane in self.lanes.all() {
            let open = lane.lock().open.len();
            all += open;
            if open > most {
                (most, crowded) = (open, Some(lane));
            }
        }
        if let Some(left) = self.settings.max_active.checked_sub(all) {
            // The room that is left is divided, so that the next look is not at the next trace.
            for mut lane in self.lanes.iter() {
                lane.look_at = lane.open.len() + left / Lanes::COUNT;
            }
            return;
        }
        let oldest = crowded.map(|lane| oldest(&lane.lock(), newest)).unwrap_or_default();
        for buffer in oldest {
            self.decide_early(&buffer, true);
        }
    }
}

/// One of 64 of a lane's open traces, those that began first: all are looked at to find them, which the next ones that
/// begin are spared.
fn oldest(lane: &Lane, newest: TraceId) -> Vec<Arc<TraceBuffer>> {
    let most = (lane.open.len() / AT_ONCE).max(1);
    // The youngest of them on top.
    let mut oldest = BinaryHeap::with_capacity(most);
    for buffer in lane.open.values().filter(|buffer| buffer.id != newest) {
        let one = (buffer.began, buffer.id.to_u128());
        if oldest.len() < most {
            oldest.push(one);
        } else if let Some(mut youngest) = oldest.peek_mut()
            && one < *youngest
        {
            *youngest = one;
        }
    }
    let ids = oldest.into_iter().filter_map(|(_, id)| TraceId::new(id));
    ids.filter_map(|id| lane.open.get(&id).cloned()).collect()
}

/// As many parts as there may be threads that look at how slow something was in the same moment.
const PARTS: u64 = 16;
/// Where there is no room for a trace, it is made for one of so many that are open.
const AT_ONCE: usize = 64;
/// Nanoseconds between two looks for traces that wait.
const SWEEP: u64 = 500_000_000;
/// Operations of a part whose percentile is followed.
const OPERATIONS: usize = 128;
const OTHER: &str = "_other";
static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static LAST_SLOW: Cell<Option<Arc<Slow>>> = const { Cell::new(None) };
}
