//! What a store writes down of a job besides its id, its kind and its payload: what is not as usual, which for most jobs
//! is nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::id::TaskId;
use crate::queue::Priority;
use crate::store::limits::{KeyLimit, Retention, Unique};
use crate::store::new_job::{BatchId, NewJob, OnDependencyFailure, Start};

/// A job's settings as JSON; reading gives the usual where nothing is said.
#[derive(Debug, Serialize, Deserialize)]
struct Books<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    queue: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    headers: Option<Cow<'a, BTreeMap<String, String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<Priority>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Start>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_attempts: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout: Option<Timeout>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<SystemTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unique: Option<Cow<'a, Unique>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<Cow<'a, KeyLimit>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    depends_on: Option<Cow<'a, [TaskId]>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_dependency_failure: Option<OnDependencyFailure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch: Option<BatchId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retention: Option<Retention>,
}

/// The usual is a limit, so that none must be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Timeout {
    Never,
    After(Duration),
}

fn unless<T: PartialEq>(value: T, usual: &T) -> Option<T> {
    (value != *usual).then_some(value)
}

/// Writes down what is not as usual.
pub(super) fn write(job: &NewJob) -> Result<String, serde_json::Error> {
    let usual = NewJob::usual();
    let NewJob { id: _, kind: _, payload: _, version, queue, headers, priority, start, max_attempts, .. } = job;
    let NewJob { timeout, deadline, unique, limit, depends_on, on_dependency_failure, batch, retention, .. } = job;
    let books = Books {
        version: unless(*version, &usual.version),
        queue: unless(queue, &&usual.queue).map(|queue| Cow::Borrowed(&**queue)),
        headers: unless(headers, &&usual.headers).map(Cow::Borrowed),
        priority: unless(*priority, &usual.priority),
        start: unless(*start, &usual.start),
        max_attempts: unless(*max_attempts, &usual.max_attempts),
        timeout: unless(*timeout, &usual.timeout).map(|limit| limit.map_or(Timeout::Never, Timeout::After)),
        deadline: *deadline,
        unique: unique.as_ref().map(Cow::Borrowed),
        limit: limit.as_ref().map(Cow::Borrowed),
        depends_on: (!depends_on.is_empty()).then_some(Cow::Borrowed(depends_on)),
        on_dependency_failure: unless(*on_dependency_failure, &usual.on_dependency_failure),
        batch: *batch,
        retention: unless(*retention, &usual.retention),
    };
    serde_json::to_string(&books)
}

/// Reads what was written down; the id, the kind and the payload are somewhere else.
pub(super) fn read(books: &[u8]) -> Result<NewJob, serde_json::Error> {
    let books: Books<'_> = serde_json::from_slice(books)?;
    let usual = NewJob::usual();
    Ok(NewJob {
        version: books.version.unwrap_or(usual.version),
        queue: books.queue.map_or(Cow::Borrowed("default"), |queue| Cow::Owned(queue.into_owned())),
        headers: books.headers.map(Cow::into_owned).unwrap_or_default(),
        priority: books.priority.unwrap_or_default(),
        start: books.start.unwrap_or_default(),
        max_attempts: books.max_attempts.unwrap_or(usual.max_attempts),
        timeout: match books.timeout {
            None => usual.timeout,
            Some(Timeout::Never) => None,
            Some(Timeout::After(limit)) => Some(limit),
        },
        deadline: books.deadline,
        unique: books.unique.map(Cow::into_owned),
        limit: books.limit.map(Cow::into_owned),
        depends_on: books.depends_on.map(Cow::into_owned).unwrap_or_default(),
        on_dependency_failure: books.on_dependency_failure.unwrap_or_default(),
        batch: books.batch,
        retention: books.retention.unwrap_or_default(),
        ..usual
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::limits::Rate;

    fn goes_and_comes(job: &NewJob) -> String {
        let books = write(job).unwrap();
        let read = read(books.as_bytes()).unwrap();
        assert_eq!(&NewJob { id: job.id, kind: job.kind.clone(), payload: job.payload.clone(), ..read }, job);
        books
    }

    #[test]
    fn nothing_is_said_of_the_usual() {
        assert_eq!(goes_and_comes(&NewJob::new("a.v1", b"1".to_vec())), "{}");
        assert_eq!(goes_and_comes(&NewJob::new("a.v1", Vec::new()).max_attempts(3)), "{\"max_attempts\":3}");
    }

    #[test]
    fn what_is_not_usual_comes_back() {
        let mut job = NewJob::new("a.v1", vec![0xff])
            .queue("media")
            .priority(Priority::High)
            .start(Start::In(Duration::from_micros(7)))
            .unique(Unique::idempotency("k", Duration::from_secs(9)))
            .limit(KeyLimit::concurrency("tenant", 2).and_rate(Rate::new(3, Duration::from_secs(1))))
            .depends_on([TaskId::generate(), TaskId::generate()])
            .on_dependency_failure(OnDependencyFailure::Run)
            .batch(BatchId::generate())
            .retention(Retention::both(Duration::ZERO))
            .deadline(SystemTime::UNIX_EPOCH + Duration::from_millis(1_900_000_000_123));
        job.version = 4;
        job.headers.insert("traceparent".to_owned(), "00-…".to_owned());
        job.timeout = None;
        goes_and_comes(&job);
        job.timeout = Some(Duration::from_millis(20));
        goes_and_comes(&job);
    }

    #[test]
    fn garbage_is_an_error() {
        assert!(read(b"garbage").is_err());
    }
}
