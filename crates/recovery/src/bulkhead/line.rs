use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::oneshot;

use super::config::{BulkheadConfig, Places};
use super::handle::BulkheadStats;
use super::queue::{Place, WaitQueue};
use crate::limit::{Limit, Sample};
use crate::policy::Priority;
use crate::sync::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering};

/// The places of a bulkhead and the line before them.
pub(super) struct Shared {
    name: Arc<str>,
    /// The calls that run in the lower half, then [`WAITING`], and above it the calls that were admitted, so that a call
    /// takes its place and is counted at once. The flag is changed under the lock only, and while it is set a place is
    /// given back through the lock, so that nobody overtakes the line.
    gate: AtomicU64,
    places: AtomicU32,
    /// Copies of the settings that the path without a lock needs.
    queue_most: AtomicU32,
    learns: AtomicU32,
    line: Mutex<Line>,
    /// The admissions that no longer fit into the gate.
    admitted: AtomicU64,
    refused: AtomicU64,
    timed_out: AtomicU64,
    shed: AtomicU64,
}

struct Line {
    config: BulkheadConfig,
    queue: WaitQueue<oneshot::Sender<Grant>>,
    /// Only where the number of places is learnt.
    limit: Option<Limit>,
}

/// What one who waits is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grant {
    /// The place is his: it was taken in his name.
    Place,
    /// He gave way to a higher priority.
    Shed,
    /// He waited too long.
    TooLate,
}

/// What became of one who wanted to wait.
pub(super) enum LinedUp<'a> {
    /// A place came free meanwhile; so many run now.
    Place(u32),
    Full,
    Wait(Waiter<'a>),
}

const WAITING: u64 = 1 << 32;
const RUNNING: u64 = WAITING - 1;
/// One admission: a call that runs, and one more that was admitted.
const ADMIT: u64 = ADMITTED_ONE + 1;
const ADMITTED_ONE: u64 = WAITING << 1;
const ADMITTED_BITS: u32 = 31;

impl Shared {
    pub(super) fn new(name: Arc<str>, config: BulkheadConfig) -> Self {
        let (places, limit) = places(config);
        Self {
            name,
            gate: AtomicU64::new(0),
            places: AtomicU32::new(places),
            queue_most: AtomicU32::new(config.queue),
            learns: AtomicU32::new(u32::from(limit.is_some())),
            line: Mutex::new(Line { config, queue: WaitQueue::new(config.queue, config.discipline), limit }),
            admitted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            shed: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(super) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn config(&self) -> BulkheadConfig {
        self.line.lock().config
    }

    #[inline]
    pub(super) fn has_line(&self) -> bool {
        self.queue_most.load(Ordering::Relaxed) > 0
    }

    #[inline]
    pub(super) fn learns(&self) -> bool {
        self.learns.load(Ordering::Relaxed) != 0
    }

    #[inline]
    pub(super) fn running(&self) -> u32 {
        running(self.gate.load(Ordering::Relaxed))
    }

    pub(super) fn note_refusal(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn stats(&self) -> BulkheadStats {
        let waiting = u32::try_from(self.line.lock().queue.len()).unwrap_or(u32::MAX);
        BulkheadStats {
            running: self.running(),
            waiting,
            places: self.places.load(Ordering::Relaxed),
            admitted: self.admitted(),
            refused: self.refused.load(Ordering::Relaxed),
            timed_out: self.timed_out.load(Ordering::Relaxed),
            shed: self.shed.load(Ordering::Relaxed),
        }
    }

    pub(super) fn reconfigure(&self, now: Instant, config: BulkheadConfig) {
        let mut line = self.line.lock();
        line.queue.reconfigure(config.queue, config.discipline);
        self.queue_most.store(config.queue, Ordering::Relaxed);
        if line.config.places != config.places {
            let (places, limit) = places(config);
            self.learns.store(u32::from(limit.is_some()), Ordering::Relaxed);
            line.limit = limit;
            self.places.store(places, Ordering::Relaxed);
        }
        line.config = config;
        self.admit_waiting(line, now);
    }

    /// Takes a place if one is free and nobody waits; returns how many run then.
    #[inline]
    pub(super) fn take(&self) -> Option<u32> {
        let places = u64::from(self.places.load(Ordering::Relaxed));
        // With the flag set the number is above any number of places.
        let taken = self.gate.fetch_update(Ordering::Acquire, Ordering::Relaxed, |gate| {
            (gate & (WAITING | RUNNING) < places).then(|| gate.wrapping_add(ADMIT))
        });
        let before = taken.ok()?;
        self.note_overflow(before);
        Some(running(before) + 1)
    }

    /// Takes a place that is known to be free; returns what the gate was before.
    fn admit(&self) -> u64 {
        let before = self.gate.fetch_add(ADMIT, Ordering::Acquire);
        self.note_overflow(before);
        before
    }

    /// Keeps count where an admission took the upper bits of the gate back to zero.
    #[inline]
    fn note_overflow(&self, before: u64) {
        if before >> (u64::BITS - ADMITTED_BITS) == (1 << ADMITTED_BITS) - 1 {
            self.admitted.fetch_add(1 << ADMITTED_BITS, Ordering::Relaxed);
        }
    }

    fn admitted(&self) -> u64 {
        let in_gate = self.gate.load(Ordering::Relaxed) >> (u64::BITS - ADMITTED_BITS);
        self.admitted.load(Ordering::Relaxed).saturating_add(in_gate)
    }

    pub(super) fn line_up(&self, now: Instant, priority: Priority) -> LinedUp<'_> {
        let mut line = self.line.lock();
        // From here on nobody gives a place back past the line. Those who did so before are seen below.
        let gate = self.gate.fetch_or(WAITING, Ordering::AcqRel);
        if line.queue.len() == 0 && gate & RUNNING < u64::from(self.places.load(Ordering::Relaxed)) {
            let before = self.admit();
            self.clear_flag(&line);
            drop(line);
            return LinedUp::Place(running(before) + 1);
        }
        let (sender, receiver) = oneshot::channel();
        let pushed = line.queue.push(now, priority, sender);
        // The greatest wait that the clock can hold, if the settings ask for more.
        let until = now.checked_add(line.config.max_wait).unwrap_or(now);
        self.clear_flag(&line);
        drop(line);
        match pushed {
            Ok((place, shed)) => {
                if let Some(shed) = shed {
                    self.send_away(shed, Grant::Shed);
                }
                LinedUp::Wait(Waiter { shared: self, place, receiver, until, now, granted: false, settled: false })
            }
            Err(_) => LinedUp::Full,
        }
    }

    /// Gives a place back: to who is next in the line, or to whoever comes.
    #[inline]
    pub(super) fn give_back(&self, now: impl FnOnce() -> Instant) {
        let free = |gate| (gate & WAITING == 0).then(|| gate - 1);
        if self.gate.fetch_update(Ordering::Release, Ordering::Relaxed, free).is_err() {
            let line = self.line.lock();
            self.gate.fetch_sub(1, Ordering::Release);
            self.admit_waiting(line, now());
        }
    }

    /// Learns from a call that ended. Its place is given back after this: then those are let in for whom there is room.
    pub(super) fn learn(&self, now: Instant, sample: Sample) {
        if let Some(limit) = &mut self.line.lock().limit {
            self.places.store(limit.update(now, sample), Ordering::Relaxed);
        }
    }

    /// Gives free places to those who wait; the line is unlocked before they are told.
    #[cold]
    fn admit_waiting(&self, mut line: MutexGuard<'_, Line>, now: Instant) {
        let mut told = Vec::new();
        let mut expired = Vec::new();
        while self.running() < self.places.load(Ordering::Relaxed) {
            let Some(next) = line.queue.pop(now, &mut expired) else { break };
            // In his name; if he is gone, his `Waiter` gives it back.
            self.admit();
            told.push(next);
        }
        self.clear_flag(&line);
        drop(line);
        for waiter in expired {
            self.send_away(waiter, Grant::TooLate);
        }
        for waiter in told {
            if waiter.send(Grant::Place).is_err() {
                // He left between the line and the message: the place is still taken in his name.
                self.give_back(|| now);
            }
        }
    }

    fn send_away(&self, waiter: oneshot::Sender<Grant>, grant: Grant) {
        let counter = if grant == Grant::Shed { &self.shed } else { &self.timed_out };
        if waiter.send(grant).is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn clear_flag(&self, line: &Line) {
        if line.queue.len() == 0 {
            self.gate.fetch_and(!WAITING, Ordering::AcqRel);
        }
    }
}

/// One who waits. Dropped before it was told anything, it leaves the line; dropped with a place that it did not accept,
/// it gives that back.
pub(super) struct Waiter<'a> {
    shared: &'a Shared,
    place: Place,
    receiver: oneshot::Receiver<Grant>,
    until: Instant,
    now: Instant,
    granted: bool,
    settled: bool,
}

impl Waiter<'_> {
    /// When waiting is over.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }

    pub(super) fn poll_grant(&mut self, task: &mut Context<'_>) -> Poll<Grant> {
        // A sender is dropped unsent only with the bulkhead itself, which we borrow.
        let told = Pin::new(&mut self.receiver).poll(task).map(|told| told.unwrap_or(Grant::TooLate));
        if let Poll::Ready(grant) = told {
            self.granted = grant == Grant::Place;
            self.settled = !self.granted;
        }
        told
    }

    /// Keeps the place that was granted.
    pub(super) fn accept(mut self) {
        self.settled = true;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        if self.granted {
            self.shared.give_back(|| self.now);
            return;
        }
        let mut line = self.shared.line.lock();
        if line.queue.remove(self.place).is_some() {
            self.shared.clear_flag(&line);
            drop(line);
            self.shared.timed_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        drop(line);
        // Out of the line but not told yet, or told and not accepted: whoever tells him now finds him gone.
        self.receiver.close();
        if self.receiver.try_recv() == Ok(Grant::Place) {
            self.shared.give_back(|| self.now);
        }
    }
}

fn running(gate: u64) -> u32 {
    u32::try_from(gate & RUNNING).unwrap_or(u32::MAX)
}

fn places(config: BulkheadConfig) -> (u32, Option<Limit>) {
    match config.places {
        Places::Fixed(places) => (places, None),
        Places::Adaptive(rule) => {
            let limit = Limit::new(rule);
            (limit.get(), Some(limit))
        }
    }
}
