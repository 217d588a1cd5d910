//! The thread that looks after what waits, so that an idle process still decides on traces and judges its operations.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::layer::Shared;
use crate::{ConfigError, clock};

/// Ends its thread when it is told to, or with the telemetry that it looks after.
#[derive(Debug, Default)]
pub(crate) struct Housekeeping {
    ended: Arc<(Mutex<bool>, Condvar)>,
}

impl Housekeeping {
    /// Starts the thread, which holds the telemetry only while it works.
    pub(crate) fn start(shared: &Arc<Shared>) -> Result<Self, ConfigError> {
        let (own, shared) = (Self::default(), Arc::downgrade(shared));
        let ended = Arc::clone(&own.ended);
        let run = move || tracing::dispatcher::with_default(&tracing::Dispatch::none(), || run(&ended, &shared));
        thread::Builder::new().name("bedplate-telemetry".to_owned()).spawn(run).map_err(|error| ConfigError {
            field: "observability",
            value: format!("without a thread: {error}"),
            expected: "a system that can start one more thread",
        })?;
        Ok(own)
    }

    /// Ends the thread; what it is at it finishes.
    pub(crate) fn end(&self) {
        *self.ended.0.lock() = true;
        self.ended.1.notify_all();
    }
}

impl Drop for Housekeeping {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(ended: &(Mutex<bool>, Condvar), shared: &Weak<Shared>) {
    loop {
        {
            let mut ended_now = ended.0.lock();
            if !*ended_now {
                ended.1.wait_for(&mut ended_now, EVERY);
            }
            if *ended_now {
                return;
            }
        }
        let Some(shared) = shared.upgrade() else { return };
        shared.engine.sweep(shared.engine.clock.nanos());
        if let Some(anomalies) = &shared.anomalies {
            drop(anomalies.tick(clock::now()));
        }
    }
}

const EVERY: Duration = Duration::from_millis(500);
