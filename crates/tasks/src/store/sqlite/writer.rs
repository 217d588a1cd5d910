use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::time::Instant;

use crate::store::error::StoreError;
use crate::store::signal::Signal;
use crate::store::sqlite::apply::{Apply, Changes, Rescued};
use crate::store::sqlite::clock::{Clock, Millis};
use crate::store::sqlite::config::Durability;
use crate::store::sqlite::connection::{NAME, failed, is_busy, set_synchronous};

/// Does a command's work within the group's transaction, and gives what is to be said once that is committed.
type Work = Box<dyn FnOnce(&Apply<'_>) -> (Answer, bool) + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A call of the store on its way to the thread that writes.
pub(super) struct Command {
    work: Work,
    /// Whether it must be on the disk before it is answered.
    durable: bool,
    since: Instant,
}

impl Command {
    /// Makes a command and the place where its answer comes out.
    pub(super) fn new<T: Send + 'static>(
        durable: bool,
        work: impl FnOnce(&Apply<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (tell, answer) = oneshot::channel();
        let work: Work = Box::new(move |apply| {
            let result = work(apply);
            let failed = result.is_err();
            let tell: Answer = Box::new(move |commit: Result<(), StoreError>| {
                // Whoever asked may not wait any more; what was done stays done.
                drop(tell.send(commit.and(result)));
            });
            (tell, failed)
        });
        (Self { work, durable, since: Instant::now() }, answer)
    }
}

/// At most so many commands in one transaction.
const GROUP: usize = 256;

/// How long a call waits for another process's write before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// The thread that writes.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) clock: Clock,
    pub(super) durability: Durability,
    pub(super) age_after: Millis,
    pub(super) capacity: i64,
    pub(super) signals: broadcast::Sender<Signal>,
    pub(super) ready: Arc<Notify>,
    /// What was taken from dead workers since anybody was told.
    pub(super) rescued: Arc<Mutex<Rescued>>,
}

impl Writer {
    /// Works until nobody can send any more.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut group = Vec::with_capacity(GROUP);
        let mut synchronous = self.durability;
        while commands.blocking_recv_many(&mut group, GROUP) > 0 {
            // A claim that is lost with the power is a job that waits again: only the rest must be on the disk.
            let wanted = if group.iter().any(|command| command.durable) { self.durability } else { Durability::Normal };
            let set = if wanted == synchronous { Ok(()) } else { set_synchronous(&self.connection, wanted) };
            // It holds from here on, whether or not the group can begin.
            let set = set.inspect(|()| synchronous = wanted);
            if let Err(error) = set.and_then(|()| self.begin(&mut group)) {
                refuse(&mut group, &error);
                continue;
            }
            let mut answers = Vec::with_capacity(group.len());
            let outcome = self.apply(&mut group, &mut answers);
            let committed = outcome.and_then(|changes| {
                self.connection.execute_batch("commit").map_err(|error| failed(&error))?;
                Ok(changes)
            });
            match committed {
                Ok(changes) => {
                    {
                        let mut rescued = self.rescued.lock();
                        *rescued = (rescued.0 + changes.rescued.0, rescued.1 + changes.rescued.1);
                    }
                    for answer in answers {
                        answer(Ok(()));
                    }
                    self.tell(changes);
                }
                Err(error) => {
                    tracing::warn!(%error, calls = answers.len(), "a transaction of the store of jobs failed");
                    // The next group finds out if this does not help.
                    drop(self.rollback());
                    for answer in answers {
                        answer(Err(again(&error)));
                    }
                }
            }
        }
    }

    /// Begins a transaction, waiting for other processes as long as anybody has patience.
    fn begin(&self, group: &mut Vec<Command>) -> Result<(), StoreError> {
        loop {
            match self.connection.execute_batch("begin immediate") {
                Ok(()) => return Ok(()),
                Err(error) if is_busy(&error) => {
                    group.retain(|command| command.since.elapsed() < PATIENCE);
                    if group.is_empty() {
                        return Err(failed(&error));
                    }
                }
                Err(error) => return Err(failed(&error)),
            }
        }
    }

    fn rollback(&self) -> Result<(), StoreError> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("rollback").map_err(|error| failed(&error))
    }

    /// Does all commands; one that fails undoes itself alone, but for a failure that ends the whole transaction: then
    /// nothing of the group was done.
    fn apply(&mut self, group: &mut Vec<Command>, answers: &mut Vec<Answer>) -> Result<Changes, StoreError> {
        let now = self.clock.now(&self.connection).map_err(|error| failed(&error));
        let now = now.inspect_err(|_| group.clear())?;
        let apply = Apply::new(&self.connection, now, self.age_after, self.capacity);
        // Commands that are left when this returns early are dropped with the rest of the group.
        for command in group.drain(..) {
            apply.execute("savepoint command", [])?;
            let mark = apply.mark();
            let (answer, command_failed) = (command.work)(&apply);
            answers.push(answer);
            if command_failed {
                apply.execute("rollback to command", [])?;
                apply.undo(&mark);
            }
            apply.execute("release command", [])?;
        }
        apply.close()
    }

    fn tell(&self, changes: Changes) {
        if changes.ready {
            self.ready.notify_waiters();
        }
        for signal in changes.signals {
            // Nobody listens: that is fine.
            drop(self.signals.send(signal));
        }
    }
}

/// Answers commands that were not tried. Their callers hear that the answer's other end is gone, and take it for the
/// failure that it is.
fn refuse(group: &mut Vec<Command>, error: &StoreError) {
    if !group.is_empty() {
        tracing::warn!(%error, calls = group.len(), "calls of the store of jobs failed");
    }
    group.clear();
}

/// The same failure for another caller.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Backend { transient, source, .. } => StoreError::backend(NAME, *transient, source.to_string()),
        other => StoreError::backend(NAME, true, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::connection::writer;

    /// A group that cannot begin may have changed how far commits go; the next one must not take that over.
    #[test]
    fn a_group_after_one_that_could_not_begin_is_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jobs.db");
        let mut connection = writer(&path, Durability::Full).unwrap();
        crate::store::sqlite::schema::migrate(&mut connection).unwrap();
        let writer = Writer {
            connection,
            clock: Clock::new(Arc::new(|| std::time::UNIX_EPOCH)),
            durability: Durability::Full,
            age_after: 0,
            capacity: 10,
            signals: broadcast::Sender::new(1),
            ready: Arc::new(Notify::new()),
            rescued: Arc::default(),
        };
        let (commands, inbox) = mpsc::channel(8);
        let other = Connection::open(&path).unwrap();
        other.execute_batch("begin immediate").unwrap();
        let thread = std::thread::spawn(move || writer.run(inbox));
        // Nobody waits for it any more, so that it is given up once SQLite itself is out of patience.
        let (mut claim, refused) = Command::new(false, |_| Ok(()));
        claim.since = claim.since.checked_sub(PATIENCE).unwrap();
        commands.blocking_send(claim).unwrap();
        assert!(refused.blocking_recv().is_err(), "it cannot begin");
        other.execute_batch("rollback").unwrap();
        let (enqueue, level) = Command::new(true, |apply| {
            apply.one("pragma synchronous", [], |row| row.get::<_, i64>(0)).map(Option::unwrap_or_default)
        });
        commands.blocking_send(enqueue).unwrap();
        assert_eq!(level.blocking_recv().unwrap().unwrap(), 2, "FULL");
        drop(commands);
        thread.join().unwrap();
    }
}
