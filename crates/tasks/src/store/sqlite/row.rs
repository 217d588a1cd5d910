use std::sync::Arc;

use rusqlite::Row;
use rusqlite::types::Type;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::id::TaskId;
use crate::store::error::StoreError;
use crate::store::new_job::NewJob;
use crate::store::record::{JobProgress, JobRecord, JobState};
use crate::store::sqlite::clock::to_system;
use crate::store::sqlite::connection::NAME;

/// The columns that [`record`] reads, in its order.
pub(super) const RECORD: &str = "id, spec, payload, state, attempts, worker, cancel, waiting_for, enqueued, due, started, \
    ended, progress, progress_attempt, progress_number, output, failure";

pub(super) fn record(row: &Row<'_>) -> rusqlite::Result<JobRecord> {
    let job = job(row, 1)?;
    let mut record = JobRecord::pending(Arc::new(job), to_system(row.get(8)?), to_system(row.get(9)?));
    record.state = state(row.get(3)?);
    record.attempts = row.get(4)?;
    record.worker = row.get(5)?;
    record.cancel = row.get(6)?;
    record.waiting_for = row.get(7)?;
    record.started_at = row.get::<_, Option<i64>>(10)?.map(to_system);
    record.ended_at = row.get::<_, Option<i64>>(11)?.map(to_system);
    if let Some(value) = row.get::<_, Option<Vec<u8>>>(12)? {
        record.progress = Some(JobProgress::new(row.get(13)?, row.get::<_, i64>(14)?.unsigned_abs(), value));
    }
    record.output = row.get(15)?;
    let failure: Option<Vec<u8>> = row.get(16)?;
    record.failure = failure.map(|json| json_of(16, &json)).transpose()?;
    Ok(record)
}

/// The job as it was taken in, from its specification and the payload in the column after it.
pub(super) fn job(row: &Row<'_>, column: usize) -> rusqlite::Result<NewJob> {
    let mut job: NewJob = json_of(column, row.get_ref(column)?.as_blob()?)?;
    job.payload = row.get(column + 1)?;
    Ok(job)
}

fn json_of<T: DeserializeOwned>(column: usize, json: &[u8]) -> rusqlite::Result<T> {
    serde_json::from_slice(json)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error)))
}

/// The job without its payload, which has a column of its own.
pub(super) fn spec(job: &NewJob) -> Result<Vec<u8>, StoreError> {
    let bare = NewJob { payload: Vec::new(), ..job.clone() };
    serde_json::to_vec(&bare).map_err(|error| StoreError::backend(NAME, false, error))
}

pub(super) const fn id(id: &TaskId) -> [u8; 16] {
    *id.as_uuid().as_bytes()
}

pub(super) const fn task_id(bytes: [u8; 16]) -> TaskId {
    TaskId::from_uuid(Uuid::from_bytes(bytes))
}

pub(super) const fn number(state: JobState) -> i64 {
    match state {
        JobState::Pending => 0,
        JobState::Running => 1,
        JobState::Completed => 2,
        JobState::Failed => 3,
        JobState::Cancelled => 4,
    }
}

pub(super) const fn state(number: i64) -> JobState {
    match number {
        0 => JobState::Pending,
        1 => JobState::Running,
        2 => JobState::Completed,
        3 => JobState::Failed,
        _ => JobState::Cancelled,
    }
}
