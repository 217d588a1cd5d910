use reqwest::{Error, RequestBuilder, Response};
use tracing::Instrument as _;

use super::ClientSpan;
use crate::propagation::{Destination, Propagator};

/// What this crate adds to reqwest's request builder; it follows the 0.13 series of that crate.
pub trait RequestBuilderExt {
    /// Sends the request in a CLIENT span, under whose context the one called continues the trace.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn call(client: reqwest::Client) -> Result<(), reqwest::Error> {
    /// use bedplate_observability::http::RequestBuilderExt as _;
    /// let answer = client.get("https://example.com/users/7").traced().template("/users/{id}").send().await?;
    /// # drop(answer); Ok(()) }
    /// ```
    fn traced(self) -> TracedRequest;
}

impl RequestBuilderExt for RequestBuilder {
    fn traced(self) -> TracedRequest {
        let propagator = Propagator::default();
        TracedRequest { builder: self, propagator, destination: None, template: None, resend: 0 }
    }
}

/// A request that is sent in a span of its own.
#[derive(Debug)]
#[must_use]
pub struct TracedRequest {
    builder: RequestBuilder,
    propagator: Propagator,
    destination: Option<Destination>,
    template: Option<String>,
    resend: u32,
}

impl TracedRequest {
    /// Writes headers by this propagator, default [`Propagator::default`].
    pub fn propagator(mut self, propagator: &Propagator) -> Self {
        self.propagator = propagator.clone();
        self
    }

    /// Says whether the one called may know more than the trace's id, default what the propagator says of its host.
    pub const fn destination(mut self, destination: Destination) -> Self {
        self.destination = Some(destination);
        self
    }

    /// Names the span by the URL's path with its variables in braces, such as `/users/{id}`.
    pub fn template(mut self, template: impl Into<String>) -> Self {
        self.template = Some(template.into());
        self
    }

    /// Says how many attempts of the same call came before.
    pub const fn resend_count(mut self, count: u32) -> Self {
        self.resend = count;
        self
    }

    /// Sends the request.
    ///
    /// # Errors
    /// As of [`RequestBuilder::send`]; a status of 4xx or 5xx is an error for the span alone.
    ///
    /// # Cancel safety
    /// Dropped before its end, the span is marked `cancelled`.
    pub async fn send(self) -> Result<Response, Error> {
        let Self { builder, propagator, destination, template, resend } = self;
        let (client, request) = builder.build_split();
        let mut request = request?;
        let url = request.url().as_str();
        let attempt = ClientSpan::start(request.method(), url, template.as_deref(), resend);
        let host = request.url().host_str().unwrap_or_default();
        let destination = destination.unwrap_or_else(|| propagator.destination(host));
        propagator.inject(attempt.span(), destination, request.headers_mut());
        let answer = client.execute(request).instrument(attempt.span().clone()).await;
        match &answer {
            Ok(response) => attempt.responded(response.status()),
            Err(error) => attempt.failed(kind(error)),
        }
        answer
    }
}

fn kind(error: &Error) -> &'static str {
    match error {
        error if error.is_timeout() => "timeout",
        error if error.is_connect() => "connect",
        error if error.is_redirect() => "redirect",
        error if error.is_body() || error.is_decode() => "body",
        _ => "request",
    }
}
