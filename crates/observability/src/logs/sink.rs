use std::time::Duration;

use crate::ConfigError;
use crate::logs::writer::Writer;
use crate::logs::{Form, LogReport, LogStats, Logs};

/// Hands the lines that the caller's thread wrote to the writer's.
#[derive(Debug)]
pub(crate) struct LogSink {
    form: Form,
    writer: Writer,
}

impl LogSink {
    pub(crate) fn new(logs: Logs) -> Result<Self, ConfigError> {
        logs.validate()?;
        Ok(Self { form: logs.form, writer: Writer::start(logs.target, logs.queue)? })
    }

    pub(crate) const fn style(&self) -> Form {
        self.form
    }

    pub(crate) fn write(&self, line: &[u8]) {
        self.writer.write(line);
    }

    pub(crate) fn stats(&self) -> LogStats {
        self.writer.stats()
    }

    pub(crate) fn flush(&self, deadline: Duration) -> bool {
        self.writer.flush(deadline)
    }

    /// Takes nothing more; what was taken is written by and by.
    pub(crate) fn close(&self) {
        self.writer.close();
    }

    pub(crate) fn shutdown(&self, deadline: Duration) -> LogReport {
        self.writer.shutdown(deadline)
    }
}
