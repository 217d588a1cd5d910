use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use crate::store::signal::Signal;

/// A question to the thread that reads.
pub(super) type Question = Box<dyn FnOnce(&Connection) + Send>;

/// How often it looks whether another process changed something, while somebody waits to hear of it.
const LOOK: Duration = Duration::from_millis(25);

/// Hints of other processes' changes come at most once in so many looks.
const HINT: u32 = 4;

/// The thread that reads, and listens for other processes.
pub(super) struct Reader {
    pub(super) connection: Connection,
    pub(super) signals: broadcast::Sender<Signal>,
    /// Gone once the store is.
    pub(super) ready: Weak<Notify>,
    /// Who waits for jobs holds one of these.
    pub(super) waiting: Arc<()>,
}

impl Reader {
    /// Works until nobody can ask any more.
    pub(super) fn run(self, questions: &Receiver<Question>) {
        let mut version = self.version();
        let mut since_hint = HINT;
        // Something changed of which no hint was given yet.
        let mut owed = false;
        let mut looked = Instant::now();
        loop {
            let listens = Arc::strong_count(&self.waiting) > 1 || self.signals.receiver_count() > 0;
            let pause = if listens { LOOK } else { LOOK * 40 };
            match questions.recv_timeout(pause.saturating_sub(looked.elapsed())) {
                Ok(question) => {
                    question(&self.connection);
                    // Questions that come all the time must not keep it from looking.
                    if looked.elapsed() < pause {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            looked = Instant::now();
            since_hint = since_hint.saturating_add(1);
            let found = self.version();
            if found != version {
                version = found;
                owed = true;
                let Some(ready) = self.ready.upgrade() else { return };
                ready.notify_waiters();
            }
            if owed && since_hint >= HINT {
                (owed, since_hint) = (false, 0);
                // Nobody listens: that is fine.
                drop(self.signals.send(Signal::Changed));
            }
        }
    }

    /// A number that changes with each commit of another connection, of this process's writer too.
    fn version(&self) -> i64 {
        self.connection.pragma_query_value(None, "data_version", |row| row.get(0)).unwrap_or(0)
    }
}
