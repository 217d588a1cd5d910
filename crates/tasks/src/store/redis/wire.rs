//! Jobs as the scripts take them and give them back.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::Value;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::id::TaskId;
use crate::queue::Priority;
use crate::store::books;
use crate::store::claim::{Claim, End, Lease, Settlement};
use crate::store::error::{LONGEST_DELAY, StoreError};
use crate::store::limits::{Retention, UniqueScope};
use crate::store::new_job::{NewJob, OnDependencyFailure, Start};
use crate::store::record::{Failure, FailureKind, JobRecord, JobState};
use crate::store::redis::failure::BadReply;
use crate::store::redis::intake::Alike;
use crate::store::redis::reply::{Hash, Row};

/// One priority where they are strict: more than the longest delay could make up for.
const STRICT: Duration = Duration::from_hours(24 * 366);

/// A queue's name as BullMQ can bear it, which splits keys at colons.
pub(super) fn queue_name(queue: &str) -> Cow<'_, str> {
    if queue.contains([':', '%']) {
        Cow::Owned(queue.replace('%', "%25").replace(':', "%3A"))
    } else {
        Cow::Borrowed(queue)
    }
}

pub(super) fn queue_of(name: &str) -> String {
    name.replace("%3A", ":").replace("%25", "%")
}

pub(super) fn millis(time: Duration) -> u64 {
    // Rounded up: nothing is due early, and no lease is of no length.
    let nanos = time.min(LONGEST_DELAY * 10).as_nanos();
    u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn micros(time: Duration) -> u64 {
    let nanos = time.min(LONGEST_DELAY).as_nanos();
    u64::try_from(nanos.div_ceil(1_000)).unwrap_or(u64::MAX)
}

fn since_epoch(time: SystemTime) -> Duration {
    // Scores are doubles: what is later than this is as good as never.
    time.duration_since(UNIX_EPOCH).unwrap_or_default().min(LONGEST_DELAY * 100)
}

fn at_millis(millis: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis)).unwrap_or(UNIX_EPOCH)
}

fn number(number: impl std::fmt::Display) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// BullMQ's number of a priority: the smallest goes first, and zero would be before all.
const fn priority(priority: Priority) -> u8 {
    match priority {
        Priority::Critical => 1,
        Priority::High => 2,
        Priority::Normal => 3,
        Priority::Low => 4,
    }
}

/// What is kept of a job however it comes in.
struct Kept {
    id: String,
    queue: Vec<u8>,
    kind: Vec<u8>,
    data: Vec<u8>,
    /// What is no JSON, marked.
    raw: Vec<u8>,
    books: Vec<u8>,
    options: String,
    /// How much earlier than it came it is ranked, in microseconds.
    start: Vec<u8>,
    max_attempts: Vec<u8>,
    priority: Vec<u8>,
    keep_ended: Vec<u8>,
    keep_failed: Vec<u8>,
}

impl Kept {
    fn new(job: &mut NewJob, age_after: Duration) -> Result<Self, StoreError> {
        let payload = std::mem::take(&mut job.payload);
        let books = books::write(job).map_err(|error| StoreError::invalid("job", error, "fields that are text"))?;
        // What BullMQ's workers see must be JSON for them not to stumble.
        let plain = serde_json::from_slice::<IgnoredAny>(&payload).is_ok();
        let (data, raw) =
            if plain { (payload, Vec::new()) } else { (b"null".to_vec(), [b"r".as_slice(), &payload].concat()) };
        let level = if age_after.is_zero() { STRICT } else { age_after };
        Ok(Self {
            id: job.id.to_string(),
            queue: queue_name(&job.queue).as_bytes().to_vec(),
            kind: job.kind.as_bytes().to_vec(),
            data,
            raw,
            books: books.into_bytes(),
            options: options(job.max_attempts),
            start: number(u128::from(job.priority as u8).saturating_mul(level.min(STRICT).as_micros())),
            max_attempts: number(job.max_attempts),
            priority: number(priority(job.priority)),
            keep_ended: number(millis(job.retention.ended)),
            keep_failed: number(millis(job.retention.failed)),
        })
    }
}

/// What BullMQ's workers go by. The server keeps hashes of texts of up to 64 bytes in a third of the room of others, and
/// makes them faster: so there is nothing here that has a field of its own.
fn options(max_attempts: u32) -> String {
    format!("{{\"attempts\":{max_attempts},\"backoff\":{{\"type\":\"exponential\",\"delay\":1000}}}}")
}

/// Whether all begin as soon as they can, and share nothing with others.
pub(super) fn are_plain(jobs: &[NewJob]) -> bool {
    jobs.iter().all(|job| {
        job.start == Start::Now
            && job.unique.is_none()
            && job.limit.is_none()
            && job.batch.is_none()
            && job.deadline.is_none()
            && job.depends_on.is_empty()
    })
}

/// Plain jobs in runs of such as are alike.
pub(super) fn runs(jobs: Vec<NewJob>, age_after: Duration) -> Result<Vec<Alike>, StoreError> {
    let mut runs: Vec<Alike> = Vec::new();
    for mut job in jobs {
        let kept = Kept::new(&mut job, age_after)?;
        let mut fields = vec![
            (b"name".as_slice(), kept.kind.clone()),
            (b"opts", kept.options.into_bytes()),
            (b"delay", b"0".to_vec()),
            (b"priority", kept.priority),
            (b"b:j", kept.books),
            (b"b:st", b"p".to_vec()),
            (b"b:max", kept.max_attempts),
            (b"b:hs", kept.start.clone()),
        ];
        if job.retention != Retention::default() {
            fields.extend([
                (b"b:x".as_slice(), b"1".to_vec()),
                (b"b:re", kept.keep_ended),
                (b"b:rf", kept.keep_failed),
            ]);
        }
        if !kept.raw.is_empty() {
            fields.push((b"b:raw", kept.raw));
        }
        let mut head = vec![kept.queue, kept.kind, kept.start, number(fields.len() * 2)];
        head.extend(fields.into_iter().flat_map(|(name, value)| [name.to_vec(), value]));
        let jobs = [kept.id.into_bytes(), kept.data];
        match runs.last_mut() {
            Some(last) if last.head == head => last.jobs.extend(jobs),
            _ => runs.push(Alike { head, jobs: jobs.into() }),
        }
    }
    Ok(runs)
}

/// Adds a job to a call.
pub(super) fn put_job(args: &mut Vec<Vec<u8>>, mut job: NewJob, age_after: Duration) -> Result<(), StoreError> {
    let kept = Kept::new(&mut job, age_after)?;
    let (start, when) = match job.start {
        Start::Now => ("n", 0),
        Start::In(delay) => ("i", micros(delay)),
        Start::At(time) => ("a", u64::try_from(since_epoch(time).as_micros()).unwrap_or(u64::MAX)),
    };
    let unique = job.unique.as_ref();
    let scope = match unique.map(|unique| unique.scope).unwrap_or_default() {
        UniqueScope::Pending => "p",
        UniqueScope::Unfinished => "u",
        UniqueScope::NotFailed => "n",
        UniqueScope::Any => "a",
    };
    let limit = job.limit.as_ref().map(|limit| {
        let (starts, per) = limit.rate.map_or((0, 0), |rate| (rate.starts, millis(rate.per)));
        json!([limit.key, limit.concurrency.unwrap_or(0), starts, per]).to_string()
    });
    let deadline = job.deadline.map(|time| u64::try_from(since_epoch(time).as_millis()).unwrap_or(u64::MAX));
    args.extend([
        kept.id.into_bytes(),
        kept.queue,
        kept.kind,
        kept.data,
        kept.books,
        kept.options.into_bytes(),
        kept.start,
        start.into(),
        number(when),
        kept.max_attempts,
        kept.keep_ended,
        kept.keep_failed,
        unique.map(|unique| unique.key.clone().into_bytes()).unwrap_or_default(),
        unique.and_then(|unique| unique.within).map(|within| number(millis(within))).unwrap_or_default(),
        scope.into(),
        limit.map(String::into_bytes).unwrap_or_default(),
        if job.on_dependency_failure == OnDependencyFailure::Run { b"1".to_vec() } else { Vec::new() },
        job.batch.map(number).unwrap_or_default(),
        kept.priority,
        deadline.map(number).unwrap_or_default(),
        kept.raw,
        number(job.depends_on.len()),
    ]);
    args.extend(job.depends_on.iter().map(number));
    Ok(())
}

/// Adds the end of a claim to a call.
pub(super) fn put_end(args: &mut Vec<Vec<u8>>, end: &End) {
    args.push(number(end.lease.job));
    args.push(number(end.lease.fence));
    let failed = |failure: &Failure| serde_json::to_vec(failure).unwrap_or_default();
    let [what, a, b, c]: [Vec<u8>; 4] = match &end.settlement {
        Settlement::Completed(output) => [b"c".into(), output.clone(), Vec::new(), Vec::new()],
        Settlement::Retry { failure, after } => {
            [b"r".into(), failed(failure), failure.message.clone().into(), number(micros(*after))]
        }
        Settlement::Failed(failure) => [b"f".into(), failed(failure), failure.message.clone().into(), Vec::new()],
        Settlement::Cancelled(reason) => [b"x".into(), reason.clone().into(), Vec::new(), Vec::new()],
        Settlement::Snoozed(after) => [b"s".into(), number(micros(*after)), Vec::new(), Vec::new()],
        Settlement::Returned => [b"b".into(), Vec::new(), Vec::new(), Vec::new()],
    };
    args.extend([what, a, b, c]);
}

/// Puts a job together again; what came by BullMQ's own ways has no books.
fn job_of(
    id: TaskId,
    queue: &str,
    kind: String,
    data: Vec<u8>,
    books: &[u8],
    raw: Vec<u8>,
    most: Option<u32>,
) -> NewJob {
    let payload = if raw.is_empty() { data } else { raw.into_iter().skip(1).collect() };
    if let Ok(job) = books::read(books) {
        return NewJob { id, kind: kind.into(), payload, ..job };
    }
    let job = NewJob::new(kind, payload).queue(queue_of(queue)).max_attempts(most.unwrap_or(1).max(1));
    NewJob { id, ..job }
}

pub(super) fn claim_of(value: Value) -> Result<Claim, BadReply> {
    let mut row = Row::new(value)?;
    let id: TaskId = row.parse().ok_or(BadReply("no id"))?;
    let fence: u64 = row.parse().ok_or(BadReply("no fence"))?;
    let attempt = row.parse().unwrap_or(1);
    let waited = Duration::from_micros(row.parse().unwrap_or(0));
    let (queue, kind, data, books, raw) = (row.text(), row.text(), row.bytes(), row.bytes(), row.bytes());
    let job = job_of(id, &queue, kind, data, &books, raw, row.parse());
    Ok(Claim::new(Arc::new(job), Lease::new(id, fence), attempt, waited))
}

pub(super) fn state_of(text: &str) -> Option<JobState> {
    match text {
        "p" => Some(JobState::Pending),
        // The second is with a worker of BullMQ's.
        "r" | "n" => Some(JobState::Running),
        "c" => Some(JobState::Completed),
        "f" => Some(JobState::Failed),
        "x" => Some(JobState::Cancelled),
        _ => None,
    }
}

pub(super) fn record_of(value: Value) -> Result<Option<JobRecord>, BadReply> {
    let mut row = Row::new(value)?;
    let queue = row.text();
    if queue.is_empty() {
        return Ok(None);
    }
    let state = row.text();
    let id: TaskId = row.parse().ok_or(BadReply("no id"))?;
    let mut hash = Hash::new(row.value())?;
    let state = state_of(&state).ok_or(BadReply("no state"))?;
    let kind = hash.text("name").unwrap_or_default();
    let (data, books) = (hash.take("data").unwrap_or_default(), hash.take("b:j").unwrap_or_default());
    let raw = hash.take("b:raw").unwrap_or_default();
    let job = job_of(id, &queue, kind, data, &books, raw, hash.parse("b:max"));
    let enqueued_at = at_millis(hash.parse("timestamp").unwrap_or(0));
    let due = Duration::from_micros(hash.parse("b:due").unwrap_or(0));
    let mut record = JobRecord::pending(Arc::new(job), enqueued_at, UNIX_EPOCH.checked_add(due).unwrap_or(UNIX_EPOCH));
    record.state = state;
    record.attempts = hash.parse("b:att").unwrap_or(0);
    record.progress = hash.take("b:pr").and_then(|json| serde_json::from_slice(&json).ok());
    record.output = hash.take("returnvalue").filter(|_| state == JobState::Completed);
    record.failure = hash.take("b:fail").map(|json| failure_of(&json));
    record.cancel = hash.text("b:can");
    record.waiting_for = hash.parse("b:wf").unwrap_or(0);
    record.worker = hash.text("pb");
    record.started_at = hash.parse("processedOn").map(at_millis);
    record.ended_at = hash.parse("finishedOn").filter(|_| state.is_final()).map(at_millis);
    Ok(Some(record))
}

fn failure_of(json: &[u8]) -> Failure {
    serde_json::from_slice(json).unwrap_or_else(|_| Failure::new(FailureKind::Error, String::from_utf8_lossy(json)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_queues_come_back() {
        for name in ["media", "a:b", "100%", "%3A", "a%25:%"] {
            assert!(!queue_name(name).contains(':'));
            assert_eq!(queue_of(&queue_name(name)), name);
        }
    }

    #[test]
    fn times_are_rounded_up_and_bounded() {
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(micros(Duration::MAX), micros(LONGEST_DELAY));
        assert!(millis(Duration::MAX) < 1 << 53);
    }

    #[test]
    fn a_job_without_books_is_understood() {
        let id = TaskId::generate();
        let job = job_of(id, "a%3Ab", "mail".into(), b"{}".to_vec(), b"garbage", Vec::new(), Some(3));
        assert_eq!((job.id, &*job.queue, &*job.kind, job.max_attempts), (id, "a:b", "mail", 3));
        assert_eq!(job.payload, b"{}");
    }
}
