#![expect(clippy::panic, clippy::missing_panics_doc, reason = "panicking is how a check fails")]

use crate::job::{Job, decode_payload};
use crate::jobs::Jobs;
use crate::store::JobQuery;

/// Returns the jobs of this kind that the store knows, in the order of their ids, which is that of their submission.
///
/// It panics if the store fails or one has arguments of another form.
pub async fn submitted<J: Job>(jobs: &Jobs) -> Vec<J> {
    let mut query = JobQuery::new().kind(J::KIND).limit(1_000);
    let mut all = Vec::new();
    loop {
        let page = match jobs.find(&query).await {
            Ok(page) => page,
            Err(error) => panic!("the store cannot list its jobs: {error}"),
        };
        let Some(last) = page.last() else { return all };
        query = query.after(last.job.id);
        for record in &page {
            match decode_payload(jobs.codec(), &record.job) {
                Ok(job) => all.push(job),
                Err(message) => panic!("job {} is of another form: {message}", record.job.id),
            }
        }
    }
}

/// Panics unless a job of this kind was submitted, one for which the condition holds if there is one; for async tests.
#[macro_export]
macro_rules! assert_submitted {
    ($jobs:expr, $job:ty) => {
        $crate::assert_submitted!($jobs, $job, |_| true)
    };
    ($jobs:expr, $job:ty, $condition:expr) => {{
        let submitted: Vec<$job> = $crate::testing::submitted(&$jobs).await;
        let condition: fn(&$job) -> bool = $condition;
        assert!(
            submitted.iter().any(condition),
            "expected a job {} with {}, {} were submitted and none has it",
            <$job as $crate::Job>::KIND,
            stringify!($condition),
            submitted.len(),
        );
    }};
}

/// Panics if a job of this kind was submitted for which the condition holds, or any if there is no condition; for async
/// tests.
#[macro_export]
macro_rules! refute_submitted {
    ($jobs:expr, $job:ty) => {
        $crate::refute_submitted!($jobs, $job, |_| true)
    };
    ($jobs:expr, $job:ty, $condition:expr) => {{
        let submitted: Vec<$job> = $crate::testing::submitted(&$jobs).await;
        let condition: fn(&$job) -> bool = $condition;
        let found = submitted.iter().filter(|job| condition(*job)).count();
        assert!(
            found == 0,
            "expected no job {} with {}, {found} of {} have it",
            <$job as $crate::Job>::KIND,
            stringify!($condition),
            submitted.len(),
        );
    }};
}
