use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::failure::TimeoutScope;

/// What a policy is, for those who look at a pipeline from outside.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PolicyKind {
    /// A [`Timeout`](crate::Timeout).
    Timeout {
        /// What it covers.
        scope: TimeoutScope,
        /// Its limit.
        limit: Duration,
    },
    /// A [`Retry`](crate::Retry).
    Retry {
        /// How many attempts it makes in all.
        max_attempts: u32,
        /// Whether it draws on a budget.
        budgeted: bool,
    },
    /// A [`CircuitBreaker`](crate::CircuitBreaker).
    Breaker,
    /// A [`Bulkhead`](crate::Bulkhead).
    Bulkhead {
        /// Whether the number of places is learnt.
        adaptive: bool,
    },
    /// A [`RateLimiter`](crate::RateLimiter).
    RateLimit,
    /// A [`ClientThrottle`](crate::ClientThrottle).
    Throttle,
    /// A [`Hedge`](crate::Hedge).
    Hedge {
        /// How many attempts may run beside each other.
        max_attempts: u32,
        /// Whether it draws on a budget.
        budgeted: bool,
    },
    /// A [`Chaos`](crate::Chaos).
    Chaos,
    /// One that is not of this crate, and of which nothing is known.
    Other,
}

/// Something about the order or the settings of a pipeline that is seldom meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Warning {
    /// The rule, as a fixed word.
    pub rule: &'static str,
    /// What is odd, and what would be right.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.message)
    }
}

/// Looks for orders and settings that are seldom meant, the outermost policy first.
pub(crate) fn lint(policies: &[PolicyKind]) -> Vec<Warning> {
    let mut found = Vec::new();
    let mut warn = |rule, message: String| found.push(Warning { rule, message });
    let mut attempts = 1_u64;
    let mut total: Option<Duration> = None;
    let mut retries = 0;
    let (mut breaker_outside, mut retry_outside, mut hedge_outside) = (false, false, false);
    let (mut bulkhead_outside, mut rate_outside) = (false, false);
    let mut sheds = false;
    let mut unbudgeted = false;
    for (at, policy) in policies.iter().enumerate() {
        match policy {
            PolicyKind::Timeout { scope: TimeoutScope::Total, limit } => {
                if retry_outside || hedge_outside {
                    warn(
                        "total_timeout_inside_retry",
                        format!(
                            "the total timeout of {limit:?} stands inside a retry or hedge, so that it covers each attempt \
                             anew; put it outside, or use an attempt timeout here"
                        ),
                    );
                }
                total = total.map_or(Some(*limit), |outer| Some(outer.min(*limit)));
            }
            PolicyKind::Timeout { scope: TimeoutScope::Attempt, limit } => {
                if let Some(total) = total.filter(|total| limit > total) {
                    warn(
                        "attempt_above_total",
                        format!("the attempt timeout of {limit:?} is above the total of {total:?} and never fires"),
                    );
                }
                if let Some(total) = total
                    && u32::try_from(attempts)
                        .is_ok_and(|attempts| attempts > 1 && *limit <= total && *limit * attempts > total)
                {
                    warn(
                        "total_below_attempts",
                        format!(
                            "{attempts} attempts of {limit:?} do not fit into the total of {total:?}; the last ones are cut \
                             short or never made"
                        ),
                    );
                }
                if policies.iter().skip(at + 1).any(repeats) {
                    warn(
                        "attempt_timeout_outside_retry",
                        format!(
                            "the attempt timeout of {limit:?} stands outside a retry or hedge, so that it covers all attempts \
                             together; put it inside, or use a total timeout here"
                        ),
                    );
                }
            }
            PolicyKind::Retry { max_attempts, budgeted } => {
                retries += 1;
                attempts = attempts.saturating_mul(u64::from(*max_attempts));
                if breaker_outside {
                    warn(
                        "breaker_outside_retry",
                        "a breaker stands outside the retry: it sees one failure where there were several, and cannot end \
                         the retrying; put it inside"
                            .to_owned(),
                    );
                }
                if bulkhead_outside {
                    warn(
                        "bulkhead_outside_retry",
                        "a bulkhead stands outside the retry: a call keeps its place while it waits between attempts; put it \
                         inside if the callee is what it protects"
                            .to_owned(),
                    );
                }
                if rate_outside {
                    warn(
                        "rate_limit_outside_retry",
                        "a rate limit stands outside the retry: it counts calls, not attempts, and the callee sees more than \
                         the limit; put it inside"
                            .to_owned(),
                    );
                }
                if hedge_outside {
                    warn(
                        "retry_inside_hedge",
                        "a retry stands inside a hedge: each of the attempts beside each other retries on its own; put the \
                         hedge inside"
                            .to_owned(),
                    );
                }
                unbudgeted |= !budgeted && *max_attempts > 1;
                retry_outside = true;
            }
            PolicyKind::Hedge { max_attempts, .. } => {
                attempts = attempts.saturating_mul(u64::from(*max_attempts));
                if breaker_outside {
                    warn(
                        "breaker_outside_hedge",
                        "a breaker stands outside the hedge: it hears of the fastest attempt only, and a hung target never \
                         opens it; put it inside"
                            .to_owned(),
                    );
                }
                hedge_outside = true;
            }
            PolicyKind::Breaker => {
                breaker_outside = true;
                sheds = true;
            }
            PolicyKind::Bulkhead { adaptive } => {
                bulkhead_outside = true;
                sheds |= *adaptive;
            }
            PolicyKind::RateLimit => rate_outside = true,
            PolicyKind::Throttle => sheds = true,
            PolicyKind::Chaos if at + 1 < policies.len() => warn(
                "chaos_not_innermost",
                "chaos stands outside other policies, which then never see what it injects; put it last".to_owned(),
            ),
            PolicyKind::Chaos | PolicyKind::Other => {}
        }
    }
    if retries > 1 {
        warn(
            "retries_multiply",
            format!("{retries} retries stand inside one another: up to {attempts} attempts are made for one call"),
        );
    }
    if unbudgeted && !sheds {
        warn(
            "retry_without_bound",
            "retries have no budget, and there is no breaker, throttle or learnt limit either: in an outage they multiply \
             the load and may keep the callee down; give the retry a budget"
                .to_owned(),
        );
    }
    found
}

const fn repeats(policy: &PolicyKind) -> bool {
    matches!(policy, PolicyKind::Retry { max_attempts: 2.., .. } | PolicyKind::Hedge { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn total(seconds: u32) -> PolicyKind {
        PolicyKind::Timeout { scope: TimeoutScope::Total, limit: SECOND * seconds }
    }

    fn attempt(seconds: u32) -> PolicyKind {
        PolicyKind::Timeout { scope: TimeoutScope::Attempt, limit: SECOND * seconds }
    }

    fn retry(max_attempts: u32) -> PolicyKind {
        PolicyKind::Retry { max_attempts, budgeted: true }
    }

    #[test]
    fn each_rule_is_found_alone_and_the_usual_order_is_clean() {
        use PolicyKind::{Breaker, Chaos, RateLimit};
        let hedge = PolicyKind::Hedge { max_attempts: 2, budgeted: true };
        let bulkhead = PolicyKind::Bulkhead { adaptive: false };
        let bare = PolicyKind::Retry { max_attempts: 3, budgeted: false };
        let cases: [(&[PolicyKind], &[&str]); 14] = [
            (&[total(3), retry(3), bulkhead.clone(), attempt(1), Breaker, Chaos], &[]),
            (&[bare.clone(), Breaker], &[]),
            (&[retry(3), total(3)], &["total_timeout_inside_retry"]),
            (&[total(1), attempt(5)], &["attempt_above_total"]),
            (&[attempt(1), retry(3)], &["attempt_timeout_outside_retry"]),
            (&[total(2), retry(3), attempt(1)], &["total_below_attempts"]),
            (&[Breaker, retry(3)], &["breaker_outside_retry"]),
            (&[bulkhead, retry(3)], &["bulkhead_outside_retry"]),
            (&[RateLimit, retry(3)], &["rate_limit_outside_retry"]),
            (&[hedge.clone(), retry(3)], &["retry_inside_hedge"]),
            (&[Breaker, hedge], &["breaker_outside_hedge"]),
            (&[Chaos, Breaker], &["chaos_not_innermost"]),
            (&[retry(3), retry(2)], &["retries_multiply"]),
            (&[bare], &["retry_without_bound"]),
        ];
        for (policies, expected) in cases {
            let rules: Vec<_> = lint(policies).iter().map(|warning| warning.rule).collect();
            assert_eq!(rules, expected, "{policies:?}");
        }
    }
}
