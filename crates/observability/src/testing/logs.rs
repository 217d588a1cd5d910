use std::fmt::Write as _;

use serde_json::Value;

use crate::testing::spans::fail;

/// An assertion on log lines: each word narrows them down, the last asserts how many are left.
#[derive(Debug, Clone)]
#[must_use = "nothing is asserted before `once`, `times`, `exists` or `never`"]
pub struct LogAssertion {
    all: Vec<Value>,
    left: Vec<Value>,
    asked: String,
}

impl LogAssertion {
    pub(super) fn new(message: &str, all: Vec<Value>) -> Self {
        let left = all.iter().filter(|line| line.get("message").is_some_and(|own| own == message)).cloned().collect();
        Self { all, left, asked: format!("log {message:?}") }
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
    pub fn has(mut self, name: &str) -> Self {
        self.left.retain(|line| line.get(name).is_some());
        self.ask(format_args!("has {name}"));
        self
    }

    /// With this field.
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.left.retain(|line| line.get(name) == Some(&value));
        self.ask(format_args!("{name} = {value}"));
        self
    }

    /// Asserts that there is exactly one, and returns it.
    ///
    /// # Panics
    /// If there is none or more.
    #[expect(clippy::must_use_candidate, reason = "the assertion is what is wanted")]
    pub fn once(self) -> Value {
        let count = self.left.len();
        let report = self.report(1);
        match self.left.into_iter().next() {
            Some(line) if count == 1 => line,
            _ => fail(&report),
        }
    }

    /// Asserts how many there are.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn times(self, count: usize) {
        if self.left.len() != count {
            fail(&self.report(count));
        }
    }

    /// Asserts that there is one or more.
    ///
    /// # Panics
    /// If there is none.
    pub fn exists(self) {
        if self.left.is_empty() {
            fail(&self.report(1));
        }
    }

    /// Asserts that there is none.
    ///
    /// # Panics
    /// If there is one.
    pub fn never(self) {
        self.times(0);
    }

    fn ask(&mut self, what: std::fmt::Arguments<'_>) {
        self.asked.push_str(", ");
        // Writing to a string cannot fail.
        let _infallible = self.asked.write_fmt(what);
    }

    fn report(&self, expected: usize) -> String {
        let lines: Vec<String> = self.all.iter().map(Value::to_string).collect();
        format!(
            "{} found {} times, expected {expected}; all lines:\n  {}",
            self.asked,
            self.left.len(),
            lines.join("\n  ")
        )
    }
}
