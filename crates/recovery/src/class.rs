use std::convert::Infallible;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a failure means for the policies.
///
/// Every policy decides by class and none by the error's type, so that one judgment, made where the error is
/// understood, serves retry, breaker and fall-back alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorClass {
    /// A passing fault: the same call may succeed in a moment.
    Transient,
    /// The other side asks for fewer calls.
    Throttled {
        /// How long it asks to wait, if it says so. Untrusted: [`Retry`](crate::Retry) caps it.
        after: Option<Duration>,
    },
    /// Something has more work than it can do: a full queue, a 503, an open breaker.
    Overload {
        /// When to come back, if it says so. Untrusted as well.
        after: Option<Duration>,
    },
    /// No answer in time; whether the work was done is unknown.
    Timeout,
    /// The caller, or a shutdown, gave the call up.
    Cancelled,
    /// The same call will fail again, by no fault of the caller.
    Permanent,
    /// The caller's own mistake. It is never retried, never counted against the callee and never answered
    /// by a fall-back.
    CallerFault,
}

impl ErrorClass {
    /// Says whether repeating the same call can help.
    #[must_use]
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Transient | Self::Throttled { .. } | Self::Overload { .. } | Self::Timeout)
    }

    /// Returns the delay that the other side asked for, if any.
    #[must_use]
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Throttled { after } | Self::Overload { after } => after,
            _ => None,
        }
    }

    /// Names the class with a fixed word, fit for a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Throttled { .. } => "throttled",
            Self::Overload { .. } => "overload",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Permanent => "permanent",
            Self::CallerFault => "caller_fault",
        }
    }
}

/// Tells the policies what an error means.
///
/// Implement it for the error that the protected call returns. For a foreign error use
/// [`Pipeline::run_classified`](crate::Pipeline::run_classified), which takes the judgment as a closure.
///
/// # Examples
/// ```
/// use bedplate_recovery::{Classify, ErrorClass};
///
/// enum FetchError { Status(u16), Connection }
///
/// impl Classify for FetchError {
///     fn class(&self) -> ErrorClass {
///         match self {
///             Self::Connection => ErrorClass::Transient,
///             Self::Status(429) => ErrorClass::Throttled { after: None },
///             Self::Status(503) => ErrorClass::Overload { after: None },
///             Self::Status(400..=499) => ErrorClass::CallerFault,
///             Self::Status(_) => ErrorClass::Permanent,
///         }
///     }
/// }
/// ```
pub trait Classify {
    /// Returns the class of this error.
    fn class(&self) -> ErrorClass;
}

impl<E: Classify + ?Sized> Classify for &E {
    fn class(&self) -> ErrorClass {
        (**self).class()
    }
}

impl<E: Classify + ?Sized> Classify for Box<E> {
    fn class(&self) -> ErrorClass {
        (**self).class()
    }
}

impl Classify for Infallible {
    fn class(&self) -> ErrorClass {
        match *self {}
    }
}

impl Classify for tokio::time::error::Elapsed {
    fn class(&self) -> ErrorClass {
        ErrorClass::Timeout
    }
}

impl Classify for io::Error {
    fn class(&self) -> ErrorClass {
        use io::ErrorKind as Kind;
        match self.kind() {
            Kind::TimedOut => ErrorClass::Timeout,
            Kind::InvalidInput => ErrorClass::CallerFault,
            Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::NotConnected
            | Kind::BrokenPipe
            | Kind::WouldBlock
            | Kind::Interrupted
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
            | Kind::ResourceBusy
            | Kind::UnexpectedEof => ErrorClass::Transient,
            Kind::QuotaExceeded | Kind::OutOfMemory => ErrorClass::Overload { after: None },
            _ => ErrorClass::Permanent,
        }
    }
}
