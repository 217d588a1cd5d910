//! Where requests go: one origin, and paths below it.

use http::Uri;
use http::uri::Scheme;

use crate::{ConfigError, GitHubError};

/// The server's origin and the path of its API.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    uri: Uri,
    /// Without a slash at the end.
    text: String,
}

impl Base {
    pub(crate) fn parse(base_url: &str) -> Result<Self, ConfigError> {
        let refused = || ConfigError {
            field: "base_url",
            value: format!("{:?}", base_url.split('@').next_back().unwrap_or_default()),
            expected: "an https:// URL without user, query and fragment, or http:// on the loopback",
        };
        let text = base_url.trim_end_matches('/');
        if text.contains(['@', '?', '#', '\\']) {
            return Err(refused());
        }
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let host = uri.host().ok_or_else(refused)?;
        let loopback = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        let secure = uri.scheme() == Some(&Scheme::HTTPS);
        if secure || (loopback && uri.scheme() == Some(&Scheme::HTTP)) {
            Ok(Self { text: text.to_owned(), uri })
        } else {
            Err(refused())
        }
    }

    /// Returns the address of a path below the API.
    pub(crate) fn join(&self, path: &str) -> Result<Uri, GitHubError> {
        format!("{}{path}", self.text).parse().map_err(|_| {
            let value = format!("{path:?}");
            ConfigError { field: "path", value, expected: "a path of an address" }.into()
        })
    }

    /// Returns an address that the server gave, if it leads to the same origin; a path alone does.
    pub(crate) fn follow(&self, field: &'static str, address: &str) -> Result<Uri, GitHubError> {
        let malformed = || GitHubError::Malformed { reason: "a link is no address", source: None };
        let uri: Uri = address.parse().map_err(|_| malformed())?;
        if uri.host().is_none() && address.starts_with('/') && !address.starts_with("//") {
            let origin = (self.uri.scheme_str(), self.uri.authority());
            let (Some(scheme), Some(authority)) = origin else {
                return Err(malformed());
            };
            return format!("{scheme}://{authority}{address}").parse().map_err(|_| malformed());
        }
        if origin(&uri) == origin(&self.uri) && !address.contains('@') {
            return Ok(uri);
        }
        Err(GitHubError::Foreign { field, host: uri.host().unwrap_or_default().to_owned() })
    }
}

fn origin(uri: &Uri) -> Option<(String, String, u16)> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = uri.port_u16().or(match scheme.as_str() {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    })?;
    Some((scheme, uri.host()?.to_ascii_lowercase(), port))
}

/// Writes a value of a query: all but unreserved characters are percent-encoded.
pub(crate) fn encode(value: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _written = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_has_one_origin() {
        let base = Base::parse("https://ghe.corp/api/v3/").unwrap();
        assert_eq!(base.join("/repos/a/b").unwrap(), "https://ghe.corp/api/v3/repos/a/b");
        assert!(base.follow("link", "https://GHE.corp:443/api/v3/x?page=2").is_ok());
        assert_eq!(base.follow("link", "/repositories/1").unwrap(), "https://ghe.corp/repositories/1");
        for foreign in [
            "https://api.github.com/x",
            "http://ghe.corp/api/v3/x",
            "https://ghe.corp:8443/x",
            "https://ghe.corp.evil/x",
            "https://ghe.corp@evil/x",
            "https://user@ghe.corp/x",
            "//evil/x",
        ] {
            assert!(base.follow("link", foreign).is_err(), "{foreign}");
        }
    }

    #[test]
    fn plain_http_is_for_the_loopback_alone() {
        assert!(Base::parse("http://127.0.0.1:8080").is_ok());
        for base in ["http://ghe.corp", "ftp://ghe.corp", "ghe.corp", "https://u:p@ghe.corp", "https://ghe.corp?x"] {
            let error = Base::parse(base).unwrap_err();
            assert_eq!(error.field, "base_url");
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
    }

    #[test]
    fn values_are_encoded() {
        assert_eq!(encode("a b&c/é"), "a%20b%26c%2F%C3%A9");
    }
}
