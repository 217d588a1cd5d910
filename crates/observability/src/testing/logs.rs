use serde_json::Value;

use crate::testing::narrowed::Narrowed;

/// An assertion on log lines: each word narrows them down, the last asserts how many are left.
#[derive(Debug, Clone)]
#[must_use = "nothing is asserted before `once`, `times`, `exists` or `never`"]
pub struct LogAssertion(Narrowed<Value>);

impl LogAssertion {
    pub(super) fn new(message: &str, all: Vec<Value>) -> Self {
        let said = |line: &Value| line.get("message").is_some_and(|own| own == message);
        Self(Narrowed::new(format!("log {message:?}"), "lines", all, |line, _| line.to_string(), said))
    }

    /// Within a span of this name, which is the innermost.
    pub fn in_span(self, name: &str) -> Self {
        self.field("span", name)
    }

    /// Of this level.
    pub fn level(self, level: tracing::Level) -> Self {
        self.field("level", level.as_str())
    }

    /// With a field of this name.
    pub fn has(self, name: &str) -> Self {
        Self(self.0.narrow(&format!("has {name}"), |line, _| line.get(name).is_some()))
    }

    /// With this field.
    pub fn field(self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        Self(self.0.narrow(&format!("{name} = {value}"), |line, _| line.get(name) == Some(&value)))
    }

    /// Asserts that there is exactly one, and returns it.
    ///
    /// # Panics
    /// If there is none or more.
    #[expect(clippy::must_use_candidate, reason = "the assertion is what is wanted")]
    pub fn once(self) -> Value {
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
}
