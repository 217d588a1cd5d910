use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use super::problem::{failed, problem};
use crate::{Bedplate, Request};

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
    State(system): State<Bedplate>,
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let request = match request(parameters, &headers, body) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    let id = request.id().to_string();
    let mut response = match system.process(request).await {
        Ok(processed) => axum::Json(processed).into_response(),
        Err(error) => failed(&error),
    };
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(HeaderName::from_static("x-request-id"), id);
    }
    response
}

fn request(
    parameters: Result<Query<Parameters>, QueryRejection>,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Request, Box<Response>> {
    let refuse = |status, kind, detail: String| Box::new(problem(status, kind, &detail));
    let invalid = |detail| refuse(StatusCode::BAD_REQUEST, "invalid_request", detail);
    let Query(parameters) = parameters.map_err(|error| invalid(error.body_text()))?;
    let body = body.map_err(|error| {
        let kind = if error.status() == StatusCode::PAYLOAD_TOO_LARGE { "too_large" } else { "invalid_request" };
        refuse(error.status(), kind, error.body_text())
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
