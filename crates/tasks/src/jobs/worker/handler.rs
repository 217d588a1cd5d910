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
use crate::store::{Failure, FailureKind, Settlement};

/// The code of one kind, whatever its types.
pub(crate) trait Handler: Send + Sync {
    /// Does the work of one attempt and says how its claim ends.
    fn run(&self, codec: Arc<dyn Codec>, run: Arc<RunState>) -> Pin<Box<dyn Future<Output = Settlement> + Send>>;

    /// How an attempt ends that failed in a way of which the work itself knows nothing.
    fn retry(&self, run: &RunState, failure: Failure) -> Settlement;
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
    fn run(&self, codec: Arc<dyn Codec>, run: Arc<RunState>) -> Pin<Box<dyn Future<Output = Settlement> + Send>> {
        let (state, backoff, max_output) = (self.state.clone(), self.backoff, self.max_output);
        Box::pin(async move {
            let job: J = match decode_payload(&*codec, &run.job) {
                Ok(job) => job,
                Err(message) => {
                    let failure = Failure::new(FailureKind::Undecodable, message);
                    return Settlement::Retry { failure, after: Self::delay(&backoff, run.attempt) };
                }
            };
            drop(codec);
            match job.run(JobContext::new(Arc::clone(&run), state)).await {
                Ok(output) => completed(&output, max_output),
                Err(error) => match run.stopped() {
                    Some(Stop::Cancelled(reason)) => Settlement::Cancelled(reason.clone()),
                    Some(Stop::Shutdown | Stop::LeaseLost) => Settlement::Returned,
                    _ => Self::failed(&error, &run, &backoff),
                },
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
            Decision::RetryIn(after) => Settlement::Retry { failure, after },
            Decision::Snooze(after) => Settlement::Snoozed(after),
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
