use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::config::{ConfigError, positive};
use crate::failure::{Failure, TimeoutScope};
use crate::lint::PolicyKind;
use crate::observer::{Observer, RecoveryEvent};
use crate::policy::{Cx, Env, Policy};

/// A time limit for what stands inside it.
///
/// It sets the deadline in [`Cx`]; a limit that ends no sooner than one around it starts no timer of its own,
/// and none is started for a call that is ready at its first poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeout {
    config: TimeoutConfig,
}

/// The settings of [`Timeout`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct TimeoutConfig {
    /// The limit; above zero, at most 366 days, default 30 s. Too small cuts off calls that would have
    /// succeeded, and their work is lost; too large lets a hung callee hold the caller.
    pub limit: Duration,
    /// What the limit covers, which is what its failure names; default the total.
    pub scope: TimeoutScope,
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        Self { limit: Duration::from_secs(30), scope: TimeoutScope::Total }
    }
}

impl Timeout {
    /// Limits the whole call; it belongs outside of retry.
    #[must_use]
    pub const fn total(limit: Duration) -> Self {
        Self { config: TimeoutConfig { limit, scope: TimeoutScope::Total } }
    }

    /// Limits each attempt; it belongs inside of retry.
    #[must_use]
    pub const fn attempt(limit: Duration) -> Self {
        Self { config: TimeoutConfig { limit, scope: TimeoutScope::Attempt } }
    }
}

impl From<TimeoutConfig> for Timeout {
    fn from(config: TimeoutConfig) -> Self {
        Self { config }
    }
}

impl Policy for Timeout {
    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        outline.push(PolicyKind::Timeout { scope: self.config.scope, limit: self.config.limit });
    }

    fn validate(&self) -> Result<(), ConfigError> {
        positive("timeout.limit", self.config.limit)
    }

    #[expect(clippy::manual_async_fn, reason = "an `async fn` would hold its arguments twice")]
    fn run<C, O, T, E, Op, Fut>(
        &self,
        env: Env<'_, C, O>,
        cx: Cx,
        op: Op,
    ) -> impl Future<Output = Result<T, Failure<E>>> + Send
    where
        C: Clock,
        O: Observer,
        T: Send,
        E: Send,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, Failure<E>>> + Send,
    {
        async move {
            let TimeoutConfig { limit, scope } = self.config;
            // Not mine, if the limit around this one fires first: it drops this future.
            let now = fresh(env.clock).unwrap_or_else(|| env.clock.now());
            let ends = now.checked_add(limit);
            let mine = ends.filter(|mine| cx.deadline().is_none_or(|outer| *mine < outer));
            let done = {
                // Made in one place, pinned and lent: each way to await it by value would take its room anew.
                let call = pin!(op(mine.map_or(cx, |mine| cx.with_deadline(mine))));
                match mine {
                    Some(mine) => before(env.clock, now, mine, call).await,
                    None => Some(call.await),
                }
                // Dropped here, so that what it held is settled before anybody hears of the end.
            };
            done.unwrap_or_else(|| {
                tracing::debug!(pipeline = env.name, scope = scope.as_str(), ?limit, "timed out");
                env.observer.observe(&RecoveryEvent::TimedOut { pipeline: env.name, scope, after: limit });
                Err(Failure::TimedOut { scope, after: limit, attempts: cx.attempt() })
            })
        }
    }
}

thread_local! {
    /// When the soonest timer fires that was armed by a time limit which this thread has just polled.
    static ARMED: Cell<Option<Word>> = const { Cell::new(None) };
    /// What the clock said to a time limit on the way down to the call, which has not been reached since.
    static FRESH: Cell<Option<Word>> = const { Cell::new(None) };
}

/// An instant that one time limit tells another, and the address of the clock that it is of.
///
/// The address keeps pipelines apart of which one runs inside the other: the instants of two clocks do not compare, and
/// what the call of one does with the other (poll it once and put it aside, hand it to another task) nobody knows.
#[derive(Clone, Copy)]
struct Word {
    at: Instant,
    clock: usize,
}

impl Word {
    fn new<C>(at: Instant, clock: &C) -> Self {
        Self { at, clock: std::ptr::from_ref(clock).addr() }
    }

    fn of<C>(self, clock: &C) -> Option<Instant> {
        (self.clock == std::ptr::from_ref(clock).addr()).then_some(self.at)
    }
}

/// Returns the time that a limit around this policy has read within the same poll, before anything was called.
#[inline]
fn fresh<C>(clock: &C) -> Option<Instant> {
    FRESH.get()?.of(clock)
}

/// Forgets the time that was read on the way down: from here on code of the caller runs.
#[inline]
pub(crate) fn outdate() {
    FRESH.set(None);
}

/// Forgets the time that was read on the way down once the poll is over, by a panic too.
struct Outdate;

impl Drop for Outdate {
    fn drop(&mut self) {
        outdate();
    }
}

/// Forgets the timer of a limit that goes away, so that no limit around it relies on it.
struct Disarm;

impl Drop for Disarm {
    fn drop(&mut self) {
        ARMED.set(None);
    }
}

/// Polls `call` until it is ready or `deadline` is over.
///
/// The timer is made only once the call has to wait, and not while a limit inside has one that fires sooner: that wakes
/// the same task, which then looks again here. So nested limits register one timer at a time. The word passes through a
/// thread-local within one poll: a limit inside is polled, or dropped, by the very poll of the one around it.
///
/// Neither does a limit inside read the clock again on the way down to the first call.
async fn before<C: Clock, F: Future>(
    clock: &C,
    now: Instant,
    deadline: Instant,
    mut call: Pin<&mut F>,
) -> Option<F::Output> {
    let _disarm = Disarm;
    let mut timer = pin!(None);
    let mut now = Some(now);
    poll_fn(move |task| {
        ARMED.set(None);
        let polled = {
            let _outdate = Outdate;
            FRESH.set(now.take().map(|now| Word::new(now, clock)));
            call.as_mut().poll(task)
        };
        if let Poll::Ready(value) = polled {
            return Poll::Ready(Some(value));
        }
        if timer.is_none() {
            if ARMED.get().and_then(|inside| inside.of(clock)).is_some_and(|inside| inside <= deadline) {
                return Poll::Pending;
            }
            timer.set(Some(clock.sleep_until(deadline)));
        }
        if timer.as_mut().as_pin_mut().is_some_and(|timer| timer.poll(task).is_ready()) {
            return Poll::Ready(None);
        }
        ARMED.set(Some(Word::new(deadline, clock)));
        Poll::Pending
    })
    .await
}
