//! One call: attempts, redirects and limits.
//!
//! What may be repeated is decided by what the server may have done, not by its status. A read may always be repeated.
//! A write is repeated only if the server surely did not act: nothing reached it, or it said so by a rate limit. After
//! a 502, a broken connection, a time limit or an unreadable success, a repetition is how one issue becomes four;
//! there the caller gets [`GitHubError::OutcomeUnknown`] and can look before it leaps.

use bedplate_recovery::{Classify as _, ErrorClass, Failure};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, USER_AGENT};
use http::{HeaderValue, Method, StatusCode, Uri};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use crate::client::Shared;
use crate::stats::count;
use crate::{GitHub, GitHubError, GitHubEvent, Outcome, RateLimit, Request, Response, answer};

/// What a call is and does.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) operation: &'static str,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) const fn get(operation: &'static str, uri: Uri) -> Self {
        Self { operation, method: Method::GET, uri, body: Bytes::new() }
    }

    pub(crate) const fn post(operation: &'static str, uri: Uri, body: Bytes) -> Self {
        Self { operation, method: Method::POST, uri, body }
    }

    fn is_read(&self) -> bool {
        self.method == Method::GET
    }
}

impl GitHub {
    /// Makes a call and reads its answer.
    pub(crate) async fn call<T: DeserializeOwned + Send>(&self, call: Call) -> Result<(T, Response), GitHubError> {
        let shared = &*self.shared;
        let result = shared.attempts.run_classified(|error| shared.class(&call, error), |_cx| shared.attempt(&call));
        let result = result.await.map_err(|failure| match failure {
            Failure::Inner { error, .. } => error,
            _ => GitHubError::TimedOut { after: shared.config.timeout },
        });
        match &result {
            Ok(_) => count(&shared.counters.succeeded),
            Err(error) => {
                count(&shared.counters.failed);
                if error.is_outcome_unknown() {
                    count(&shared.counters.outcome_unknown);
                }
                tracing::debug!(operation = call.operation, error = error.as_str(), "github call failed");
                if let Some(observer) = &shared.observer {
                    observer.on_event(&GitHubEvent::Failed { operation: call.operation, error });
                }
            }
        }
        result
    }
}

impl Shared {
    /// Judges whether an attempt may be repeated.
    fn class(&self, call: &Call, error: &GitHubError) -> ErrorClass {
        if error.retry_after().is_some_and(|wait| wait > self.config.max_rate_limit_wait) {
            // To wait less than the server asks would be to knock on a closed door.
            return ErrorClass::Permanent;
        }
        if call.is_read() || error.outcome() == Outcome::NotDone {
            return error.class();
        }
        ErrorClass::Permanent
    }

    async fn attempt<T: DeserializeOwned>(&self, call: &Call) -> Result<(T, Response), GitHubError> {
        let answer = self.answer(call).await.map_err(|error| doubted(call, error, None))?;
        match serde_json::from_slice(answer.body()) {
            Ok(value) => Ok((value, answer)),
            Err(error) => {
                let reason = "the body is not the expected JSON";
                let error = GitHubError::Malformed { reason, source: Some(error) };
                Err(doubted(call, error, made(&answer)))
            }
        }
    }

    /// Sends a call, follows where it moved, and returns the success.
    async fn answer(&self, call: &Call) -> Result<Response, GitHubError> {
        let mut uri = call.uri.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send(call, &uri).await?;
            let Some(moved) = moved(call, &answer) else {
                let Some(error) = answer::judge(&answer) else {
                    return Ok(answer);
                };
                self.learn(&error);
                return Err(error);
            };
            uri = self.base.follow("location", moved)?;
        }
        // Each redirect said that nothing was done there.
        Err(GitHubError::Foreign { field: "location", host: "a circle of redirects".to_owned() })
    }

    async fn send(&self, call: &Call, uri: &Uri) -> Result<Response, GitHubError> {
        self.admit()?;
        let started = Instant::now();
        let after = self.config.timeout;
        let request = timeout(after, self.request(call, uri)).await;
        // Nothing was sent yet, so it is no timeout of the call.
        let request = request.map_err(|_| crate::TokenError::new("its source took too long").transient())??;
        count(&self.counters.requests);
        let sent = timeout(after, self.transport.send(request)).await;
        let answer = sent.map_err(|_| GitHubError::TimedOut { after })??;
        if let Some(limit) = RateLimit::of(answer.headers()) {
            self.limits.lock().last = Some(limit);
        }
        let (status, took) = (answer.status().as_u16(), started.elapsed());
        tracing::debug!(operation = call.operation, status, ?took, "github answered");
        if let Some(observer) = &self.observer {
            observer.on_event(&GitHubEvent::Answered { operation: call.operation, status, took });
        }
        Ok(answer)
    }

    async fn request(&self, call: &Call, uri: &Uri) -> Result<Request, GitHubError> {
        let mut request = http::Request::new(call.body.clone());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert(USER_AGENT, self.user_agent.clone());
        headers.insert("x-github-api-version", self.api_version.clone());
        if !call.body.is_empty() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(source) = &self.token {
            headers.insert(AUTHORIZATION, source.token().await?.header());
        }
        Ok(request)
    }

    /// Refuses a request while the server wants none.
    fn admit(&self) -> Result<(), GitHubError> {
        let mut limits = self.limits.lock();
        let Some((until, kind)) = limits.closed else {
            return Ok(());
        };
        let retry_after = until.saturating_duration_since(Instant::now());
        if retry_after.is_zero() {
            limits.closed = None;
            return Ok(());
        }
        drop(limits);
        count(&self.counters.rate_limited);
        Err(GitHubError::RateLimited { kind, retry_after, rejection: None })
    }

    fn learn(&self, error: &GitHubError) {
        if let GitHubError::RateLimited { kind, retry_after, .. } = error {
            count(&self.counters.rate_limited);
            let until = Instant::now() + *retry_after;
            let mut limits = self.limits.lock();
            if limits.closed.is_none_or(|(other, _)| other < until) {
                limits.closed = Some((until, *kind));
            }
        }
    }
}

/// Turns the failure of a write that may have been done into one that says so.
fn doubted(call: &Call, error: GitHubError, location: Option<String>) -> GitHubError {
    if call.is_read() || error.outcome() == Outcome::NotDone {
        return error;
    }
    GitHubError::OutcomeUnknown { operation: call.operation, location, source: Box::new(error) }
}

/// Returns where a redirect leads that this call may follow: a read any, a write those that keep its method and body.
fn moved<'a>(call: &Call, answer: &'a Response) -> Option<&'a str> {
    let follows = match answer.status() {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => call.is_read(),
        _ => false,
    };
    answer.headers().get(LOCATION).filter(|_| follows)?.to_str().ok()
}

/// Finds where what a success made is, though its body is not what it should be.
fn made(answer: &Response) -> Option<String> {
    let location = answer.headers().get(LOCATION)?.to_str().ok()?;
    Some(location.chars().take(500).collect())
}

const MAX_REDIRECTS: usize = 3;
