//! What waits to be sent of one signal.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::transport::{Accepted, Failure};
use crate::{ExportReport, Signal};

#[derive(Debug)]
pub(super) struct Lane<T> {
    signal: Signal,
    most: usize,
    weigh: fn(&T) -> u64,
    /// About how many bytes of memory it holds.
    size: fn(&T) -> usize,
    state: Mutex<State<T>>,
    /// For those who wait for it, on threads of their own.
    changed: Condvar,
    /// For the one who sends.
    wake: Notify,
    sent: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each says something else of the queue")]
struct State<T> {
    waiting: VecDeque<T>,
    /// Of what waits.
    bytes: usize,
    /// What is being sent.
    in_hand: u64,
    /// Somebody waits for all that is there.
    hurry: bool,
    closing: bool,
    ended: bool,
    /// Something was given up before it was tried, or before it was answered in time.
    untried: bool,
    last_error: Option<String>,
}

/// Why a batch did not get out.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) reason: String,
    pub(super) why: Why,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// The deadline of the shutdown passed.
    Late,
    /// The last attempt failed so.
    Failed(Failure),
}

/// What there is to do.
pub(super) enum Next<T> {
    Send(Vec<T>),
    /// Nothing waits.
    Idle,
    /// Nothing waits, and nothing will come.
    End,
}

impl<T> Lane<T> {
    pub(super) fn new(signal: Signal, most: usize, weigh: fn(&T) -> u64, size: fn(&T) -> usize) -> Self {
        let state = State {
            waiting: VecDeque::new(),
            bytes: 0,
            in_hand: 0,
            hurry: false,
            closing: false,
            ended: false,
            untried: false,
            last_error: None,
        };
        let (sent, dropped) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            signal,
            most,
            weigh,
            size,
            state: Mutex::new(state),
            changed: Condvar::new(),
            wake: Notify::new(),
            sent,
            dropped,
        }
    }

    pub(super) const fn signal(&self) -> Signal {
        self.signal
    }

    pub(super) fn push(&self, item: T) {
        let size = (self.size)(&item);
        let mut state = self.state.lock();
        let full = state.waiting.len() >= self.most || (state.bytes + size > MOST_BYTES && !state.waiting.is_empty());
        if state.closing || full {
            drop(state);
            self.dropped.fetch_add((self.weigh)(&item), Ordering::Relaxed);
            return;
        }
        state.bytes += size;
        state.waiting.push_back(item);
        let full = state.waiting.len() == BATCH;
        drop(state);
        if full {
            self.wake.notify_one();
        }
    }

    /// Waits for a full batch, for somebody in a hurry, or for this long.
    pub(super) async fn wait(&self, long: Duration) {
        let ready = {
            let state = self.state.lock();
            state.closing || state.hurry || state.waiting.len() >= BATCH
        };
        if !ready {
            // Either way it is time to look.
            let _either = tokio::time::timeout(long, self.wake.notified()).await;
        }
    }

    /// Takes the next batch.
    pub(super) fn take(&self) -> Next<T> {
        let mut state = self.state.lock();
        if state.waiting.is_empty() {
            if state.closing {
                return Next::End;
            }
            state.hurry = false;
            drop(state);
            self.changed.notify_all();
            return Next::Idle;
        }
        let (mut weight, mut bytes) = (0, 0);
        let fits = |item: &&T| {
            weight += (self.weigh)(item);
            bytes += (self.size)(item);
            weight <= HEAVY && bytes <= LARGE
        };
        // One that is too heavy by itself goes alone.
        let count = state.waiting.iter().take(BATCH).take_while(fits).count().max(1);
        let items: Vec<T> = state.waiting.drain(..count).collect();
        state.bytes = state.bytes.saturating_sub(items.iter().map(self.size).sum());
        state.in_hand = items.iter().map(self.weigh).sum();
        Next::Send(items)
    }

    /// Says that this much is being sent, where it is known only now.
    pub(super) fn holds(&self, weight: u64) {
        self.state.lock().in_hand = weight;
    }

    /// Notes what became of so much of what was taken.
    pub(super) fn done(&self, weight: usize, result: Result<Accepted, Lost>) {
        let weight = weight as u64;
        let mut state = self.state.lock();
        state.in_hand = state.in_hand.saturating_sub(weight);
        let (rejected, error) = match result {
            Ok(Accepted { rejected, message }) => (rejected.min(weight), message),
            Err(Lost { reason, why }) => {
                state.untried |= why == Why::Late;
                (weight, Some(reason))
            }
        };
        if error.is_some() {
            state.last_error = error;
        }
        self.sent.fetch_add(weight - rejected, Ordering::Relaxed);
        self.dropped.fetch_add(rejected, Ordering::Relaxed);
    }

    /// Notes that nothing can be sent at all.
    pub(super) fn failed(&self, reason: String) {
        self.state.lock().last_error = Some(reason);
    }

    /// Says that nothing more comes of what was taken; what nothing came of is dropped.
    pub(super) fn put_down(&self) {
        let mut state = self.state.lock();
        let left = std::mem::take(&mut state.in_hand);
        state.untried |= left > 0;
        drop(state);
        self.dropped.fetch_add(left, Ordering::Relaxed);
        self.changed.notify_all();
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state.lock().closing
    }

    pub(super) fn in_hurry(&self) -> bool {
        let state = self.state.lock();
        state.hurry || state.closing
    }

    /// Drops what waits untried, since there is nobody who would take it, or no time.
    pub(super) fn give_up(&self) {
        let mut state = self.state.lock();
        state.bytes = 0;
        state.untried |= !state.waiting.is_empty();
        let lost: u64 = state.waiting.drain(..).map(|item| (self.weigh)(&item)).sum();
        drop(state);
        self.dropped.fetch_add(lost, Ordering::Relaxed);
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.state.lock().closing = true;
        self.wake.notify_one();
    }

    /// Nobody sends any more.
    pub(super) fn end(&self) {
        let mut state = self.state.lock();
        state.closing = true;
        state.ended = true;
        drop(state);
        self.changed.notify_all();
    }

    pub(super) fn hurry(&self) {
        self.state.lock().hurry = true;
        self.wake.notify_one();
    }

    /// Waits on this thread until all is out that waited when it was in a hurry.
    pub(super) fn flushed(&self, until: Instant) -> bool {
        self.until(until, |state| state.ended || (!state.hurry && state.in_hand == 0))
    }

    pub(super) fn ended(&self, until: Instant) -> bool {
        self.until(until, |state| state.ended)
    }

    pub(super) fn report(&self, until: Instant) -> ExportReport {
        let flushed = self.ended(until);
        let state = self.state.lock();
        let left = state.in_hand + state.waiting.iter().map(self.weigh).sum::<u64>();
        // On a machine that is too busy, the one who sends has had no time to say so.
        let late = (left > 0 && !flushed).then(|| TOO_LATE.to_owned());
        ExportReport {
            exporter: "otlp".to_owned(),
            signal: self.signal,
            sent: self.sent.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed) + left,
            last_error: state.last_error.clone().or(late),
            flushed: flushed && left == 0 && !state.untried,
        }
    }

    fn until(&self, until: Instant, holds: impl Fn(&State<T>) -> bool) -> bool {
        let mut state = self.state.lock();
        while !holds(&state) {
            if self.changed.wait_until(&mut state, until).timed_out() {
                return holds(&state);
            }
        }
        true
    }
}

pub(super) const TOO_LATE: &str = "the deadline of the shutdown passed";
/// Traces or records in one request.
pub(super) const BATCH: usize = 512;
/// What may wait, however few: a collector that is gone must not cost the service its memory.
const MOST_BYTES: usize = 64 << 20;
/// Spans in one request, or one trace.
const HEAVY: u64 = 1_024;
/// Memory of what is turned into one request, or one trace or record; how many bytes it has on the wire is seen then.
const LARGE: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lane: &Lane<u64>) -> Vec<u64> {
        match lane.take() {
            Next::Send(items) => items,
            Next::Idle | Next::End => Vec::new(),
        }
    }

    #[test]
    fn what_waits_is_bounded_by_bytes_too() {
        let lane = Lane::new(Signal::Traces, 100, |_: &u64| 1, |_| MOST_BYTES / 2);
        for spans in 0..5 {
            lane.push(spans);
        }
        assert_eq!(lane.dropped.load(Ordering::Relaxed), 3);
        // Each is more than one request holds.
        assert_eq!([taken(&lane), taken(&lane)], [[0], [1]]);
        lane.push(5);
        assert_eq!(taken(&lane), [5]);
    }

    #[test]
    fn a_batch_of_large_records_holds_fewer() {
        let lane = Lane::new(Signal::Logs, 100, |_| 1, |bytes: &u64| usize::try_from(*bytes).unwrap());
        let (small, half) = (100, LARGE as u64 / 2);
        for bytes in [half, small, half, half, half, 3 * half, small] {
            lane.push(bytes);
        }
        let batches = [taken(&lane), taken(&lane), taken(&lane), taken(&lane)];
        assert_eq!(batches, [vec![half, small], vec![half, half], vec![half], vec![3 * half]]);
    }

    #[test]
    fn a_part_that_was_not_tried_is_told() {
        let lane = Lane::new(Signal::Traces, 10, |_: &u64| 1, |_| 1);
        let now = crate::clock::now();
        lane.push(1);
        lane.push(2);
        lane.close();
        assert_eq!(taken(&lane), [1, 2]);
        lane.done(1, Err(Lost { reason: "refused".to_owned(), why: Why::Failed(Failure::Refused) }));
        lane.done(1, Ok(Accepted::default()));
        lane.put_down();
        lane.end();
        let report = lane.report(now);
        assert_eq!((report.sent, report.dropped, report.flushed), (1, 1, true), "both were tried");
        let lane = Lane::new(Signal::Traces, 10, |_: &u64| 1, |_| 1);
        lane.push(1);
        lane.push(2);
        assert_eq!(taken(&lane), [1, 2]);
        lane.push(3);
        lane.done(1, Err(Lost { reason: "gone".to_owned(), why: Why::Failed(Failure::Unreachable) }));
        lane.give_up();
        lane.put_down();
        lane.end();
        let report = lane.report(now);
        assert_eq!((report.sent, report.dropped, report.flushed), (0, 3, false));
        let lane = Lane::new(Signal::Traces, 10, |_: &u64| 1, |_| 1);
        lane.push(1);
        lane.close();
        let report = lane.report(now);
        assert_eq!((report.dropped, report.last_error.as_deref(), report.flushed), (1, Some(TOO_LATE), false));
    }

    #[test]
    fn a_batch_of_large_traces_holds_fewer() {
        let lane = Lane::new(Signal::Traces, 100, |spans: &u64| *spans, |_| 1);
        for spans in [600, 600, 5_000, 10, 10] {
            lane.push(spans);
        }
        let batches = [taken(&lane), taken(&lane), taken(&lane), taken(&lane)];
        assert_eq!(batches, [vec![600], vec![600], vec![5_000], vec![10, 10]]);
    }
}
