use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::caught::Caught;

/// The body of an HTTP error response (RFC 9457, "Problem Details for HTTP APIs").
///
/// # Examples
/// ```
/// use bedplate_recovery::{ErrorBoundary, ProblemDetails};
///
/// let caught = ErrorBoundary::default().catch(&std::io::Error::from(std::io::ErrorKind::TimedOut));
/// let response = ProblemDetails::from(&caught).into_response();
/// assert_eq!(response.status(), 504);
/// assert_eq!(response.headers()["content-type"], "application/problem+json");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProblemDetails {
    /// A URI that names the kind of problem; `about:blank` says no more than the status.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words, the same for all problems of it.
    pub title: String,
    /// The status code.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// Names this occurrence: `urn:error:` and the id under which it is recorded.
    pub instance: String,
    /// After how many seconds to ask again, rounded up.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after: Option<u64>,
}

impl From<&Caught> for ProblemDetails {
    fn from(caught: &Caught) -> Self {
        let status = caught.status();
        let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
        Self {
            kind: "about:blank".to_owned(),
            title: title.unwrap_or("Error").to_owned(),
            status,
            detail: caught.detail().to_owned(),
            instance: format!("urn:error:{}", caught.id()),
            retry_after: caught.retry_after().map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0)),
        }
    }
}

impl ProblemDetails {
    /// Makes the response, with the body as JSON and the header `retry-after` where it is known.
    #[must_use]
    pub fn into_response(self) -> Response<String> {
        let body = serde_json::to_string(&self).unwrap_or_else(|_| "{}".to_owned());
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
