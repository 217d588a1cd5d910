use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::answer::{Answer, Quality};
use crate::breaker::{CircuitBreaker, Outcome};
use crate::class::ErrorClass;
use crate::clock::{Clock as _, TokioClock};
use crate::failure::{Failure, Rejection};
use crate::observer::{NoObserver, Observer, RecoveryEvent};

/// Answers from the next best source when the best one fails, and says how good the answer is.
///
/// The value itself holds only the settings and is shared by all calls; each call chains its sources as plain
/// futures, which may borrow from the caller. A source that is not needed is not even made.
///
/// Nothing answers a [`CallerFault`](ErrorClass::CallerFault) or a [`Cancelled`](ErrorClass::Cancelled): a wrong
/// request must not look like a degraded success.
///
/// # Examples
/// ```
/// use bedplate_recovery::{Fallback, Failure, Quality, Source};
/// use std::io;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let live = async { Err::<u32, Failure<io::Error>>(io::Error::from(io::ErrorKind::TimedOut).into()) };
/// let answer = Fallback::new()
///     .floor(Quality::new(0.5)?)
///     .first("live", live)
///     .then(Source::new("guess", Quality::new(0.1)?), |_| async { Ok::<_, io::Error>(0) })   // below the floor
///     .then(Source::new("cached", Quality::new(0.7)?), |_| async { Ok::<_, io::Error>(41) })
///     .run()
///     .await?;
/// assert_eq!((answer.value, &*answer.source, answer.quality.get()), (41, "cached", 0.7));
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a fall-back does nothing until it has sources and runs"]
pub struct Fallback<O = NoObserver> {
    floor: Quality,
    observer: O,
}

impl Fallback {
    /// Creates a chain without a floor.
    pub const fn new() -> Self {
        Self { floor: Quality::NONE, observer: NoObserver }
    }
}

impl Default for Fallback {
    fn default() -> Self {
        Self::new()
    }
}

impl<O: Observer> Fallback<O> {
    /// Refuses sources below this quality: they are not called, and the chain fails rather than answer so badly.
    pub fn floor(mut self, floor: Quality) -> Self {
        self.floor = floor;
        self
    }

    /// Tells `observer` which source answers.
    pub fn observer<O2: Observer>(self, observer: O2) -> Fallback<O2> {
        Fallback { floor: self.floor, observer }
    }

    /// Begins a call with the best source, named `source`, of full quality.
    pub fn first<T, E>(
        &self,
        source: impl Into<Arc<str>> + Send,
        call: impl Future<Output = Result<T, Failure<E>>> + Send,
    ) -> FallbackChain<'_, O, impl Future<Output = Result<Answer<T>, Failure<E>>> + Send>
    where
        T: Send,
        E: Send,
    {
        self.after(async move { call.await.map(|value| Answer::full(value, source, 1)) })
    }

    /// Begins a call with what [`Pipeline::answer`](crate::Pipeline::answer) or another chain gives.
    pub fn after<T, E, F>(&self, call: F) -> FallbackChain<'_, O, F>
    where
        F: Future<Output = Result<Answer<T>, Failure<E>>> + Send,
    {
        FallbackChain { settings: self, call }
    }
}

/// One further source of a chain.
#[derive(Clone)]
#[must_use = "a source does nothing until a chain has it"]
pub struct Source {
    name: Arc<str>,
    quality: Quality,
    applies: fn(ErrorClass) -> bool,
    breaker: Option<CircuitBreaker>,
}

impl Source {
    /// Describes a source that may answer every failure but the caller's own.
    pub fn new(name: impl Into<Arc<str>>, quality: Quality) -> Self {
        Self { name: name.into(), quality, applies: |_| true, breaker: None }
    }

    /// Asks `breaker` before the source, and tells it the results: a source that is down itself is passed over at once.
    pub fn breaker(mut self, breaker: &CircuitBreaker) -> Self {
        self.breaker = Some(breaker.clone());
        self
    }

    /// Lets the source answer only failures of the classes for which `applies` holds.
    pub fn when(mut self, applies: fn(ErrorClass) -> bool) -> Self {
        self.applies = applies;
        self
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).field("quality", &self.quality).finish_non_exhaustive()
    }
}

/// The sources of one call, best first.
#[must_use = "a chain does nothing until it runs"]
pub struct FallbackChain<'a, O, F> {
    settings: &'a Fallback<O>,
    call: F,
}

impl<'a, O, F> FallbackChain<'a, O, F>
where
    O: Observer,
    F: Send,
{
    /// Adds the next best source; `call` is made only if every source before it failed.
    ///
    /// It receives the class of the first source's failure. Its own failure leaves the first one standing, which
    /// is the one returned if no source answers, except that a fault of the caller found here ends the chain.
    pub fn then<T, E, E2, Op, Fut>(
        self,
        source: Source,
        call: Op,
    ) -> FallbackChain<'a, O, impl Future<Output = Result<Answer<T>, Failure<E>>> + Send>
    where
        T: Send,
        E: Send,
        E2: Into<Failure<E>> + Send,
        F: Future<Output = Result<Answer<T>, Failure<E>>>,
        Op: FnOnce(ErrorClass) -> Fut + Send,
        Fut: Future<Output = Result<T, E2>> + Send,
    {
        self.next(source, call, |value| (value, None))
    }

    /// Adds a source whose value says how old it is, such as a cache that kept it; else as [`then`](Self::then).
    ///
    /// # Examples
    /// ```
    /// # use std::{io, time::Duration};
    /// # use bedplate_recovery::{Fallback, Failure, Quality, Source};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let live = async { Err::<u32, Failure<io::Error>>(io::Error::from(io::ErrorKind::TimedOut).into()) };
    /// let answer = Fallback::new()
    ///     .first("live", live)
    ///     .then_aged(Source::new("cached", Quality::new(0.6)?), |_| async { Ok::<_, io::Error>((41, Duration::from_secs(90))) })
    ///     .run()
    ///     .await?;
    /// assert_eq!(answer.age, Some(Duration::from_secs(90)));
    /// # Ok(()) }
    /// ```
    pub fn then_aged<T, E, E2, Op, Fut>(
        self,
        source: Source,
        call: Op,
    ) -> FallbackChain<'a, O, impl Future<Output = Result<Answer<T>, Failure<E>>> + Send>
    where
        T: Send,
        E: Send,
        E2: Into<Failure<E>> + Send,
        F: Future<Output = Result<Answer<T>, Failure<E>>>,
        Op: FnOnce(ErrorClass) -> Fut + Send,
        Fut: Future<Output = Result<(T, Duration), E2>> + Send,
    {
        self.next(source, call, |(value, age)| (value, Some(age)))
    }

    fn next<T, V, E, E2, Op, Fut>(
        self,
        source: Source,
        call: Op,
        split: fn(V) -> (T, Option<Duration>),
    ) -> FallbackChain<'a, O, impl Future<Output = Result<Answer<T>, Failure<E>>> + Send>
    where
        T: Send,
        V: Send,
        E: Send,
        E2: Into<Failure<E>> + Send,
        F: Future<Output = Result<Answer<T>, Failure<E>>>,
        Op: FnOnce(ErrorClass) -> Fut + Send,
        Fut: Future<Output = Result<V, E2>> + Send,
    {
        let settings = self.settings;
        let before = self.call;
        FallbackChain {
            settings,
            call: async move {
                let failure = match before.await {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => failure,
                };
                let class = failure.class();
                if !may_answer(class) || source.quality < settings.floor || !(source.applies)(class) {
                    return Err(failure);
                }
                let permit = match source.breaker.as_ref().map(|breaker| breaker.acquire(TokioClock.now())).transpose()
                {
                    Ok(permit) => permit,
                    Err(refused) => return settings.passed_over(&source, failure, refused.retry_after),
                };
                let result = call(class).await.map_err(Into::into);
                if let Some(permit) = permit {
                    let outcome = result.as_ref().err().map_or(Outcome::Success, |own| Outcome::from(own.class()));
                    permit.record(TokioClock.now(), outcome);
                }
                match result {
                    Ok(value) => {
                        let attempts = failure.attempts().saturating_add(1);
                        let (value, age) = split(value);
                        Ok(settings.fell_back(&source, class, value, age, attempts))
                    }
                    Err(own) => settings.source_failed(&source, failure, own),
                }
            },
        }
    }

    /// Asks the sources in their order until one answers.
    ///
    /// # Errors
    /// Returns the failure of the first source if none answers.
    ///
    /// # Cancel safety
    /// Dropping the future drops the source being asked.
    pub fn run<T, E>(self) -> impl Future<Output = Result<Answer<T>, Failure<E>>> + Send
    where
        F: Future<Output = Result<Answer<T>, Failure<E>>>,
    {
        self.call
    }
}

impl<O, F> fmt::Debug for FallbackChain<'_, O, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FallbackChain").field("floor", &self.settings.floor).finish_non_exhaustive()
    }
}

fn may_answer(class: ErrorClass) -> bool {
    !matches!(class, ErrorClass::CallerFault | ErrorClass::Cancelled)
}

impl<O: Observer> Fallback<O> {
    fn fell_back<T>(
        &self,
        source: &Source,
        class: ErrorClass,
        value: T,
        age: Option<Duration>,
        attempts: u32,
    ) -> Answer<T> {
        let (name, quality) = (Arc::clone(&source.name), source.quality);
        tracing::info!(source = &*name, quality = quality.get(), class = class.as_str(), "fell back");
        self.observer.observe(&RecoveryEvent::FellBack { source: &name, quality, class });
        Answer { value, quality, source: name, age, attempts }
    }

    fn passed_over<T, E>(
        &self,
        source: &Source,
        failure: Failure<E>,
        retry_after: Option<Duration>,
    ) -> Result<Answer<T>, Failure<E>> {
        tracing::debug!(source = &*source.name, "fall-back source passed over: its breaker is open");
        let reason = Rejection::BreakerOpen;
        self.observer.observe(&RecoveryEvent::Rejected { by: &source.name, reason, retry_after });
        Err(failure)
    }

    fn source_failed<T, E>(
        &self,
        source: &Source,
        first: Failure<E>,
        own: Failure<E>,
    ) -> Result<Answer<T>, Failure<E>> {
        let class = own.class();
        tracing::info!(source = &*source.name, class = class.as_str(), "fall-back source failed");
        self.observer.observe(&RecoveryEvent::SourceFailed { source: &source.name, class });
        if may_answer(class) {
            let made = first.attempts().saturating_add(1);
            Err(first.with_attempts(made))
        } else {
            Err(own)
        }
    }
}
