//! Traces through queues and streams, by OpenTelemetry's conventions for messaging.
//!
//! A message may wait for hours and be processed in a batch with others, so its consumer begins a trace of its own and
//! links to the producer; to be the producer's child is for request and reply, where somebody waits.

use tracing::Span;
use tracing::field::Empty;
use tracing::span::Id;

use crate::context::{CORRELATION_FIELDS, is_id};
use crate::propagation::{Destination, Extract, Inject, Propagator, SpanBaggage as _};
use crate::{SpanContext, SpanExt as _};

/// How a consumer's span refers to its message's producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Correlation {
    /// A trace of its own that links to the producer.
    #[default]
    Link,
    /// The producer's child, in its trace.
    Parent,
}

/// The system and destination of messages, such as `nats` and `orders`; both have few values.
///
/// # Examples
/// ```
/// use bedplate_observability::messaging::{Correlation, Messaging};
/// use bedplate_observability::propagation::Propagator;
/// use bedplate_observability::{Observability, SpanExt as _};
/// use std::collections::HashMap;
///
/// let telemetry = Observability::builder("checkout").build()?;
/// tracing::dispatcher::with_default(&telemetry.dispatch(), || {
///     let (orders, propagator) = (Messaging::new("nats", "orders"), Propagator::default());
///     let mut headers = HashMap::<String, String>::new();
///     let send = orders.send(&propagator, &mut headers);
///     let process = orders.process(&propagator, &headers, Correlation::Parent);
///     assert_eq!(send.context().unwrap().trace_id(), process.context().unwrap().trace_id());
/// });
/// # Ok::<(), bedplate_observability::ConfigError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Messaging<'a> {
    system: &'a str,
    destination: &'a str,
}

impl<'a> Messaging<'a> {
    /// Names the system and the destination.
    pub const fn new(system: &'a str, destination: &'a str) -> Self {
        Self { system, destination }
    }

    /// Returns the PRODUCER span of sending one message, and writes its context into the message's headers.
    #[must_use]
    pub fn send<C: Inject + ?Sized>(&self, propagator: &Propagator, headers: &mut C) -> Span {
        let span = self.span("send", "producer");
        propagator.inject(&span, Destination::Trusted, headers);
        span
    }

    /// Returns the CONSUMER span of processing one message, and takes over the allowed part of its baggage.
    #[must_use]
    pub fn process<C: Extract + ?Sized>(&self, propagator: &Propagator, headers: &C, correlation: Correlation) -> Span {
        let message = propagator.extract(headers);
        let span = self.root("process", "consumer");
        match (message.context(), correlation) {
            (Some(producer), Correlation::Parent) => drop(span.set_parent(producer)),
            (Some(producer), Correlation::Link) => drop(span.add_link(producer.clone())),
            (None, _) => {}
        }
        let baggage = message.baggage().filtered(|name| propagator.allows(name));
        for name in CORRELATION_FIELDS {
            if let Some(id) = baggage.get(name).filter(|id| is_id(id)) {
                span.record(name, id);
            }
        }
        if !baggage.is_empty() {
            span.set_baggage(baggage);
        }
        span
    }

    /// Returns the CONSUMER span of processing several messages together, linked to each one's producer; up to the 128
    /// links that a span keeps.
    #[must_use]
    pub fn process_batch<'m, C: Extract + ?Sized + 'm>(
        &self,
        propagator: &Propagator,
        messages: impl IntoIterator<Item = &'m C>,
    ) -> Span {
        let producers: Vec<Option<SpanContext>> =
            messages.into_iter().map(|headers| propagator.extract(headers).context().cloned()).collect();
        let span = self.root("process", "consumer");
        span.record("messaging.batch.message_count", producers.len());
        for producer in producers.into_iter().flatten() {
            span.add_link(producer);
        }
        span
    }

    /// Returns the CLIENT span of asking for messages, a child of the current span.
    #[must_use]
    pub fn receive(&self) -> Span {
        self.span("receive", "client")
    }

    /// Returns the CLIENT span of acknowledging or rejecting messages, a child of the current span.
    #[must_use]
    pub fn settle(&self) -> Span {
        self.span("settle", "client")
    }

    /// A span in the current one.
    fn span(&self, operation: &'static str, kind: &'static str) -> Span {
        self.child_of(Span::current().id(), operation, kind)
    }

    /// A span in none: what a consumer's loop happens to be in has not caused the message.
    fn root(&self, operation: &'static str, kind: &'static str) -> Span {
        self.child_of(None, operation, kind)
    }

    fn child_of(&self, parent: Option<Id>, operation: &'static str, kind: &'static str) -> Span {
        let name = format!("{operation} {}", self.destination);
        tracing::info_span!(
            target: "bedplate_observability::messaging",
            parent: parent,
            "message",
            otel.name = name.as_str(),
            otel.kind = kind,
            otel.status_code = Empty,
            operation = name.as_str(),
            messaging.system = self.system,
            messaging.destination.name = self.destination,
            messaging.operation.name = operation,
            messaging.operation.type = operation,
            messaging.batch.message_count = Empty,
            messaging.message.id = Empty,
            request_id = Empty,
            user_id = Empty,
            session_id = Empty,
            error.type = Empty,
            error = Empty,
            cancelled = Empty,
        )
    }
}
