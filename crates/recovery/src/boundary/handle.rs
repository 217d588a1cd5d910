use std::any::Any;
use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use parking_lot::Mutex;

use super::caught::{Caught, ErrorId, sentence};
use super::sink::{Chain, ErrorReport, ErrorSink, TracingSink};
use crate::class::{Classify, ErrorClass};
use crate::clock::{Clock as _, TokioClock};
use crate::config::ConfigError;
use crate::failure::Failure;
use crate::rate::{Quota, RateLimiter};

/// The outermost frame of a service's work: no error or panic leaves it without an id and a record.
///
/// A caller's own mistakes and cancelled calls are told but not recorded: they are not news. Everything else is recorded
/// once, however many boundaries it passes, and no faster than the quota: in an outage the first errors say it all.
///
/// # Examples
/// ```
/// use bedplate_recovery::{ErrorBoundary, TracingSink};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let boundary = ErrorBoundary::new("http", TracingSink);
/// let caught = boundary
///     .run(async { Err::<(), _>(std::io::Error::other("password file /etc/app.key is gone")) })
///     .await
///     .unwrap_err();
/// assert_eq!((caught.status(), caught.detail()), (500, "internal error"));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct ErrorBoundary {
    shared: Arc<Shared>,
}

struct Shared {
    name: Arc<str>,
    sink: Box<dyn ErrorSink>,
    quota: Option<RateLimiter>,
    suppressed: AtomicU64,
    recorded: AtomicU64,
    random: Mutex<fastrand::Rng>,
}

impl Default for ErrorBoundary {
    fn default() -> Self {
        Self::new("boundary", TracingSink)
    }
}

impl ErrorBoundary {
    /// Creates a boundary that records to `sink`, up to ten errors per second and fifty at once.
    pub fn new(name: impl Into<Arc<str>>, sink: impl ErrorSink + 'static) -> Self {
        let name = name.into();
        // A quota of constants is one that can be used; without it everything would be recorded.
        let quota = RateLimiter::new(Arc::clone(&name), Quota::per_second(10).burst(50)).ok();
        Self::assemble(name, Box::new(sink), quota)
    }

    /// Creates a boundary that records no faster than `quota`.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] naming the setting of the quota that cannot be used.
    pub fn with_quota(
        name: impl Into<Arc<str>>,
        sink: impl ErrorSink + 'static,
        quota: Quota,
    ) -> Result<Self, ConfigError> {
        let name = name.into();
        let quota = RateLimiter::new(Arc::clone(&name), quota)?;
        Ok(Self::assemble(name, Box::new(sink), Some(quota)))
    }

    fn assemble(name: Arc<str>, sink: Box<dyn ErrorSink>, quota: Option<RateLimiter>) -> Self {
        let shared = Shared {
            name,
            sink,
            quota,
            suppressed: AtomicU64::new(0),
            recorded: AtomicU64::new(0),
            random: Mutex::new(fastrand::Rng::new()),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes an error in: gives it an id, records it if it is news, and returns what may be told.
    ///
    /// One that another boundary has taken in already passes as it is.
    pub fn catch<E: Error + Classify + 'static>(&self, error: &E) -> Caught {
        if let Some(caught) = (error as &dyn Any).downcast_ref::<Caught>() {
            return caught.clone();
        }
        let class = error.class();
        let detail: Arc<str> = match class {
            ErrorClass::CallerFault => error.to_string().into(),
            class => sentence(class).into(),
        };
        let caught = Caught::new(self.id(), class, detail);
        if !matches!(class, ErrorClass::CallerFault | ErrorClass::Cancelled) {
            self.record(caught.id(), class, || Chain(error).to_string());
        }
        caught
    }

    /// Runs `work`; what it fails by is taken in, and so is a panic.
    ///
    /// # Errors
    /// Returns what [`catch`](Self::catch) says of the error, or of the panic, which is
    /// [`Permanent`](ErrorClass::Permanent).
    ///
    /// # Cancel safety
    /// Dropping the future drops the work; nothing is recorded.
    pub async fn run<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, Caught>
    where
        E: Error + Classify + 'static,
    {
        self.guard(work, |error| self.catch(&error)).await
    }

    /// Takes the failure of a pipeline in: of one of the call itself its own error, so that a caller's mistake is told in its
    /// own words.
    pub fn catch_failure<E: Error + Classify + 'static>(&self, failure: &Failure<E>) -> Caught {
        match failure {
            Failure::Inner { error, .. } => self.catch(error),
            refused => self.catch(refused),
        }
    }

    /// Runs a call through a pipeline as [`run`](Self::run) does, and takes its failure in by
    /// [`catch_failure`](Self::catch_failure).
    ///
    /// # Errors
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_call<T, E>(&self, call: impl Future<Output = Result<T, Failure<E>>>) -> Result<T, Caught>
    where
        E: Error + Classify + 'static,
    {
        self.guard(call, |failure| self.catch_failure(&failure)).await
    }

    async fn guard<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>>,
        catch: impl FnOnce(E) -> Caught,
    ) -> Result<T, Caught> {
        let mut work = pin!(work);
        // A future that panicked is not polled again, so nobody sees what it left half done.
        let ended = poll_fn(|task| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(task))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        });
        match ended.await {
            Ok(result) => result.map_err(catch),
            Err(panic) => {
                let id = self.id();
                self.record(id, ErrorClass::Permanent, || format!("panicked: {}", message(&*panic)));
                Err(Caught::new(id, ErrorClass::Permanent, sentence(ErrorClass::Permanent)))
            }
        }
    }

    /// Returns how many errors were recorded, and how many were not because there were too many.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let recorded = self.shared.recorded.load(Ordering::Relaxed);
        (recorded, self.shared.suppressed.load(Ordering::Relaxed))
    }

    fn id(&self) -> ErrorId {
        ErrorId::new(self.shared.random.lock().u64(..))
    }

    fn record(&self, id: ErrorId, class: ErrorClass, message: impl FnOnce() -> String) {
        let shared = &*self.shared;
        if shared.quota.as_ref().is_some_and(|quota| quota.try_acquire(TokioClock.now()).is_err()) {
            shared.suppressed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let suppressed = shared.suppressed.load(Ordering::Relaxed);
        shared.recorded.fetch_add(1, Ordering::Relaxed);
        let message = message();
        let report = ErrorReport { id, boundary: &shared.name, class, message: &message, suppressed };
        if catch_unwind(AssertUnwindSafe(|| shared.sink.record(&report))).is_err() {
            tracing::error!(boundary = &*shared.name, %id, "the sink of the error boundary panicked");
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl fmt::Debug for ErrorBoundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorBoundary")
            .field("name", &self.shared.name)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}
