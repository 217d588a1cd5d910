use std::sync::Arc;

use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::id::TaskId;
use crate::queue::Priority;
use crate::store::books;
use crate::store::new_job::NewJob;
use crate::store::postgres::arrays::to_system;
use crate::store::record::{JobProgress, JobRecord, JobState};

/// What [`record`] reads; the payload is the engine's as long as the job has not ended.
pub(super) const RECORD: &str = "select s.id, s.spec, coalesce(s.payload, e.payload)::text as payload, s.raw, s.kind, \
    s.level, s.max_attempts, s.state, s.attempts, s.worker, s.cancel, s.waiting_for, s.enqueued, s.due, s.started, s.ended, \
    s.progress, s.progress_attempt, s.progress_number, s.output, s.failure \
    from @side@.jobs s left join @engine@._private_jobs e on e.id = s.engine_id";

pub(super) fn record(row: &PgRow) -> Result<JobRecord, sqlx::Error> {
    let about = About {
        id: row.try_get("id")?,
        spec: row.try_get("spec")?,
        payload: row.try_get("payload")?,
        raw: row.try_get("raw")?,
        kind: row.try_get("kind")?,
        level: row.try_get("level")?,
        max_attempts: row.try_get("max_attempts")?,
    };
    let (enqueued, due) = (to_system(row.try_get("enqueued")?), to_system(row.try_get("due")?));
    let mut record = JobRecord::pending(Arc::new(about.job()?), enqueued, due);
    record.state = state(row.try_get("state")?);
    record.attempts = count(row.try_get("attempts")?);
    record.worker = row.try_get("worker")?;
    record.cancel = row.try_get("cancel")?;
    record.waiting_for = count(row.try_get("waiting_for")?);
    record.started_at = row.try_get::<Option<i64>, _>("started")?.map(to_system);
    record.ended_at = row.try_get::<Option<i64>, _>("ended")?.map(to_system);
    if let Some(value) = row.try_get::<Option<Vec<u8>>, _>("progress")? {
        let number: i64 = row.try_get("progress_number")?;
        record.progress = Some(JobProgress::new(count(row.try_get("progress_attempt")?), number.unsigned_abs(), value));
    }
    record.output = row.try_get("output")?;
    let failure: Option<String> = row.try_get("failure")?;
    record.failure = failure.map(|json| serde_json::from_str(&json)).transpose().map_err(undecodable)?;
    Ok(record)
}

/// What a row says of a job as it was taken in.
pub(super) struct About {
    pub(super) id: Uuid,
    /// Nothing for a job that somebody else put into the engine.
    pub(super) spec: Option<String>,
    pub(super) payload: Option<String>,
    pub(super) raw: Option<Vec<u8>>,
    pub(super) kind: String,
    pub(super) level: i16,
    pub(super) max_attempts: i64,
}

impl About {
    pub(super) fn job(self) -> Result<NewJob, sqlx::Error> {
        let payload = self.raw.unwrap_or_else(|| self.payload.unwrap_or_default().into_bytes());
        if let Some(spec) = self.spec {
            let job = books::read(spec.as_bytes()).map_err(undecodable)?;
            return Ok(NewJob { id: TaskId::from_uuid(self.id), kind: self.kind.into(), payload, ..job });
        }
        let mut job = NewJob::new(self.kind, payload);
        job.id = TaskId::from_uuid(self.id);
        job.max_attempts = u32::try_from(self.max_attempts).unwrap_or(25);
        job.priority = match self.level {
            0 => Priority::Low,
            1 => Priority::Normal,
            2 => Priority::High,
            _ => Priority::Critical,
        };
        Ok(job)
    }
}

fn undecodable(error: serde_json::Error) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

pub(super) const fn number(state: JobState) -> i16 {
    match state {
        JobState::Pending => 0,
        JobState::Running => 1,
        JobState::Completed => 2,
        JobState::Failed => 3,
        JobState::Cancelled => 4,
    }
}

pub(super) const fn state(number: i16) -> JobState {
    match number {
        0 => JobState::Pending,
        1 => JobState::Running,
        2 => JobState::Completed,
        3 => JobState::Failed,
        _ => JobState::Cancelled,
    }
}
