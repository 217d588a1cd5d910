use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::CONTENT_LENGTH;
use http::{Method, Request as HttpRequest, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::ServerBody;
use super::layer::Settings;
use super::request::{REQUEST_ID, Request, caught};

/// A service whose requests have spans; made by [`ServerLayer`](super::ServerLayer).
#[derive(Clone)]
pub struct Server<S> {
    pub(super) inner: S,
    pub(super) settings: Arc<Settings>,
}

pin_project! {
    /// The answer of a [`Server`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ServerFuture<F> {
        #[pin]
        inner: F,
        request: Option<Request>,
        head: bool,
    }
}

impl<S, B, R> Service<HttpRequest<B>> for Server<S>
where
    S: Service<HttpRequest<B>, Response = Response<R>>,
    R: Body,
{
    type Response = Response<ServerBody<R>>;
    type Error = S::Error;
    type Future = ServerFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: HttpRequest<B>) -> Self::Future {
        let (parts, body) = request.into_parts();
        let head = parts.method == Method::HEAD;
        let mut traced = (!self.settings.excludes(parts.uri.path())).then(|| Request::begin(&self.settings, &parts));
        let request = HttpRequest::from_parts(parts, body);
        // What the service does before its first await belongs to the span as well.
        let inner = caught(&mut traced, || self.inner.call(request));
        ServerFuture { inner, request: traced, head }
    }
}

impl<F, R, E> Future for ServerFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<ServerBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = caught(this.request, || this.inner.poll(context));
        let answer = ready!(polled);
        let request = this.request.take();
        match answer {
            Ok(mut response) => {
                let request = request.map(|mut request| {
                    request.responded(response.status());
                    response.headers_mut().entry(REQUEST_ID).or_insert_with(|| request.id.clone());
                    request
                });
                let bodiless = *this.head || matches!(response.status().as_u16(), 100..200 | 204 | 304);
                let length = response.headers().get(CONTENT_LENGTH);
                let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
                Poll::Ready(Ok(response.map(|body| ServerBody::new(body, request, bodiless, length))))
            }
            Err(error) => {
                if let Some(mut request) = request {
                    request.failed("service");
                }
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Server<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for ServerFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerFuture").finish_non_exhaustive()
    }
}
