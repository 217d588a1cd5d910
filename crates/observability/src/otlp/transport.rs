//! One request to a collector and what it answers.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use prost::Message as _;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::payload::Payload;
use super::retry_info;
use super::target::{Compression, Protocol, Target};
use crate::{Signal, clock};

/// What is sent, written once for all its tries.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) payload: Payload,
    /// For the HTTP protocols.
    body: Bytes,
    /// Before it is packed, which is what collectors bound.
    pub(super) bytes: usize,
}

/// What a collector took.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    /// Of what was sent, what it did not take.
    pub(super) rejected: u64,
    pub(super) message: Option<String>,
}

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) struct SendError {
    pub(super) reason: String,
    pub(super) kind: Failure,
    /// When the collector says to come back.
    pub(super) retry_after: Option<Duration>,
}

/// What an attempt's failure says of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nobody took it, or nobody answered: others will fare the same.
    Unreachable,
    /// The collector answered that it cannot now.
    Later,
    /// The collector said that it is too large; a part of it may do.
    TooLarge,
    /// The collector has not enough of something, and does not say when it will: a size or a quota.
    Exhausted,
    /// The collector wants this one never.
    Refused,
}

#[derive(Debug)]
pub(super) enum Client {
    Grpc { channel: Channel, metadata: MetadataMap, gzip: bool },
    Http { client: reqwest::Client, url: String, headers: HeaderMap, json: bool, gzip: bool },
}

impl Client {
    /// Must be called within a runtime.
    pub(super) fn new(target: &Target, signal: Signal) -> Result<Self, String> {
        let mut headers = target.header_map().map_err(|error| error.to_string())?;
        let gzip = target.compression == Compression::Gzip;
        if target.protocol == Protocol::Grpc {
            let mut endpoint = Endpoint::from_shared(target.endpoint.clone()).map_err(|error| chain(&error))?;
            if target.endpoint.starts_with("https") {
                endpoint =
                    endpoint.tls_config(ClientTlsConfig::new().with_native_roots()).map_err(|error| chain(&error))?;
            }
            let endpoint = endpoint.connect_timeout(target.timeout).user_agent(AGENT).map_err(|error| chain(&error))?;
            return Ok(Self::Grpc {
                channel: endpoint.connect_lazy(),
                metadata: MetadataMap::from_headers(headers),
                gzip,
            });
        }
        let json = target.protocol == Protocol::HttpJson;
        let kind = if json { "application/json" } else { "application/x-protobuf" };
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        // A proxy would come from the environment, which is read only where it is asked for.
        // Some receivers look for a header's name as it is usually written.
        let mut builder = reqwest::Client::builder()
            .http1_title_case_headers()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(AGENT);
        if !target.endpoint.starts_with("https") {
            // Reading the system's certificates takes longer than sending what they are not asked for.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| chain(&error))?;
        Ok(Self::Http { client, url: target.url(signal), headers, json, gzip })
    }

    /// Writes a request, unless it has more bytes than `most` and can be halved: then it comes back.
    pub(super) fn prepare(&self, payload: Payload, most: usize) -> Result<Request, Unprepared> {
        let large = |bytes: usize, payload: &Payload| bytes > most && payload.weight() > 1;
        // JSON takes more than protobuf, so that what is too large as this need not be written to know.
        let bytes = payload.encoded_len();
        if large(bytes, &payload) {
            return Err(Unprepared::TooLarge(payload));
        }
        let &Self::Http { json, gzip, .. } = self else {
            return Ok(Request { payload, body: Bytes::new(), bytes });
        };
        let plain = match body(&payload, json) {
            Ok(plain) => plain,
            Err(reason) => return Err(Unprepared::Unwritable(reason)),
        };
        let bytes = plain.len();
        if large(bytes, &payload) {
            return Err(Unprepared::TooLarge(payload));
        }
        let packed = if gzip { pack(&plain).map_err(Unprepared::Unwritable)? } else { plain };
        Ok(Request { payload, body: packed.into(), bytes })
    }

    /// Sends a request once.
    pub(super) async fn send(&self, request: &Request) -> Result<Accepted, SendError> {
        let Request { payload, body, .. } = request;
        match self {
            Self::Grpc { channel, metadata, gzip } => grpc(channel.clone(), metadata.clone(), *gzip, payload).await,
            Self::Http { client, url, headers, json, .. } => {
                let request = client.post(url).headers(headers.clone()).body(body.clone());
                let response = request.send().await.map_err(|error| SendError {
                    kind: if error.is_builder() { Failure::Refused } else { Failure::Unreachable },
                    // Its query may hold a credential.
                    reason: chain(&error.without_url()),
                    retry_after: None,
                })?;
                http(response, payload, *json).await
            }
        }
    }
}

/// Why a request cannot be sent as it is.
#[derive(Debug)]
pub(super) enum Unprepared {
    /// It is given back to be halved.
    TooLarge(Payload),
    Unwritable(String),
}

async fn grpc(channel: Channel, metadata: MetadataMap, gzip: bool, payload: &Payload) -> Result<Accepted, SendError> {
    macro_rules! export {
        ($client:ident, $message:expr, $rejected:ident) => {{
            let mut client = $client::new(channel).max_encoding_message_size(usize::MAX);
            if gzip {
                client = client.send_compressed(CompressionEncoding::Gzip);
            }
            let mut request = tonic::Request::new($message.clone());
            *request.metadata_mut() = metadata;
            let response = client.export(request).await.map_err(|status| refused(&status))?;
            let partial = response.into_inner().partial_success;
            partial.map_or_else(Accepted::default, |partial| accepted(partial.$rejected, &partial.error_message))
        }};
    }
    Ok(match payload {
        Payload::Traces(message) => export!(TraceServiceClient, message, rejected_spans),
        Payload::Logs(message) => export!(LogsServiceClient, message, rejected_log_records),
        Payload::Metrics(message) => export!(MetricsServiceClient, message, rejected_data_points),
    })
}

/// The table of the OTLP specification, "Failures".
fn refused(status: &tonic::Status) -> SendError {
    let retry_after = retry_info::delay(status.details());
    // What the connection said, and not the collector, has a source.
    let source = std::error::Error::source(status);
    let kind = match status.code() {
        _ if source.is_some() => Failure::Unreachable,
        Code::ResourceExhausted | Code::OutOfRange if says_too_large(status.message()) => Failure::TooLarge,
        Code::ResourceExhausted if retry_after.is_none() => Failure::Exhausted,
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        | Code::ResourceExhausted => Failure::Later,
        _ => Failure::Refused,
    };
    let source = source.map(|source| format!(": {}", chain(source))).unwrap_or_default();
    let reason = format!("{:?}: {}{source}", status.code(), cut(status.message()));
    SendError { reason, kind, retry_after }
}

/// Whether a status is about a message's size, which has no code of its own: gRPC's libraries for Go and C++ say "larger
/// than max", that for Java "exceeds maximum size", tonic "length too large".
fn says_too_large(message: &str) -> bool {
    ["larger than max", "exceeds maximum size", "too large"].iter().any(|said| message.contains(said))
}

fn body(payload: &Payload, json: bool) -> Result<Vec<u8>, String> {
    let written = match (payload, json) {
        (Payload::Traces(message), false) => Ok(message.encode_to_vec()),
        (Payload::Logs(message), false) => Ok(message.encode_to_vec()),
        (Payload::Metrics(message), false) => Ok(message.encode_to_vec()),
        (Payload::Traces(message), true) => serde_json::to_vec(message),
        (Payload::Logs(message), true) => serde_json::to_vec(message),
        (Payload::Metrics(message), true) => serde_json::to_vec(message),
    };
    written.map_err(|error| format!("the request cannot be written: {error}"))
}

fn pack(plain: &[u8]) -> Result<Vec<u8>, String> {
    let mut packer = flate2::write::GzEncoder::new(Vec::with_capacity(plain.len() / 4), flate2::Compression::fast());
    let packed = packer.write_all(plain).and_then(|()| packer.finish());
    packed.map_err(|error| format!("the request cannot be packed: {error}"))
}

async fn http(mut response: reqwest::Response, payload: &Payload, json: bool) -> Result<Accepted, SendError> {
    let (status, retry_after) = (response.status(), retry_after(response.headers(), clock::wall_clock()));
    let mut body = Vec::new();
    // What a collector says beyond this is not for us; an answer that breaks off has been given nevertheless.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_ANSWER {
            break;
        }
    }
    if status.is_success() {
        return Ok(partial(payload, &body, json));
    }
    let said = String::from_utf8_lossy(&body);
    let kind = match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Failure::Later,
        StatusCode::PAYLOAD_TOO_LARGE => Failure::TooLarge,
        _ => Failure::Refused,
    };
    // A protobuf body is no text to show.
    let said = if json || said.chars().all(|c| !c.is_control()) { cut(&said) } else { "" };
    Err(SendError { reason: format!("{status} {said}").trim().to_owned(), kind, retry_after })
}

/// What an answer says of parts that were not taken; one that cannot be read says nothing.
fn partial(payload: &Payload, body: &[u8], json: bool) -> Accepted {
    macro_rules! read {
        ($response:ident, $rejected:ident) => {{
            let answer = if json { serde_json::from_slice(body).ok() } else { $response::decode(body).ok() };
            let partial = answer.and_then(|answer: $response| answer.partial_success);
            partial.map_or_else(Accepted::default, |partial| accepted(partial.$rejected, &partial.error_message))
        }};
    }
    match payload {
        Payload::Traces(_) => read!(ExportTraceServiceResponse, rejected_spans),
        Payload::Logs(_) => read!(ExportLogsServiceResponse, rejected_log_records),
        Payload::Metrics(_) => read!(ExportMetricsServiceResponse, rejected_data_points),
    }
}

fn accepted(rejected: i64, message: &str) -> Accepted {
    let message = Some(cut(message).to_owned()).filter(|message| !message.is_empty());
    Accepted { rejected: u64::try_from(rejected).unwrap_or(0), message }
}

/// Seconds to wait, or the date to wait for.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let said = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = said.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // The one form of HTTP's dates that may be written is one of RFC 2822's, of which this reads all.
    let date: SystemTime = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(said).ok()?.into();
    Some(date.duration_since(now).unwrap_or_default())
}

/// An error with its causes, each said once.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    cut(&text).to_owned()
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(300)).unwrap_or_default()
}

const AGENT: &str = concat!("bedplate-observability/", env!("CARGO_PKG_VERSION"));
const MAX_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let read = |value: &'static str| {
            let headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))]);
            retry_after(&headers, now)
        };
        assert_eq!(read("120"), Some(Duration::from_mins(2)));
        // The date of RFC 9110's example is that moment.
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert_eq!(read("Sun, 06 Nov 1994 08:50:07 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(read("Sat, 05 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO), "in the past");
        assert_eq!(read("Mon, 06 Nov 1994 08:49:37 GMT"), None, "it was a Sunday");
        assert_eq!(read("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn a_status_says_what_to_do_next() {
        let of = |code, message: &str, details: &[u8]| {
            let error = refused(&tonic::Status::with_details(code, message, Bytes::copy_from_slice(details)));
            (error.kind, error.retry_after)
        };
        let told = retry_info::tests::status(3, 500_000_000);
        let delay = Some(Duration::from_millis(3_500));
        assert_eq!(of(Code::Unavailable, "", &[]), (Failure::Later, None));
        assert_eq!(of(Code::Unavailable, "", &told), (Failure::Later, delay));
        assert_eq!(of(Code::ResourceExhausted, "quota", &told), (Failure::Later, delay));
        assert_eq!(of(Code::ResourceExhausted, "quota", &[]), (Failure::Exhausted, None));
        for said in [
            "grpc: received message larger than max (5000000 vs. 4194304)",
            "gRPC message exceeds maximum size 4194304: 5000000",
            "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes",
        ] {
            assert_eq!(of(Code::ResourceExhausted, said, &[]).0, Failure::TooLarge);
            assert_eq!(of(Code::OutOfRange, said, &[]).0, Failure::TooLarge);
        }
        assert_eq!(of(Code::OutOfRange, "", &[]).0, Failure::Later);
        assert_eq!(of(Code::InvalidArgument, "", &told).0, Failure::Refused);
    }
}
