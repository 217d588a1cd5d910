use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::{ConfigError, Signal};

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Protocol {
    /// gRPC; collectors usually listen on port 4317.
    #[default]
    Grpc,
    /// HTTP with protobuf bodies; collectors usually listen on port 4318.
    HttpProtobuf,
    /// HTTP with JSON bodies, on the same port.
    HttpJson,
}

/// How bodies are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// By gzip: about a fifth of the bytes for some processor time of the export's thread.
    Gzip,
}

/// Where one signal goes.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) endpoint: String,
    /// The endpoint is the whole URL, and gets no path.
    pub(super) verbatim: bool,
    pub(super) protocol: Protocol,
    pub(super) headers: Vec<(String, String)>,
    pub(super) timeout: Duration,
    pub(super) compression: Compression,
}

impl Protocol {
    /// Returns the protocol's name as `OTEL_EXPORTER_OTLP_PROTOCOL` has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
            Self::HttpJson => "http/json",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Grpc, Self::HttpProtobuf, Self::HttpJson].into_iter().find(|one| one.as_str() == text)
    }
}

impl Target {
    pub(super) fn new(endpoint: String) -> Self {
        Self {
            endpoint,
            verbatim: false,
            protocol: Protocol::Grpc,
            headers: Vec::new(),
            timeout: Duration::from_secs(10),
            compression: Compression::None,
        }
    }

    pub(super) fn url(&self, signal: Signal) -> String {
        if self.protocol == Protocol::Grpc || self.verbatim {
            return self.endpoint.clone();
        }
        format!("{}/v1/{signal}", self.endpoint.trim_end_matches('/'))
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |field, value: &str, expected| ConfigError { field, value: format!("{value:?}"), expected };
        let expected = "an http or https URL such as \"http://127.0.0.1:4317\"";
        let endpoint = || wrong("otlp.endpoint", &shown(&self.endpoint), expected);
        let uri: Uri = self.endpoint.parse().map_err(|_| endpoint())?;
        let scheme = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        // A port that is none parses as part of the authority.
        let port = authority.rsplit_once(':').filter(|(host, _)| !host.ends_with(':') && !authority.ends_with(']'));
        let port = port.is_none_or(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
        if !scheme || uri.host().is_none_or(str::is_empty) || authority.contains('@') || !port {
            return Err(endpoint());
        }
        self.header_map()?;
        let limits = Duration::from_millis(10)..=Duration::from_mins(5);
        if !limits.contains(&self.timeout) {
            return Err(wrong("otlp.timeout", &format!("{:?}", self.timeout), "10 ms to 5 min"));
        }
        Ok(())
    }

    pub(super) fn header_map(&self) -> Result<HeaderMap, ConfigError> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            // The value may be a credential and is not shown.
            let wrong = |expected| ConfigError { field: "otlp.headers", value: format!("{name:?}"), expected };
            let lower = HeaderName::try_from(name.to_ascii_lowercase()).map_err(|_| wrong("a header's name"))?;
            let mut own = HeaderValue::from_str(value).map_err(|_| wrong("a header with a legal value"))?;
            own.set_sensitive(true);
            if lower.as_str().ends_with("-bin") || !value.is_ascii() {
                return Err(wrong("a header of ASCII text"));
            }
            map.insert(lower, own);
        }
        Ok(map)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol.as_str(), shown(&self.endpoint))?;
        if self.compression == Compression::Gzip { f.write_str(" gzip") } else { Ok(()) }
    }
}

/// A URL without what may be a credential in it: the user and the query.
pub(super) fn shown(url: &str) -> String {
    let (base, query) = url.split_once(['?', '#']).map_or((url, ""), |(base, _)| (base, "?…"));
    let (scheme, rest) = base.split_once("://").map_or(("", base), |(scheme, rest)| (scheme, rest));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let separator = if scheme.is_empty() { "" } else { "://" };
    // A user's password may hold the marks that end it, so nothing before the last @ is shown.
    match (url.rsplit_once('@'), authority.contains('@')) {
        (None, _) => format!("{scheme}{separator}{authority}{path}{query}"),
        (Some((_, host)), true) => {
            let host = host.split(['?', '#']).next().unwrap_or_default();
            format!("{scheme}{separator}…@{host}{query}")
        }
        (Some(_), false) => format!("{scheme}{separator}…"),
    }
}

/// Without the headers' values, which may be credentials.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Target")
            .field("endpoint", &shown(&self.endpoint))
            .field("protocol", &self.protocol)
            .field("headers", &headers)
            .field("timeout", &self.timeout)
            .field("compression", &self.compression)
            .finish_non_exhaustive()
    }
}
