use std::future::Future;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::budget::RetryBudget;
use crate::clock::Clock;
use crate::config::ConfigError;
use crate::failure::Failure;
use crate::lint::PolicyKind;
use crate::observer::Observer;

/// One layer of protection around a call.
///
/// A policy receives the call as a closure that it may run never, once or many times. It is generic over the
/// call, so that a stack of policies is one future without a box. Failures arrive classified: a policy needs to
/// know nothing of the error's type.
pub trait Policy: Send + Sync {
    /// Checks the settings, once, when the pipeline is built.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting that cannot be used.
    fn validate(&self) -> Result<(), ConfigError> {
        Ok(())
    }

    /// Adds what this policy is to `outline`, for [`Pipeline::lint`](crate::Pipeline::lint) and whoever shows a pipeline.
    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        outline.push(PolicyKind::Other);
    }

    /// Runs `op` under this policy.
    ///
    /// # Errors
    /// Returns the failure of the call, or the refusal of this policy.
    ///
    /// # Cancel safety
    /// Dropping the future drops the running attempt; what the policy holds for it is released.
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
        Fut: Future<Output = Result<T, Failure<E>>> + Send;
}

/// How much a call matters when not all can be served.
///
/// The names are those of "Site Reliability Engineering", chapter 21 (there: critical plus, critical, sheddable plus,
/// sheddable).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Priority {
    /// Work that may fail any time: prefetching, warming.
    Sheddable,
    /// Work that can wait: batches.
    Low,
    /// What is not said to be anything else.
    #[default]
    Normal,
    /// Work whose failure a person sees at once.
    Critical,
}

impl Priority {
    /// All priorities, the highest first.
    pub const ALL: [Self; 4] = [Self::Critical, Self::Normal, Self::Low, Self::Sheddable];

    pub(crate) const fn rank(self) -> usize {
        match self {
            Self::Critical => 0,
            Self::Normal => 1,
            Self::Low => 2,
            Self::Sheddable => 3,
        }
    }
}

/// What travels with a call: the number of the attempt, the deadline, the priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cx {
    attempt: u32,
    hedge: u32,
    priority: Priority,
    deadline: Option<Instant>,
    /// The address of the budget that counts this call already; zero if none does.
    budget: usize,
}

impl Cx {
    /// Returns the context of a first attempt without a deadline.
    #[inline]
    #[must_use]
    pub const fn first() -> Self {
        Self { attempt: 1, hedge: 0, priority: Priority::Normal, deadline: None, budget: 0 }
    }

    /// Returns the number of this attempt among those that run beside each other: 0 for the first, 1 and up for hedges.
    /// With it a call can pick another target.
    #[must_use]
    pub const fn hedge(&self) -> u32 {
        self.hedge
    }

    /// Returns how much the call matters.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// Returns a context of this priority.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Returns the context of hedge number `hedge`.
    #[must_use]
    pub const fn with_hedge(mut self, hedge: u32) -> Self {
        self.hedge = hedge;
        self
    }

    /// Returns the number of this attempt, from 1.
    #[inline]
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Returns the context of a call that `budget` counts already.
    #[inline]
    pub(crate) fn counted_by(mut self, budget: &RetryBudget) -> Self {
        self.budget = budget.address();
        self
    }

    /// Says whether a policy around this one has entered `budget` for this call.
    #[inline]
    pub(crate) fn is_counted_by(&self, budget: &RetryBudget) -> bool {
        self.budget == budget.address()
    }

    /// Says whether an earlier attempt failed.
    #[must_use]
    pub const fn is_retry(&self) -> bool {
        self.attempt > 1
    }

    /// Returns the instant at which this attempt is dropped, the soonest of all limits around it.
    #[inline]
    #[must_use]
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Returns what is left until the deadline, for passing on to a callee.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(now))
    }

    /// Returns the context of attempt number `attempt`.
    #[inline]
    #[must_use]
    pub const fn with_attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// Returns a context that ends at `deadline`, or sooner if it already did.
    ///
    /// Whoever sets a deadline drops the call when it is over: policies inside rely on it.
    #[inline]
    #[must_use]
    pub fn with_deadline(mut self, deadline: Instant) -> Self {
        self.deadline = Some(self.deadline.map_or(deadline, |own| own.min(deadline)));
        self
    }
}

/// What a pipeline lends to its policies: its name, clock and observer.
#[derive(Debug)]
pub struct Env<'a, C, O> {
    pub(crate) name: &'a str,
    pub(crate) clock: &'a C,
    pub(crate) observer: &'a O,
}

impl<'a, C: Clock, O: Observer> Env<'a, C, O> {
    /// Returns the pipeline's name.
    #[inline]
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the pipeline's clock.
    #[inline]
    #[must_use]
    pub const fn clock(&self) -> &'a C {
        self.clock
    }

    /// Returns the pipeline's observer.
    #[inline]
    #[must_use]
    pub const fn observer(&self) -> &'a O {
        self.observer
    }
}

impl<C, O> Clone for Env<'_, C, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C, O> Copy for Env<'_, C, O> {}

/// The policy that does nothing; every stack starts from it.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its own constructor")]
pub struct Identity;

impl Policy for Identity {
    fn outline(&self, _outline: &mut Vec<PolicyKind>) {}

    #[expect(clippy::manual_async_fn, reason = "an `async fn` would hold its arguments twice")]
    fn run<C, O, T, E, Op, Fut>(
        &self,
        _env: Env<'_, C, O>,
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
        async move { op(cx).await }
    }
}

/// Two policies, the first around the second.
#[derive(Debug, Clone, Copy)]
pub struct Stack<Outer, Inner> {
    outer: Outer,
    inner: Inner,
}

impl<Outer: Policy, Inner: Policy> Stack<Outer, Inner> {
    /// Puts `outer` around `inner`.
    pub const fn new(outer: Outer, inner: Inner) -> Self {
        Self { outer, inner }
    }
}

impl<Outer: Policy, Inner: Policy> Policy for Stack<Outer, Inner> {
    fn validate(&self) -> Result<(), ConfigError> {
        self.outer.validate()?;
        self.inner.validate()
    }

    fn outline(&self, outline: &mut Vec<PolicyKind>) {
        self.outer.outline(outline);
        self.inner.outline(outline);
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
            let op = &op;
            self.outer.run(env, cx, move |cx| self.inner.run(env, cx, op)).await
        }
    }
}
