//! Values as the server takes them.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A time as the tables keep it: microseconds since 1970.
pub(super) type Micros = i64;

/// What lies further away is as good as never: the year 9999.
const LATEST: Micros = 253_370_764_800_000_000;

pub(super) fn micros(time: Duration) -> Micros {
    i64::try_from(time.as_micros()).unwrap_or(LATEST).min(LATEST)
}

pub(super) fn from_system(time: SystemTime) -> Micros {
    micros(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

pub(super) fn to_system(time: Micros) -> SystemTime {
    UNIX_EPOCH + duration(time)
}

pub(super) fn duration(time: Micros) -> Duration {
    Duration::from_micros(u64::try_from(time).unwrap_or(0))
}

pub(super) fn fence(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(-1)
}

/// A text without the one character that the server does not take.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}
