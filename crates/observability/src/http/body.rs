use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::request::{Request, caught};

pin_project! {
    /// The body of an answer; its end is the end of the request's span.
    pub struct ServerBody<B> {
        #[pin]
        inner: B,
        request: Option<Request>,
        // What is missing of the `Content-Length`.
        left: Option<u64>,
    }
}

impl<B: Body> ServerBody<B> {
    /// Wraps a body; one that nobody will read, as of an answer to HEAD, ends its request at once.
    pub(super) fn new(inner: B, mut request: Option<Request>, bodiless: bool, length: Option<u64>) -> Self {
        if bodiless || inner.is_end_stream() || length == Some(0) {
            finish(&mut request);
        }
        Self { inner, request, left: length }
    }
}

impl<B: Body> Body for ServerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let polled = caught(this.request, || this.inner.as_mut().poll_frame(context));
        let frame = ready!(polled);
        match &frame {
            None => finish(this.request),
            Some(Err(_)) => {
                if let Some(mut request) = this.request.take() {
                    request.failed("body");
                }
            }
            Some(Ok(frame)) => {
                if let (Some(left), Some(data)) = (this.left.as_mut(), frame.data_ref()) {
                    *left = left.saturating_sub(u64::try_from(data.remaining()).unwrap_or(u64::MAX));
                }
                // Servers do not ask again after either.
                if this.inner.is_end_stream() || *this.left == Some(0) {
                    finish(this.request);
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn finish(request: &mut Option<Request>) {
    if let Some(mut request) = request.take() {
        request.done();
    }
}

impl<B> fmt::Debug for ServerBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBody").field("open", &self.request.is_some()).finish_non_exhaustive()
    }
}
