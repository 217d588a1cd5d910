use std::sync::Arc;

use super::trim;

/// Why a `tracestate` is dropped as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TracestateError {
    /// A member is not `key=value`, or either has characters or a length that level 2 does not allow.
    #[error("tracestate is expected to have members key=value of the characters that level 2 allows")]
    Member,
    /// A key stands twice.
    #[error("tracestate is expected to have each key once")]
    Duplicate,
    /// More than 32 members.
    #[error("tracestate is expected to have at most 32 members")]
    Count,
    /// More than 16 KiB, the most that 32 legal members can be.
    #[error("tracestate is expected to have at most 16896 bytes")]
    Length,
}

/// Combines the values of all `tracestate` headers in their order and validates the members (W3C Trace Context level 2,
/// section 3.3): up to 32, each key once, empty ones and white space between them left out. `None` if nothing is left.
///
/// # Errors
/// [`TracestateError`]: the whole state is to be dropped, the trace goes on without.
///
/// # Examples
/// ```
/// use bedplate_observability::propagation::{TracestateError, parse_tracestate};
/// let state = parse_tracestate(["foo=1 , bar=2", "", "t@v@w=3,"])?;
/// assert_eq!(state.as_deref(), Some("foo=1,bar=2,t@v@w=3"));
/// assert_eq!(parse_tracestate(["foo=1,foo=2"]), Err(TracestateError::Duplicate));
/// # Ok::<(), TracestateError>(())
/// ```
pub fn parse_tracestate<V: AsRef<[u8]>>(
    values: impl IntoIterator<Item = V>,
) -> Result<Option<Arc<str>>, TracestateError> {
    let mut lines = Vec::new();
    let mut seen = 0;
    for line in values {
        seen += line.as_ref().len();
        if seen > MAX_BYTES {
            return Err(TracestateError::Length);
        }
        lines.push(line);
    }
    let mut members: Vec<(&[u8], &[u8])> = Vec::new();
    for value in lines.iter().map(AsRef::as_ref) {
        for member in value.split(|byte| *byte == b',').map(trim).filter(|member| !member.is_empty()) {
            let (key, value) = key_and_value(member).ok_or(TracestateError::Member)?;
            if members.iter().any(|(known, _)| *known == key) {
                return Err(TracestateError::Duplicate);
            }
            if members.len() == MAX_MEMBERS {
                return Err(TracestateError::Count);
            }
            members.push((key, value));
        }
    }
    let mut state = String::with_capacity(seen);
    for (key, value) in members {
        if !state.is_empty() {
            state.push(',');
        }
        // Both are ASCII by the grammar.
        state.extend(key.iter().chain(b"=").chain(value).map(|byte| char::from(*byte)));
    }
    Ok((!state.is_empty()).then(|| state.into()))
}

/// A valid state cut to the limit as section 3.3.1.5 asks: whole members go, those over 128 characters first, then the
/// last ones.
pub(crate) fn truncated(state: &str, limit: usize) -> String {
    let mut members: Vec<&str> = state.split(',').filter(|member| !member.is_empty()).collect();
    let length = |members: &[&str]| members.iter().map(|member| member.len() + 1).sum::<usize>().saturating_sub(1);
    while length(&members) > limit {
        let long = members.iter().rposition(|member| member.len() > 128);
        members.remove(long.unwrap_or(members.len() - 1));
    }
    members.join(",")
}

/// The state with the member put first, and its key's former member removed; `None` if the member is not legal.
pub(crate) fn with_member(state: &str, key: &str, value: &str) -> Option<String> {
    let member = format!("{key}={value}");
    key_and_value(member.as_bytes()).filter(|(own, _)| *own == key.as_bytes())?;
    let others = state.split(',').filter(|other| other.split('=').next() != Some(key) && !other.is_empty());
    Some(std::iter::once(member.as_str()).chain(others.take(MAX_MEMBERS - 1)).collect::<Vec<_>>().join(","))
}

fn key_and_value(member: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = member.iter().position(|byte| *byte == b'=')?;
    let (key, value) = (member.get(..equals)?, member.get(equals + 1..)?);
    let first = key.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let keychar = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@')
    };
    let valuechar = |byte: &u8| (0x20..=0x7e).contains(byte) && !matches!(byte, b',' | b'=');
    let fits = key.len() <= MAX_PART && !value.is_empty() && value.len() <= MAX_PART;
    let legal = first && fits && key.iter().all(keychar) && value.iter().all(valuechar) && value.last() != Some(&b' ');
    legal.then_some((key, value))
}

const MAX_MEMBERS: usize = 32;
/// The longest key, and the longest value.
const MAX_PART: usize = 256;
const MAX_BYTES: usize = MAX_MEMBERS * (MAX_PART * 2 + 2) + 448;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_members_go_first_then_the_last() {
        let long = format!("long={}", "x".repeat(130));
        let state = format!("a=1,{long},b=2,c=3");
        assert_eq!(truncated(&state, state.len()), state);
        assert_eq!(truncated(&state, state.len() - 1), "a=1,b=2,c=3");
        assert_eq!(truncated("a=1,b=2,c=3", 8), "a=1,b=2");
        assert_eq!(truncated("a=1", 0), "");
    }

    #[test]
    fn an_own_member_stands_first_and_once() {
        assert_eq!(with_member("a=1,ot=th:8,b=2", "ot", "th:c").unwrap(), "ot=th:c,a=1,b=2");
        assert_eq!(with_member("", "ot", "th:c").unwrap(), "ot=th:c");
        for (key, value) in [("OT", "1"), ("ot", ""), ("ot", "a,b"), ("ot", "a=b"), ("ot=x", "1"), ("", "1")] {
            assert_eq!(with_member("a=1", key, value), None, "{key}={value}");
        }
        let full: Vec<String> = (0..32).map(|index| format!("k{index}=v")).collect();
        let state = with_member(&full.join(","), "ot", "1").unwrap();
        assert_eq!(state.split(',').count(), 32);
    }

    #[test]
    fn a_state_over_any_legal_length_is_not_read() {
        assert_eq!(parse_tracestate([vec![b' '; MAX_BYTES + 1]]), Err(TracestateError::Length));
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_end_in_a_legal_state_or_an_error(
            values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..5),
        ) {
            if let Ok(Some(state)) = parse_tracestate(&values) {
                let again = parse_tracestate([state.as_bytes()]).unwrap();
                prop_assert_eq!(again, Some(state));
            }
        }

        #[test]
        fn a_legal_state_passes_unchanged(
            members in prop::collection::btree_map("[a-z0-9][a-z0-9_*/@-]{0,20}", "[!-+.-<>-~]{1,20}", 1..32),
        ) {
            let state: Vec<String> = members.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let state = state.join(",");
            let parsed = parse_tracestate([&state]).unwrap();
            prop_assert_eq!(parsed.as_deref(), Some(state.as_str()));
            let cut = truncated(&state, 100);
            prop_assert!(cut.len() <= 100);
            prop_assert!(parse_tracestate([&cut]).is_ok());
        }
    }
}
