//! What `#[trace_function]` expands to.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tracing::Span;

use crate::ErrorType;
use crate::error_type::{error_name, short_name};

/// A traced call that goes on; what it is when it is dropped says how the call ended.
#[derive(Debug)]
pub struct Guard {
    span: Span,
    finished: bool,
    future: bool,
    polling: bool,
}

impl Guard {
    /// Watches a call of a plain function.
    #[must_use]
    pub fn new(span: Span) -> Self {
        Self { span, finished: false, future: false, polling: false }
    }

    /// Watches a future.
    #[must_use]
    pub fn of_future(span: Span) -> Self {
        Self { span, finished: false, future: true, polling: false }
    }

    /// Returns the call's span.
    #[must_use]
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Polls the body, so that a panic within is told from one around.
    pub fn poll<F: Future>(&mut self, body: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.polling = true;
        let polled = body.poll(context);
        self.polling = false;
        polled
    }

    /// Records a failure.
    pub fn failed(&self, error_type: impl FnOnce() -> Cow<'static, str>) {
        if !self.span.is_disabled() {
            self.span.record("error", true);
            self.span.record("error.type", &*error_type());
        }
    }

    /// Records the failure that was returned, if it was one.
    pub fn returned(&self, failure: impl FnOnce() -> Option<Cow<'static, str>>) {
        if !self.span.is_disabled()
            && let Some(error_type) = failure()
        {
            self.failed(|| error_type);
        }
    }

    /// Notes that the call came to its end.
    pub fn finish(&mut self) {
        self.finished = true;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if std::thread::panicking() && (self.polling || !self.future) {
            self.failed(|| Cow::Borrowed("panic"));
        } else if self.future {
            self.span.record("cancelled", true);
        }
    }
}

/// An error of which the best name is found: the three traits below are tried in order, since each takes a reference more.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "expansions make it, and nobody else")]
pub struct Of<'a, E: ?Sized>(pub &'a E);

/// By its own word.
pub trait ByTrait {
    /// Returns the name.
    fn error_type(&self) -> Cow<'static, str>;
}

impl<E: ErrorType + ?Sized> ByTrait for &&Of<'_, E> {
    fn error_type(&self) -> Cow<'static, str> {
        Cow::Borrowed(self.0.error_type())
    }
}

/// By the names of its type and variant.
pub trait ByDebug {
    /// Returns the name.
    fn error_type(&self) -> Cow<'static, str>;
}

impl<E: fmt::Debug + ?Sized> ByDebug for &Of<'_, E> {
    fn error_type(&self) -> Cow<'static, str> {
        error_name(self.0)
    }
}

/// By its type's name.
pub trait ByName {
    /// Returns the name.
    fn error_type(&self) -> Cow<'static, str>;
}

impl<E: ?Sized> ByName for Of<'_, E> {
    fn error_type(&self) -> Cow<'static, str> {
        Cow::Borrowed(short_name::<E>())
    }
}

/// A value that a function returned, of which is told by its type, not by how that is written, whether it is a failure: the
/// four traits below are tried in order, as those of [`Of`].
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "expansions make it, and nobody else")]
pub struct Returned<'a, T: ?Sized>(pub &'a T);

macro_rules! failure {
    ($($(#[$doc:meta])+ $name:ident)*) => {$(
        $(#[$doc])+
        pub trait $name {
            /// Returns the failure's name, if it is one.
            fn failure(&self) -> Option<Cow<'static, str>>;
        }
    )*};
}

failure! {
    /// An error that names itself.
    FailsByTrait
    /// An error with a `Debug`.
    FailsByDebug
    /// Any other error.
    FailsByName
    /// What is no `Result`.
    Succeeds
}

impl<T, E: ErrorType> FailsByTrait for &&&Returned<'_, Result<T, E>> {
    fn failure(&self) -> Option<Cow<'static, str>> {
        self.0.as_ref().err().map(|error| Cow::Borrowed(error.error_type()))
    }
}

impl<T, E: fmt::Debug> FailsByDebug for &&Returned<'_, Result<T, E>> {
    fn failure(&self) -> Option<Cow<'static, str>> {
        self.0.as_ref().err().map(error_name)
    }
}

impl<T, E> FailsByName for &Returned<'_, Result<T, E>> {
    fn failure(&self) -> Option<Cow<'static, str>> {
        self.0.as_ref().err().map(|_| Cow::Borrowed(short_name::<E>()))
    }
}

impl<T: ?Sized> Succeeds for Returned<'_, T> {
    fn failure(&self) -> Option<Cow<'static, str>> {
        None
    }
}
