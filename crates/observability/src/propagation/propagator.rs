use std::fmt;
use std::sync::Arc;

use tracing::Span;

use super::stats::{Counts, count};
use super::{
    B3, Baggage, Extract, Inject, PropagationStats, SpanBaggage as _, TraceparentError, b3, format_traceparent,
    parse_traceparent, parse_tracestate, tracestate,
};
use crate::{ConfigError, SpanContext, SpanExt as _};

/// Reads traces and baggage from carriers and writes them.
///
/// Clones share configuration and counts. The default reads and writes W3C Trace Context and, of baggage, `request_id`.
///
/// # Examples
/// ```
/// use bedplate_observability::propagation::{Destination, Propagator};
/// use bedplate_observability::{Observability, SpanExt as _};
/// use std::collections::BTreeMap;
///
/// let propagator = Propagator::default();
/// let telemetry = Observability::builder("checkout").build()?;
/// tracing::dispatcher::with_default(&telemetry.dispatch(), || {
///     let mut headers = BTreeMap::from([(
///         "traceparent".to_owned(),
///         "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
///     )]);
///     let caller = propagator.extract(&headers);
///     let span = tracing::info_span!("charge");
///     span.set_parent(caller.context().unwrap());
///     propagator.inject(&span, Destination::Trusted, &mut headers);
///     assert!(headers["traceparent"].starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
/// });
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[derive(Clone, Default)]
pub struct Propagator {
    shared: Arc<Shared>,
}

struct Shared {
    b3: B3,
    baggage: Vec<Box<str>>,
    state_limit: usize,
    /// `None` trusts every host.
    trusted: Option<Vec<Box<str>>>,
    counts: Counts,
}

/// What a carrier said.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Extracted {
    context: Option<SpanContext>,
    baggage: Baggage,
}

/// Whether the one who is called may know more than the trace's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Destination {
    /// One of our own: trace, `tracestate` and the allowed baggage go along.
    Trusted,
    /// A stranger: only `traceparent` goes along, and baggage that is there is removed.
    Untrusted,
}

impl Propagator {
    /// Configures a propagator.
    pub fn builder() -> PropagatorBuilder {
        PropagatorBuilder {
            b3: B3::Off,
            baggage: vec!["request_id".into()],
            state_limit: DEFAULT_STATE_LIMIT,
            trusted: None,
        }
    }

    /// Reads what a carrier says. Malformed headers are ignored and counted; it never fails.
    pub fn extract<C: Extract + ?Sized>(&self, carrier: &C) -> Extracted {
        let context = self.context(carrier);
        count(if context.is_some() { &self.shared.counts.continued } else { &self.shared.counts.absent });
        Extracted { context, baggage: self.baggage(carrier) }
    }

    /// Writes the span's context and the allowed part of its baggage, and replaces what the carrier had. Returns
    /// whether there was a context: without one, the carrier's headers are removed, so that nobody continues a trace
    /// that this process is no part of.
    pub fn inject<C: Inject + ?Sized>(&self, span: &Span, destination: Destination, carrier: &mut C) -> bool {
        let baggage = span.baggage();
        self.inject_context(span.context().as_ref(), baggage.as_deref(), destination, carrier)
    }

    /// Writes this context and the allowed part of this baggage, as [`inject`](Self::inject) does.
    pub fn inject_context<C: Inject + ?Sized>(
        &self,
        context: Option<&SpanContext>,
        baggage: Option<&Baggage>,
        destination: Destination,
        carrier: &mut C,
    ) -> bool {
        for name in [TRACEPARENT, TRACESTATE, BAGGAGE, B3_HEADER] {
            carrier.remove(name);
        }
        let trusted = destination == Destination::Trusted;
        if let Some(baggage) = baggage.filter(|_| trusted) {
            let allowed = baggage.filtered(|name| self.allows(name));
            if !allowed.is_empty() {
                carrier.set(BAGGAGE, &allowed.to_string());
            }
        }
        let Some(context) = context else { return false };
        carrier.set(TRACEPARENT, &format_traceparent(context));
        if self.shared.b3 == B3::ReadAndWrite {
            carrier.set(B3_HEADER, &b3::format(context));
        }
        if trusted && !context.state().is_empty() {
            self.set_state(context.state(), carrier);
        }
        count(&self.shared.counts.injected);
        true
    }

    /// Returns whether baggage of this name is passed on.
    #[must_use]
    pub fn allows(&self, name: &str) -> bool {
        self.shared.baggage.iter().any(|allowed| **allowed == *name)
    }

    /// Returns whether calls to this host may tell it more than the trace's id.
    #[must_use]
    pub fn destination(&self, host: &str) -> Destination {
        let host = host.to_ascii_lowercase();
        let is = |trusted: &str| match trusted.strip_prefix("*.") {
            Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
            None => host == trusted,
        };
        match &self.shared.trusted {
            Some(hosts) if !hosts.iter().any(|trusted| is(trusted)) => Destination::Untrusted,
            _ => Destination::Trusted,
        }
    }

    /// Returns what came in and went out so far.
    #[must_use]
    pub fn stats(&self) -> PropagationStats {
        self.shared.counts.snapshot()
    }

    fn set_state<C: Inject + ?Sized>(&self, state: &str, carrier: &mut C) {
        if state.len() <= self.shared.state_limit {
            carrier.set(TRACESTATE, state);
            return;
        }
        count(&self.shared.counts.truncated_tracestate);
        let cut = tracestate::truncated(state, self.shared.state_limit);
        if !cut.is_empty() {
            carrier.set(TRACESTATE, &cut);
        }
    }

    fn context<C: Extract + ?Sized>(&self, carrier: &C) -> Option<SpanContext> {
        let mut parent = None;
        carrier.values(TRACEPARENT, &mut |value| {
            let parsed = match &parent {
                None => parse_traceparent(value),
                Some(_) => Err(TraceparentError::Duplicate),
            };
            parent = Some(parsed);
        });
        match parent {
            Some(Ok(context)) => {
                let state = self.state(carrier);
                Some(context.with_valid_state(state))
            }
            Some(Err(_)) => {
                count(&self.shared.counts.invalid_traceparent);
                self.b3(carrier)
            }
            None => self.b3(carrier),
        }
    }

    fn state<C: Extract + ?Sized>(&self, carrier: &C) -> Option<Arc<str>> {
        // Values are copied so that a carrier may lend them one by one; a request without a state copies nothing.
        let mut values: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        carrier.values(TRACESTATE, &mut |value| {
            bytes += value.len();
            // One beyond the limit is taken, so that the parser sees that it is.
            if values.len() < MAX_LINES && bytes <= MAX_COPIED {
                values.push(value.to_vec());
            } else {
                bytes = usize::MAX / 2;
            }
        });
        let parsed = if bytes > MAX_COPIED { Err(()) } else { parse_tracestate(&values).map_err(drop) };
        parsed.unwrap_or_else(|()| {
            count(&self.shared.counts.invalid_tracestate);
            None
        })
    }

    fn b3<C: Extract + ?Sized>(&self, carrier: &C) -> Option<SpanContext> {
        if self.shared.b3 == B3::Off {
            return None;
        }
        let mut found = None;
        carrier.values(B3_HEADER, &mut |value| {
            found = Some(if found.is_none() { b3::parse(value) } else { Err(()) });
        });
        found?.unwrap_or_else(|()| {
            count(&self.shared.counts.invalid_b3);
            None
        })
    }

    fn baggage<C: Extract + ?Sized>(&self, carrier: &C) -> Baggage {
        let mut values: Vec<Vec<u8>> = Vec::new();
        let mut bytes = 0;
        carrier.values(BAGGAGE, &mut |value| {
            if values.len() < MAX_LINES && bytes <= MAX_COPIED {
                bytes += value.len();
                values.push(value.get(..value.len().min(MAX_COPIED)).unwrap_or_default().to_vec());
            }
        });
        let (baggage, dropped) = Baggage::parse(&values);
        self.shared.counts.invalid_baggage.fetch_add(dropped, std::sync::atomic::Ordering::Relaxed);
        baggage
    }
}

impl Extracted {
    /// Returns the caller's span, if the carrier named one.
    #[must_use]
    pub const fn context(&self) -> Option<&SpanContext> {
        self.context.as_ref()
    }

    /// Returns the baggage, all of it: which names to trust is for the receiver to say.
    #[must_use]
    pub const fn baggage(&self) -> &Baggage {
        &self.baggage
    }
}

/// Configures a [`Propagator`].
#[derive(Debug, Clone)]
#[must_use]
pub struct PropagatorBuilder {
    b3: B3,
    baggage: Vec<Box<str>>,
    state_limit: usize,
    trusted: Option<Vec<Box<str>>>,
}

impl PropagatorBuilder {
    /// Reads and writes B3's single header so, default not at all.
    pub const fn b3(mut self, b3: B3) -> Self {
        self.b3 = b3;
        self
    }

    /// Passes baggage of these names and no others, default `request_id`. What is listed leaves the process with every
    /// trusted call: a user's or session's id here is known to all who are called.
    pub fn baggage<N: Into<Box<str>>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.baggage = names.into_iter().map(Into::into).collect();
        self
    }

    /// Cuts an outgoing `tracestate` to this many bytes, 512 to 16,384, default 2,048. Too small drops other vendors'
    /// positions in the trace; too large lets callers fill the header budget of those we call.
    pub const fn state_limit(mut self, bytes: usize) -> Self {
        self.state_limit = bytes;
        self
    }

    /// Sends baggage and `tracestate` to these hosts alone, default to all; `*.example.com` stands for all below it.
    pub fn trusted_hosts<H: AsRef<str>>(mut self, hosts: impl IntoIterator<Item = H>) -> Self {
        self.trusted = Some(hosts.into_iter().map(|host| host.as_ref().to_ascii_lowercase().into()).collect());
        self
    }

    /// Returns the propagator.
    ///
    /// # Errors
    /// [`ConfigError`] names a setting that cannot be.
    pub fn build(self) -> Result<Propagator, ConfigError> {
        if !(512..=16_384).contains(&self.state_limit) {
            return Err(ConfigError {
                field: "propagation.state_limit",
                value: self.state_limit.to_string(),
                expected: "512 to 16384 bytes",
            });
        }
        let mut probe = Baggage::new();
        if let Some(name) = self.baggage.iter().find(|name| !probe.insert(name, "")) {
            return Err(ConfigError {
                field: "propagation.baggage",
                value: format!("{name:?}"),
                expected: "up to 64 names of letters, digits, dashes, dots and underscores",
            });
        }
        let Self { b3, baggage, state_limit, trusted } = self;
        Ok(Propagator { shared: Arc::new(Shared { b3, baggage, state_limit, trusted, counts: Counts::default() }) })
    }
}

impl Default for Shared {
    fn default() -> Self {
        let PropagatorBuilder { b3, baggage, state_limit, trusted } = Propagator::builder();
        Self { b3, baggage, state_limit, trusted, counts: Counts::default() }
    }
}

impl fmt::Debug for Propagator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Propagator")
            .field("b3", &self.shared.b3)
            .field("baggage", &self.shared.baggage)
            .field("state_limit", &self.shared.state_limit)
            .finish_non_exhaustive()
    }
}

const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
const BAGGAGE: &str = "baggage";
const B3_HEADER: &str = "b3";
const DEFAULT_STATE_LIMIT: usize = 2_048;
/// As many header lines of one name as are looked at.
const MAX_LINES: usize = 64;
/// As many bytes of one name's headers as are looked at; more than either specification allows to be legal.
const MAX_COPIED: usize = 17_000;
