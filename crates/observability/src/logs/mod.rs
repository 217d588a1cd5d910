//! Log lines: what goes into one, how it looks, and where it goes without making anybody wait.

mod json;
mod line;
mod sink;
mod writer;

use std::io::{self, Write};

pub(crate) use line::LineBuffer;
pub(crate) use sink::LogSink;
use tracing_subscriber::filter::Targets;
pub use writer::{LogReport, LogStats};

use crate::{ConfigError, Redact};

/// How log lines look, where they go, and which are written.
#[must_use]
pub struct Logs {
    pub(crate) form: Form,
    pub(crate) filter: String,
    pub(crate) queue: usize,
    pub(crate) redact: Redact,
    pub(crate) target: Box<dyn Write + Send>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    Json,
    Pretty {
        color: bool,
    },
}

impl Logs {
    /// One JSON object a line, to the standard output.
    pub fn json() -> Self {
        Self {
            form: Form::Json,
            filter: "info".to_owned(),
            queue: 8_192,
            redact: Redact::none(),
            target: Box::new(io::stdout()),
        }
    }

    /// Lines for people, to the standard error, without color.
    pub fn pretty() -> Self {
        Self { form: Form::Pretty { color: false }, target: Box::new(io::stderr()), ..Self::json() }
    }

    /// Colors the level, in the form for people.
    pub const fn color(mut self) -> Self {
        if let Form::Pretty { color } = &mut self.form {
            *color = true;
        }
        self
    }

    /// Writes to the standard output.
    pub fn stdout(self) -> Self {
        self.writer(io::stdout())
    }

    /// Writes to the standard error.
    pub fn stderr(self) -> Self {
        self.writer(io::stderr())
    }

    /// Writes to this target, from one thread of its own.
    pub fn writer(mut self, target: impl Write + Send + 'static) -> Self {
        self.target = Box::new(target);
        self
    }

    /// Sets which lines are written: `info`, `warn,bedplate_cache=debug`; a target with its level, separated by commas,
    /// and a level for all others. Default `info`. It does not touch spans.
    pub fn filter(mut self, directives: impl Into<String>) -> Self {
        self.filter = directives.into();
        self
    }

    /// Bounds how many lines wait to be written or are being written, 1 to 1,000,000, default 8,192; those that wait have
    /// 1 KiB each together, at least 1 MiB. A line that finds no room is dropped and counted: too few lose lines in a
    /// burst, too many cost memory, about 300 bytes each.
    pub const fn queue(mut self, lines: usize) -> Self {
        self.queue = lines;
        self
    }

    /// Adds a field whose value is never written, here and in traces. `password`, `secret`, `token`, `api_key`,
    /// `authorization` and `cookie` are among them already; case does not matter. More in
    /// [`ObservabilityBuilder::redact`](crate::ObservabilityBuilder::redact).
    pub fn redact(mut self, field: impl AsRef<str>) -> Self {
        self.redact = self.redact.field(field);
        self
    }

    pub(crate) fn targets(&self) -> Result<Targets, ConfigError> {
        self.filter.parse().map_err(|_| ConfigError {
            field: "logs.filter",
            value: format!("{:?}", self.filter),
            expected: "directives such as \"info,my_crate=debug\"",
        })
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=1_000_000).contains(&self.queue) {
            return Err(ConfigError {
                field: "logs.queue",
                value: self.queue.to_string(),
                expected: "1 to 1000000 lines",
            });
        }
        Ok(())
    }
}

impl std::fmt::Debug for Logs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logs")
            .field("form", &self.form)
            .field("filter", &self.filter)
            .field("queue", &self.queue)
            .finish_non_exhaustive()
    }
}
