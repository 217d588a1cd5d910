//! When a collector says to come back: `google.rpc.RetryInfo` in a status's `grpc-status-details-bin`.

use std::time::Duration;

use prost::Message;

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<ProtoDuration>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct ProtoDuration {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// The delay that a status's details ask for; one that is none asks for nothing beyond another try.
pub(super) fn delay(details: &[u8]) -> Option<Duration> {
    let status = Status::decode(details).ok()?;
    let info = status.details.iter().find(|detail| detail.type_url.ends_with("/google.rpc.RetryInfo"))?;
    let delay = RetryInfo::decode(info.value.as_slice()).ok()?.retry_delay.unwrap_or_default();
    let (seconds, nanos) = (u64::try_from(delay.seconds), u32::try_from(delay.nanos));
    let nanos = nanos.unwrap_or_default().min(999_999_999);
    Some(Duration::new(seconds.unwrap_or_default(), nanos))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::otlp) fn status(seconds: i64, nanos: i32) -> Vec<u8> {
        let info = RetryInfo { retry_delay: Some(ProtoDuration { seconds, nanos }) };
        let other = Any { type_url: "type.googleapis.com/google.rpc.DebugInfo".to_owned(), value: vec![1, 2] };
        let value = info.encode_to_vec();
        let told = Any { type_url: "type.googleapis.com/google.rpc.RetryInfo".to_owned(), value };
        Status { details: vec![other, told] }.encode_to_vec()
    }

    #[test]
    fn a_delay_is_found_among_the_details() {
        assert_eq!(delay(&status(2, 7)), Some(Duration::new(2, 7)));
        assert_eq!(delay(&status(-2, -7)), Some(Duration::ZERO));
        assert_eq!(delay(&status(i64::MAX, i32::MAX)), Some(Duration::new(i64::MAX.unsigned_abs(), 999_999_999)));
        assert_eq!(delay(&Status::default().encode_to_vec()), None);
        assert_eq!(delay(b"nonsense"), None);
    }
}
