//! How a trace crosses processes: W3C Trace Context level 2, W3C Baggage, and B3's single header on request.
//!
//! Headers come from strangers, so every one is parsed strictly, bounded, and ignored when it is not what its
//! specification says; each such header is counted in [`PropagationStats`]. The stock propagator of OpenTelemetry was
//! measured against the public W3C harness at 28 of 41 cases; its types cannot hold level-2 keys or the random flag, so
//! this one carries the raw `tracestate` in a [`SpanContext`](crate::SpanContext).

mod b3;
mod baggage;
mod carrier;
mod propagator;
mod stats;
mod traceparent;
mod tracestate;

pub use b3::B3;
pub use baggage::{Baggage, SpanBaggage, current_baggage};
pub use carrier::{Extract, Inject};
pub use propagator::{Destination, Extracted, Propagator, PropagatorBuilder};
pub use stats::PropagationStats;
pub use traceparent::{TraceparentError, format_traceparent, parse_traceparent};
pub(crate) use tracestate::with_member;
pub use tracestate::{TracestateError, parse_tracestate};

/// The white space that HTTP allows around a value.
fn trim(value: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !space(byte)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}
