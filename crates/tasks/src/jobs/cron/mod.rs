//! Jobs that are submitted by the calendar.

mod plan;
mod schedule;
mod tick;

pub use schedule::{CronError, CronSchedule, Missed, Overlap};
pub(crate) use tick::{Entry, tick};
