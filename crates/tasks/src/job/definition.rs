use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::id::TaskId;
use crate::job::context::JobContext;
use crate::job::options::JobOptions;
use crate::store::{KeyLimit, Unique};

/// A kind of work: its arguments are the fields of the type, its code is [`run`](Self::run).
///
/// Delivery is at least once: a worker that dies or loses its lease is followed by another, so that the same job may
/// run twice, though only one end is accepted. Work with effects outside is to be made repeatable, by the job's
/// [`id`](JobContext::id) for instance.
///
/// # Examples
/// ```
/// use bedplate_tasks::{Job, JobContext, Jobs};
/// use bedplate_tasks::store::MemoryStore;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Greet {
///     name: String,
/// }
///
/// impl Job for Greet {
///     const KIND: &'static str = "greet.v1";
///     type Output = String;
///     type Error = String;
///     type Progress = ();
///     type State = ();
///
///     async fn run(self, _: JobContext<Self>) -> Result<String, String> {
///         Ok(format!("hello {}", self.name))
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let jobs = Jobs::builder(MemoryStore::default()).register::<Greet>().start()?;
/// let handle = jobs.submit(Greet { name: "world".to_owned() }).await?;
/// assert_eq!(handle.result().await?, "hello world");
/// # jobs.shutdown(Default::default()).await; Ok(()) }
/// ```
pub trait Job: Serialize + DeserializeOwned + Send + Sized + 'static {
    /// The kind's stable name, 1 to 255 bytes: it stands in the store, and outlives the type's.
    const KIND: &'static str;
    /// The version of the arguments' form; see [`upgrade`](Self::upgrade).
    const VERSION: u16 = 1;

    /// What it gives.
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// How it fails.
    type Error: Display + Serialize + DeserializeOwned + Send + 'static;
    /// How it tells how far it has come; `()` if it does not.
    type Progress: Serialize + DeserializeOwned + Send + 'static;
    /// What it shares with the application, such as pools and clients; `()` for nothing. Given to
    /// [`JobsBuilder::state`](crate::JobsBuilder::state), and cloned for each run.
    type State: Clone + Send + Sync + 'static;

    /// Says how jobs of this kind are treated.
    fn options() -> JobOptions {
        JobOptions::new()
    }

    /// Says what makes another job this one's duplicate; by default what [`options`](Self::options) say.
    fn unique(&self) -> Option<Unique> {
        None
    }

    /// Says what it shares with others of a key: so many at a time, so many per time, over all processes.
    fn limit(&self) -> Option<KeyLimit> {
        None
    }

    /// Reads arguments of another version than [`VERSION`](Self::VERSION), as they wait in the store after a deploy.
    ///
    /// # Errors
    /// Returns [`UpgradeError`] for a version that it does not know, which is what it does by default; the job is tried
    /// again later, by a worker of another build perhaps, until its attempts are used up.
    fn upgrade(version: u16, arguments: serde_json::Value) -> Result<Self, UpgradeError> {
        drop(arguments);
        Err(UpgradeError::new(format!("version {version} is unknown, expected {}", Self::VERSION)))
    }

    /// Decides what becomes of the job after this error.
    fn on_error(error: &Self::Error, attempt: &Attempt) -> Decision {
        let _ = (error, attempt);
        Decision::Retry
    }

    /// Does the work.
    ///
    /// It must not block: that is for [`JobContext::blocking`]. Cancelled, out of time or without its lease, it is told
    /// so by the context, and dropped at its present await after a grace.
    fn run(self, cx: JobContext<Self>) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;
}

/// What becomes of a job whose attempt returned an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Decision {
    /// It is tried again after the kind's backoff, while attempts are left.
    Retry,
    /// It is tried again after this time, ten years at most, while attempts are left.
    RetryIn(Duration),
    /// It is tried again after this time, ten years at most, and the attempt does not count.
    Snooze(Duration),
    /// It failed for good.
    Discard,
    /// It is given up; not a failure.
    Cancel,
}

/// Which attempt of a job it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attempt {
    /// The job.
    pub id: TaskId,
    /// The attempt's number, from 1.
    pub number: u32,
    /// How many there are.
    pub most: u32,
}

impl Attempt {
    /// Says whether no other follows.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.number >= self.most
    }
}

/// Arguments of a version that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UpgradeError {
    message: String,
}

impl UpgradeError {
    /// Says why.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl From<serde_json::Error> for UpgradeError {
    fn from(error: serde_json::Error) -> Self {
        Self::new(error.to_string())
    }
}
