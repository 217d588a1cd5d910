use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::{ErrorKind, ProcessError};

/// An error answer without a request behind it.
pub(super) fn problem(status: StatusCode, kind: &str, detail: &str) -> Response {
    respond(status, &json!({"title": kind, "status": status.as_u16(), "detail": detail}))
}

/// The error answer of a request, by RFC 9457.
pub(super) fn failed(error: &ProcessError) -> Response {
    let kind = error.kind();
    let status = match kind {
        ErrorKind::InvalidRequest => StatusCode::BAD_REQUEST,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorKind::Overloaded => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::Failed => StatusCode::BAD_GATEWAY,
        ErrorKind::Unavailable | ErrorKind::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = json!({
        "title": kind.as_str(),
        "status": status.as_u16(),
        "detail": error.message(),
        "instance": format!("urn:uuid:{}", error.id),
    });
    let mut response = respond(status, &body);
    if let Some(after) = error.retry_after() {
        // The header has whole seconds; rounding up keeps the promise.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn respond(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}
