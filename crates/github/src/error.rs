use std::fmt;
use std::time::Duration;

use bedplate_recovery::{Classify, ErrorClass};
use serde::{Deserialize, Serialize};

use crate::{ConfigError, RateLimitKind, TokenError, TransportError, TransportErrorKind};

/// What a call of GitHub came to, if not to what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitHubError {
    /// An argument that GitHub would refuse, found before anything was sent.
    #[error("request is invalid")]
    Invalid(#[from] ConfigError),
    /// There is no token to send.
    #[error("request has no token")]
    Token(#[from] TokenError),
    /// There is no such thing, or the token may not know of it.
    #[error("not found, or not visible to this token: {0}")]
    NotFound(Rejection),
    /// The token is missing, wrong or expired.
    #[error("token is not accepted: {0}")]
    Unauthorized(Rejection),
    /// The token may not do this.
    #[error("not permitted: {0}")]
    Forbidden(Rejection),
    /// The server understood and refused what was sent.
    #[error("refused as invalid: {rejection}{}", list(errors))]
    #[non_exhaustive]
    Validation {
        /// What the server said.
        rejection: Rejection,
        /// What is wrong with which field.
        errors: Vec<FieldError>,
    },
    /// A rate limit is exhausted; the server did not act.
    #[error("{kind} rate limit is exhausted, come back in {retry_after:?}")]
    #[non_exhaustive]
    RateLimited {
        /// Which limit it is.
        kind: RateLimitKind,
        /// How long to wait.
        retry_after: Duration,
        /// What the server said; `None` if the client knew without asking.
        rejection: Option<Rejection>,
    },
    /// The server failed. Whether a write was done is unknown.
    #[error("server failed: {0}")]
    Server(Rejection),
    /// There was no answer.
    #[error("no answer came")]
    Transport(#[from] TransportError),
    /// No answer came in time. Whether a write was done is unknown.
    #[error("no answer came within {after:?}")]
    #[non_exhaustive]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// A success whose body is not what was expected.
    #[error("answer is malformed: {reason}")]
    #[non_exhaustive]
    Malformed {
        /// What is wrong with it.
        reason: &'static str,
        /// What the parser said.
        #[source]
        source: Option<serde_json::Error>,
    },
    /// The server points to another host, which shall not see the token.
    #[error("{field} leads to {host:?}, away from the configured server")]
    #[non_exhaustive]
    Foreign {
        /// The header: `link` or `location`.
        field: &'static str,
        /// Where it leads.
        host: String,
    },
    /// An answer that this client has no use for.
    #[error("unexpected answer: {0}")]
    Unexpected(Rejection),
    /// A write whose outcome nobody knows: it may have been done. To repeat it may do it twice; look first.
    #[error("outcome of {operation} is unknown")]
    #[non_exhaustive]
    OutcomeUnknown {
        /// What was tried.
        operation: &'static str,
        /// Where what was made is, as far as the answer said.
        location: Option<String>,
        /// What happened.
        #[source]
        source: Box<Self>,
    },
}

/// Whether the server acted on a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// It did not.
    NotDone,
    /// Nobody knows.
    Unknown,
}

impl GitHubError {
    /// Says whether the server may have acted. For reads it does not matter.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Server(_) | Self::TimedOut { .. } | Self::Malformed { .. } | Self::OutcomeUnknown { .. } => {
                Outcome::Unknown
            }
            // A redirect that is not followed, or one more refusal.
            Self::Unexpected(rejection) if rejection.status < 300 => Outcome::Unknown,
            Self::Transport(error) => match error.kind() {
                TransportErrorKind::NotSent => Outcome::NotDone,
                _ => Outcome::Unknown,
            },
            _ => Outcome::NotDone,
        }
    }

    /// Says whether a write may or may not have been done, so that repeating it may do it twice.
    #[must_use]
    pub const fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }

    /// Says whether repeating the call can help and cannot harm.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.class().is_transient()
    }

    /// Returns how long to wait before the next call, where that is known.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Returns what the server said, if it did.
    #[must_use]
    pub const fn rejection(&self) -> Option<&Rejection> {
        match self {
            Self::NotFound(rejection)
            | Self::Unauthorized(rejection)
            | Self::Forbidden(rejection)
            | Self::Validation { rejection, .. }
            | Self::Server(rejection)
            | Self::Unexpected(rejection) => Some(rejection),
            Self::RateLimited { rejection, .. } => rejection.as_ref(),
            Self::OutcomeUnknown { source, .. } => source.rejection(),
            _ => None,
        }
    }

    /// Names the error with a fixed word, fit for a label.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::Token(_) => "token",
            Self::NotFound(_) => "not_found",
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::Validation { .. } => "validation",
            Self::RateLimited { .. } => "rate_limited",
            Self::Server(_) => "server",
            Self::Transport(_) => "transport",
            Self::TimedOut { .. } => "timed_out",
            Self::Malformed { .. } => "malformed",
            Self::Foreign { .. } => "foreign",
            Self::Unexpected(_) => "unexpected",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
        }
    }
}

impl Classify for GitHubError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::RateLimited { retry_after, .. } => ErrorClass::Throttled { after: Some(*retry_after) },
            Self::Server(rejection) if rejection.status == 503 => ErrorClass::Overload { after: None },
            Self::Server(_) => ErrorClass::Transient,
            Self::Transport(error) => match error.kind() {
                TransportErrorKind::NotSent | TransportErrorKind::Interrupted => ErrorClass::Transient,
                TransportErrorKind::TooLarge => ErrorClass::Permanent,
            },
            Self::TimedOut { .. } => ErrorClass::Timeout,
            Self::Token(error) if error.is_transient() => ErrorClass::Transient,
            Self::Invalid(_) | Self::Validation { .. } | Self::NotFound(_) => ErrorClass::CallerFault,
            // A repetition could do the work twice.
            _ => ErrorClass::Permanent,
        }
    }
}

/// What the server said with an answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rejection {
    /// The status.
    pub status: u16,
    /// The server's words, up to 200 characters; of a page, its title.
    pub message: String,
    /// Where GitHub explains it.
    pub documentation_url: Option<String>,
    /// The number by which GitHub's support finds the request.
    pub request_id: Option<String>,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.message)?;
        if let Some(id) = &self.request_id {
            write!(f, " (request {id})")?;
        }
        Ok(())
    }
}

/// What is wrong with one field of what was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FieldError {
    /// The kind of thing: `Issue`.
    pub resource: Option<String>,
    /// The field: `title`.
    pub field: Option<String>,
    /// What is wrong: `missing_field`, `already_exists`.
    pub code: Option<String>,
    /// The server's own words.
    pub message: Option<String>,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [&self.resource, &self.field, &self.code, &self.message];
        let words: Vec<_> = words.into_iter().flatten().map(String::as_str).collect();
        f.write_str(&words.join(" "))
    }
}

fn list(errors: &[FieldError]) -> String {
    let errors: Vec<_> = errors.iter().map(|error| format!("; {error}")).collect();
    errors.concat()
}
