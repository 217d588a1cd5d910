use std::fmt;
use std::sync::Arc;

use bedplate_recovery::{Identity, Pipeline, Retry, Stack};
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::rate_limit::RateLimitKind;
use crate::stats::Counters;
use crate::target::Base;
use crate::{
    ConfigError, GitHubConfig, GitHubStats, Observer, RateLimit, Repo, RepoName, StaticToken, Token, TokenSource,
    Transport,
};

/// Talks to GitHub, or to a GitHub Enterprise Server.
///
/// A handle: clones share one client, with what it knows of the rate limits. It spawns nothing.
#[derive(Clone)]
pub struct GitHub {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) config: GitHubConfig,
    pub(crate) base: Base,
    pub(crate) user_agent: HeaderValue,
    pub(crate) api_version: HeaderValue,
    pub(crate) transport: Box<dyn Transport>,
    pub(crate) token: Option<Box<dyn TokenSource>>,
    pub(crate) observer: Option<Box<dyn Observer>>,
    pub(crate) attempts: Pipeline<Stack<Identity, Retry>>,
    pub(crate) counters: Counters,
    pub(crate) limits: Mutex<Limits>,
}

/// What the server has said of its limits.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) last: Option<RateLimit>,
    /// Until when the server wants no request.
    pub(crate) closed: Option<(Instant, RateLimitKind)>,
}

impl GitHub {
    /// Configures a client that sends by `transport`.
    pub fn builder(transport: impl Transport) -> GitHubBuilder {
        GitHubBuilder { config: GitHubConfig::default(), transport: Box::new(transport), token: None, observer: None }
    }

    /// Gives one repository. Nothing is sent.
    ///
    /// # Errors
    /// [`ConfigError`] names the part, `owner` or `repo`, that no repository can have.
    pub fn repo(&self, owner: &str, name: &str) -> Result<Repo, ConfigError> {
        Ok(Repo::new(self.clone(), RepoName::new(owner, name)?))
    }

    /// Returns what the last answer said of the primary rate limit; `None` before the first, and on servers without.
    #[must_use]
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.shared.limits.lock().last.clone()
    }

    /// Returns what the client has done.
    #[must_use]
    pub fn stats(&self) -> GitHubStats {
        self.shared.counters.stats()
    }
}

impl fmt::Debug for GitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHub").field("config", &self.shared.config).finish_non_exhaustive()
    }
}

/// Configures a [`GitHub`] client.
#[must_use]
pub struct GitHubBuilder {
    config: GitHubConfig,
    transport: Box<dyn Transport>,
    token: Option<Box<dyn TokenSource>>,
    observer: Option<Box<dyn Observer>>,
}

impl GitHubBuilder {
    /// Sets everything that is plain data at once.
    pub fn config(mut self, config: GitHubConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets [`GitHubConfig::base_url`].
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.config.base_url = url.into();
        self
    }

    /// Sets [`GitHubConfig::user_agent`].
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.config.user_agent = name.into();
        self
    }

    /// Sets [`GitHubConfig::api_version`].
    pub fn api_version(mut self, version: impl Into<String>) -> Self {
        self.config.api_version = version.into();
        self
    }

    /// Sets [`GitHubConfig::timeout`].
    pub const fn timeout(mut self, timeout: std::time::Duration) -> Self {
        self.config.timeout = timeout;
        self
    }

    /// Sets [`GitHubConfig::max_attempts`].
    pub const fn max_attempts(mut self, attempts: u32) -> Self {
        self.config.max_attempts = attempts;
        self
    }

    /// Sets [`GitHubConfig::backoff`].
    pub const fn backoff(mut self, backoff: std::time::Duration) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// Sets [`GitHubConfig::max_rate_limit_wait`].
    pub const fn max_rate_limit_wait(mut self, wait: std::time::Duration) -> Self {
        self.config.max_rate_limit_wait = wait;
        self
    }

    /// Sends this token each time. Without a token, requests are anonymous.
    pub fn token(self, token: Token) -> Self {
        self.token_source(StaticToken::new(token))
    }

    /// Sets where tokens come from.
    pub fn token_source(mut self, source: impl TokenSource) -> Self {
        self.token = Some(Box::new(source));
        self
    }

    /// Sets who hears what happens.
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.observer = Some(Box::new(observer));
        self
    }

    /// Makes the client. No runtime is needed, and nothing is sent.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting that is out of bounds.
    pub fn build(self) -> Result<GitHub, ConfigError> {
        let config = self.config;
        config.validate()?;
        let header = |field, value: &str| {
            let header = HeaderValue::from_str(value).ok().filter(|header| !header.is_empty());
            header.ok_or_else(|| ConfigError {
                field,
                value: format!("{value:?}"),
                expected: "visible ASCII characters, and not empty",
            })
        };
        let retry = Retry::exponential(config.backoff)
            .max_attempts(config.max_attempts)
            .max_server_delay(config.max_rate_limit_wait.max(config.backoff));
        let attempts = Pipeline::builder("github").retry(retry).build();
        let attempts = attempts.map_err(|error| ConfigError {
            field: "retry",
            value: format!("{:?}", error.to_string()),
            expected: "settings that a retry can have",
        })?;
        Ok(GitHub {
            shared: Arc::new(Shared {
                base: Base::parse(&config.base_url)?,
                user_agent: header("user_agent", &config.user_agent)?,
                api_version: header("api_version", &config.api_version)?,
                transport: self.transport,
                token: self.token,
                observer: self.observer,
                attempts,
                counters: Counters::default(),
                limits: Mutex::default(),
                config,
            }),
        })
    }
}

impl fmt::Debug for GitHubBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GitHubBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
