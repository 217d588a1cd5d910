use std::time::Instant;

use http::Method;
use tracing::Span;
use tracing::field::Empty;

use super::attributes::{cut, host_and_port, method_name};
use crate::clock;
use crate::layer::{HTTP_CLIENT, record_client};

/// The span of one attempt of a call to an HTTP service.
///
/// It is a child of the current span, and measured by `http_client_request_duration_seconds` with an exemplar. Dropped without a result, as when its caller gave up, it is marked `cancelled`
/// and is no error. A client that has no extension of ours makes one of these around each attempt and injects its span.
///
/// # Examples
/// ```
/// use bedplate_observability::http::ClientSpan;
/// use bedplate_observability::propagation::{Destination, Propagator};
/// let attempt = ClientSpan::start(&http::Method::GET, "https://example.com/users/7", Some("/users/{id}"), 0);
/// let mut headers = http::HeaderMap::new();
/// Propagator::default().inject(attempt.span(), Destination::Trusted, &mut headers);
/// attempt.responded(http::StatusCode::OK);
/// ```
#[derive(Debug)]
#[must_use = "dropped at once, the call is recorded as cancelled"]
pub struct ClientSpan {
    span: Span,
    began: Instant,
    method: &'static str,
    host: String,
    port: Option<u16>,
    template: String,
    ended: bool,
}

impl ClientSpan {
    /// Begins the span of an attempt; `template` is the URL's path with its variables in braces, where it is known, and
    /// `resend` how many attempts of the same call came before. Credentials in the URL are redacted.
    pub fn start(method: &Method, url: &str, template: Option<&str>, resend: u32) -> Self {
        let name = method_name(method);
        let (host, port) = endpoint(url);
        let known = if name == "_OTHER" { "HTTP" } else { name };
        let operation = template.map_or_else(|| known.to_owned(), |template| format!("{known} {}", cut(template, 256)));
        let span = tracing::info_span!(
            target: "bedplate_observability::http",
            "http client",
            otel.name = operation.as_str(),
            otel.kind = "client",
            otel.status_code = Empty,
            operation = operation.as_str(),
            http.request.method = name,
            http.request.method_original = Empty,
            http.request.resend_count = Empty,
            http.response.status_code = Empty,
            url.full = redact_url(url).as_str(),
            url.template = Empty,
            server.address = host,
            server.port = Empty,
            error.type = Empty,
            error = Empty,
            cancelled = Empty,
        );
        if name == "_OTHER" {
            span.record("http.request.method_original", cut(method.as_str(), 64));
        }
        if resend > 0 {
            span.record("http.request.resend_count", resend);
        }
        if let Some(template) = template {
            span.record("url.template", cut(template, 256));
        }
        if let Some(port) = port {
            span.record("server.port", port);
        }
        let template = template.map_or_else(String::new, |template| cut(template, 256).to_owned());
        Self { span, began: clock::now(), method: name, host: host.to_owned(), port, template, ended: false }
    }

    /// Returns the span, to inject it and to run the attempt in it.
    #[must_use]
    pub const fn span(&self) -> &Span {
        &self.span
    }

    /// Ends the attempt with an answer; 4xx and 5xx are errors.
    pub fn responded(mut self, status: http::StatusCode) {
        self.ended = true;
        self.span.record("http.response.status_code", status.as_u16());
        let failed = status.is_client_error() || status.is_server_error();
        if failed {
            self.error(status.as_str());
        }
        self.measure(status.as_str(), if failed { status.as_str() } else { "" });
    }

    /// Ends the attempt without an answer; `kind` is a word of few values, such as `timeout` or `connect`.
    pub fn failed(mut self, kind: &str) {
        self.ended = true;
        self.error(cut(kind, 64));
        self.measure("", cut(kind, 64));
    }

    fn measure(&self, status: &str, error: &str) {
        let took = clock::now().saturating_duration_since(self.began).as_secs_f64();
        let port = self.port.map(|port| port.to_string()).unwrap_or_default();
        let labels = [self.method, self.host.as_str(), port.as_str(), self.template.as_str(), status, error];
        record_client(&self.span, &HTTP_CLIENT, &labels, took);
    }

    fn error(&self, kind: &str) {
        self.span.record("error.type", kind);
        self.span.record("otel.status_code", "ERROR");
        self.span.record("error", true);
    }
}

impl Drop for ClientSpan {
    fn drop(&mut self) {
        if !self.ended {
            self.span.record("cancelled", true);
        }
    }
}

fn endpoint(url: &str) -> (&str, Option<u16>) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = host_and_port(authority);
    let default = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    (cut(host, 256), port.or(default))
}

/// Returns a URL that may be recorded: user and password, and the values of query parameters that are credentials or
/// signatures, are replaced by `REDACTED`; its fragment is left out, and it is cut at 2,048 bytes.
///
/// # Examples
/// ```
/// use bedplate_observability::http::redact_url;
/// assert_eq!(redact_url("https://me:pw@example.com/a?x=1&sig=abc"), "https://REDACTED:REDACTED@example.com/a?x=1&sig=REDACTED");
/// ```
#[must_use]
pub fn redact_url(url: &str) -> String {
    let url = url.split('#').next().unwrap_or_default();
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let mut redacted = match base.split_once("://") {
        Some((scheme, rest)) => {
            let end = rest.find('/').unwrap_or(rest.len());
            let (authority, path) = rest.split_at(end);
            match authority.rsplit_once('@') {
                Some((user, host)) => {
                    let user = if user.contains(':') { "REDACTED:REDACTED" } else { REDACTED };
                    format!("{scheme}://{user}@{host}{path}")
                }
                None => base.to_owned(),
            }
        }
        None => base.to_owned(),
    };
    for (index, pair) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        redacted.push(if index == 0 { '?' } else { '&' });
        match pair.split_once('=') {
            Some((name, _)) if SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(name)) => {
                redacted.push_str(name);
                redacted.push('=');
                redacted.push_str(REDACTED);
            }
            _ => redacted.push_str(pair),
        }
        if redacted.len() > MAX_URL {
            break;
        }
    }
    // Not before: a credential that is cut in two is no longer seen as one.
    redacted.truncate(redacted.floor_char_boundary(MAX_URL));
    redacted
}

const REDACTED: &str = "REDACTED";
const MAX_URL: usize = 2_048;
/// The conventions' list, and what else commonly carries a credential in a query.
const SECRET: [&str; 24] = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "AWSAccessKeyId",
    "Signature",
    "sig",
    "X-Goog-Signature",
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "client_secret",
    "code",
    "id_token",
    "jwt",
    "key",
    "passwd",
    "password",
    "private_token",
    "pwd",
    "refresh_token",
    "secret",
    "session",
    "token",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_redacted_wherever_they_stand() {
        for (url, expected) in [
            ("http://a/b?c=d#secret", "http://a/b?c=d"),
            ("http://token@a/b@c", "http://REDACTED@a/b@c"),
            ("http://u:p@w@a", "http://REDACTED:REDACTED@a"),
            ("/p?x-amz-signature=1&a&token=", "/p?x-amz-signature=REDACTED&a&token=REDACTED"),
            ("http://a/?id_token=x&Refresh_Token=y", "http://a/?id_token=REDACTED&Refresh_Token=REDACTED"),
            ("http://a?AWSAccessKeyId=x&Signature=y", "http://a?AWSAccessKeyId=REDACTED&Signature=REDACTED"),
        ] {
            assert_eq!(redact_url(url), expected);
        }
    }

    #[test]
    fn what_is_cut_is_redacted_before() {
        let redacted = redact_url(&format!("http://u:{}@host/x", "hunter2".repeat(400)));
        assert_eq!(redacted, "http://REDACTED:REDACTED@host/x");
        assert_eq!(redact_url(&format!("http://host/{}", "x".repeat(4_000))).len(), MAX_URL);
    }

    #[test]
    fn endpoints_are_found() {
        assert_eq!(endpoint("https://u:p@example.com/x"), ("example.com", Some(443)));
        assert_eq!(endpoint("http://[::1]:8080?x"), ("::1", Some(8080)));
        assert_eq!(endpoint("not a url"), ("not a url", None));
    }

    proptest! {
        #[test]
        fn no_url_does_harm(url in ".{0,60}", secret in "[a-zA-Z0-9]{12}") {
            let _redacted = redact_url(&url);
            let url = format!("https://user:{secret}@host/path?a=1&sig={secret}&b=2");
            prop_assert!(!redact_url(&url).contains(&secret));
        }
    }
}
