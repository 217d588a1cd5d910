//! The client of servers that speak the "chat completions" protocol of OpenAI: OpenAI itself, vLLM, llama.cpp, Ollama
//! and many more.
//!
//! Such servers are near to the protocol rather than true to it: they leave out `usage`, send an empty
//! `finish_reason`, or add fields (64bit/async-openai#283, zed-industries/zed#42893). So only the text of the answer is
//! required; everything else is read where it is there.

mod wire;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::RETRY_AFTER;
use reqwest::{Response, StatusCode, Url};

use crate::{Completion, ConfigError, Model, ModelError, ModelId, Prompt};

/// A model of an OpenAI-compatible server.
///
/// Constructors that take foreign types follow the major version of `reqwest`.
pub struct OpenAiCompatible {
    id: ModelId,
    model: String,
    endpoint: Url,
    key: Option<String>,
    timeout: Duration,
    max_answer_bytes: usize,
    client: reqwest::Client,
}

impl OpenAiCompatible {
    /// Configures a model of the server at this base address, as `http://127.0.0.1:8080/v1`.
    pub fn builder(base_url: impl Into<String>, model: impl Into<String>) -> OpenAiCompatibleBuilder {
        OpenAiCompatibleBuilder {
            base_url: base_url.into(),
            model: model.into(),
            key: None,
            timeout: Duration::from_secs(30),
            max_answer_bytes: 8 * 1024 * 1024,
            client: None,
        }
    }

    async fn call(&self, prompt: &Prompt) -> Result<Completion, ModelError> {
        let mut request = self.client.post(self.endpoint.clone()).json(&wire::Request::new(&self.model, prompt));
        if let Some(key) = &self.key {
            request = request.bearer_auth(key);
        }
        let mut response = request.send().await.map_err(network)?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refusal(status, response).await);
        }
        let body = self.read(&mut response).await?;
        wire::completion(&body, prompt, &self.id)
    }

    async fn refusal(&self, status: StatusCode, mut response: Response) -> ModelError {
        let retry_after = retry_after(&response);
        match status.as_u16() {
            429 => ModelError::RateLimited { retry_after },
            code @ (401 | 403) => ModelError::Unauthorized { status: code },
            code @ 408 => ModelError::Provider { status: code, retry_after },
            code if status.is_server_error() => ModelError::Provider { status: code, retry_after },
            code => {
                let body = self.read(&mut response).await.unwrap_or_default();
                ModelError::Refused { status: code, message: wire::error_message(&body) }
            }
        }
    }

    /// Reads the answer up to its bound, so that a server cannot fill the memory.
    async fn read(&self, response: &mut Response) -> Result<Vec<u8>, ModelError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(network)? {
            if body.len() + chunk.len() > self.max_answer_bytes {
                return Err(ModelError::Malformed { missing: "end within max_answer_bytes", source: None });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl fmt::Debug for OpenAiCompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiCompatible")
            .field("id", &self.id)
            .field("endpoint", &self.endpoint.as_str())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Model for OpenAiCompatible {
    fn id(&self) -> &ModelId {
        &self.id
    }

    async fn generate(&self, prompt: &Prompt) -> Result<Completion, ModelError> {
        prompt.validate()?;
        match tokio::time::timeout(self.timeout, self.call(prompt)).await {
            Ok(answer) => answer,
            Err(_) => Err(ModelError::TimedOut { after: self.timeout }),
        }
    }
}

/// Configures an [`OpenAiCompatible`] model.
#[must_use]
pub struct OpenAiCompatibleBuilder {
    base_url: String,
    model: String,
    key: Option<String>,
    timeout: Duration,
    max_answer_bytes: usize,
    client: Option<reqwest::Client>,
}

impl OpenAiCompatibleBuilder {
    /// Sets the key that is sent as a bearer token; it is never shown.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Bounds one call from connecting to the last byte, 1 ms to 1 h, default 30 s. Too short gives up on long answers,
    /// too long holds a worker for a dead server.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Bounds the answer's body, 1 KiB to 1 GiB, default 8 MiB.
    pub const fn max_answer_bytes(mut self, bytes: usize) -> Self {
        self.max_answer_bytes = bytes;
        self
    }

    /// Uses this client, with its pool, proxy and certificates, in place of an own one.
    pub fn client(mut self, client: reqwest::Client) -> Self {
        self.client = Some(client);
        self
    }

    /// Returns the model.
    ///
    /// # Errors
    /// [`ConfigError`] if the address is none of `http` or `https`, the model has no name, a bound is out of range, or
    /// the HTTP client cannot be made.
    pub fn build(self) -> Result<OpenAiCompatible, ConfigError> {
        let invalid = |field, value: String, expected| ConfigError { field, value, expected };
        if self.model.trim().is_empty() {
            return Err(invalid("openai.model", "empty".to_owned(), "the name of a model of the server"));
        }
        if !(Duration::from_millis(1)..=Duration::from_hours(1)).contains(&self.timeout) {
            return Err(invalid("openai.timeout", format!("{:?}", self.timeout), "1 ms to 1 h"));
        }
        if !(1024..=1024 * 1024 * 1024).contains(&self.max_answer_bytes) {
            return Err(invalid("openai.max_answer_bytes", self.max_answer_bytes.to_string(), "1 KiB to 1 GiB"));
        }
        let endpoint = Url::parse(&format!("{}/chat/completions", self.base_url.trim_end_matches('/')))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| {
                invalid(
                    "openai.base_url",
                    format!("{:?}", self.base_url),
                    "an http or https address such as http://127.0.0.1:8080/v1",
                )
            })?;
        let client = match self.client {
            Some(client) => client,
            None => reqwest::Client::builder()
                .build()
                .map_err(|error| invalid("openai.client", error.to_string(), "a working TLS configuration"))?,
        };
        Ok(OpenAiCompatible {
            id: ModelId::new(format!("openai/{}", self.model)),
            model: self.model,
            endpoint,
            key: self.key,
            timeout: self.timeout,
            max_answer_bytes: self.max_answer_bytes,
            client,
        })
    }
}

impl fmt::Debug for OpenAiCompatibleBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiCompatibleBuilder")
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

fn network(error: reqwest::Error) -> ModelError {
    ModelError::Network { source: Box::new(error.without_url()) }
}

/// Reads `Retry-After` in seconds (RFC 9110, section 10.2.3); a date is passed over, for our clock may differ.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse::<u64>().ok().map(Duration::from_secs)
}
