//! What every store refuses alike.

use std::collections::HashSet;

use crate::id::TaskId;
use crate::store::claim::ClaimRequest;
use crate::store::error::{LONGEST_DELAY, StoreError};
use crate::store::limits::Rate;
use crate::store::new_job::{NewJob, Start};

/// The longest name of a kind, a queue or a key, in bytes.
const LONGEST_NAME: usize = 255;
const NAME: &str = "1 to 255 bytes without control characters";
/// The most attempts of one job.
const MOST_ATTEMPTS: u32 = 1_000_000;
/// The most jobs that one may wait for.
const MOST_DEPENDENCIES: usize = 1_000;

/// Checks what can be checked without looking into the store.
pub(crate) fn jobs(jobs: &[NewJob]) -> Result<(), StoreError> {
    jobs.iter().try_for_each(job)
}

fn job(job: &NewJob) -> Result<(), StoreError> {
    name("kind", &job.kind)?;
    name("queue", &job.queue)?;
    if job.max_attempts == 0 || job.max_attempts > MOST_ATTEMPTS {
        return Err(StoreError::invalid("max_attempts", job.max_attempts, "1 to 1,000,000"));
    }
    if let Start::In(delay) = job.start
        && delay > LONGEST_DELAY
    {
        return Err(StoreError::invalid("start", format_args!("in {delay:?}"), "at most ten years from now"));
    }
    if job.timeout.is_some_and(|limit| limit.is_zero()) {
        return Err(StoreError::invalid("timeout", "0s", "above zero, or none"));
    }
    if let Some(unique) = &job.unique {
        name("unique.key", &unique.key)?;
        if unique.within.is_some_and(|window| window > LONGEST_DELAY) {
            return Err(StoreError::invalid("unique.within", "longer", "at most ten years"));
        }
    }
    if let Some(limit) = &job.limit {
        name("limit.key", &limit.key)?;
        if limit.concurrency == Some(0) {
            return Err(StoreError::invalid("limit.concurrency", 0, "at least 1"));
        }
        rate("limit.rate", limit.rate)?;
    }
    if job.depends_on.len() > MOST_DEPENDENCIES {
        return Err(StoreError::invalid("depends_on", job.depends_on.len(), "at most 1000 jobs"));
    }
    if job.depends_on.contains(&job.id) {
        return Err(StoreError::invalid("depends_on", job.id, "other jobs than itself"));
    }
    let different: HashSet<TaskId> = job.depends_on.iter().copied().collect();
    if different.len() < job.depends_on.len() {
        return Err(StoreError::invalid("depends_on", "a list with repetitions", "each job once"));
    }
    Ok(())
}

/// Checks a worker's request.
pub(crate) fn claim(request: &ClaimRequest) -> Result<(), StoreError> {
    for queue in &request.queues {
        name("queue", &queue.queue)?;
        if queue.concurrency == Some(0) {
            return Err(StoreError::invalid("queue.concurrency", 0, "at least 1"));
        }
        rate("queue.rate", queue.rate)?;
    }
    if request.term.is_zero() {
        return Err(StoreError::invalid("term", "0s", "above zero"));
    }
    Ok(())
}

fn rate(field: &'static str, rate: Option<Rate>) -> Result<(), StoreError> {
    match rate {
        Some(rate) if rate.starts == 0 => Err(StoreError::invalid(field, "0 starts", "at least 1 start per window")),
        Some(rate) if rate.per.as_millis() == 0 => Err(StoreError::invalid(field, "0 ms", "a window of at least 1 ms")),
        Some(rate) if rate.per > LONGEST_DELAY => Err(StoreError::invalid(field, "longer", "at most ten years")),
        _ => Ok(()),
    }
}

fn name(field: &'static str, text: &str) -> Result<(), StoreError> {
    if text.is_empty() || text.len() > LONGEST_NAME || text.chars().any(char::is_control) {
        let shown: String = text.chars().take(32).collect();
        return Err(StoreError::invalid(field, format_args!("{shown:?}"), NAME));
    }
    Ok(())
}
