use std::error::Error;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

/// A request with its whole body.
pub type Request = http::Request<Bytes>;

/// An answer with its whole body.
pub type Response = http::Response<Bytes>;

/// Carries one request to the server and its answer back.
///
/// It neither follows redirects nor tries again: the client decides both, since it knows what may be repeated and
/// which hosts may see the token. A closure from a request to an answer is a transport too, as for tests.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends a request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`TransportError`], whose kind says whether the server may have acted. When in doubt, it may.
    ///
    /// # Cancel safety
    /// The client drops the future at its time limit; the server may have acted.
    async fn send(&self, request: Request) -> Result<Response, TransportError>;
}

#[async_trait]
impl<F> Transport for F
where
    F: Fn(Request) -> Result<Response, TransportError> + Send + Sync + 'static,
{
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        self(request)
    }
}

impl fmt::Debug for dyn Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport")
    }
}

/// A request that brought no answer.
#[derive(Debug, thiserror::Error)]
#[error("{}", kind.describe())]
pub struct TransportError {
    kind: TransportErrorKind,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// What became of a request without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// It did not reach the server: no name, no connection, no TLS.
    NotSent,
    /// The connection broke, or the answer was unreadable, after the request may have been sent.
    Interrupted,
    /// The answer is longer than the transport takes.
    TooLarge,
}

impl TransportErrorKind {
    const fn describe(self) -> &'static str {
        match self {
            Self::NotSent => "request did not reach the server",
            Self::Interrupted => "connection broke before the answer was complete",
            Self::TooLarge => "answer is longer than the transport takes",
        }
    }
}

impl TransportError {
    /// Reports a failure of this kind.
    #[must_use]
    pub const fn new(kind: TransportErrorKind) -> Self {
        Self { kind, source: None }
    }

    /// Adds the error that was the cause. It must not show headers or queries.
    #[must_use]
    pub fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// Returns what became of the request.
    #[must_use]
    pub const fn kind(&self) -> TransportErrorKind {
        self.kind
    }
}
