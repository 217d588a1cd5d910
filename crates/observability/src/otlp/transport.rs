//! One request to a collector and what it answers.

use std::io::Write as _;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use prost::Message as _;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};

use super::target::{Compression, Protocol, Target};
use crate::Signal;

/// What is sent.
#[derive(Debug)]
pub(super) enum Payload {
    Traces(ExportTraceServiceRequest),
    Logs(ExportLogsServiceRequest),
    Metrics(ExportMetricsServiceRequest),
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
    pub(super) transient: bool,
    pub(super) retry_after: Option<Duration>,
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

    /// Sends a request once.
    pub(super) async fn send(&self, payload: &Payload) -> Result<Accepted, SendError> {
        match self {
            Self::Grpc { channel, metadata, gzip } => grpc(channel.clone(), metadata.clone(), *gzip, payload).await,
            Self::Http { client, url, headers, json, gzip } => {
                let body = body(payload, *json, *gzip)?;
                let request = client.post(url).headers(headers.clone()).body(body);
                let response = request.send().await.map_err(|error| SendError {
                    transient: !error.is_builder(),
                    // Its query may hold a credential.
                    reason: chain(&error.without_url()),
                    retry_after: None,
                })?;
                http(response, payload, *json).await
            }
        }
    }
}

impl Payload {
    pub(super) fn empty(signal: Signal) -> Self {
        match signal {
            Signal::Traces => Self::Traces(ExportTraceServiceRequest::default()),
            Signal::Logs => Self::Logs(ExportLogsServiceRequest::default()),
            Signal::Metrics => Self::Metrics(ExportMetricsServiceRequest::default()),
        }
    }
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

fn refused(status: &tonic::Status) -> SendError {
    // The table of the OTLP specification, "Failures"; what is exhausted is tried again only by collectors that say when.
    let transient = matches!(
        status.code(),
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    );
    // What the connection said, and not the collector, has a source.
    let source = std::error::Error::source(status);
    let transient = transient || source.is_some();
    let source = source.map(|source| format!(": {}", chain(source))).unwrap_or_default();
    let reason = format!("{:?}: {}{source}", status.code(), cut(status.message()));
    SendError { reason, transient, retry_after: None }
}

fn body(payload: &Payload, json: bool, gzip: bool) -> Result<Vec<u8>, SendError> {
    let failed = |error: &dyn std::error::Error| SendError {
        reason: format!("the request cannot be written: {error}"),
        transient: false,
        retry_after: None,
    };
    let bytes = match (payload, json) {
        (Payload::Traces(message), false) => message.encode_to_vec(),
        (Payload::Logs(message), false) => message.encode_to_vec(),
        (Payload::Metrics(message), false) => message.encode_to_vec(),
        (Payload::Traces(message), true) => serde_json::to_vec(message).map_err(|error| failed(&error))?,
        (Payload::Logs(message), true) => serde_json::to_vec(message).map_err(|error| failed(&error))?,
        (Payload::Metrics(message), true) => serde_json::to_vec(message).map_err(|error| failed(&error))?,
    };
    if !gzip {
        return Ok(bytes);
    }
    let mut packer = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 4), flate2::Compression::fast());
    packer.write_all(&bytes).and_then(|()| packer.finish()).map_err(|error| failed(&error))
}

async fn http(mut response: reqwest::Response, payload: &Payload, json: bool) -> Result<Accepted, SendError> {
    let (status, retry_after) = (response.status(), retry_after(response.headers()));
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
    let transient = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    );
    // A protobuf body is no text to show.
    let said = if json || said.chars().all(|c| !c.is_control()) { cut(&said) } else { "" };
    Err(SendError { reason: format!("{status} {said}").trim().to_owned(), transient, retry_after })
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

/// Seconds to wait; the other form, a date, is not worth a clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
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
