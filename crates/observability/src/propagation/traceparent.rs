use super::trim;
use crate::SpanContext;
use crate::ids::{SpanId, TraceFlags, TraceId, hex};

/// Why a `traceparent` is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TraceparentError {
    /// More than one header; which is meant cannot be known.
    #[error("traceparent is expected once, not several times")]
    Duplicate,
    /// The lengths or separators are not the format's.
    #[error("traceparent is expected to be version-traceid-parentid-flags of 2, 32, 16 and 2 digits")]
    Shape,
    /// The version is `ff`, which is forbidden.
    #[error("traceparent has the forbidden version ff")]
    Version,
    /// A field has other characters than lower-case hexadecimal digits, or an id is all zero.
    #[error("traceparent is expected to have lower-case hexadecimal digits and ids that are not all zero")]
    Field,
}

/// Parses the value of a `traceparent` header (W3C Trace Context level 2, section 3.2). A version above 00 may have more
/// after its flags, separated by a dash; of it only what level 2 defines is read.
///
/// # Errors
/// [`TraceparentError`] says what is wrong; the trace must then be begun anew.
///
/// # Examples
/// ```
/// use bedplate_observability::propagation::parse_traceparent;
/// let context = parse_traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03")?;
/// assert!(context.flags().sampled() && context.flags().random() && context.is_remote());
/// assert!(parse_traceparent(b"0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").is_err());
/// # Ok::<(), bedplate_observability::propagation::TraceparentError>(())
/// ```
pub fn parse_traceparent(value: &[u8]) -> Result<SpanContext, TraceparentError> {
    let value = trim(value);
    let mut fields = value.split(|byte| *byte == b'-');
    let mut field = |digits: usize| match fields.next() {
        Some(field) if field.len() == digits => Ok(field),
        _ => Err(TraceparentError::Shape),
    };
    let (version, trace_id, span_id, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let byte = |field| hex(field, 2).and_then(|byte| u8::try_from(byte).ok()).ok_or(TraceparentError::Field);
    match byte(version)? {
        0xff => return Err(TraceparentError::Version),
        0 if value.len() != LENGTH => return Err(TraceparentError::Shape),
        _ => {}
    }
    let trace_id = hex(trace_id, 32).and_then(TraceId::new).ok_or(TraceparentError::Field)?;
    let span_id = hex(span_id, 16).and_then(|id| u64::try_from(id).ok()).and_then(SpanId::new);
    let flags = TraceFlags::from_bits(byte(flags)?);
    Ok(SpanContext::new(trace_id, span_id.ok_or(TraceparentError::Field)?, flags).remote())
}

/// Returns the value of a `traceparent` header that names the span as the parent.
#[must_use]
pub fn format_traceparent(context: &SpanContext) -> String {
    format!("00-{}-{}-{}", context.trace_id(), context.span_id(), context.flags())
}

/// The characters of a version 00 header.
const LENGTH: usize = 55;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_fault_is_named() {
        let id = "12345678901234567890123456789012-1234567890123456";
        for (text, expected) in [
            (String::new(), TraceparentError::Shape),
            (format!("00-{id}"), TraceparentError::Shape),
            (format!("00-{id}-01-more"), TraceparentError::Shape),
            (format!("00-{id}-01-"), TraceparentError::Shape),
            (format!("cc-{id}-01.more"), TraceparentError::Shape),
            (format!("ff-{id}-01"), TraceparentError::Version),
            (format!("0A-{id}-01"), TraceparentError::Field),
            (format!("00-{id}-0g"), TraceparentError::Field),
            ("00-12345678901234567890123456789012-0000000000000000-01".to_owned(), TraceparentError::Field),
        ] {
            assert_eq!(parse_traceparent(text.as_bytes()), Err(expected), "{text}");
        }
        assert!(parse_traceparent(format!("cc-{id}-01-more-to-come").as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_formatted_is_parsed(trace in 1_u128.., span in 1_u64.., flags in 0_u8..4) {
            let (trace, span) = (TraceId::new(trace).unwrap(), SpanId::new(span).unwrap());
            let context = SpanContext::new(trace, span, TraceFlags::from_bits(flags)).remote();
            prop_assert_eq!(parse_traceparent(format_traceparent(&context).as_bytes()), Ok(context));
        }

        #[test]
        fn bytes_of_any_kind_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(parse_traceparent(&bytes).is_err());
        }
    }
}
