use std::time::Duration;

use crate::ConfigError;
use crate::logs::writer::Writer;
use crate::logs::{Form, Line, LogReport, LogStats, Logs};

/// Renders lines on the caller's thread and hands them to the writer's.
#[derive(Debug)]
pub(crate) struct LogSink {
    form: Form,
    redacted: Vec<String>,
    writer: Writer,
}

impl LogSink {
    pub(crate) fn new(logs: Logs) -> Result<Self, ConfigError> {
        logs.validate()?;
        Ok(Self { form: logs.form, redacted: logs.redacted, writer: Writer::start(logs.target, logs.queue)? })
    }

    pub(crate) fn write(&self, line: &Line) {
        self.writer.write(line.render(self.form, &self.redacted));
    }

    pub(crate) fn stats(&self) -> LogStats {
        self.writer.stats()
    }

    pub(crate) fn shutdown(&self, deadline: Duration) -> LogReport {
        self.writer.shutdown(deadline)
    }
}
