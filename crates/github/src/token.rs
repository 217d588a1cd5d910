use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use http::HeaderValue;

use crate::ConfigError;

/// Gives the token of each request.
#[async_trait]
pub trait TokenSource: Send + Sync + 'static {
    /// Returns a token that is good now; it is asked once per attempt, and shall keep what it has made.
    ///
    /// # Errors
    /// [`TokenError`] if there is none; the request is not sent.
    ///
    /// # Cancel safety
    /// The client drops the future at its time limit.
    async fn token(&self) -> Result<Token, TokenError>;
}

impl fmt::Debug for dyn TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSource")
    }
}

/// A secret that proves who asks. `Debug` does not show it.
#[derive(Clone)]
pub struct Token {
    header: HeaderValue,
}

impl Token {
    /// Takes a personal access token, an installation's or a workflow's.
    ///
    /// # Errors
    /// [`ConfigError`] if it is empty or holds what no token does; the error does not repeat it.
    pub fn new(token: &str) -> Result<Self, ConfigError> {
        let refused = || ConfigError {
            field: "token",
            value: "(secret)".to_owned(),
            expected: "visible ASCII characters, and not empty",
        };
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(refused());
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| refused())?;
        header.set_sensitive(true);
        Ok(Self { header })
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// Gives the same token each time.
#[derive(Debug, Clone)]
pub struct StaticToken {
    token: Token,
}

impl StaticToken {
    /// Gives `token`.
    #[must_use]
    pub const fn new(token: Token) -> Self {
        Self { token }
    }
}

#[async_trait]
impl TokenSource for StaticToken {
    async fn token(&self) -> Result<Token, TokenError> {
        Ok(self.token.clone())
    }
}

/// A token that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("token could not be had: {reason}")]
pub struct TokenError {
    reason: String,
    transient: bool,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl TokenError {
    /// Reports that there is no token, and that asking again will not help.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), transient: false, source: None }
    }

    /// Says that asking again may help.
    #[must_use]
    pub const fn transient(mut self) -> Self {
        self.transient = true;
        self
    }

    /// Adds the error that was the cause; it must not show secrets.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Says whether asking again may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        self.transient
    }
}
