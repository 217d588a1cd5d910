use std::fmt::{self, Write as _};
use std::sync::Arc;

use tracing::{Dispatch, Span};
use tracing_subscriber::registry::LookupSpan as _;

use super::trim;

/// Names and values that travel with a request (W3C Baggage): at most 64 members and 8,192 bytes.
///
/// Baggage is sent to whoever is called, so a [`Propagator`](super::Propagator) passes only names it was allowed to.
///
/// # Examples
/// ```
/// use bedplate_observability::propagation::Baggage;
/// let mut baggage = Baggage::new();
/// assert!(baggage.insert("request_id", "r 1"));
/// assert_eq!(baggage.get("request_id"), Some("r 1"));
/// assert_eq!(baggage.to_string(), "request_id=r%201");
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Baggage {
    members: Vec<Member>,
}

#[derive(Clone, PartialEq, Eq)]
struct Member {
    name: String,
    value: String,
    /// What follows the value, with its semicolons, as it came.
    properties: String,
}

impl Baggage {
    /// Returns baggage without members.
    #[must_use]
    pub const fn new() -> Self {
        Self { members: Vec::new() }
    }

    /// Parses the values of all `baggage` headers, and returns how many members were dropped: malformed ones, and those
    /// beyond the limits. Of a name that stands twice the last value is kept.
    #[must_use]
    pub fn parse<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> (Self, u64) {
        let (mut baggage, mut dropped, mut bytes) = (Self::new(), 0, 0);
        for value in values {
            for text in value.as_ref().split(|byte| *byte == b',') {
                bytes += text.len() + 1;
                if bytes > MAX_BYTES + 1 {
                    // Not looked at any closer: what is sent to exhaust us shall cost the sender more than us.
                    return (baggage, dropped + 1);
                }
                if trim(text).is_empty() {
                    continue;
                }
                let kept = Member::parse(trim(text)).is_some_and(|member| baggage.put(member));
                dropped += u64::from(!kept);
            }
        }
        (baggage, dropped)
    }

    /// Sets a value; returns whether the name is a legal one and the limits leave room.
    pub fn insert(&mut self, name: &str, value: &str) -> bool {
        is_token(name.as_bytes())
            && self.put(Member { name: name.to_owned(), value: value.to_owned(), properties: String::new() })
    }

    /// Returns the value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|member| member.name == name).map(|member| member.value.as_str())
    }

    /// Returns names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|member| (member.name.as_str(), member.value.as_str()))
    }

    /// Returns the number of members.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether there are no members.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Returns the members whose names pass.
    #[must_use]
    pub fn filtered(&self, pass: impl Fn(&str) -> bool) -> Self {
        Self { members: self.members.iter().filter(|member| pass(&member.name)).cloned().collect() }
    }

    fn put(&mut self, member: Member) -> bool {
        let others = self.members.iter().filter(|known| known.name != member.name);
        let (count, bytes) = others.fold((0, 0), |(count, bytes), known| (count + 1, bytes + known.length() + 1));
        if count == MAX_MEMBERS || bytes + member.length() > MAX_BYTES {
            return false;
        }
        match self.members.iter_mut().find(|known| known.name == member.name) {
            Some(known) => *known = member,
            None => self.members.push(member),
        }
        true
    }
}

/// Displays the value of a `baggage` header.
impl fmt::Display for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, member) in self.members.iter().enumerate() {
            if index > 0 {
                f.write_char(',')?;
            }
            write!(f, "{}=", member.name)?;
            for byte in member.value.bytes() {
                if is_plain(byte) {
                    f.write_char(char::from(byte))?;
                } else {
                    write!(f, "%{byte:02X}")?;
                }
            }
            f.write_str(&member.properties)?;
        }
        Ok(())
    }
}

/// Shows names alone: values may be a person's.
impl fmt::Debug for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| &member.name)).finish()
    }
}

impl Member {
    fn parse(text: &[u8]) -> Option<Self> {
        let value_end = text.iter().position(|byte| *byte == b';').unwrap_or(text.len());
        let (pair, properties) = (text.get(..value_end)?, text.get(value_end..)?);
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (trim(pair.get(..equals)?), trim(pair.get(equals + 1..)?));
        let property = |byte: &u8| is_plain(*byte) || matches!(byte, b' ' | b'\t' | b';' | b'=' | b'%');
        if !is_token(name)
            || !value.iter().all(|byte| is_plain(*byte) || *byte == b'%')
            || !properties.iter().all(property)
        {
            return None;
        }
        Some(Self {
            name: String::from_utf8_lossy(name).into_owned(),
            value: decoded(value)?,
            properties: String::from_utf8_lossy(properties).into_owned(),
        })
    }

    /// The bytes of the member in a header.
    fn length(&self) -> usize {
        let value: usize = self.value.bytes().map(|byte| if is_plain(byte) { 1 } else { 3 }).sum();
        self.name.len() + 1 + value + self.properties.len()
    }
}

/// A value without its percent encoding; what is no UTF-8 then becomes U+FFFD, as section 3.3.1.3 asks.
fn decoded(value: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.iter();
    while let Some(byte) = rest.next() {
        if *byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| char::from(*digit).to_digit(16));
            let (high, low) = (digit()?, digit()?);
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(*byte);
        }
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A character that stands for itself in a value.
fn is_plain(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte) && !matches!(byte, b'"' | b',' | b';' | b'\\' | b'%')
}

fn is_token(name: &[u8]) -> bool {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.len() <= MAX_NAME && name.iter().all(legal)
}

const MAX_MEMBERS: usize = 64;
const MAX_BYTES: usize = 8_192;
const MAX_NAME: usize = 256;

/// What a span carries for those below it.
struct Carried(Arc<Baggage>);

/// The baggage of a span, inherited by those below it.
pub trait SpanBaggage {
    /// Sets the baggage that calls made within the span take along. Returns whether the span could take it: it cannot
    /// where no `tracing_subscriber` registry listens.
    fn set_baggage(&self, baggage: Baggage) -> bool;

    /// Returns the baggage of the span or the nearest around it that has some.
    #[must_use]
    fn baggage(&self) -> Option<Arc<Baggage>>;
}

impl SpanBaggage for Span {
    fn set_baggage(&self, baggage: Baggage) -> bool {
        let done = self.with_subscriber(|(id, dispatch): (&tracing::span::Id, &Dispatch)| {
            let registry = dispatch.downcast_ref::<tracing_subscriber::Registry>()?;
            drop(registry.span(id)?.extensions_mut().replace(Carried(Arc::new(baggage))));
            Some(())
        });
        done.flatten().is_some()
    }

    fn baggage(&self) -> Option<Arc<Baggage>> {
        self.with_subscriber(|(id, dispatch): (&tracing::span::Id, &Dispatch)| {
            let registry = dispatch.downcast_ref::<tracing_subscriber::Registry>()?;
            let span = registry.span(id)?;
            span.scope().find_map(|span| span.extensions().get::<Carried>().map(|carried| Arc::clone(&carried.0)))
        })?
    }
}

/// Returns the baggage of the current span or the nearest around it that has some.
#[must_use]
pub fn current_baggage() -> Option<Arc<Baggage>> {
    Span::current().baggage()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> (Baggage, u64) {
        Baggage::parse([text])
    }

    #[test]
    fn the_specification_s_forms_are_read() {
        let (baggage, dropped) = parse("userId=Am%C3%A9lie , serverNode=DF%2028;ttl=3;x, isProduction = false");
        assert_eq!(dropped, 0);
        assert_eq!(baggage.get("userId"), Some("Amélie"));
        assert_eq!(baggage.get("serverNode"), Some("DF 28"));
        assert_eq!(baggage.get("isProduction"), Some("false"));
        assert_eq!(baggage.to_string(), "userId=Am%C3%A9lie,serverNode=DF%2028;ttl=3;x,isProduction=false");
    }

    #[test]
    fn malformed_members_are_dropped_and_the_others_kept() {
        let (baggage, dropped) = parse("a=1,b,=2,c c=3,d=%zz,e=%,f=\"q\",g=ok,a=2");
        assert_eq!(dropped, 6);
        assert_eq!(baggage.to_string(), "a=2,g=ok");
        assert_eq!(parse("bad=%FF").0.get("bad"), Some("\u{fffd}"));
    }

    #[test]
    fn limits_hold_in_both_directions() {
        let many: Vec<String> = (0..70).map(|index| format!("k{index}=v")).collect();
        let (baggage, dropped) = parse(&many.join(","));
        assert_eq!((baggage.len(), dropped), (64, 6));
        let (baggage, dropped) = parse(&format!("a=1,b={}", "x".repeat(8_200)));
        assert_eq!((baggage.len(), dropped), (1, 1));
        let mut baggage = Baggage::new();
        assert!(!baggage.insert("bad name", "v"));
        assert!(!baggage.insert("big", &" ".repeat(3_000)));
        assert!(baggage.insert("fits", &" ".repeat(2_000)));
        assert!(baggage.to_string().len() <= 8_192);
    }

    proptest! {
        #[test]
        fn what_is_displayed_is_parsed(members in prop::collection::btree_map("[a-z_.]{1,12}", ".{0,20}", 0..20)) {
            let mut baggage = Baggage::new();
            for (name, value) in &members {
                prop_assert!(baggage.insert(name, value));
            }
            let (again, dropped) = parse(&baggage.to_string());
            prop_assert_eq!((again, dropped), (baggage, 0));
        }

        #[test]
        fn bytes_of_any_kind_end_within_the_limits(values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..40)) {
            let (baggage, _) = Baggage::parse(&values);
            prop_assert!(baggage.len() <= 64 && baggage.to_string().len() <= 8_192);
        }
    }
}
