use std::fmt;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use serde::{Deserialize, Serialize};

/// Which of GitHub's limits is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RateLimitKind {
    /// The number of requests per hour.
    Primary,
    /// Too much at once, or too much content in a short time. To go on may get the client banned.
    Secondary,
}

impl fmt::Display for RateLimitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        })
    }
}

/// What the last answer said of the primary limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RateLimit {
    /// Requests in the window.
    pub limit: u64,
    /// Requests that are left.
    pub remaining: u64,
    /// When the window ends, in seconds since 1970 by the server's clock.
    pub reset: u64,
    /// What is counted together: `core`, `search`.
    pub resource: Option<String>,
}

impl RateLimit {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        Some(Self {
            limit: number(headers, "x-ratelimit-limit")?,
            remaining: number(headers, "x-ratelimit-remaining")?,
            reset: number(headers, "x-ratelimit-reset")?,
            resource: text(headers, "x-ratelimit-resource").map(str::to_owned),
        })
    }
}

/// Returns how long an exhausted limit asks to wait.
///
/// The clock is the server's, by its `Date`: ours may be wrong. A reset that lies beyond the window of an hour, as in
/// milliseconds, is cut to it; without any word it is a minute, as GitHub's guide says.
pub(crate) fn wait(headers: &HeaderMap, kind: RateLimitKind) -> Duration {
    if let Some(seconds) = number(headers, "retry-after") {
        return Duration::from_secs(seconds).clamp(MINIMUM, MAXIMUM);
    }
    if kind == RateLimitKind::Secondary {
        return UNSAID;
    }
    let date = text(headers, "date").and_then(|date| httpdate::parse_http_date(date).ok());
    let now = date.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok());
    match (number(headers, "x-ratelimit-reset"), now) {
        (Some(reset), Some(now)) => {
            let left = Duration::from_secs(reset).saturating_sub(now);
            left.saturating_add(MINIMUM).clamp(MINIMUM, MAXIMUM)
        }
        _ => UNSAID,
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    text(headers, name)?.trim().parse().ok()
}

const MINIMUM: Duration = Duration::from_secs(1);
const MAXIMUM: Duration = Duration::from_hours(1);
const UNSAID: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_wait_is_by_the_servers_clock_and_never_absurd() {
        let at = ("date", "Tue, 19 Jul 2022 04:38:37 GMT"); // 1658205517
        let primary = |reset| wait(&headers(&[at, ("x-ratelimit-reset", reset)]), RateLimitKind::Primary);
        assert_eq!(primary("1658205577"), Duration::from_secs(61));
        assert_eq!(primary("1658205000"), Duration::from_secs(1), "a reset in the past");
        assert_eq!(primary("1507651200000"), Duration::from_hours(1), "a reset in milliseconds");
        assert_eq!(primary("soon"), Duration::from_mins(1));
        let undated = headers(&[("x-ratelimit-reset", "1658205577")]);
        assert_eq!(wait(&undated, RateLimitKind::Primary), Duration::from_mins(1));
        assert_eq!(wait(&undated, RateLimitKind::Secondary), Duration::from_mins(1));
        let told = headers(&[("retry-after", "7"), ("x-ratelimit-reset", "1658205577"), at]);
        assert_eq!(wait(&told, RateLimitKind::Secondary), Duration::from_secs(7));
        assert_eq!(wait(&headers(&[("retry-after", "0")]), RateLimitKind::Secondary), Duration::from_secs(1));
    }
}
