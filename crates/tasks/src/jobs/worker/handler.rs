use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bedplate_recovery::{Backoff, SeededRandom};

use crate::job::{Codec, Decision, Job, JobContext, RunState, Stop, decode_payload, encode_json};
use crate::jobs::error::StartError;
use crate::store::{Failure, FailureKind, LONGEST_DELAY, Settlement};

/// How the work of an attempt ended by itself.
pub(crate) enum Attempted {
    /// So.
    Ended(Settlement),
    /// Since it was told to.
    Stopped,
}

/// The work of an attempt.
pub(crate) type Work = Pin<Box<dyn Future<Output = Attempted> + Send>>;

/// The code of one kind, whatever its types.
pub(crate) trait Handler: Send + Sync {
    /// Does the work of one attempt and says how its claim ends.
    fn run(&self, codec: Arc<dyn Codec>, run: Arc<RunState>) -> Work;

    /// How an attempt ends that failed in a way of which the work itself knows nothing.
    fn retry(&self, run: &RunState, failure: Failure) -> Settlement;

    /// How an attempt ends that was told to stop and did not complete.
    fn stopped(&self, run: &RunState, why: &Stop) -> Settlement {
        match why {
            Stop::Cancelled(reason) => Settlement::Cancelled(reason.clone()),
            Stop::Shutdown | Stop::LeaseLost => Settlement::Returned,
            Stop::DeadlineExceeded => {
                Settlement::Failed(Failure::new(FailureKind::DeadlineExceeded, "the deadline was over before the work"))
            }
            Stop::TimedOut => {
                let limit = run.job.timeout.unwrap_or_default();
                self.retry(run, Failure::new(FailureKind::TimedOut, format!("did not end within {limit:?}")))
            }
        }
    }
}

pub(crate) type Handlers = HashMap<&'static str, Arc<dyn Handler>>;

/// What the application gave to be shared, by type.
pub(crate) type States = HashMap<TypeId, Box<dyn Any + Send + Sync>>;

pub(crate) struct HandlerOf<J: Job> {
    state: J::State,
    backoff: Backoff,
    max_output: usize,
    kind: PhantomData<fn(J)>,
}

impl<J: Job> HandlerOf<J> {
    pub(crate) fn with(states: &States) -> Result<Arc<dyn Handler>, StartError> {
        let state = states.get(&TypeId::of::<J::State>()).and_then(|state| state.downcast_ref::<J::State>());
        let missing = || StartError::MissingState { kind: J::KIND, state: type_name::<J::State>() };
        let state = state.ok_or_else(missing)?.clone();
        let options = J::options();
        Ok(Arc::new(Self { state, backoff: options.backoff, max_output: options.max_output, kind: PhantomData }))
    }

    fn delay(backoff: &Backoff, attempt: u32) -> Duration {
        backoff.delay(attempt.saturating_sub(1), SeededRandom::new(fastrand::u64(..)))
    }
}

impl<J: Job> Handler for HandlerOf<J> {
    fn run(&self, codec: Arc<dyn Codec>, run: Arc<RunState>) -> Work {
        let (state, backoff, max_output) = (self.state.clone(), self.backoff, self.max_output);
        Box::pin(async move {
            let job: J = match decode_payload(&*codec, &run.job) {
                Ok(job) => job,
                Err(message) => {
                    let failure = Failure::new(FailureKind::Undecodable, message);
                    return Attempted::Ended(Settlement::Retry { failure, after: Self::delay(&backoff, run.attempt) });
                }
            };
            drop(codec);
            match job.run(JobContext::new(Arc::clone(&run), state)).await {
                Ok(output) => Attempted::Ended(completed(&output, max_output)),
                // That it stopped when it was told to is not its failure.
                Err(_) if run.stopped().is_some() => Attempted::Stopped,
                Err(error) => Attempted::Ended(Self::failed(&error, &run, &backoff)),
            }
        })
    }

    fn retry(&self, run: &RunState, failure: Failure) -> Settlement {
        Settlement::Retry { failure, after: Self::delay(&self.backoff, run.attempt) }
    }
}

impl<J: Job> HandlerOf<J> {
    fn failed(error: &J::Error, run: &RunState, backoff: &Backoff) -> Settlement {
        let mut failure = Failure::new(FailureKind::Error, error.to_string());
        // An error that is no JSON still has its text.
        failure.error = encode_json(error).ok();
        match J::on_error(error, &run.attempt()) {
            Decision::Retry => Settlement::Retry { failure, after: Self::delay(backoff, run.attempt) },
            Decision::RetryIn(after) => Settlement::Retry { failure, after: after.min(LONGEST_DELAY) },
            Decision::Snooze(after) => Settlement::Snoozed(after.min(LONGEST_DELAY)),
            Decision::Discard => Settlement::Failed(failure),
            Decision::Cancel => Settlement::Cancelled(failure.message),
        }
    }
}

fn completed<T: serde::Serialize>(output: &T, most: usize) -> Settlement {
    // The work is done: trying it again would give the same again.
    let refused = |message: String| Settlement::Failed(Failure::new(FailureKind::ResultTooLarge, message));
    match encode_json(output) {
        Ok(json) if json.len() <= most => Settlement::Completed(json),
        Ok(json) => refused(format!("the result has {} bytes, expected at most {most}", json.len())),
        Err(error) => Settlement::Failed(Failure::new(FailureKind::Error, format!("the result is no JSON: {error}"))),
    }
}
