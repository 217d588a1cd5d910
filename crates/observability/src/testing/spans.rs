use crate::testing::narrowed::Narrowed;
use crate::{AttributeValue, FinishedSpan, SpanKind, SpanStatus};

/// An assertion on spans: each word narrows them down, the last asserts how many are left.
#[derive(Debug, Clone)]
#[must_use = "nothing is asserted before `once`, `times`, `exists` or `never`"]
pub struct SpanAssertion(Narrowed<FinishedSpan>);

impl SpanAssertion {
    pub(super) fn new(name: &str, all: Vec<FinishedSpan>) -> Self {
        Self(Narrowed::new(format!("span {name:?}"), "spans", all, show, |span| is_called(span, name)))
    }

    /// Of this kind.
    pub fn kind(self, kind: SpanKind) -> Self {
        self.narrow(&format!("kind {kind:?}"), |span, _| span.kind == kind)
    }

    /// Directly within a span of this name or operation.
    pub fn child_of(self, name: &str) -> Self {
        self.narrow(&format!("child of {name:?}"), |span, all| {
            parent_of(span, all).is_some_and(|parent| is_called(parent, name))
        })
    }

    /// Without a parent in this process.
    pub fn root(self) -> Self {
        self.narrow("root", |span, all| parent_of(span, all).is_none())
    }

    /// With this attribute.
    pub fn attr(self, name: &str, value: impl Into<AttributeValue>) -> Self {
        let value = value.into();
        self.narrow(&format!("{name} = {value}"), |span, _| span.attribute(name) == Some(&value))
    }

    /// With an attribute of this name.
    pub fn has(self, name: &str) -> Self {
        self.narrow(&format!("has {name}"), |span, _| span.attribute(name).is_some())
    }

    /// Without an attribute of this name.
    pub fn lacks(self, name: &str) -> Self {
        self.narrow(&format!("lacks {name}"), |span, _| span.attribute(name).is_none())
    }

    /// With an event of this message.
    pub fn event(self, message: &str) -> Self {
        self.narrow(&format!("event {message:?}"), |span, _| span.events.iter().any(|event| event.name == message))
    }

    /// That failed.
    pub fn failed(self) -> Self {
        self.narrow("failed", |span, _| span.is_error())
    }

    /// With this status.
    pub fn status(self, status: &SpanStatus) -> Self {
        self.narrow(&format!("status {status:?}"), |span, _| span.status == *status)
    }

    /// Linked to a span of this name.
    pub fn linked_to(self, name: &str) -> Self {
        self.narrow(&format!("linked to {name:?}"), |span, all| {
            let links = |one: &FinishedSpan| span.links.iter().any(|link| link.span_id() == one.context.span_id());
            all.iter().any(|one| one.name == name && links(one))
        })
    }

    /// Asserts that there is exactly one, and returns it.
    ///
    /// # Panics
    /// If there is none or more.
    #[expect(clippy::must_use_candidate, reason = "the assertion is what is wanted")]
    pub fn once(self) -> FinishedSpan {
        self.0.once()
    }

    /// Asserts how many there are.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn times(self, count: usize) {
        self.0.times(count);
    }

    /// Asserts that there is one or more.
    ///
    /// # Panics
    /// If there is none.
    pub fn exists(self) {
        self.0.exists();
    }

    /// Asserts that there is none.
    ///
    /// # Panics
    /// If there is one.
    pub fn never(self) {
        self.0.times(0);
    }

    fn narrow(self, what: &str, keep: impl Fn(&FinishedSpan, &[FinishedSpan]) -> bool) -> Self {
        Self(self.0.narrow(what, keep))
    }
}

fn is_called(span: &FinishedSpan, name: &str) -> bool {
    span.name == name || span.operation.as_deref() == Some(name)
}

fn show(span: &FinishedSpan, all: &[FinishedSpan]) -> String {
    let parent = parent_of(span, all).map_or("-", |parent| parent.name.as_str());
    let attributes: Vec<String> = span.attributes.iter().map(|(name, own)| format!("{name}={own}")).collect();
    format!("{} {:?} in {parent} {:?} {}", span.name, span.kind, span.status, attributes.join(" "))
}

fn parent_of<'a>(span: &FinishedSpan, all: &'a [FinishedSpan]) -> Option<&'a FinishedSpan> {
    let trace = span.context.trace_id();
    all.iter().find(|one| Some(one.context.span_id()) == span.parent && one.context.trace_id() == trace)
}
