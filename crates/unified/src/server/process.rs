use std::error::Error;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use http_body_util::LengthLimitError;
use serde::Deserialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Server;
use super::problem::{failed, problem};
use crate::Request;

/// The query of `POST /v1/process`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Parameters {
    modality: Option<String>,
    file_name: Option<String>,
    question: Option<String>,
}

/// The body of `POST /v1/process` as `application/json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextBody {
    text: String,
    question: Option<String>,
}

pub(super) async fn process(
    State(server): State<Server>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    // Held until the answer is given, as long as the body is in memory.
    let Some(_room) = server.uploads.admit(&headers) else {
        let detail = "too many bytes are being processed, expected to be sent again later";
        return problem(StatusCode::TOO_MANY_REQUESTS, "overloaded", detail);
    };
    let body = to_bytes(body, server.uploads.largest).await;
    let request = match request(parameters, &headers, body) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    let id = request.id().to_string();
    let mut response = match server.system.process(request).await {
        Ok(processed) => axum::Json(processed).into_response(),
        Err(error) => failed(&error),
    };
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}

/// How many bytes of bodies are in memory at once, and how many one may have.
#[derive(Clone)]
pub(super) struct Uploads {
    largest: usize,
    room: Arc<Semaphore>,
}

impl Uploads {
    /// The unit of room, in bytes.
    const UNIT: usize = 64 * 1024;

    /// Has room for four of the largest bodies.
    pub(super) fn new(largest: usize) -> Self {
        let units = largest.div_ceil(Self::UNIT).saturating_mul(4).min(Semaphore::MAX_PERMITS);
        Self { largest, room: Arc::new(Semaphore::new(units)) }
    }

    /// Takes room for a body as long as it says it is, or for the largest. HTTP/1 holds a body to its `content-length`.
    fn admit(&self, headers: &HeaderMap) -> Option<OwnedSemaphorePermit> {
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let units = length.unwrap_or(self.largest).min(self.largest).div_ceil(Self::UNIT);
        Arc::clone(&self.room).try_acquire_many_owned(u32::try_from(units).ok()?).ok()
    }
}

fn request(
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: &HeaderMap,
    body: Result<Bytes, axum::Error>,
) -> Result<Request, Box<Response>> {
    let refuse = |status, kind, detail: String| Box::new(problem(status, kind, &detail));
    let invalid = |detail| refuse(StatusCode::BAD_REQUEST, "invalid_request", detail);
    let Query(parameters) = parameters.map_err(|error| invalid(error.body_text()))?;
    let body = body.map_err(|error| {
        if error.source().is_some_and(<dyn Error>::is::<LengthLimitError>) {
            refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too_large",
                "body is larger than any limit of this system".to_owned(),
            )
        } else {
            invalid(format!("body cannot be read: {error}"))
        }
    })?;
    let json = headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let (mut request, question) = if json {
        let body: TextBody =
            serde_json::from_slice(&body).map_err(|error| invalid(format!("body is wrong: {error}")))?;
        (Request::text(body.text), body.question.or(parameters.question))
    } else {
        (Request::new(body), parameters.question)
    };
    if let Some(modality) = parameters.modality {
        request = request.modality_name(modality);
    }
    if let Some(file_name) = parameters.file_name {
        request = request.file_name(file_name);
    }
    if let Some(question) = question {
        request = request.ask(question);
    }
    let header = |name: &str| match headers.get(name).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value.to_owned())),
        Some(Err(_)) => Err(invalid(format!("{name} is not visible ASCII, expected that"))),
    };
    if let Some(tenant) = header("x-tenant")? {
        request = request.tenant(tenant);
    }
    if let Some(user) = header("x-user-id")? {
        request = request.user(user);
    }
    if let Some(session) = header("x-session-id")? {
        request = request.session(session);
    }
    Ok(request)
}
