//! Ways to an answer: a processor, or the models, each with its recovery policies and fall-backs.

use std::sync::Arc;
use std::time::Duration;

use bedplate_models::{ExtractiveModel, Model, Prompt};
use bedplate_recovery::{
    Answer, CircuitBreaker, ErrorClass, Failure, Fallback, Identity, Pipeline, Quality, Retry, Source, Stack, Timeout,
};
use bedplate_tasks::{Task, TaskPool};
use tracing::Instrument as _;

use crate::attempt::AttemptError;
use crate::error::Unanswered;
use crate::settings::{BREAKER_WINDOW, DegradedAnswers, RecoverySettings};
use crate::{BuildError, Input, Output, Processor, ProcessorError};

/// Total time limit, retry, breaker: the outermost first.
type Guarded = Pipeline<Stack<Stack<Stack<Identity, Timeout>, Retry>, CircuitBreaker>>;
type RouteResult = Result<Answer<Output>, Unanswered>;

/// The quality of a processor's degraded output, which says what the content is and not what it contains.
const INSPECTED: f64 = 0.3;
/// The quality of an answer quoted by the extractive model where a configured model was asked.
const QUOTED: f64 = 0.3;

/// A processor behind its recovery policies.
pub(crate) struct ProcessorRoute {
    pub(crate) processor: Arc<dyn Processor>,
    pub(crate) guard: Guard,
    /// The threads of its attempts. Apart from the requests' pool, because a request that waited in its own pool for a
    /// worker would wait for itself; and its own, so that a processor that hangs takes no other's threads.
    pub(crate) threads: TaskPool,
}

/// The models behind their recovery policies: the first one that answers.
pub(crate) struct ModelRoute {
    models: Vec<(Arc<dyn Model>, Quality, Guard)>,
    identity: String,
}

/// The policies around one processor or model.
pub(crate) struct Guard {
    pipeline: Guarded,
    pub(crate) breaker: CircuitBreaker,
    attempt_timeout: Duration,
    degraded: DegradedAnswers,
}

impl Guard {
    pub(crate) fn new(name: &str, settings: &RecoverySettings) -> Result<Self, BuildError> {
        let failed = |error| BuildError::part("recovery", error);
        let breaker = CircuitBreaker::builder(name)
            .count_window(BREAKER_WINDOW)
            .failure_rate(settings.breaker_failure_rate)
            .minimum_calls(settings.breaker_minimum_calls)
            .open_for(settings.breaker_open_for)
            .build()
            .map_err(failed)?;
        let pipeline = Pipeline::builder(name)
            .timeout(settings.total_timeout)
            .retry(Retry::exponential(settings.backoff).max_attempts(settings.attempts))
            .breaker(breaker.clone())
            .build()
            .map_err(failed)?;
        Ok(Self { pipeline, breaker, attempt_timeout: settings.attempt_timeout, degraded: settings.degraded_answers })
    }

    pub(crate) fn retried(&self) -> u64 {
        self.pipeline.stats().retried
    }

    fn may_degrade(&self) -> bool {
        self.degraded == DegradedAnswers::Allow
    }
}

impl ProcessorRoute {
    /// Returns the processor's name and version, as `image@1`.
    pub(crate) fn identity(&self) -> String {
        format!("{}@{}", self.processor.name(), self.processor.version())
    }

    pub(crate) async fn answer(&self, input: Input) -> RouteResult {
        let name: Arc<str> = self.processor.name().into();
        let input = &input;
        // Boxed, as the policies around an attempt make a future too large for a worker's stack.
        let full = Box::pin(self.guard.pipeline.answer(Arc::clone(&name), |cx| {
            let span = tracing::info_span!("attempt", processor = &*name, attempt = cx.attempt());
            let processor = Arc::clone(&self.processor);
            let work = move |input: &Input| processor.process(input);
            self.on_thread(input.clone(), work).instrument(span)
        }));
        if !self.guard.may_degrade() {
            return Ok(full.await?);
        }
        let degraded = Source::new(format!("{name} (inspected)"), quality(INSPECTED));
        let fallback = Fallback::new();
        let chain = fallback.after(full).then(degraded, async |_| {
            let processor = Arc::clone(&self.processor);
            let none = || Err(ProcessorError::permanent("it has no degraded form"));
            let work = move |input: &Input| processor.degraded(input).unwrap_or_else(none);
            self.on_thread(input.clone(), work).await
        });
        Ok(chain.run().await?)
    }

    /// Runs blocking work on a thread for such work; waiting for a thread counts as part of the attempt.
    async fn on_thread(
        &self,
        input: Input,
        work: impl FnOnce(&Input) -> Result<Output, ProcessorError> + Send + 'static,
    ) -> Result<Output, AttemptError> {
        let limit = self.guard.attempt_timeout;
        let task = Task::blocking(self.processor.name().to_owned(), move |_| work(&input)).timeout(limit);
        let attempt = async {
            let handle = self.threads.submit(task).await.map_err(|_| AttemptError::CutOff)?;
            Ok(handle.cancel_on_drop().await?)
        };
        tokio::time::timeout(limit, attempt).await.unwrap_or(Err(AttemptError::TimedOut { after: limit }))
    }
}

impl ModelRoute {
    /// Chains the configured models, and the extractive one behind them.
    pub(crate) fn new(
        configured: Vec<(Arc<dyn Model>, Quality)>,
        settings: &RecoverySettings,
    ) -> Result<Self, BuildError> {
        let last = if configured.is_empty() { Quality::FULL } else { quality(QUOTED) };
        let extractive: Arc<dyn Model> = Arc::new(ExtractiveModel::new());
        let mut models = Vec::new();
        for (model, quality) in configured.into_iter().chain([(extractive, last)]) {
            let guard = Guard::new(model.id().as_str(), settings)?;
            models.push((model, quality, guard));
        }
        let names: Vec<&str> = models.iter().map(|(model, ..)| model.id().as_str()).collect();
        let identity = names.join("+");
        Ok(Self { models, identity })
    }

    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    pub(crate) fn guards(&self) -> impl Iterator<Item = &Guard> {
        self.models.iter().map(|(.., guard)| guard)
    }

    /// Asks one model after the other, until one answers or the fault is the caller's own.
    pub(crate) async fn answer(&self, prompt: &Prompt) -> RouteResult {
        let mut attempts = 0;
        let mut first: Option<Failure<AttemptError>> = None;
        for (model, quality, guard) in &self.models {
            if first.as_ref().is_some_and(|failure| !guard.may_degrade() || !may_fall_back(failure.class())) {
                break;
            }
            let name = model.id().as_str();
            // Boxed, as the attempts of a processor.
            let asked = Box::pin(guard.pipeline.answer(name, |cx| {
                let span = tracing::info_span!("attempt", model = name, attempt = cx.attempt());
                ask(&**model, prompt, guard.attempt_timeout).instrument(span)
            }));
            match asked.await {
                Ok(mut answer) => {
                    answer.attempts += attempts;
                    answer.quality = if first.is_some() { *quality } else { Quality::FULL };
                    return Ok(answer);
                }
                Err(failure) => {
                    attempts += failure.attempts();
                    first.get_or_insert(failure);
                }
            }
        }
        let none = || AttemptError::from(ProcessorError::permanent("there is no model")).into();
        Err(Unanswered { attempts, ..first.unwrap_or_else(none).into() })
    }
}

/// As [`Fallback`] has it: a wrong request must not look like a degraded success.
const fn may_fall_back(class: ErrorClass) -> bool {
    !matches!(class, ErrorClass::CallerFault | ErrorClass::Cancelled)
}

async fn ask(model: &dyn Model, prompt: &Prompt, limit: Duration) -> Result<Output, AttemptError> {
    match tokio::time::timeout(limit, model.generate(prompt)).await {
        Ok(completion) => Ok(Output::Completion(completion?)),
        Err(_) => Err(AttemptError::TimedOut { after: limit }),
    }
}

fn quality(value: f64) -> Quality {
    Quality::new(value).unwrap_or(Quality::NONE)
}
