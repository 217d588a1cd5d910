//! The server layer over a service, without a network.

use std::convert::Infallible;
use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bedplate_observability::http::{ClientSpan, ServerLayer};
use bedplate_observability::propagation::{Destination, Propagator, SpanBaggage as _, current_baggage};
use bedplate_observability::{Logs, Observability, SpanExt as _, current_span_context};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};

type Answer = Result<Response<Full<Bytes>>, Infallible>;

fn telemetry() -> (Observability, tracing::dispatcher::DefaultGuard) {
    let telemetry = Observability::builder("test").build().unwrap();
    let guard = tracing::dispatcher::set_default(&telemetry.dispatch());
    (telemetry, guard)
}

fn request(path: &str) -> Request<Full<Bytes>> {
    Request::builder().uri(path).header("host", "example.com:8080").body(Full::default()).unwrap()
}

fn response(status: u16) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::from("body")).unwrap()
}

fn metric(telemetry: &Observability, line: &str) -> bool {
    telemetry.prometheus().lines().any(|one| one.starts_with(line))
}

#[tokio::test]
async fn a_request_is_named_by_its_route_and_measured_to_its_end() {
    let (telemetry, _guard) = telemetry();
    let layer = ServerLayer::new(&telemetry).unwrap().route(|_| Some("/orders/{id}".into()));
    let service = layer.layer(service_fn(async |_: Request<Full<Bytes>>| Ok::<_, Infallible>(response(200))));
    let response = service.oneshot(request("/orders/7?token=x")).await.unwrap();
    assert!(metric(&telemetry, "http_server_active_requests{http_request_method=\"GET\",url_scheme=\"http\"} 1"));
    assert_eq!(response.headers()["x-request-id"].len(), 32);
    response.into_body().collect().await.unwrap();
    assert!(metric(&telemetry, "http_server_active_requests{http_request_method=\"GET\",url_scheme=\"http\"} 0"));
    let line = "http_server_request_duration_seconds_count{http_request_method=\"GET\",url_scheme=\"http\",\
                http_route=\"/orders/{id}\",http_response_status_code=\"200\"} 1";
    assert!(metric(&telemetry, line), "{}", telemetry.prometheus());
    let operation = telemetry.metrics().operations["GET /orders/{id}"];
    assert_eq!((operation.requests, operation.errors), (1, 0));
}

#[tokio::test]
async fn a_4xx_is_no_error_of_ours_and_a_5xx_is() {
    let (telemetry, _guard) = telemetry();
    let layer = ServerLayer::new(&telemetry).unwrap();
    for status in [404, 500, 503] {
        let service = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
            std::future::ready(Ok::<_, Infallible>(response(status)))
        }));
        let response = service.oneshot(request("/x")).await.unwrap();
        response.into_body().collect().await.unwrap();
    }
    assert_eq!(telemetry.metrics().operations["GET"].errors, 2);
    assert!(metric(
        &telemetry,
        "http_server_request_duration_seconds_count{http_request_method=\"GET\",url_scheme=\"http\",\
         http_response_status_code=\"503\",error_type=\"503\"} 1"
    ));
}

#[tokio::test]
async fn the_caller_s_trace_and_request_id_go_through_to_who_is_called() {
    let (telemetry, _guard) = telemetry();
    let propagator = Propagator::default();
    let injector = propagator.clone();
    let layer = ServerLayer::new(&telemetry).unwrap().propagator(&propagator);
    let service = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
        let mut headers = HeaderMap::new();
        assert!(injector.inject(&tracing::Span::current(), Destination::Trusted, &mut headers));
        let mut response = response(200);
        response.headers_mut().extend(headers);
        std::future::ready(Ok::<_, Infallible>(response))
    }));
    let mut request = request("/x");
    let id = "0af7651916cd43dd8448eb211c80319c";
    let headers = request.headers_mut();
    headers.insert("traceparent", format!("00-{id}-b7ad6b7169203331-03").parse().unwrap());
    headers.insert("tracestate", "a=1".parse().unwrap());
    headers.insert("x-request-id", "r-7".parse().unwrap());
    headers.insert("baggage", "user_id=secret,other=1".parse().unwrap());
    let response = service.oneshot(request).await.unwrap();
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert!(header("traceparent").unwrap().starts_with(&format!("00-{id}-")));
    assert!(header("traceparent").unwrap().ends_with("-03"));
    assert_eq!(header("tracestate").as_deref(), Some("a=1"));
    assert_eq!(header("x-request-id").as_deref(), Some("r-7"));
    assert_eq!(header("baggage").as_deref(), Some("request_id=r-7"));
    assert_eq!(propagator.stats().continued, 1);
}

#[tokio::test]
async fn a_stranger_s_trace_baggage_and_id_are_not_taken() {
    let (telemetry, _guard) = telemetry();
    let layer = ServerLayer::new(&telemetry).unwrap().trust(|_| false);
    let service = layer.layer(service_fn(async |_: Request<Full<Bytes>>| {
        let context = current_span_context().unwrap();
        assert_ne!(context.trace_id().to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_ne!(current_baggage().unwrap().get("request_id"), Some("r-7"));
        Ok::<_, Infallible>(response(200))
    }));
    let mut request = request("/x");
    let headers = request.headers_mut();
    headers.insert("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap());
    headers.insert("x-request-id", "r-7".parse().unwrap());
    let response = service.oneshot(request).await.unwrap();
    assert_ne!(response.headers()["x-request-id"], "r-7");
}

#[tokio::test]
async fn an_id_that_could_break_a_line_is_replaced() {
    let (telemetry, _guard) = telemetry();
    let layer = ServerLayer::new(&telemetry).unwrap();
    for bad in ["", "a b", &"x".repeat(129)] {
        let service = layer.layer(service_fn(async |_: Request<Full<Bytes>>| Ok::<_, Infallible>(response(200))));
        let mut request = request("/x");
        request.headers_mut().insert("x-request-id", bad.parse().unwrap());
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.headers()["x-request-id"].len(), 32, "{bad}");
    }
}

#[tokio::test]
async fn excluded_paths_leave_nothing() {
    let (telemetry, _guard) = telemetry();
    let layer = ServerLayer::new(&telemetry).unwrap();
    for path in ["/health", "/healthz/x", "/metrics"] {
        let service = layer.layer(service_fn(async |_: Request<Full<Bytes>>| {
            assert!(current_span_context().is_none());
            Ok::<_, Infallible>(response(200))
        }));
        let response = service.oneshot(request(path)).await.unwrap();
        assert!(!response.headers().contains_key("x-request-id"));
    }
    assert_eq!(telemetry.metrics().total.requests, 0);
}

#[tokio::test]
async fn a_client_that_went_away_is_cancelled_and_no_error() {
    let (telemetry, _guard) = telemetry();
    let layer = ServerLayer::new(&telemetry).unwrap();
    let service = layer.layer(service_fn(|_: Request<Full<Bytes>>| pending::<Answer>()));
    drop(service.oneshot(request("/x")));
    let service = layer.layer(service_fn(|_: Request<Full<Bytes>>| pending::<Answer>()));
    let mut waiting = Box::pin(service.oneshot(request("/x")));
    assert!(futures_poll(waiting.as_mut()).is_pending());
    drop(waiting);
    // The head was sent, the body was not read to its end.
    let service = layer.layer(service_fn(async |_: Request<Full<Bytes>>| Ok::<_, Infallible>(response(200))));
    drop(service.oneshot(request("/x")).await.unwrap());
    assert!(metric(&telemetry, "http_server_cancelled_requests_total{http_request_method=\"GET\"} 2"));
    assert!(metric(&telemetry, "http_server_active_requests{http_request_method=\"GET\",url_scheme=\"http\"} 0"));
    assert_eq!(telemetry.metrics().total.errors, 0);
}

#[tokio::test]
async fn an_answer_without_a_body_ends_at_its_head() {
    let (telemetry, _guard) = telemetry();
    let layer = ServerLayer::new(&telemetry).unwrap();
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let service = layer.layer(service_fn(move |_: Request<Full<Bytes>>| {
            std::future::ready(Ok::<_, Infallible>(response(status)))
        }));
        let mut request = request("/x");
        *request.method_mut() = method.parse().unwrap();
        drop(service.oneshot(request).await.unwrap());
    }
    assert_eq!(telemetry.metrics().total.requests, 3);
    assert!(!metric(&telemetry, "http_server_cancelled_requests_total{"));
}

#[tokio::test]
async fn a_panic_and_a_broken_body_are_errors() {
    let (telemetry, _guard) = telemetry();
    let layer = ServerLayer::new(&telemetry).unwrap();
    let service = layer.layer(service_fn(async |request: Request<Full<Bytes>>| {
        assert_ne!(request.uri().path(), "/x", "a planted panic");
        Ok::<_, Infallible>(response(200))
    }));
    let panicked = tokio::spawn(tracing::instrument::WithSubscriber::with_subscriber(
        service.oneshot(request("/x")),
        telemetry.dispatch(),
    ));
    assert!(panicked.await.unwrap_err().is_panic());
    let service = layer.layer(service_fn(async |_: Request<Full<Bytes>>| Ok::<_, Infallible>(Response::new(Broken))));
    let response = service.oneshot(request("/x")).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
    let text = telemetry.prometheus();
    assert!(text.contains("error_type=\"panic\"") && text.contains("error_type=\"body\""), "{text}");
    assert_eq!(telemetry.metrics().total.errors, 2);
}

/// A body that ends in the middle.
struct Broken;

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(Some(Err(std::io::Error::other("planted"))))
    }
}

fn futures_poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(std::task::Waker::noop()))
}

#[tokio::test]
async fn baggage_is_inherited_by_the_spans_below() {
    let (telemetry, _guard) = telemetry();
    let layer = ServerLayer::new(&telemetry).unwrap();
    let service = layer.layer(service_fn(async |_: Request<Full<Bytes>>| {
        let child = tracing::info_span!("child");
        let (outer, inner) = (current_span_context().unwrap(), child.context().unwrap());
        assert_eq!(outer.trace_id(), inner.trace_id());
        assert_eq!(child.baggage(), current_baggage());
        Ok::<_, Infallible>(response(200))
    }));
    let response = service.oneshot(request("/x")).await.unwrap();
    response.into_body().collect().await.unwrap();
}

#[test]
fn a_client_s_attempt_is_an_error_by_4xx_5xx_and_failure_and_not_by_giving_up() {
    let (telemetry, _guard) = telemetry();
    let url = "https://user:pw@example.com/users/7?token=secret";
    let start = |resend| ClientSpan::start(&http::Method::GET, url, Some("/users/{id}"), resend);
    start(0).responded(StatusCode::OK);
    start(0).responded(StatusCode::NOT_FOUND);
    start(1).responded(StatusCode::BAD_GATEWAY);
    start(2).failed("timeout");
    drop(start(3));
    let operation = telemetry.metrics().operations["GET /users/{id}"];
    assert_eq!((operation.requests, operation.errors), (5, 3));
}

/// A file's body knows its length from the header alone, and a server does not ask again after the last byte.
#[tokio::test]
async fn a_body_that_reached_its_content_length_is_no_cancelled_one() {
    struct Chunks(Vec<&'static str>);
    impl http_body::Body for Chunks {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop().map(|chunk| Ok(http_body::Frame::data(Bytes::from(chunk)))))
        }
    }
    let (telemetry, _guard) = telemetry();
    let layer = ServerLayer::new(&telemetry).unwrap();
    for (asked, cancelled) in [(2, 0), (1, 1)] {
        let service = layer.layer(service_fn(async |_: Request<Full<Bytes>>| {
            let answer = Response::builder().header("content-length", "8").body(Chunks(vec!["last", "frst"]));
            Ok::<_, Infallible>(answer.unwrap())
        }));
        let mut body = service.oneshot(request("/file")).await.unwrap().into_body();
        for _ in 0..asked {
            body.frame().await.unwrap().unwrap();
        }
        drop(body);
        assert_eq!(telemetry.metrics().operations["GET"].cancelled, cancelled);
    }
}

/// A body whose first frame panics.
#[derive(Debug)]
struct Falls;

impl http_body::Body for Falls {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
        std::panic::resume_unwind(Box::new("in the body"))
    }
}

#[tokio::test]
async fn a_panic_writes_a_line_within_its_request_and_goes_on() {
    let kept = crate::Kept::default();
    let logs = Logs::json().writer(kept.clone());
    let telemetry = Observability::builder("test").logs(logs).build().unwrap();
    let _guard = tracing::dispatcher::set_default(&telemetry.dispatch());
    let layer = ServerLayer::new(&telemetry).unwrap();
    let from = |id: &str| {
        let mut request = request("/x");
        request.headers_mut().insert("x-request-id", id.parse().unwrap());
        request
    };
    // Caught around the layer, as `CatchPanic` does: nothing is dropped while the thread unwinds.
    let later = layer.layer(service_fn(async |request: Request<Full<Bytes>>| {
        tokio::task::yield_now().await;
        assert_ne!(request.uri().path(), "/x", "a planted panic");
        Ok::<_, Infallible>(response(200))
    }));
    let fell = AssertUnwindSafe(later.oneshot(from("later"))).catch_unwind().await.unwrap_err();
    assert!(fell.downcast_ref::<String>().unwrap().contains("a planted panic"));
    let at_once = layer.layer(service_fn(|_: Request<Full<Bytes>>| -> std::future::Ready<Answer> {
        std::panic::resume_unwind(Box::new("at once"))
    }));
    assert!(AssertUnwindSafe(at_once.oneshot(from("at-once"))).catch_unwind().await.is_err());
    let body = layer.layer(service_fn(async |_: Request<Full<Bytes>>| Ok::<_, Infallible>(Response::new(Falls))));
    let body = body.oneshot(from("body")).await.unwrap().into_body();
    assert!(AssertUnwindSafe(body.collect()).catch_unwind().await.is_err());
    let odd =
        layer.layer(service_fn(async |_: Request<Full<Bytes>>| -> Answer { std::panic::resume_unwind(Box::new(7)) }));
    assert!(AssertUnwindSafe(odd.oneshot(from("odd"))).catch_unwind().await.is_err());

    assert!(telemetry.flush(Duration::from_secs(10)));
    let lines = kept.lines();
    let ids: Vec<&str> = lines.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["later", "at-once", "body", "odd"]);
    for line in &lines {
        assert_eq!((&line["level"], &line["message"]), (&"ERROR".into(), &"panicked".into()), "{line}");
        assert_eq!((&line["error.type"], &line["span"]), (&"panic".into(), &"GET".into()), "{line}");
        assert_eq!(line["trace_id"].as_str().unwrap().len(), 32);
    }
    let texts: Vec<Option<&str>> = lines.iter().map(|line| line.get("exception.message")?.as_str()).collect();
    assert!(texts[0].unwrap().contains("a planted panic"));
    assert_eq!(texts[1..], [Some("at once"), Some("in the body"), None]);
    let counted = telemetry.metrics().operations["GET"];
    assert_eq!((counted.requests, counted.errors, counted.cancelled, counted.in_flight), (4, 4, 0, 0));
    assert!(!metric(&telemetry, "http_server_cancelled_requests_total{"));
}

/// Drops a request that waits while its own thread unwinds: nothing of the request's panicked.
#[tokio::test]
async fn who_is_dropped_by_another_s_panic_is_cancelled() {
    let (telemetry, _guard) = telemetry();
    let waits = ServerLayer::new(&telemetry).unwrap().layer(service_fn(|_: Request<Full<Bytes>>| pending::<Answer>()));
    let fell = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let mut waiting = std::pin::pin!(waits.oneshot(request("/x")));
        assert!(waiting.as_mut().now_or_never().is_none());
        std::panic::resume_unwind(Box::new("elsewhere"))
    }));
    assert!(fell.is_err());
    let counted = telemetry.metrics().operations["GET"];
    assert_eq!((counted.errors, counted.cancelled), (0, 1));
}
