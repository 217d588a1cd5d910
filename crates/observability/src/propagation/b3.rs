//! B3's single header (openzipkin/b3-propagation), for services that do not speak W3C yet.

use super::trim;
use crate::SpanContext;
use crate::ids::{SpanId, TraceFlags, TraceId, hex};

/// Whether the header `b3` is read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum B3 {
    /// Neither.
    #[default]
    Off,
    /// Read where there is no valid `traceparent`.
    Read,
    /// Read as above, and written beside `traceparent`.
    ReadAndWrite,
}

/// The context of `traceid-spanid[-sampled[-parentid]]`; `Ok(None)` for the forms that only decide about sampling.
pub(super) fn parse(value: &[u8]) -> Result<Option<SpanContext>, ()> {
    let mut fields = trim(value).split(|byte| *byte == b'-');
    let first = fields.next().unwrap_or_default();
    let Some(span_id) = fields.next() else {
        return if matches!(first, b"0" | b"1" | b"d") { Ok(None) } else { Err(()) };
    };
    let trace_id = hex(first, 32).or_else(|| hex(first, 16)).and_then(TraceId::new).ok_or(())?;
    let id = |field| hex(field, 16).and_then(|id| u64::try_from(id).ok()).and_then(SpanId::new).ok_or(());
    let span_id = id(span_id)?;
    let flags = match fields.next() {
        Some(b"1" | b"d") => TraceFlags::SAMPLED,
        // The caller leaves the decision to us.
        None | Some(b"0") => TraceFlags::NONE,
        Some(_) => return Err(()),
    };
    if let Some(parent) = fields.next() {
        id(parent)?;
    }
    if fields.next().is_some() {
        return Err(());
    }
    Ok(Some(SpanContext::new(trace_id, span_id, flags).remote()))
}

pub(super) fn format(context: &SpanContext) -> String {
    format!("{}-{}-{}", context.trace_id(), context.span_id(), u8::from(context.flags().sampled()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_of_the_header_are_read() {
        let trace = "80f198ee56343ba864fe8b2a57d3eff7";
        for (text, sampled) in [("", false), ("-1", true), ("-0", false), ("-d", true), ("-1-05e3ac9a4f6e3b90", true)] {
            let context = parse(format!("{trace}-e457b5a2e4d86bd1{text}").as_bytes()).unwrap().unwrap();
            assert_eq!((context.trace_id().to_string().as_str(), context.flags().sampled()), (trace, sampled));
        }
        let short = parse(b"64fe8b2a57d3eff7-e457b5a2e4d86bd1-1").unwrap().unwrap();
        assert_eq!(short.trace_id().to_u128(), 0x64fe_8b2a_57d3_eff7);
        assert_eq!(parse(b"0"), Ok(None));
        for bad in ["", "2", "-", "x-y-1", "64fe8b2a57d3eff7-0000000000000000-1", "64fe8b2a57d3eff7-e457b5a2e4d86bd1-2"]
        {
            assert_eq!(parse(bad.as_bytes()), Err(()), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_is_parsed(trace in 1_u128.., span in 1_u64.., flags in 0_u8..2) {
            let (trace, span) = (TraceId::new(trace).unwrap(), SpanId::new(span).unwrap());
            let context = SpanContext::new(trace, span, TraceFlags::from_bits(flags)).remote();
            prop_assert_eq!(parse(format(&context).as_bytes()), Ok(Some(context)));
        }

        #[test]
        fn bytes_of_any_kind_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 2..80)) {
            prop_assert!(parse(&bytes).is_err());
        }
    }
}
