use async_trait::async_trait;
use bytes::BytesMut;

use crate::transport::{Request, Response, Transport, TransportError, TransportErrorKind};

/// Sends requests over HTTPS, by `reqwest` and rustls; follows the major version of that crate.
#[derive(Debug, Clone)]
pub struct ReqwestTransport {
    client: reqwest::Client,
    max_response_bytes: usize,
}

impl ReqwestTransport {
    /// Makes a transport that takes answers of up to 16 MiB.
    ///
    /// # Errors
    /// [`TransportError`] if the system's TLS roots cannot be loaded.
    pub fn new() -> Result<Self, TransportError> {
        // What may be repeated or followed is decided above, where the meaning of the request is known.
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()
            .map_err(|error| TransportError::new(TransportErrorKind::NotSent).with_source(error))?;
        Ok(Self::from_client(client))
    }

    /// Uses a client of the caller's, as for a proxy or private roots. It must follow no redirects and retry nothing.
    #[must_use]
    pub const fn from_client(client: reqwest::Client) -> Self {
        Self { client, max_response_bytes: 16 << 20 }
    }

    /// Sets the longest answer that is read; a longer one is given up.
    #[must_use]
    pub const fn max_response_bytes(mut self, bytes: usize) -> Self {
        self.max_response_bytes = bytes;
        self
    }
}

#[async_trait]
impl Transport for ReqwestTransport {
    async fn send(&self, request: Request) -> Result<Response, TransportError> {
        let request =
            reqwest::Request::try_from(request).map_err(|error| failed(TransportErrorKind::NotSent, error))?;
        let mut answer = self.client.execute(request).await.map_err(|error| {
            let kind = if error.is_connect() || error.is_builder() {
                TransportErrorKind::NotSent
            } else {
                TransportErrorKind::Interrupted
            };
            failed(kind, error)
        })?;
        let mut response = http::Response::builder().status(answer.status()).version(answer.version());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| failed(TransportErrorKind::Interrupted, error))? {
            if body.len().saturating_add(chunk.len()) > self.max_response_bytes {
                return Err(TransportError::new(TransportErrorKind::TooLarge));
            }
            body.extend_from_slice(&chunk);
        }
        response
            .body(body.freeze())
            .map_err(|error| TransportError::new(TransportErrorKind::Interrupted).with_source(error))
    }
}

fn failed(kind: TransportErrorKind, error: reqwest::Error) -> TransportError {
    // The URL may hold a query that is nobody's business.
    TransportError::new(kind).with_source(error.without_url())
}
