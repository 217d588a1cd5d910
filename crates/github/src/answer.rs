//! What an answer means, decided from its status, headers and body alone.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::rate_limit::{RateLimitKind, wait};
use crate::{FieldError, GitHubError, Rejection, Response};

/// Returns the error that an answer is; `None` for a success.
pub(crate) fn judge(answer: &Response) -> Option<GitHubError> {
    let status = answer.status();
    if status.is_success() {
        return None;
    }
    let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let rejection = rejection(answer, &said);
    if let Some(kind) = exhausted(status, answer.headers(), &said) {
        let retry_after = wait(answer.headers(), kind);
        return Some(GitHubError::RateLimited { kind, retry_after, rejection: Some(rejection) });
    }
    Some(match status {
        StatusCode::UNAUTHORIZED => GitHubError::Unauthorized(rejection),
        StatusCode::FORBIDDEN => GitHubError::Forbidden(rejection),
        StatusCode::NOT_FOUND | StatusCode::GONE => GitHubError::NotFound(rejection),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => {
            GitHubError::Validation { rejection, errors: field_errors(&said) }
        }
        status if status.is_server_error() => GitHubError::Server(rejection),
        _ => GitHubError::Unexpected(rejection),
    })
}

/// Tells an exhausted limit from a missing permission: both are 403, and often the words are the only difference.
fn exhausted(status: StatusCode, headers: &HeaderMap, said: &Value) -> Option<RateLimitKind> {
    let text = |field: &str| said.get(field).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let (message, documentation) = (text("message"), text("documentation_url"));
    let secondary = message.contains("secondary rate limit")
        || message.contains("abuse detection")
        || message.contains("submitted too quickly")
        || documentation.contains("secondary-rate-limit")
        || documentation.contains("abuse-rate-limit");
    let none_left = headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
    match status {
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            if secondary {
                Some(RateLimitKind::Secondary)
            } else if none_left || message.contains("api rate limit exceeded") {
                Some(RateLimitKind::Primary)
            } else if status == StatusCode::TOO_MANY_REQUESTS || headers.contains_key("retry-after") {
                Some(RateLimitKind::Secondary)
            } else {
                None
            }
        }
        StatusCode::UNPROCESSABLE_ENTITY if secondary => Some(RateLimitKind::Secondary),
        _ => None,
    }
}

fn rejection(answer: &Response, said: &Value) -> Rejection {
    let field = |name: &str| said.get(name).and_then(Value::as_str);
    let message = field("message").map_or_else(|| words(answer), str::to_owned);
    let request_id = answer.headers().get("x-github-request-id").and_then(|id| id.to_str().ok());
    Rejection {
        status: answer.status().as_u16(),
        message: cut(&message),
        documentation_url: field("documentation_url").map(cut),
        request_id: request_id.map(cut),
    }
}

/// Describes an answer that is no JSON: the title of a page, or the status in words.
fn words(answer: &Response) -> String {
    let body = String::from_utf8_lossy(answer.body());
    let title = body.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    let reason = answer.status().canonical_reason().unwrap_or("without a reason");
    title.map_or(reason, |(title, _)| title.trim()).to_owned()
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// Reads `errors`, which is a list of objects, or of strings.
fn field_errors(said: &Value) -> Vec<FieldError> {
    let errors = said.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let one = |error: &Value| {
        let field = |name: &str| error.get(name).and_then(Value::as_str).map(cut);
        FieldError {
            resource: field("resource"),
            field: field("field"),
            code: field("code"),
            message: field("message").or_else(|| error.as_str().map(cut)),
        }
    };
    errors.iter().take(100).map(one).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Response {
        let mut answer = http::Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        answer.body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn a_missing_permission_never_waits_and_an_exhausted_limit_always_does() {
        let kind = |answer: &Response| match judge(answer) {
            Some(GitHubError::RateLimited { kind, .. }) => Some(kind),
            _ => None,
        };
        let permission = r#"{"message":"Resource not accessible by integration"}"#;
        assert_eq!(kind(&answer(403, &[("x-ratelimit-remaining", "10")], permission)), None);
        let secondary = r#"{"message":"You have exceeded a secondary rate limit."}"#;
        assert_eq!(kind(&answer(403, &[], secondary)), Some(RateLimitKind::Secondary));
        assert_eq!(kind(&answer(429, &[("retry-after", "5")], "")), Some(RateLimitKind::Secondary));
        let primary = r#"{"message":"API rate limit exceeded for user ID 1."}"#;
        assert_eq!(kind(&answer(403, &[("x-ratelimit-remaining", "0")], primary)), Some(RateLimitKind::Primary));
        let quick = r#"{"message":"was submitted too quickly"}"#;
        assert_eq!(kind(&answer(422, &[], quick)), Some(RateLimitKind::Secondary));
    }

    #[test]
    fn field_errors_may_be_objects_or_strings() {
        let body = r#"{"message":"Validation Failed","errors":[{"resource":"Issue","field":"title","code":"missing_field"},"body is too long"]}"#;
        let Some(GitHubError::Validation { errors, .. }) = judge(&answer(422, &[], body)) else { panic!() };
        assert_eq!(errors[0].to_string(), "Issue title missing_field");
        assert_eq!(errors[1].message.as_deref(), Some("body is too long"));
    }

    #[test]
    fn of_a_page_only_the_title_is_kept() {
        let page = "<html><title> Unicorn! </title><body>a very long page</body></html>";
        let Some(GitHubError::Server(rejection)) = judge(&answer(502, &[("x-github-request-id", "AB:1")], page)) else {
            panic!()
        };
        assert_eq!(rejection.to_string(), "502 Unicorn! (request AB:1)");
    }
}
