use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a [`GitHub`](crate::GitHub) client talks to the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GitHubConfig {
    /// Where the REST API is, default `https://api.github.com`; for GitHub Enterprise Server
    /// `https://HOST/api/v3`. HTTPS, but for the loopback of this machine. The token goes to this origin alone.
    pub base_url: String,
    /// The `User-Agent`, default `bedplate-github/VERSION`. GitHub asks for the name of the application.
    pub user_agent: String,
    /// The `X-GitHub-Api-Version`, default `2022-11-28`.
    pub api_version: String,
    /// How long one attempt may take, 1 ms to 1 h, default 30 s. Too short makes the outcome of writes unknown, too
    /// long holds the caller.
    pub timeout: Duration,
    /// How often a request is tried in all, 1 to 10, default 3. Reads are tried again after any passing failure,
    /// writes only if the server surely did not act.
    pub max_attempts: u32,
    /// The wait before the second attempt, 1 ms to 1 min, default 500 ms; it doubles, with jitter.
    pub backoff: Duration,
    /// The longest wait that a rate limit may ask for, up to 1 h, default 30 s. Within it the client waits and tries
    /// again; beyond it the call fails at once with the time to come back.
    pub max_rate_limit_wait: Duration,
}

impl Default for GitHubConfig {
    fn default() -> Self {
        Self {
            base_url: "https://api.github.com".to_owned(),
            user_agent: concat!("bedplate-github/", env!("CARGO_PKG_VERSION")).to_owned(),
            api_version: "2022-11-28".to_owned(),
            timeout: Duration::from_secs(30),
            max_attempts: 3,
            backoff: Duration::from_millis(500),
            max_rate_limit_wait: Duration::from_secs(30),
        }
    }
}

impl GitHubConfig {
    /// Makes sure that every duration and number is within its bounds; texts are judged where they are used.
    ///
    /// # Errors
    /// [`ConfigError`] names the first that is not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let within = |field, value: Duration, least, most, expected| {
            if (least..=most).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError { field, value: format!("{value:?}"), expected })
            }
        };
        let millisecond = Duration::from_millis(1);
        let hour = Duration::from_hours(1);
        within("timeout", self.timeout, millisecond, hour, "1 ms to 1 h")?;
        within("backoff", self.backoff, millisecond, Duration::from_mins(1), "1 ms to 1 min")?;
        within("max_rate_limit_wait", self.max_rate_limit_wait, Duration::ZERO, hour, "0 to 1 h")?;
        if !(1..=10).contains(&self.max_attempts) {
            let value = self.max_attempts.to_string();
            return Err(ConfigError { field: "max_attempts", value, expected: "1 to 10" });
        }
        Ok(())
    }
}

/// A setting, a name or an argument out of bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, expected {expected}")]
#[non_exhaustive]
pub struct ConfigError {
    /// What was set.
    pub field: &'static str,
    /// What was given; never a secret.
    pub value: String,
    /// What would be right.
    pub expected: &'static str,
}
