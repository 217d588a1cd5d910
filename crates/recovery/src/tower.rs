//! A pipeline as one tower layer.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tower_layer::Layer;
use tower_service::Service;

use crate::class::{Classify, ErrorClass};
use crate::clock::{Clock, TokioClock};
use crate::failure::Failure;
use crate::observer::{NoObserver, Observer};
use crate::pipeline::Pipeline;
use crate::policy::Policy;

/// Puts a whole [`Pipeline`] around a service, as one layer with one allocation per call.
///
/// The instance that was polled ready makes the first attempt; each further attempt clones the service and waits until
/// the clone is ready, so that a `ConcurrencyLimit` or a `Buffer` below is asked every time. Requests are cloned per
/// attempt; keep bodies cheap to clone (`Bytes`, `Arc`).
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use bedplate_recovery::tower::RecoveryLayer;
/// use bedplate_recovery::{Pipeline, Retry};
/// use tower::{Layer as _, ServiceExt as _, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pipeline = Pipeline::builder("echo").retry(Retry::exponential(Duration::from_millis(10))).build()?;
/// let service = RecoveryLayer::new(pipeline).layer(service_fn(|n: u32| async move { Ok::<_, std::io::Error>(n + 1) }));
/// assert_eq!(service.oneshot(1).await?, 2);
/// # Ok(()) }
/// ```
pub struct RecoveryLayer<P, C = TokioClock, O = NoObserver, JE = ByClassify, JR = AllGood> {
    pipeline: Pipeline<P, C, O>,
    errors: JE,
    responses: JR,
}

/// Judges the errors of a service.
///
/// Implemented by [`ByClassify`] and by closures.
pub trait JudgeError<E>: Clone + Send + Sync {
    /// Returns what an error means.
    fn class(&self, error: &E) -> ErrorClass;
}

/// Judges the responses of a service.
///
/// Implemented by [`AllGood`] and by closures.
pub trait JudgeResponse<R>: Clone + Send + Sync {
    /// Returns what a response means that is a failure; `None` for one that is a success.
    fn class(&self, response: &R) -> Option<ErrorClass>;
}

/// Asks an error's [`Classify`].
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its own constructor")]
pub struct ByClassify;

impl<E: Classify> JudgeError<E> for ByClassify {
    fn class(&self, error: &E) -> ErrorClass {
        error.class()
    }
}

impl<E, F: Fn(&E) -> ErrorClass + Clone + Send + Sync> JudgeError<E> for F {
    fn class(&self, error: &E) -> ErrorClass {
        self(error)
    }
}

/// Takes every response for a success.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "a unit struct is its own constructor")]
pub struct AllGood;

impl<R> JudgeResponse<R> for AllGood {
    fn class(&self, _response: &R) -> Option<ErrorClass> {
        None
    }
}

impl<R, F: Fn(&R) -> Option<ErrorClass> + Clone + Send + Sync> JudgeResponse<R> for F {
    fn class(&self, response: &R) -> Option<ErrorClass> {
        self(response)
    }
}

impl<P, C, O> RecoveryLayer<P, C, O> {
    /// Protects services by `pipeline`; their errors are judged by their [`Classify`], and every response is a success.
    #[must_use]
    pub const fn new(pipeline: Pipeline<P, C, O>) -> Self {
        Self { pipeline, errors: ByClassify, responses: AllGood }
    }
}

impl<P, C, O, JE, JR> RecoveryLayer<P, C, O, JE, JR> {
    /// Judges errors by a closure, for error types that do not implement [`Classify`].
    #[must_use]
    pub fn judge_errors<E, F: JudgeError<E>>(self, judge: F) -> RecoveryLayer<P, C, O, F, JR> {
        RecoveryLayer { pipeline: self.pipeline, errors: judge, responses: self.responses }
    }

    /// Judges responses by a closure: what it calls a failure (an HTTP 503) is retried and counted by breakers. When no
    /// attempt gave a better one, the last response is returned as the service gave it.
    #[must_use]
    pub fn judge_responses<R, F: JudgeResponse<R>>(self, judge: F) -> RecoveryLayer<P, C, O, JE, F> {
        RecoveryLayer { pipeline: self.pipeline, errors: self.errors, responses: judge }
    }
}

impl<S, P, C, O, JE: Clone, JR: Clone> Layer<S> for RecoveryLayer<P, C, O, JE, JR> {
    type Service = Recovery<S, P, C, O, JE, JR>;

    fn layer(&self, inner: S) -> Self::Service {
        Recovery { inner, layer: self.clone() }
    }
}

impl<P, C, O, JE: Clone, JR: Clone> Clone for RecoveryLayer<P, C, O, JE, JR> {
    fn clone(&self) -> Self {
        Self { pipeline: self.pipeline.clone(), errors: self.errors.clone(), responses: self.responses.clone() }
    }
}

impl<P: fmt::Debug, C, O, JE, JR> fmt::Debug for RecoveryLayer<P, C, O, JE, JR> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecoveryLayer").field("pipeline", &self.pipeline).finish_non_exhaustive()
    }
}

/// The service that [`RecoveryLayer`] makes.
pub struct Recovery<S, P, C = TokioClock, O = NoObserver, JE = ByClassify, JR = AllGood> {
    inner: S,
    layer: RecoveryLayer<P, C, O, JE, JR>,
}

/// What an attempt gave that was judged to be a failure.
enum Bad<R, E> {
    Response(R, ErrorClass),
    Error(E, ErrorClass),
}

impl<R, E> Bad<R, E> {
    const fn class(&self) -> ErrorClass {
        match self {
            Self::Response(_, class) | Self::Error(_, class) => *class,
        }
    }
}

impl<S, P, C, O, JE, JR, Req> Service<Req> for Recovery<S, P, C, O, JE, JR>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Future: Send,
    S::Response: Send,
    S::Error: Send,
    Req: Clone + Send + Sync + 'static,
    P: Policy + 'static,
    C: Clock + 'static,
    O: Observer + 'static,
    JE: JudgeError<S::Error> + 'static,
    JR: JudgeResponse<S::Response> + 'static,
{
    type Response = S::Response;
    type Error = Failure<S::Error>;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Failure<S::Error>>> + Send>>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(task).map_err(|error| {
            let class = self.layer.errors.class(&error);
            Failure::inner(error, class)
        })
    }

    fn call(&mut self, request: Req) -> Self::Future {
        // What was polled ready makes the first attempt; a clone takes its place.
        let spare = self.inner.clone();
        let ready = std::mem::replace(&mut self.inner, spare.clone());
        let layer = self.layer.clone();
        Box::pin(async move {
            let services = Mutex::new((Some(ready), spare));
            let result = layer.pipeline.run_classified(Bad::class, |_| layer.attempt(&services, &request)).await;
            match result {
                Ok(response) | Err(Failure::Inner { error: Bad::Response(response, _), .. }) => Ok(response),
                Err(Failure::Inner { error: Bad::Error(error, class), attempts, .. }) => {
                    Err(Failure::Inner { error, class, attempts })
                }
                Err(Failure::TimedOut { scope, after, attempts }) => Err(Failure::TimedOut { scope, after, attempts }),
                Err(Failure::Rejected { by, reason, retry_after }) => {
                    Err(Failure::Rejected { by, reason, retry_after })
                }
            }
        })
    }
}

impl<P, C, O, JE, JR> RecoveryLayer<P, C, O, JE, JR> {
    async fn attempt<S, Req>(
        &self,
        services: &Mutex<(Option<S>, S)>,
        request: &Req,
    ) -> Result<S::Response, Bad<S::Response, S::Error>>
    where
        S: Service<Req> + Clone,
        Req: Clone,
        JE: JudgeError<S::Error>,
        JR: JudgeResponse<S::Response>,
    {
        let (mut service, is_ready) = {
            let mut services = services.lock();
            match services.0.take() {
                Some(ready) => (ready, true),
                None => (services.1.clone(), false),
            }
        };
        let judged = |error| {
            let class = self.errors.class(&error);
            Bad::Error(error, class)
        };
        if !is_ready {
            poll_fn(|task| service.poll_ready(task)).await.map_err(judged)?;
        }
        let response = service.call(request.clone()).await.map_err(judged)?;
        match self.responses.class(&response) {
            None => Ok(response),
            Some(class) => Err(Bad::Response(response, class)),
        }
    }
}

impl<S: Clone, P, C, O, JE: Clone, JR: Clone> Clone for Recovery<S, P, C, O, JE, JR> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), layer: self.layer.clone() }
    }
}

impl<S: fmt::Debug, P: fmt::Debug, C, O, JE, JR> fmt::Debug for Recovery<S, P, C, O, JE, JR> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").field("inner", &self.inner).field("layer", &self.layer).finish()
    }
}
