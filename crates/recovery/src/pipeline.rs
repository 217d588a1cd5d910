use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::answer::Answer;
use crate::blocking::{BlockingPipeline, ThreadClock};
use crate::breaker::CircuitBreaker;
use crate::bulkhead::Bulkhead;
use crate::class::{Classify, ErrorClass};
use crate::clock::{Clock, TokioClock};
use crate::config::ConfigError;
use crate::dynamic::PolicyChain;
use crate::failure::Failure;
use crate::hedge::Hedge;
use crate::lint::{PolicyKind, Warning, lint};
use crate::observer::{NoObserver, Observer};
use crate::policy::{Cx, Env, Identity, Policy, Stack};
use crate::rate::RateLimiter;
use crate::retry::Retry;
use crate::stripes::Counter;
use crate::throttle::ClientThrottle;
use crate::timeout::{Timeout, outdate};

/// A stack of policies around plain async closures; clones share it.
///
/// The stack is a type, not a list: a call is one future without a box, and a success allocates nothing.
///
/// # Order
/// The first policy named is the outermost. The usual order is total timeout, retry, attempt timeout, breaker:
/// ```
/// use std::time::Duration;
/// use bedplate_recovery::{CircuitBreaker, Pipeline, Retry};
///
/// # fn main() -> Result<(), bedplate_recovery::ConfigError> {
/// let breaker = CircuitBreaker::builder("search").build()?;
/// let right = Pipeline::builder("search")
///     .timeout(Duration::from_secs(3))           // bounds everything, waits included
///     .retry(Retry::exponential(Duration::from_millis(50)))
///     .attempt_timeout(Duration::from_millis(800)) // a hung attempt is cut and retried
///     .breaker(breaker)                          // sees every attempt
///     .build()?;
/// # drop(right); Ok(()) }
/// ```
/// The other way round each part defeats the next one: with retry outside the total timeout the limit applies to
/// each attempt, so that three attempts may take nine seconds; with retry inside the breaker, the breaker sees
/// one failure where there were three.
/// ```
/// # use std::time::Duration;
/// # use bedplate_recovery::{CircuitBreaker, Failure, Pipeline, Retry, TimeoutScope};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let wrong = Pipeline::builder("search")
///     .retry(Retry::constant(Duration::from_millis(1)))
///     .timeout(Duration::from_secs(3))
///     .build()?;
/// let start = tokio::time::Instant::now();
/// let hung = wrong.run(|_| std::future::pending::<Result<(), std::io::Error>>()).await;
/// assert!(matches!(hung, Err(Failure::TimedOut { scope: TimeoutScope::Total, .. })));
/// assert!(start.elapsed() > Duration::from_secs(9)); // not the three seconds that the limit promises
/// # Ok(()) }
/// ```
pub struct Pipeline<P, C = TokioClock, O = NoObserver> {
    shared: Arc<Shared<P, C, O>>,
}

struct Shared<P, C, O> {
    name: Arc<str>,
    policy: P,
    clock: C,
    observer: O,
    succeeded: Counter,
    failed: Counter,
    refused: Counter,
    timed_out: Counter,
    retried: Counter,
}

/// How the calls of a pipeline ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct PipelineStats {
    /// Calls that gave a value.
    pub succeeded: u64,
    /// Calls that gave none, whatever the reason.
    pub failed: u64,
    /// Those of the failed that a policy refused.
    pub refused: u64,
    /// Those of the failed that a time limit ended.
    pub timed_out: u64,
    /// Attempts beyond the first, over all calls that ended.
    pub retried: u64,
}

impl Pipeline<Identity> {
    /// Starts a pipeline; the name appears in events and logs.
    pub fn builder(name: impl Into<Arc<str>>) -> PipelineBuilder<Identity> {
        PipelineBuilder { name: name.into(), policy: Identity, clock: TokioClock, observer: NoObserver }
    }
}

#[expect(
    clippy::manual_async_fn,
    reason = "declared `Send`: what an `async fn` infers over these closures is not general enough for callers"
)]
impl<P: Policy, C: Clock, O: Observer> Pipeline<P, C, O> {
    /// Runs `op` under the policies; its errors are judged by their [`Classify`].
    ///
    /// `op` is called once per attempt.
    ///
    /// # Errors
    /// Returns the last failure of `op` as [`Failure::Inner`], or the refusal of a policy.
    ///
    /// # Cancel safety
    /// Dropping the future drops the running attempt; permits are given back.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use bedplate_recovery::{Pipeline, Retry};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pipeline = Pipeline::builder("greeting").retry(Retry::exponential(Duration::from_millis(10))).build()?;
    /// let greeting = pipeline
    ///     .run(|cx| async move {
    ///         if cx.is_retry() { Ok("hello") } else { Err(std::io::Error::from(std::io::ErrorKind::TimedOut)) }
    ///     })
    ///     .await?;
    /// assert_eq!(greeting, "hello");
    /// # Ok(()) }
    /// ```
    pub fn run<T, E, Op, Fut>(&self, op: Op) -> impl Future<Output = Result<T, Failure<E>>> + Send
    where
        T: Send,
        E: Classify + Send,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        self.run_classified(E::class, op)
    }

    /// Runs `op` under the policies; its errors are judged by `classify`.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub fn run_classified<T, E, J, Op, Fut>(
        &self,
        classify: J,
        op: Op,
    ) -> impl Future<Output = Result<T, Failure<E>>> + Send
    where
        T: Send,
        E: Send,
        J: Fn(&E) -> ErrorClass + Send + Sync,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        async move { self.counted(Cx::first(), classify, op).await.0 }
    }

    /// Runs `op` as [`run`](Self::run) does, in a context that the caller already has: a priority, a deadline that bounds it
    /// from outside. Attempts are counted anew: those of a pipeline around this one are none of this one's.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub fn run_with<T, E, Op, Fut>(&self, cx: Cx, op: Op) -> impl Future<Output = Result<T, Failure<E>>> + Send
    where
        T: Send,
        E: Classify + Send,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        async move { self.counted(cx.with_attempt(1), E::class, op).await.0 }
    }

    /// Runs `op` as [`run`](Self::run) does, with a deadline that the caller already has.
    ///
    /// # Errors
    /// As [`run`](Self::run); at the deadline [`Failure::TimedOut`].
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub fn run_until<T, E, Op, Fut>(
        &self,
        deadline: Instant,
        op: Op,
    ) -> impl Future<Output = Result<T, Failure<E>>> + Send
    where
        T: Send,
        E: Classify + Send,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        async move {
            let left = deadline.saturating_duration_since(self.shared.clock.now());
            let op = &op;
            Timeout::total(left)
                .run(self.env(), Cx::first(), |cx| async move { self.counted(cx, E::class, op).await.0 })
                .await
        }
    }

    /// Runs `op` as [`run`](Self::run) does and says how many attempts the value took.
    ///
    /// The answer has full quality and names `source`; it is what a
    /// [`Fallback`](crate::Fallback) chain begins with.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub fn answer<T, E, Op, Fut>(
        &self,
        source: impl Into<Arc<str>> + Send,
        op: Op,
    ) -> impl Future<Output = Result<Answer<T>, Failure<E>>> + Send
    where
        T: Send,
        E: Classify + Send,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        async move {
            let (result, attempts) = self.counted(Cx::first(), E::class, op).await;
            result.map(|value| Answer::full(value, source, attempts))
        }
    }

    /// Returns the pipeline's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns the policies, to change the settings of those that can.
    #[must_use]
    pub fn policy(&self) -> &P {
        &self.shared.policy
    }

    /// Returns what the policies are, the outermost first.
    #[must_use]
    pub fn outline(&self) -> Vec<PolicyKind> {
        let mut outline = Vec::new();
        self.shared.policy.outline(&mut outline);
        outline
    }

    /// Looks for orders and settings that are seldom meant; an empty list is a clean pipeline.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use bedplate_recovery::{CircuitBreaker, Pipeline, Retry};
    ///
    /// # fn main() -> Result<(), bedplate_recovery::ConfigError> {
    /// let breaker = CircuitBreaker::builder("search").build()?;
    /// let odd = Pipeline::builder("search").breaker(breaker).retry(Retry::constant(Duration::ZERO)).build()?;
    /// assert_eq!(odd.lint()[0].rule, "breaker_outside_retry");
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn lint(&self) -> Vec<Warning> {
        lint(&self.outline())
    }

    /// Returns how the calls ended.
    #[must_use]
    pub fn stats(&self) -> PipelineStats {
        let shared = &*self.shared;
        PipelineStats {
            succeeded: shared.succeeded.get(),
            failed: shared.failed.get(),
            refused: shared.refused.get(),
            timed_out: shared.timed_out.get(),
            retried: shared.retried.get(),
        }
    }

    fn env(&self) -> Env<'_, C, O> {
        Env { name: &self.shared.name, clock: &self.shared.clock, observer: &self.shared.observer }
    }

    fn counted<T, E, J, Op, Fut>(
        &self,
        cx: Cx,
        classify: J,
        op: Op,
    ) -> impl Future<Output = (Result<T, Failure<E>>, u32)> + Send
    where
        T: Send,
        E: Send,
        J: Fn(&E) -> ErrorClass + Send + Sync,
        Op: Fn(Cx) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        async move {
            outdate();
            let attempts = AtomicU32::new(0);
            let (op, classify, made) = (&op, &classify, &attempts);
            let result = self
                .shared
                .policy
                .run(self.env(), cx, |cx| async move {
                    made.store(cx.attempt(), Ordering::Relaxed);
                    outdate();
                    // Made in here: captured, the attempt would take its room twice.
                    op(cx).await.map_err(|error| {
                        let class = classify(&error);
                        Failure::inner(error, class)
                    })
                })
                .await;
            let made = attempts.load(Ordering::Relaxed);
            self.count(&result, made);
            (result.map_err(|failure| failure.with_attempts(made)), made)
        }
    }

    fn count<T, E>(&self, result: &Result<T, Failure<E>>, attempts: u32) {
        let shared = &*self.shared;
        if attempts > 1 {
            let extra = u64::from(attempts - 1);
            shared.retried.add(extra);
        }
        match result {
            Ok(_) => {
                shared.succeeded.add(1);
            }
            Err(failure) => {
                shared.failed.add(1);
                match failure {
                    Failure::Rejected { .. } => {
                        shared.refused.add(1);
                    }
                    Failure::TimedOut { .. } => {
                        shared.timed_out.add(1);
                    }
                    Failure::Inner { .. } => {}
                }
            }
        }
    }
}

impl<P, C, O> Clone for Pipeline<P, C, O> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<P: fmt::Debug, C, O> fmt::Debug for Pipeline<P, C, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.shared.name)
            .field("policy", &self.shared.policy)
            .finish_non_exhaustive()
    }
}

/// Stacks policies, the outermost first.
#[derive(Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct PipelineBuilder<P, C = TokioClock, O = NoObserver> {
    name: Arc<str>,
    policy: P,
    clock: C,
    observer: O,
}

impl<C: Clock, O: Observer> PipelineBuilder<Identity, C, O> {
    /// Takes all policies from `chain`, which is data.
    pub fn chain(self, chain: PolicyChain) -> PipelineBuilder<PolicyChain, C, O> {
        PipelineBuilder { name: self.name, policy: chain, clock: self.clock, observer: self.observer }
    }
}

impl<P: Policy, C: Clock, O: Observer> PipelineBuilder<P, C, O> {
    /// Limits everything that follows to `limit` in all; it belongs first.
    pub fn timeout(self, limit: Duration) -> PipelineBuilder<Stack<P, Timeout>, C, O> {
        self.then(Timeout::total(limit))
    }

    /// Limits each attempt to `limit`; it belongs after the retry.
    pub fn attempt_timeout(self, limit: Duration) -> PipelineBuilder<Stack<P, Timeout>, C, O> {
        self.then(Timeout::attempt(limit))
    }

    /// Repeats what follows.
    pub fn retry(self, retry: Retry) -> PipelineBuilder<Stack<P, Retry>, C, O> {
        self.then(retry)
    }

    /// Asks `breaker` before what follows, and tells it the results.
    pub fn breaker(self, breaker: CircuitBreaker) -> PipelineBuilder<Stack<P, CircuitBreaker>, C, O> {
        self.then(breaker)
    }

    /// Starts what follows a second time beside the first when that takes long.
    pub fn hedge(self, hedge: Hedge) -> PipelineBuilder<Stack<P, Hedge>, C, O> {
        self.then(hedge)
    }

    /// Refuses a share of the calls while the callee answers few of them.
    pub fn throttle(self, throttle: ClientThrottle) -> PipelineBuilder<Stack<P, ClientThrottle>, C, O> {
        self.then(throttle)
    }

    /// Lets what follows run at once no more often than `bulkhead` has places.
    pub fn bulkhead(self, bulkhead: Bulkhead) -> PipelineBuilder<Stack<P, Bulkhead>, C, O> {
        self.then(bulkhead)
    }

    /// Admits what follows at `limiter`'s rate.
    pub fn rate_limit(self, limiter: RateLimiter) -> PipelineBuilder<Stack<P, RateLimiter>, C, O> {
        self.then(limiter)
    }

    /// Puts any policy inside of those already named.
    pub fn then<Q: Policy>(self, policy: Q) -> PipelineBuilder<Stack<P, Q>, C, O> {
        PipelineBuilder {
            name: self.name,
            policy: Stack::new(self.policy, policy),
            clock: self.clock,
            observer: self.observer,
        }
    }

    /// Tells `observer` what the policies decide.
    pub fn observer<O2: Observer>(self, observer: O2) -> PipelineBuilder<P, C, O2> {
        PipelineBuilder { name: self.name, policy: self.policy, clock: self.clock, observer }
    }

    /// Reads the time from `clock` instead of tokio's.
    pub fn clock<C2: Clock>(self, clock: C2) -> PipelineBuilder<P, C2, O> {
        PipelineBuilder { name: self.name, policy: self.policy, clock, observer: self.observer }
    }

    /// Checks all settings and builds a pipeline for calls that block their thread.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used.
    pub fn build_blocking(self) -> Result<BlockingPipeline<P, O>, ConfigError> {
        self.clock(ThreadClock).build().map(BlockingPipeline::new)
    }

    /// Checks all settings and builds the pipeline.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the first setting that cannot be used.
    pub fn build(self) -> Result<Pipeline<P, C, O>, ConfigError> {
        self.policy.validate()?;
        Ok(Pipeline {
            shared: Arc::new(Shared {
                name: self.name,
                policy: self.policy,
                clock: self.clock,
                observer: self.observer,
                succeeded: Counter::default(),
                failed: Counter::default(),
                refused: Counter::default(),
                timed_out: Counter::default(),
                retried: Counter::default(),
            }),
        })
    }
}
