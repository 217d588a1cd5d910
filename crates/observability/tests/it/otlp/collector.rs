//! A collector that keeps what it gets, on a thread and runtime of its own: gRPC, and HTTP in both formats.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde::de::DeserializeOwned;
use tonic::codec::CompressionEncoding;
use tonic::{Request, Status};

/// What it got, and how it behaves.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) traces: Mutex<Vec<ExportTraceServiceRequest>>,
    pub(super) logs: Mutex<Vec<ExportLogsServiceRequest>>,
    pub(super) metrics: Mutex<Vec<ExportMetricsServiceRequest>>,
    pub(super) authorization: Mutex<Vec<String>>,
    /// How many requests of traces are answered with "unavailable" before one is taken.
    pub(super) refuse: Mutex<u32>,
    /// How many spans of each request it says it did not take.
    pub(super) reject: i64,
    pub(super) delay: Duration,
    /// The bytes of a request that it takes, else 4 MiB, as collectors do.
    pub(super) most: Option<usize>,
    /// How many requests of traces it saw.
    pub(super) asked: Mutex<u32>,
    /// What it says to a request of traces instead of taking it.
    pub(super) refusal: Option<Refuse>,
}

type Refuse = Box<dyn Fn(&ExportTraceServiceRequest) -> Option<Refusal> + Send + Sync>;

/// An answer in both protocols.
pub(super) struct Refusal {
    pub(super) grpc: Status,
    pub(super) http: StatusCode,
    pub(super) retry_after: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: tonic::Code, http: u16) -> Self {
        Self { grpc: Status::new(code, "no"), http: StatusCode::from_u16(http).unwrap(), retry_after: None }
    }

    fn into_response(self) -> Response {
        let retry_after = self.retry_after.map(|value| (header::RETRY_AFTER, value.parse().unwrap()));
        (self.http, retry_after.into_iter().collect::<HeaderMap>(), "no").into_response()
    }
}

impl Kept {
    pub(super) fn spans(&self) -> Vec<Span> {
        let all = self.traces.lock().unwrap();
        let scopes = all.iter().flat_map(|one| &one.resource_spans).flat_map(|one| &one.scope_spans);
        scopes.flat_map(|one| one.spans.clone()).collect()
    }

    pub(super) fn records(&self) -> Vec<LogRecord> {
        let all = self.logs.lock().unwrap();
        let scopes = all.iter().flat_map(|one| &one.resource_logs).flat_map(|one| &one.scope_logs);
        scopes.flat_map(|one| one.log_records.clone()).collect()
    }

    /// As they were read last.
    pub(super) fn last_metrics(&self) -> Vec<Metric> {
        let all = self.metrics.lock().unwrap();
        let scopes = all.last().unwrap().resource_metrics.iter().flat_map(|one| &one.scope_metrics);
        scopes.flat_map(|one| one.metrics.clone()).collect()
    }

    fn heard(&self, authorization: Option<&str>) {
        self.authorization.lock().unwrap().extend(authorization.map(str::to_owned));
    }

    fn most(&self) -> usize {
        self.most.unwrap_or(4 << 20)
    }

    fn take(&self, request: ExportTraceServiceRequest) -> Result<ExportTraceServiceResponse, Refusal> {
        *self.asked.lock().unwrap() += 1;
        if let Some(refusal) = self.refusal.as_ref().and_then(|refusal| refusal(&request)) {
            return Err(refusal);
        }
        let mut refuse = self.refuse.lock().unwrap();
        if *refuse > 0 {
            *refuse -= 1;
            let retry_after = Some("0".to_owned());
            return Err(Refusal { retry_after, ..Refusal::new(tonic::Code::Unavailable, 503) });
        }
        self.traces.lock().unwrap().push(request);
        let partial = ExportTracePartialSuccess { rejected_spans: self.reject, error_message: "too many".to_owned() };
        Ok(ExportTraceServiceResponse { partial_success: (self.reject > 0).then_some(partial) })
    }
}

/// Starts gRPC and HTTP; the addresses of both.
pub(super) fn start(kept: Kept) -> (Arc<Kept>, SocketAddr, SocketAddr) {
    let kept = Arc::new(kept);
    let own = Arc::clone(&kept);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let grpc = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let http = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send((grpc.local_addr().unwrap(), http.local_addr().unwrap())).unwrap();
            let service = Service(Arc::clone(&own));
            let server = tonic::transport::Server::builder()
                .add_service(
                    TraceServiceServer::new(service.clone())
                        .max_decoding_message_size(own.most())
                        .accept_compressed(CompressionEncoding::Gzip),
                )
                .add_service(
                    LogsServiceServer::new(service.clone())
                        .max_decoding_message_size(own.most())
                        .accept_compressed(CompressionEncoding::Gzip),
                )
                .add_service(
                    MetricsServiceServer::new(service)
                        .max_decoding_message_size(own.most())
                        .accept_compressed(CompressionEncoding::Gzip),
                )
                .serve_with_incoming(tonic::transport::server::TcpIncoming::from(grpc));
            tokio::spawn(server);
            axum::serve(http, router(&own)).await.unwrap();
        });
    });
    let (grpc, http) = told.recv().unwrap();
    (kept, grpc, http)
}

pub(super) fn router(kept: &Arc<Kept>) -> Router {
    macro_rules! route {
        ($take:expr) => {{
            let kept = Arc::clone(kept);
            post(move |headers: HeaderMap, body: Bytes| async move {
                tokio::time::sleep(kept.delay).await;
                kept.heard(headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap()));
                let take = $take;
                take(&kept, &headers, &body)
            })
        }};
    }
    Router::new()
        .route(
            "/v1/traces",
            route!(|kept: &Kept, headers: &HeaderMap, body: &[u8]| match kept.take(read(headers, body)) {
                Ok(answer) => answered(headers, &answer),
                Err(refusal) => refusal.into_response(),
            }),
        )
        .route(
            "/v1/logs",
            route!(|kept: &Kept, headers: &HeaderMap, body: &[u8]| {
                kept.logs.lock().unwrap().push(read(headers, body));
                answered(headers, &ExportLogsServiceResponse::default())
            }),
        )
        .route(
            "/v1/metrics",
            route!(|kept: &Kept, headers: &HeaderMap, body: &[u8]| {
                kept.metrics.lock().unwrap().push(read(headers, body));
                answered(headers, &ExportMetricsServiceResponse::default())
            }),
        )
        .layer(DefaultBodyLimit::max(kept.most()))
}

fn read<M: Message + DeserializeOwned + Default>(headers: &HeaderMap, body: &[u8]) -> M {
    let mut plain = Vec::new();
    let body = if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip") {
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(body), &mut plain).unwrap();
        &plain
    } else {
        body
    };
    match headers[header::CONTENT_TYPE].to_str().unwrap() {
        "application/json" => serde_json::from_slice(body).unwrap(),
        "application/x-protobuf" => M::decode(body).unwrap(),
        other => panic!("content type {other}"),
    }
}

fn answered<M: Message + serde::Serialize>(headers: &HeaderMap, message: &M) -> Response {
    if headers[header::CONTENT_TYPE] == "application/json" {
        return serde_json::to_vec(message).unwrap().into_response();
    }
    message.encode_to_vec().into_response()
}

#[derive(Clone)]
struct Service(Arc<Kept>);

impl Service {
    async fn hear<T>(&self, request: &Request<T>) {
        tokio::time::sleep(self.0.delay).await;
        self.0.heard(request.metadata().get("authorization").map(|value| value.to_str().unwrap()));
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, Status> {
        self.hear(&request).await;
        self.0.take(request.into_inner()).map(tonic::Response::new).map_err(|refusal| refusal.grpc)
    }
}

#[tonic::async_trait]
impl LogsService for Service {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        self.hear(&request).await;
        self.0.logs.lock().unwrap().push(request.into_inner());
        Ok(tonic::Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Service {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        self.hear(&request).await;
        self.0.metrics.lock().unwrap().push(request.into_inner());
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}
