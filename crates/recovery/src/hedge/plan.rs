use std::time::{Duration, Instant};

/// When the attempts of one hedged call start and end, pure: time is an argument.
///
/// The rules are those of gRFC A6, "Hedging Policy": the first attempt starts at once, another after each delay as long
/// as nothing was answered; a failure that is not fatal starts the next at once, and a server may ask for a pause or for
/// no further attempt.
#[derive(Debug, Clone)]
pub struct HedgePlan {
    delay: Duration,
    left: u32,
    outstanding: u32,
    next: Option<Instant>,
}

/// How an attempt ended, as far as hedging cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HedgeAnswer {
    /// With a value.
    Success,
    /// With an error that another attempt cannot mend.
    Fatal,
    /// With an error that another attempt may mend.
    NonFatal,
    /// The same, and the callee asks to be left alone for this long.
    PushedBack(Duration),
    /// The same, and the callee asks for no further attempt.
    Refused,
}

/// What follows from the end of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HedgeStep {
    /// This answer is the call's: the others are dropped.
    Finish,
    /// Go on with those that are outstanding or still to start.
    GoOn,
}

impl HedgePlan {
    /// Begins a call at `now` whose first attempt is outstanding; `attempts` in all, each `delay` after the one before.
    #[must_use]
    pub fn new(now: Instant, attempts: u32, delay: Duration) -> Self {
        let mut plan = Self { delay, left: attempts.saturating_sub(1), outstanding: 1, next: None };
        plan.schedule(now, delay);
        plan
    }

    /// Returns when the next attempt is to start, if one is.
    #[must_use]
    pub const fn next_at(&self) -> Option<Instant> {
        self.next
    }

    /// Returns how many attempts are outstanding.
    #[must_use]
    pub const fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// Says whether an attempt is due at `now`, and counts it as started.
    pub fn start_due(&mut self, now: Instant) -> bool {
        let Some(at) = self.next.filter(|at| *at <= now) else { return false };
        self.left -= 1;
        self.outstanding += 1;
        // From when it was due, so that a late timer does not stretch the delays.
        self.schedule(at, self.delay);
        true
    }

    /// Gives up on further attempts: a budget refused one, or the call may not be repeated. Those outstanding go on.
    pub const fn stop(&mut self) {
        self.left = 0;
        self.next = None;
    }

    /// Takes the end of an attempt at `now`.
    pub fn answered(&mut self, now: Instant, answer: HedgeAnswer) -> HedgeStep {
        self.outstanding = self.outstanding.saturating_sub(1);
        match answer {
            HedgeAnswer::Success | HedgeAnswer::Fatal => return HedgeStep::Finish,
            HedgeAnswer::NonFatal => self.schedule(now, Duration::ZERO),
            HedgeAnswer::PushedBack(pause) => self.schedule(now, pause),
            HedgeAnswer::Refused => self.stop(),
        }
        if self.outstanding == 0 && self.next.is_none() { HedgeStep::Finish } else { HedgeStep::GoOn }
    }

    fn schedule(&mut self, from: Instant, wait: Duration) {
        // An overflow of the clock is never.
        self.next = if self.left > 0 { from.checked_add(wait) } else { None };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(100);

    fn start() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn a_failure_starts_the_next_and_the_delays_go_on_from_there() {
        let now = start();
        let mut plan = HedgePlan::new(now, 3, DELAY);
        let failed = now + DELAY / 4;
        assert_eq!(plan.answered(failed, HedgeAnswer::NonFatal), HedgeStep::GoOn);
        assert!(plan.start_due(failed));
        assert_eq!(plan.next_at(), Some(failed + DELAY));
        assert_eq!(plan.outstanding(), 1);
    }

    #[test]
    fn the_last_failure_ends_the_call() {
        let now = start();
        let mut plan = HedgePlan::new(now, 2, DELAY);
        assert_eq!(plan.answered(now, HedgeAnswer::NonFatal), HedgeStep::GoOn);
        assert!(plan.start_due(now));
        assert_eq!(plan.next_at(), None);
        assert_eq!(plan.answered(now, HedgeAnswer::NonFatal), HedgeStep::Finish);
    }

    #[test]
    fn a_stop_leaves_those_that_run() {
        let now = start();
        let mut plan = HedgePlan::new(now, 4, DELAY);
        assert!(plan.start_due(now + DELAY));
        plan.stop();
        assert!(!plan.start_due(now + DELAY * 9));
        assert_eq!(plan.answered(now, HedgeAnswer::Refused), HedgeStep::GoOn);
        assert_eq!(plan.answered(now, HedgeAnswer::NonFatal), HedgeStep::Finish);
    }
}
