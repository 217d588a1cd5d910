#![expect(clippy::panic, reason = "panicking is how a check fails")]

use crate::id::TaskId;
use crate::job::{Job, decode_payload, encode_json};
use crate::jobs::Jobs;
use crate::store::JobQuery;

/// Returns the jobs of this kind that the store knows, in the order of their ids, which is that of their submission.
///
/// It panics if the store fails or one has arguments of another form.
pub async fn submitted<J: Job>(jobs: &Jobs) -> Vec<J> {
    Check::of(jobs).await.0.into_iter().map(|(_, job)| job).collect()
}

/// What the macros look at.
#[doc(hidden)]
#[derive(Debug)]
pub struct Check<J>(Vec<(TaskId, J)>);

impl<J: Job> Check<J> {
    #[doc(hidden)]
    pub async fn of(jobs: &Jobs) -> Self {
        let mut query = JobQuery::new().kind(J::KIND).limit(1_000);
        let mut all = Vec::new();
        loop {
            let page = match jobs.find(&query).await {
                Ok(page) => page,
                Err(error) => panic!("the store cannot list its jobs: {error}"),
            };
            let Some(last) = page.last() else { return Self(all) };
            query = query.after(last.job.id);
            for record in &page {
                match decode_payload(jobs.codec(), &record.job) {
                    Ok(job) => all.push((record.job.id, job)),
                    Err(message) => panic!("job {} is of another form: {message}", record.job.id),
                }
            }
        }
    }

    /// What is wrong if the condition holds for none.
    #[doc(hidden)]
    #[must_use]
    pub fn none(&self, text: &str, condition: impl Fn(&J) -> bool) -> Option<String> {
        if self.0.iter().any(|(_, job)| condition(job)) {
            return None;
        }
        let (kind, number) = (J::KIND, self.0.len());
        let list = list(&self.0.iter().collect::<Vec<_>>());
        Some(format!("expected a job {kind} with {text}, {number} were submitted and none has it{list}"))
    }

    /// What is wrong if the condition holds for one.
    #[doc(hidden)]
    #[must_use]
    pub fn some(&self, text: &str, condition: impl Fn(&J) -> bool) -> Option<String> {
        let found: Vec<&(TaskId, J)> = self.0.iter().filter(|(_, job)| condition(job)).collect();
        if found.is_empty() {
            return None;
        }
        let (kind, number, all) = (J::KIND, found.len(), self.0.len());
        let list = list(&found);
        Some(format!("expected no job {kind} with {text}, {number} of {all} have it{list}"))
    }
}

/// How many jobs a failed check shows, and how many characters of each one's arguments.
const SHOWN: usize = 10;
const LONGEST: usize = 200;

/// The first few, a line each: id and arguments.
fn list<J: Job>(jobs: &[&(TaskId, J)]) -> String {
    let more = jobs.len().saturating_sub(SHOWN);
    let line = |(id, job): &&(TaskId, J)| {
        let json = encode_json(job).unwrap_or_default();
        let json = String::from_utf8_lossy(&json);
        match json.char_indices().nth(LONGEST).and_then(|(end, _)| json.get(..end)) {
            Some(cut) => format!("\n  {id} {cut}…"),
            None => format!("\n  {id} {json}"),
        }
    };
    let text: String = jobs.iter().take(SHOWN).map(line).collect();
    let rest = if more > 0 { format!("\n  and {more} more") } else { String::new() };
    text + &rest
}

/// Panics unless a job of this kind was submitted, one for which the condition holds if there is one; for async tests.
///
/// The condition is an `impl Fn(&J) -> bool` and may use what is around it. The panic shows the jobs of the kind that
/// were submitted, up to ten, with their ids and the beginning of their arguments.
#[macro_export]
macro_rules! assert_submitted {
    ($jobs:expr, $job:ty) => {
        $crate::assert_submitted!($jobs, $job, |_| true)
    };
    ($jobs:expr, $job:ty, $condition:expr) => {{
        let wrong = $crate::testing::Check::<$job>::of(&$jobs).await.none(stringify!($condition), $condition);
        assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
    }};
}

/// Panics if a job of this kind was submitted for which the condition holds, or any if there is no condition; for async
/// tests.
///
/// The condition is an `impl Fn(&J) -> bool` and may use what is around it. The panic shows the jobs for which it holds,
/// up to ten, with their ids and the beginning of their arguments.
#[macro_export]
macro_rules! refute_submitted {
    ($jobs:expr, $job:ty) => {
        $crate::refute_submitted!($jobs, $job, |_| true)
    };
    ($jobs:expr, $job:ty, $condition:expr) => {{
        let wrong = $crate::testing::Check::<$job>::of(&$jobs).await.some(stringify!($condition), $condition);
        assert!(wrong.is_none(), "{}", wrong.unwrap_or_default());
    }};
}
