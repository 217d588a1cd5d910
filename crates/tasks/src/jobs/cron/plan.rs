use std::time::{Duration, SystemTime};

use crate::jobs::cron::schedule::{CronSchedule, Missed};

/// A tick that is at most so late was not missed: its process was busy, or its clock was set.
const LATE: Duration = Duration::from_mins(1);

/// Which ticks of a schedule are to be submitted; pure, so that time is an argument.
#[derive(Debug)]
pub(super) struct Plan {
    schedule: CronSchedule,
    /// The latest time up to which ticks were considered; never goes back, whatever the clock does.
    until: Option<SystemTime>,
}

impl Plan {
    pub(super) const fn new(schedule: CronSchedule) -> Self {
        Self { schedule, until: None }
    }

    /// Returns the ticks to submit at `now`, the oldest first. Each tick comes up once.
    pub(super) fn due(&mut self, now: SystemTime) -> Vec<SystemTime> {
        let first = self.until.is_none();
        let until = *self.until.get_or_insert(now);
        if !first && now <= until {
            return Vec::new();
        }
        let (within, most) = match self.schedule.missed_policy() {
            // Before the first look, nothing was promised.
            Missed::Skip if first => (Duration::ZERO, 0),
            Missed::Skip => (LATE, usize::MAX),
            Missed::RunOnce { within } => (within.max(LATE), 1),
            Missed::RunAll { within, most } => (within.max(LATE), most),
        };
        let horizon = now.checked_sub(within).unwrap_or(SystemTime::UNIX_EPOCH);
        let after = if first { horizon } else { horizon.max(until) };
        self.until = Some(now);
        self.schedule.between(after, now, most)
    }

    /// Returns how long to wait from `now` on until it is worth looking again.
    pub(super) fn pause(&self, now: SystemTime) -> Duration {
        let from = self.until.map_or(now, |until| until.max(now));
        let next = self.schedule.next(from).and_then(|next| next.duration_since(now).ok());
        // Whoever sets the clock tells nobody.
        next.unwrap_or(LONGEST).min(LONGEST)
    }
}

const LONGEST: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SystemTime {
        text.parse::<jiff::Timestamp>().unwrap().into()
    }

    fn plan(line: &str, zone: &str, missed: Missed) -> Plan {
        Plan::new(CronSchedule::new(line, zone).unwrap().missed(missed))
    }

    fn texts(ticks: &[SystemTime]) -> Vec<String> {
        ticks.iter().map(|tick| jiff::Timestamp::try_from(*tick).unwrap().to_string()).collect()
    }

    #[test]
    fn what_was_missed_is_skipped_or_run_once_or_all() {
        let hour = Duration::from_hours(1);
        for (missed, at_first, after_a_pause) in [
            (Missed::Skip, vec![], vec!["2026-03-02T12:00:00Z"]),
            (Missed::RunOnce { within: 6 * hour }, vec!["2026-03-02T08:00:00Z"], vec!["2026-03-02T12:00:00Z"]),
            (
                Missed::RunAll { within: 2 * hour, most: 2 },
                vec!["2026-03-02T07:00:00Z", "2026-03-02T08:00:00Z"],
                vec!["2026-03-02T11:00:00Z", "2026-03-02T12:00:00Z"],
            ),
        ] {
            let mut plan = plan("0 * * * *", "UTC", missed);
            assert_eq!(texts(&plan.due(at("2026-03-02T08:30:00Z"))), at_first, "{missed:?}");
            assert_eq!(texts(&plan.due(at("2026-03-02T08:59:59Z"))), Vec::<String>::new());
            assert_eq!(texts(&plan.due(at("2026-03-02T09:00:00Z"))), ["2026-03-02T09:00:00Z"]);
            assert_eq!(texts(&plan.due(at("2026-03-02T12:00:30Z"))), after_a_pause, "{missed:?}");
            assert_eq!(texts(&plan.due(at("2026-03-02T12:00:30Z"))), Vec::<String>::new());
        }
    }

    #[test]
    fn a_clock_that_jumps_repeats_no_tick() {
        let mut plan = plan("*/10 * * * *", "UTC", Missed::Skip);
        plan.due(at("2026-03-02T08:05:00Z"));
        assert_eq!(texts(&plan.due(at("2026-03-02T08:10:00Z"))), ["2026-03-02T08:10:00Z"]);
        assert!(plan.due(at("2026-03-02T07:10:00Z")).is_empty(), "an hour back");
        assert!(plan.due(at("2026-03-02T08:10:00Z")).is_empty());
        assert_eq!(plan.pause(at("2026-03-02T07:10:00Z")), LONGEST);
        assert_eq!(texts(&plan.due(at("2026-03-02T08:20:01Z"))), ["2026-03-02T08:20:00Z"]);
        assert_eq!(texts(&plan.due(at("2026-03-02T09:20:01Z"))), ["2026-03-02T09:20:00Z"], "an hour ahead");
    }

    #[test]
    fn a_change_of_the_clocks_neither_loses_nor_repeats_a_daily_tick() {
        // Berlin: 02:00 to 03:00 does not exist on 29 March 2026 and comes twice on 25 October 2026.
        for (from, to, expected) in [
            (
                "2026-03-28T12:00:00Z",
                "2026-03-31T12:00:00Z",
                ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"],
            ),
            (
                "2026-10-24T12:00:00Z",
                "2026-10-27T12:00:00Z",
                ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z", "2026-10-27T01:30:00Z"],
            ),
        ] {
            let mut plan = plan("30 2 * * *", "Europe/Berlin", Missed::Skip);
            let mut now = at(from);
            let mut all = Vec::new();
            while now <= at(to) {
                all.extend(plan.due(now));
                now += Duration::from_secs(20);
            }
            assert_eq!(texts(&all), expected);
        }
    }

    #[test]
    fn impossible_schedules_are_refused() {
        use crate::jobs::cron::CronError;
        assert!(matches!(CronSchedule::new("61 * * * *", "UTC"), Err(CronError::Line { .. })));
        assert!(matches!(CronSchedule::new("", "UTC"), Err(CronError::Line { .. })));
        assert!(matches!(CronSchedule::new("0 0 30 2 *", "UTC"), Err(CronError::Never { .. })));
        assert!(matches!(CronSchedule::new("0 0 * * *", "Europe/Bärlin"), Err(CronError::Zone { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever the steps of the clock, each tick comes up once at most, and none that was passed in small steps is
        /// left out.
        #[test]
        fn no_tick_comes_twice(steps in prop::collection::vec(-400_i64..1_000, 1..60)) {
            let mut plan = plan("*/5 * * * *", "UTC", Missed::Skip);
            let start = at("2026-06-01T00:00:00Z");
            let (mut seen, mut seconds, mut furthest) = (BTreeMap::new(), 10_000_i64, 10_000_i64);
            plan.due(start + Duration::from_secs(10_000));
            for step in steps {
                seconds = (seconds + step).max(0);
                for tick in plan.due(start + Duration::from_secs(seconds.unsigned_abs())) {
                    *seen.entry(tick).or_insert(0) += 1;
                }
                let passed = furthest + 1..=seconds;
                furthest = furthest.max(seconds);
                for tick in passed.filter(|second| second % 300 == 0 && seconds - second < 60) {
                    let tick = start + Duration::from_secs(tick.unsigned_abs());
                    prop_assert!(seen.contains_key(&tick), "{tick:?} is left out");
                }
            }
            prop_assert!(seen.values().all(|times| *times == 1), "{seen:?}");
        }
    }
}
