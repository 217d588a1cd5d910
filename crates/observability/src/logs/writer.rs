//! The thread that writes log lines, so that no request waits for a pipe that nobody reads.
//!
//! Lines go into one buffer behind a lock, which the thread swaps for an empty one: no allocation per line, and one write
//! for many. The thread is woken only out of sleep; while lines come it looks again every few milliseconds, since waking
//! it costs more than writing a line does.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use crate::{ConfigError, clock};

/// What became of log lines so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogStats {
    /// Lines written to the target.
    pub written: u64,
    /// Lines dropped because the queue was full, or after the shutdown.
    pub dropped: u64,
    /// Lines the target refused.
    pub failed: u64,
}

/// How the log ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogReport {
    /// What became of all lines.
    pub stats: LogStats,
    /// Whether every line that was taken is written; `false` where the deadline passed first.
    pub flushed: bool,
}

#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    most: usize,
    most_bytes: usize,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says something else of the thread")]
struct State {
    bytes: Vec<u8>,
    /// Lines in `bytes`, and in the thread's hands.
    lines: usize,
    in_hand: usize,
    asleep: bool,
    /// Somebody waits, so there is nothing to gain by waiting for more lines.
    hurry: bool,
    closed: bool,
    ended: bool,
    stats: LogStats,
}

impl Writer {
    pub(super) fn start(target: Box<dyn Write + Send>, most: usize) -> Result<Self, ConfigError> {
        let shared = Arc::<Shared>::default();
        let own = Arc::clone(&shared);
        thread::Builder::new().name("bedplate-log".to_owned()).spawn(move || own.run(target)).map_err(|error| {
            ConfigError {
                field: "logs",
                value: format!("without a thread: {error}"),
                expected: "a system that can start one more thread",
            }
        })?;
        Ok(Self { shared, most, most_bytes: most.saturating_mul(LINE).max(LARGE) })
    }

    pub(super) fn write(&self, line: &[u8]) {
        let mut state = self.shared.state.lock();
        let full = state.lines + state.in_hand >= self.most || state.bytes.len() + line.len() > self.most_bytes;
        if state.closed || full && state.lines + state.in_hand > 0 {
            state.stats.dropped += 1;
            return;
        }
        state.bytes.extend_from_slice(line);
        state.lines += 1;
        if std::mem::take(&mut state.asleep) {
            drop(state);
            self.shared.changed.notify_all();
        }
    }

    pub(super) fn stats(&self) -> LogStats {
        self.shared.state.lock().stats
    }

    /// Waits until all lines of before are written.
    pub(super) fn flush(&self, deadline: Duration) -> bool {
        self.wait(deadline, |state| state.ended || state.lines + state.in_hand == 0)
    }

    pub(super) fn close(&self) {
        self.shared.state.lock().closed = true;
        self.shared.changed.notify_all();
    }

    pub(super) fn shutdown(&self, deadline: Duration) -> LogReport {
        self.close();
        let flushed = self.wait(deadline, |state| state.ended);
        LogReport { stats: self.stats(), flushed }
    }

    fn wait(&self, deadline: Duration, done: impl Fn(&State) -> bool) -> bool {
        let until = clock::now() + deadline.min(LONG);
        let mut state = self.shared.state.lock();
        while !done(&state) {
            // Said once, or several that wait would wake one another without end.
            if !std::mem::replace(&mut state.hurry, true) {
                self.shared.changed.notify_all();
            }
            if self.shared.changed.wait_until(&mut state, until).timed_out() {
                return done(&state);
            }
        }
        true
    }
}

impl Drop for Writer {
    /// Gives a short while to what is still waiting: the last lines of a process tell the most.
    fn drop(&mut self) {
        self.shutdown(Duration::from_millis(500));
    }
}

impl Shared {
    fn run(&self, mut target: Box<dyn Write + Send>) {
        let _ended = Ended(self);
        let mut bytes = Vec::new();
        let (mut quiet, mut torn) = (0, false);
        loop {
            {
                let mut state = self.state.lock();
                while state.lines == 0 && !state.closed {
                    if quiet < PATIENCE {
                        quiet += 1;
                        self.changed.wait_for(&mut state, LINGER);
                    } else {
                        state.asleep = true;
                        self.changed.wait(&mut state);
                        state.asleep = false;
                        quiet = 0;
                    }
                }
                if state.lines == 0 {
                    return;
                }
                quiet = 0;
                if !state.closed && !state.hurry && state.bytes.len() < ENOUGH {
                    self.changed.wait_for(&mut state, LINGER);
                }
                state.hurry = false;
                std::mem::swap(&mut bytes, &mut state.bytes);
                state.in_hand = std::mem::take(&mut state.lines);
            }
            let failed = deliver(&mut *target, &bytes, &mut torn);
            bytes.clear();
            bytes.shrink_to(LARGE);
            let mut state = self.state.lock();
            let lines = std::mem::take(&mut state.in_hand) as u64;
            state.stats.failed += failed.min(lines);
            state.stats.written += lines.saturating_sub(failed);
            drop(state);
            self.changed.notify_all();
        }
    }
}

/// Marks the thread's end, also where a target panics.
struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        let lost = (std::mem::take(&mut state.in_hand) + std::mem::take(&mut state.lines)) as u64;
        state.stats.failed += lost;
        state.ended = true;
        state.closed = true;
        drop(state);
        self.0.changed.notify_all();
    }
}

/// Writes whole lines. Returns how many the target refused; behind one that was refused it goes on with the next, which
/// begins on a line of its own where the target took a part of the one before.
fn deliver(target: &mut dyn Write, mut bytes: &[u8], torn: &mut bool) -> u64 {
    let mut failed = 0;
    let mut within = false;
    while !bytes.is_empty() {
        match target.write(if *torn { b"\n" } else { bytes }) {
            Ok(count) if count > 0 && *torn => *torn = false,
            Ok(count) if count > 0 => {
                within = bytes.get(count - 1) != Some(&b'\n');
                bytes = bytes.get(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            _ => {
                failed += 1;
                *torn |= std::mem::take(&mut within);
                let next = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
                bytes = bytes.get(next..).unwrap_or_default();
            }
        }
    }
    if target.flush().is_err() && failed == 0 {
        failed = 1;
    }
    failed
}

/// How long the thread waits for more lines.
const LINGER: Duration = Duration::from_millis(5);
/// How often it does so in vain before it sleeps.
const PATIENCE: u32 = 10;
/// Bytes that are worth a write at once.
const ENOUGH: usize = 64 * 1024;
/// Bytes that each line of the queue may have on average.
const LINE: usize = 1_024;
/// What a burst grew is not kept.
const LARGE: usize = 1024 * 1024;
/// A deadline beyond it is as good.
const LONG: Duration = Duration::from_hours(365 * 24);
