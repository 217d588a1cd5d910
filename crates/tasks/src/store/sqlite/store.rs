use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::{Connection, Transaction};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, oneshot};
use tokio::time::Instant;

use crate::id::TaskId;
use crate::store::capabilities::Capabilities;
use crate::store::claim::{Beat, Claim, ClaimRequest, End, LeaseState, Settled};
use crate::store::contract::{JobStore, StoreControl};
use crate::store::control::{JobQuery, Maintained, StoreStats, WorkerInfo};
use crate::store::error::StoreError;
use crate::store::new_job::{Enqueued, NewJob};
use crate::store::record::{JobRecord, JobState};
use crate::store::signal::Signal;
use crate::store::sqlite::apply::{Apply, Rescued};
use crate::store::sqlite::claim::Claimed;
use crate::store::sqlite::clock::{Clock, from_system, millis};
use crate::store::sqlite::config::SqliteBuilder;
use crate::store::sqlite::connection::{self, NAME, failed};
use crate::store::sqlite::reader::{Question, Reader};
use crate::store::sqlite::writer::{Command, Writer};
use crate::store::sqlite::{claim, enqueue, read, schema, settle, sweep};
use crate::store::validate;

/// Jobs in a file of SQLite: durable, shared by the processes of one host, with nothing to install.
///
/// A clone is a handle to the same file. When the last one is dropped, what was asked for is still done.
///
/// # Examples
/// ```
/// use bedplate_tasks::store::{JobStore, NewJob, SqliteStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("jobs.db");
/// let store = SqliteStore::open(&path).await?;
/// let id = store.enqueue(vec![NewJob::new("greet.v1", b"\"world\"".to_vec())]).await?[0].id();
/// store.close().await?;
/// let again = SqliteStore::open(&path).await?;
/// assert!(again.job(id).await?.is_some());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// Empty once the store is closed.
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    questions: Mutex<Option<SyncSender<Question>>>,
    rescued: Arc<Mutex<Rescued>>,
    /// One permit for each question that may wait.
    room: Arc<Semaphore>,
    ended: Mutex<Option<oneshot::Receiver<()>>>,
    signals: broadcast::Sender<Signal>,
    ready: Arc<Notify>,
    /// One clone for each claim that waits.
    waiting: Arc<()>,
    clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
    age_after: Duration,
    capacity: i64,
    /// Writes the log back into the file; opened when it is needed first.
    checkpoints: Arc<Mutex<Option<Connection>>>,
}

/// A log that is smaller is not worth a checkpoint, in bytes.
const SMALL_LOG: u64 = 4 << 20;

/// How many calls may wait for the writer until callers wait to be heard.
const COMMANDS: usize = 1_024;
/// The same for questions.
const QUESTIONS: usize = 8_192;
/// How many signals a slow reader may lag behind.
const SIGNALS: usize = 4_096;

impl SqliteStore {
    /// Opens a file with the default settings, making it if it is not there.
    ///
    /// # Errors
    /// As [`SqliteBuilder::open`].
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::builder(path).open().await
    }

    /// Sets up a store in this file.
    pub fn builder(path: impl AsRef<Path>) -> SqliteBuilder {
        SqliteBuilder::new(path.as_ref().to_owned())
    }

    pub(super) fn open_blocking(builder: SqliteBuilder) -> Result<Self, StoreError> {
        let SqliteBuilder { path, durability, age_after, capacity, clock } = builder;
        private(&path)?;
        let mut writes = connection::writer(&path, durability)?;
        schema::migrate(&mut writes)?;
        let reads = connection::reader(&path)?;
        let (signals, ready, waiting) = (broadcast::Sender::new(SIGNALS), Arc::new(Notify::new()), Arc::new(()));
        let capacity = i64::try_from(capacity).unwrap_or(i64::MAX);
        let rescued = Arc::default();
        let writer = Writer {
            connection: writes,
            clock: Clock::new(Arc::clone(&clock)),
            durability,
            age_after: millis(age_after),
            capacity,
            signals: signals.clone(),
            ready: Arc::clone(&ready),
            rescued: Arc::clone(&rescued),
        };
        let listener: Weak<Notify> = Arc::downgrade(&ready);
        let reader =
            Reader { connection: reads, signals: signals.clone(), ready: listener, waiting: Arc::clone(&waiting) };
        let (commands, inbox) = mpsc::channel(COMMANDS);
        let (questions, asked) = sync_channel(QUESTIONS);
        let (end, ended) = oneshot::channel();
        thread("bedplate-jobs-w", move || {
            writer.run(inbox);
            drop(end);
        })?;
        thread("bedplate-jobs-r", move || reader.run(&asked))?;
        let shared = Shared {
            path,
            commands: Mutex::new(Some(commands)),
            questions: Mutex::new(Some(questions)),
            rescued,
            room: Arc::new(Semaphore::new(QUESTIONS)),
            ended: Mutex::new(Some(ended)),
            signals,
            ready,
            waiting,
            clock,
            age_after,
            capacity,
            checkpoints: Arc::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Takes jobs in within a transaction of the caller's on the same file: they exist if and only if it commits.
    ///
    /// Workers of this process begin them once [`notify`](Self::notify) is called after the commit; others, and this
    /// one too, notice within some 25 ms.
    ///
    /// # Errors
    /// As [`JobStore::enqueue`]; roll the transaction back then, since part of the jobs may be in it.
    ///
    /// # Examples
    /// ```
    /// use bedplate_tasks::rusqlite::Connection;
    /// use bedplate_tasks::store::{JobStore, NewJob, SqliteStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// # let path = folder.path().join("shop.db");
    /// let store = SqliteStore::open(&path).await?;
    /// let mut mine = Connection::open(&path)?;
    /// let transaction = mine.transaction()?;
    /// transaction.execute_batch("create table orders (id integer); insert into orders values (7)")?;
    /// let id = store.enqueue_in(&transaction, &[NewJob::new("ship.v1", b"7".to_vec())])?[0].id();
    /// transaction.commit()?;
    /// store.notify();
    /// assert!(store.job(id).await?.is_some());
    /// # Ok(()) }
    /// ```
    pub fn enqueue_in(&self, transaction: &Transaction<'_>, jobs: &[NewJob]) -> Result<Vec<Enqueued>, StoreError> {
        validate::jobs(jobs)?;
        let now = Clock::new(Arc::clone(&self.shared.clock)).now(transaction).map_err(|error| failed(&error))?;
        let apply = Apply::new(transaction, now, millis(self.shared.age_after), self.shared.capacity);
        let answers = enqueue::enqueue(&apply, jobs)?;
        apply.close()?;
        Ok(answers)
    }

    /// Lets workers look for jobs that were taken in by a transaction of the caller's.
    pub fn notify(&self) {
        self.shared.ready.notify_waiters();
    }

    /// Says whether the file is whole; reads all of it.
    ///
    /// # Errors
    /// Fails as the file does.
    pub async fn check(&self) -> Result<bool, StoreError> {
        self.ask(read::check).await
    }

    /// Does what was asked for, and closes the file; every later call fails with [`StoreError::Closed`].
    ///
    /// # Errors
    /// [`StoreError::Backend`] if the thread that writes does not come to its end.
    pub async fn close(&self) -> Result<(), StoreError> {
        drop(self.shared.commands.lock().take());
        drop(self.shared.questions.lock().take());
        self.shared.ready.notify_waiters();
        let ended = self.shared.ended.lock().take();
        if let Some(ended) = ended {
            // It says nothing, it only ends.
            drop(ended.await);
        }
        Ok(())
    }

    async fn write<T: Send + 'static>(
        &self,
        durable: bool,
        work: impl FnOnce(&Apply<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let commands = self.shared.commands.lock().clone().ok_or(StoreError::Closed)?;
        let (command, answer) = Command::new(durable, work);
        commands.send(command).await.map_err(|_| StoreError::Closed)?;
        let gave_up = || StoreError::backend(NAME, true, "the file is locked or failing; the log tells more");
        answer.await.unwrap_or_else(|_| Err(gave_up()))
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        // Many who ask at a time are no fault of the store: they wait their turn.
        let room = Arc::clone(&self.shared.room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (tell, answer) = oneshot::channel();
        {
            let questions = self.shared.questions.lock();
            let ask: Question = Box::new(move |connection: &Connection| {
                drop(room);
                drop(tell.send(question(connection)));
            });
            questions.as_ref().ok_or(StoreError::Closed)?.try_send(ask).map_err(|_| StoreError::Closed)?;
        }
        answer.await.map_err(|_| StoreError::Closed)?.map_err(|error| failed(&error))
    }

    /// Writes a log that has grown back into the file, beside the threads that callers wait for.
    async fn checkpoint(&self) {
        let mut log = self.shared.path.clone().into_os_string();
        log.push("-wal");
        if std::fs::metadata(&log).is_ok_and(|log| log.len() >= SMALL_LOG) {
            let (path, kept) = (self.shared.path.clone(), Arc::clone(&self.shared.checkpoints));
            let work = tokio::task::spawn_blocking(move || connection::checkpoint(&path, &kept));
            // Nothing is lost without it: the writer itself does it in the end.
            drop(work.await);
        }
    }

    fn now(&self) -> i64 {
        from_system((self.shared.clock)())
    }
}

/// Makes the file for its owner alone, if it is not there.
fn private(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Err(StoreError::invalid("path", path.display(), "a file, not a folder"));
    }
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(StoreError::backend(NAME, false, format!("{} cannot be opened for writing: {error}", path.display())))
        }
    }
}

fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
    // It ends by itself when the store does; a join could wait for a disk that hangs.
    thread.map(drop).map_err(|error| StoreError::backend(NAME, false, error))
}

#[async_trait]
impl JobStore for SqliteStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities { durable: true, shared: true, transactional: true, ..Capabilities::in_process(NAME) }
    }

    fn signals(&self) -> broadcast::Receiver<Signal> {
        self.shared.signals.subscribe()
    }

    async fn enqueue(&self, jobs: Vec<NewJob>) -> Result<Vec<Enqueued>, StoreError> {
        validate::jobs(&jobs)?;
        self.write(true, move |apply| enqueue::enqueue(apply, &jobs)).await
    }

    async fn claim(&self, request: &ClaimRequest) -> Result<Vec<Claim>, StoreError> {
        validate::claim(request)?;
        let until = Instant::now().checked_add(request.wait);
        let request = Arc::new(request.clone());
        let _waits = Arc::clone(&self.shared.waiting);
        loop {
            let ready = self.shared.ready.notified();
            let mut ready = std::pin::pin!(ready);
            ready.as_mut().enable();
            let asked = Arc::clone(&request);
            let Claimed { claims, next } = self.write(false, move |apply| claim::claim(apply, &asked)).await?;
            // There is more to move out of the way.
            if next.is_some_and(|next| next.is_zero()) && !request.is_over(None) {
                continue;
            }
            if !claims.is_empty() || request.is_over(until) {
                return Ok(claims);
            }
            let next = next.and_then(|next| Instant::now().checked_add(next));
            // The end of the wait and a job that is due are both reasons to look again.
            request.rest([until, next].into_iter().flatten().min(), ready).await;
        }
    }

    async fn beat(&self, beat: &Beat) -> Result<Vec<LeaseState>, StoreError> {
        let beat = beat.clone();
        self.write(false, move |apply| settle::beat(apply, &beat)).await
    }

    async fn settle(&self, ends: &[End]) -> Result<Vec<Settled>, StoreError> {
        let ends = ends.to_vec();
        self.write(true, move |apply| settle::settle(apply, &ends)).await
    }

    async fn job(&self, id: TaskId) -> Result<Option<JobRecord>, StoreError> {
        self.ask(move |connection| read::job(connection, id)).await
    }
}

#[async_trait]
impl StoreControl for SqliteStore {
    async fn cancel(&self, id: TaskId, reason: &str) -> Result<JobState, StoreError> {
        let reason = reason.to_owned();
        self.write(true, move |apply| settle::cancel(apply, id, &reason)).await
    }

    async fn find(&self, query: &JobQuery) -> Result<Vec<JobRecord>, StoreError> {
        let query = query.clone();
        self.ask(move |connection| read::find(connection, &query)).await
    }

    async fn replay(&self, ids: &[TaskId]) -> Result<u64, StoreError> {
        let ids = ids.to_vec();
        self.write(true, move |apply| settle::replay(apply, &ids)).await
    }

    async fn set_paused(&self, queue: &str, paused: bool) -> Result<(), StoreError> {
        let queue = queue.to_owned();
        let change = move |apply: &Apply<'_>| {
            if paused {
                apply.execute("insert or ignore into paused (queue) values (?1)", [queue])?;
            } else {
                apply.execute("delete from paused where queue = ?1", [queue])?;
                apply.made_ready();
            }
            Ok(())
        };
        self.write(true, change).await
    }

    async fn maintain(&self) -> Result<Maintained, StoreError> {
        let mut all = Maintained::default();
        loop {
            let (did, more) = self.write(false, sweep::maintain).await?;
            all.overdue += did.overdue;
            all.pruned += did.pruned;
            if !more {
                break;
            }
        }
        self.checkpoint().await;
        (all.rescued, all.crashed) = std::mem::take(&mut *self.shared.rescued.lock());
        Ok(all)
    }

    async fn stats(&self) -> Result<StoreStats, StoreError> {
        let now = self.now();
        self.ask(move |connection| read::stats(connection, now)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerInfo>, StoreError> {
        let now = self.now();
        self.ask(move |connection| read::workers(connection, now)).await
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.shared.path).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::store::limits::{KeyLimit, Rate};

    /// How many wait in the way of others.
    async fn in_the_way(store: &SqliteStore) -> i64 {
        let count = |connection: &Connection| {
            connection.query_row("select count(*) from jobs where place = 0", [], |row| row.get(0))
        };
        store.ask(count).await.unwrap()
    }

    #[tokio::test]
    async fn whoever_leaves_moves_no_backlog_out_of_its_way() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::builder(folder.path().join("jobs.db")).open().await.unwrap();
        let limit = KeyLimit::rate("host-1", Rate::new(1, Duration::from_hours(1)));
        let limited = || NewJob::new("a.v1", b"1".to_vec()).limit(limit.clone());
        store.enqueue((0..2_500).map(|_| limited()).collect()).await.unwrap();
        let stop = CancellationToken::new();
        let request = ClaimRequest::new("worker", ["a.v1"], 1, Duration::from_mins(1)).stop(stop.clone());
        assert_eq!(store.claim(&request).await.unwrap().len(), 1);
        stop.cancel();
        assert!(store.claim(&request).await.unwrap().is_empty());
        assert_eq!(in_the_way(&store).await, 1_499);
    }

    #[tokio::test]
    async fn many_windows_open_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::builder(folder.path().join("jobs.db")).open().await.unwrap();
        let look = |apply: &Apply<'_>| {
            for n in 0..600 {
                apply.execute("insert into opens (at, key) values (1, ?1)", [format!("host-{n}")])?;
            }
            sweep::promote(apply)?;
            let left = || apply.one("select count(*) from opens", [], |row| row.get::<_, i64>(0));
            let first = left()?;
            sweep::promote(apply)?;
            Ok((first, left()?))
        };
        assert_eq!(store.write(false, look).await.unwrap(), (Some(100), Some(0)));
    }
}
