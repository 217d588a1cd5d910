use std::fmt;
use std::str::FromStr as _;
use std::time::{Duration, SystemTime};

use croner::Cron;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// When a job is to be submitted: a cron line in a time zone, and what becomes of ticks that were missed or come too
/// soon.
///
/// Lines have five fields (minute, hour, day of month, month, day of week) or six with seconds first, and `L`, `#` and
/// `W` as in the Open Cron Pattern Specification. A tick in the hour that a clock change skips comes right after it,
/// one in the hour that it repeats comes once for fixed times and twice for intervals.
///
/// # Examples
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use bedplate_tasks::{CronSchedule, Missed, Overlap};
///
/// let nightly = CronSchedule::new("0 3 * * *", "Europe/Berlin")?
///     .missed(Missed::RunOnce { within: Duration::from_secs(6 * 3600) })
///     .overlap(Overlap::Skip);
/// let next = nightly.next(UNIX_EPOCH).unwrap();
/// assert_eq!(next.duration_since(UNIX_EPOCH)?.as_secs(), 2 * 3600);
/// assert_eq!(CronSchedule::new("0 3 * *", "UTC").unwrap_err().to_string().split(',').next(), Some("cron line is \"0 3 * *\""));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct CronSchedule {
    cron: Cron,
    line: String,
    zone: TimeZone,
    zone_name: String,
    missed: Missed,
    overlap: Overlap,
}

/// What becomes of ticks while no process was there to submit their jobs.
///
/// There is no memory of when a schedule came into being: a new one that runs what was missed does so for the time before
/// it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Missed {
    /// They are left out, but for one that is at most a minute late.
    #[default]
    Skip,
    /// The latest is run.
    RunOnce {
        /// If it is no older than this.
        within: Duration,
    },
    /// All are run, the oldest first; one after another unless [`Overlap`] is `Allow`.
    RunAll {
        /// That are no older than this.
        within: Duration,
        /// At most so many, the latest.
        most: usize,
    },
}

/// What becomes of a tick when the job of an earlier one has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// Both run.
    Allow,
    /// It waits for a worker like any other, but is left out if one waits already.
    BufferOne,
    /// The earlier one is cancelled.
    CancelOther,
}

/// A schedule that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// The line is no cron line.
    #[error("cron line is {line:?}, expected five fields or six with seconds first: {message}")]
    Line {
        /// The line.
        line: String,
        /// What is wrong with it.
        message: String,
    },
    /// The line names no time that ever comes, such as the 30th of February.
    #[error("cron line {line:?} never comes true")]
    Never {
        /// The line.
        line: String,
    },
    /// There is no such time zone.
    #[error("time zone is {zone:?}, expected a name of the IANA database such as Europe/Berlin")]
    Zone {
        /// The name.
        zone: String,
    },
}

impl CronSchedule {
    /// Reads a cron line for a time zone of the IANA database.
    ///
    /// # Errors
    /// [`CronError`] says what is wrong.
    pub fn new(line: &str, zone: &str) -> Result<Self, CronError> {
        let cron = Cron::from_str(line)
            .map_err(|error| CronError::Line { line: line.to_owned(), message: error.to_string() })?;
        let time_zone = TimeZone::get(zone).map_err(|_| CronError::Zone { zone: zone.to_owned() })?;
        let schedule = Self {
            cron,
            line: line.to_owned(),
            zone: time_zone,
            zone_name: zone.to_owned(),
            missed: Missed::default(),
            overlap: Overlap::default(),
        };
        match schedule.next(SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 365 * 50)) {
            Some(_) => Ok(schedule),
            None => Err(CronError::Never { line: line.to_owned() }),
        }
    }

    /// Sets what becomes of ticks that were missed.
    #[must_use]
    pub const fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// Sets what becomes of a tick when the job of an earlier one has not ended.
    #[must_use]
    pub const fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }

    /// Returns the first tick after this time; `None` if there is none any more.
    #[must_use]
    pub fn next(&self, after: SystemTime) -> Option<SystemTime> {
        let after = self.zoned(after)?;
        self.cron.find_next_occurrence(&after, false).ok().map(|next| next.timestamp().into())
    }

    /// Returns the last tick at or before this time; `None` if there was none.
    #[must_use]
    pub fn latest(&self, until: SystemTime) -> Option<SystemTime> {
        let until = self.zoned(until)?;
        self.cron.find_previous_occurrence(&until, true).ok().map(|last| last.timestamp().into())
    }

    /// Returns the ticks after `after` up to `until`, the latest `most` of them, in order.
    #[must_use]
    pub fn between(&self, after: SystemTime, until: SystemTime, most: usize) -> Vec<SystemTime> {
        let mut ticks = Vec::new();
        let mut from = until;
        while ticks.len() < most
            && let Some(tick) = self.latest(from)
            && tick > after
        {
            ticks.push(tick);
            // Ticks are whole seconds.
            let Some(earlier) = tick.checked_sub(Duration::from_millis(1)) else { break };
            from = earlier;
        }
        ticks.reverse();
        ticks
    }

    pub(super) const fn missed_policy(&self) -> Missed {
        self.missed
    }

    pub(super) const fn overlap_policy(&self) -> Overlap {
        self.overlap
    }

    fn zoned(&self, time: SystemTime) -> Option<Zoned> {
        Timestamp::try_from(time).ok().map(|time| time.to_zoned(self.zone.clone()))
    }
}

impl fmt::Debug for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CronSchedule")
            .field("line", &self.line)
            .field("zone", &self.zone_name)
            .field("missed", &self.missed)
            .field("overlap", &self.overlap)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for CronSchedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.line, self.zone_name)
    }
}
