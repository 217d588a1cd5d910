use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::config::BulkheadConfig;
use super::line::{Grant, LinedUp, Shared};
use super::permit::BulkheadPermit;
use crate::class::ErrorClass;
use crate::clock::Clock;
use crate::config::ConfigError;
use crate::failure::{Failure, Rejection};
use crate::limit::Sample;
use crate::lint::PolicyKind;
use crate::observer::{Observer, RecoveryEvent};
use crate::policy::{Cx, Env, Policy};
use crate::timeout::outdate;

/// A shared bound on the calls that run at once; clones are handles to the same one.
///
/// As long as nobody waits, a call takes and gives back its place with one exchange each, without a lock.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use bedplate_recovery::{Bulkhead, BulkheadConfig, LimitConfig, Pipeline};
///
/// # fn main() -> Result<(), bedplate_recovery::ConfigError> {
/// let fixed = Bulkhead::new("reports", BulkheadConfig::fixed(8).queue(16, Duration::from_millis(200)))?;
/// let learnt = Bulkhead::new("search", BulkheadConfig::adaptive(LimitConfig::default()))?;
/// let search = Pipeline::builder("search").bulkhead(learnt).build()?;
/// # drop((fixed, search)); Ok(()) }
/// ```
#[derive(Clone)]
pub struct Bulkhead {
    pub(super) shared: Arc<Shared>,
}

/// What a bulkhead holds and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct BulkheadStats {
    /// Calls that run now.
    pub running: u32,
    /// Calls that wait now.
    pub waiting: u32,
    /// How many may run at once now.
    pub places: u32,
    /// Calls that got a place.
    pub admitted: u64,
    /// Calls that were refused at once.
    pub refused: u64,
    /// Calls that waited in vain.
    pub timed_out: u64,
    /// Calls that gave way to a higher priority while they waited.
    pub shed: u64,
}

impl Bulkhead {
    /// Creates a bulkhead; the name appears in failures and events.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting that cannot be used.
    pub fn new(name: impl Into<Arc<str>>, config: BulkheadConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self { shared: Arc::new(Shared::new(name.into(), config)) })
    }

    /// Returns the bulkhead's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.shared.name()
    }

    /// Returns the settings in effect.
    #[must_use]
    pub fn config(&self) -> BulkheadConfig {
        self.shared.config()
    }

    /// Takes other settings. Calls that run keep their places, those who wait stay in the line, and a limit that is learnt
    /// by the same settings as before is kept.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] and changes nothing if a setting cannot be used.
    pub fn reconfigure(&self, now: Instant, config: BulkheadConfig) -> Result<(), ConfigError> {
        config.check()?;
        self.shared.reconfigure(now, config);
        Ok(())
    }

    /// Takes a place if there is one.
    ///
    /// # Errors
    /// Returns [`Rejection::Full`] if there is none, or others wait for one.
    pub fn try_acquire(&self, now: Instant) -> Result<BulkheadPermit<'_>, Rejection> {
        match self.shared.take() {
            Some(running) => Ok(BulkheadPermit::new(self, now, running)),
            None => Err(self.refuse()),
        }
    }

    /// Takes a place, and waits for one if there is a line.
    ///
    /// # Errors
    /// Returns the reason why there is none: the line is full, the wait took too long, or a call of higher priority took
    /// the place in the line.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the line.
    pub async fn acquire<C: Clock>(&self, clock: &C, cx: Cx) -> Result<BulkheadPermit<'_>, Rejection> {
        let shared = &*self.shared;
        if let Some(running) = shared.take() {
            return Ok(BulkheadPermit::new(self, clock.now(), running));
        }
        if !shared.has_line() {
            return Err(self.refuse());
        }
        let now = clock.now();
        if cx.deadline().is_some_and(|deadline| deadline <= now) {
            return Err(Rejection::DeadlinePassed);
        }
        let mut waiter = match shared.line_up(now, cx.priority()) {
            LinedUp::Place(running) => return Ok(BulkheadPermit::new(self, now, running)),
            LinedUp::Full => return Err(self.refuse()),
            LinedUp::Wait(waiter) => waiter,
        };
        let until = waiter.until();
        let until = cx.deadline().map_or(until, |deadline| deadline.min(until));
        let mut timer = pin!(clock.sleep_until(until));
        let grant = poll_fn(|task| match waiter.poll_grant(task) {
            Poll::Ready(grant) => Poll::Ready(grant),
            Poll::Pending => timer.as_mut().poll(task).map(|()| Grant::TooLate),
        })
        .await;
        outdate();
        match grant {
            Grant::Place => {
                waiter.accept();
                Ok(BulkheadPermit::new(self, clock.now(), shared.running()))
            }
            Grant::Shed => Err(Rejection::Shed),
            Grant::TooLate => Err(Rejection::QueueTimeout),
        }
    }

    /// Returns what the bulkhead holds and did.
    #[must_use]
    pub fn stats(&self) -> BulkheadStats {
        self.shared.stats()
    }

    fn refuse(&self) -> Rejection {
        self.shared.note_refusal();
        Rejection::Full
    }
}

impl Policy for Bulkhead {
    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        outline.push(PolicyKind::Bulkhead { adaptive: self.shared.learns() });
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
            let taken = match self.shared.take() {
                Some(running) => Ok(running),
                // Boxed so that the rare wait takes no room in every call.
                None => Box::pin(self.acquire(env.clock(), cx)).await.map(BulkheadPermit::into_running),
            };
            let running = match taken {
                Ok(running) => running,
                Err(reason) => {
                    let by = self.shared.name();
                    env.observer().observe(&RecoveryEvent::Rejected { by, reason, retry_after: None });
                    return Err(Failure::Rejected { by: Arc::clone(by), reason, retry_after: None });
                }
            };
            let guard = Running::begin(self, env.clock(), cx.deadline(), running);
            let result = op(cx).await;
            guard.finish(result.as_ref().err().map(Failure::class));
            result
        }
    }
}

/// One call in a pipeline: gives its place back however it ends, and tells the limit what it learnt.
struct Running<'a, C: Clock> {
    bulkhead: &'a Bulkhead,
    clock: &'a C,
    deadline: Option<Instant>,
    /// When it began and how many ran, where the limit is learnt.
    began: Option<(Instant, u32)>,
    finished: bool,
}

impl<'a, C: Clock> Running<'a, C> {
    fn begin(bulkhead: &'a Bulkhead, clock: &'a C, deadline: Option<Instant>, running: u32) -> Self {
        let began = bulkhead.shared.learns().then(|| (clock.now(), running));
        Self { bulkhead, clock, deadline, began, finished: false }
    }

    fn finish(mut self, failed: Option<ErrorClass>) {
        self.finished = true;
        if let Some((at, running)) = self.began {
            let now = self.clock.now();
            if let Some(sample) = sample(failed, now.saturating_duration_since(at), running) {
                self.bulkhead.shared.learn(now, sample);
            }
        }
    }
}

impl<C: Clock> Drop for Running<'_, C> {
    fn drop(&mut self) {
        // A call that was dropped at its deadline hung; one that was dropped before says nothing about the callee.
        if let (false, Some((at, running)), Some(deadline)) = (self.finished, self.began, self.deadline) {
            let now = self.clock.now();
            if now >= deadline {
                self.bulkhead.shared.learn(now, Sample::dropped(now.saturating_duration_since(at), running));
            }
        }
        self.bulkhead.shared.give_back(|| self.clock.now());
    }
}

/// What a call tells about the callee's capacity, if anything.
pub(super) fn sample(failed: Option<ErrorClass>, took: Duration, running: u32) -> Option<Sample> {
    match failed {
        None => Some(Sample::answered(took, running)),
        Some(ErrorClass::Timeout | ErrorClass::Overload { .. } | ErrorClass::Throttled { .. }) => {
            Some(Sample::dropped(took, running))
        }
        Some(_) => None,
    }
}

impl fmt::Debug for Bulkhead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulkhead")
            .field("name", self.shared.name())
            .field("config", &self.config())
            .field("stats", &self.stats())
            .finish()
    }
}
