//! The way of one request: validate, cache, task pool, processor or model, record.

use std::sync::Arc;
use std::time::Duration;

use bedplate_cache::{LoadContext, LoadError, Source as CacheSource};
use bedplate_media::Format;
use bedplate_models::Prompt;
use bedplate_recovery::Answer;
use bedplate_storage::{Interaction, Status, Timestamp};
use bedplate_tasks::{SubmitError, Task, TaskError};
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use crate::error::{Cause, Unanswered};
use crate::lifecycle::Unrecorded;
use crate::processed::Answered;
use crate::settings::Overflow;
use crate::system::System;
use crate::validate::validate;
use crate::{CacheOutcome, ErrorKind, Input, Output, ProcessError, Processed, Request};

/// Which way a request takes, with everything that is needed on it.
enum Work {
    Process { route: usize, input: Input },
    Ask { prompt: Prompt },
}

impl System {
    pub(crate) async fn process(self: &Arc<Self>, request: Request) -> Result<Processed, ProcessError> {
        let span = tracing::info_span!(
            "process",
            request_id = %request.id,
            user_id = request.user.as_deref().map(short),
            session_id = request.session.as_deref().map(short),
            tenant = short(&request.tenant),
        );
        let system = Arc::clone(self);
        Box::pin(async move { system.accounted(request).await }.instrument(span)).await
    }

    /// Answers a request, and counts, logs and records how it ended, even if the caller gives up waiting.
    async fn accounted(self: Arc<Self>, request: Request) -> Result<Processed, ProcessError> {
        let begun = Instant::now();
        let mut interaction = Interaction::new(request.id, modality_of(&request), Timestamp::now());
        interaction.tenant = short(&request.tenant).to_owned();
        interaction.user = request.user.as_deref().map(short).map(str::to_owned);
        interaction.session = request.session.as_deref().map(short).map(str::to_owned);
        interaction.content_bytes = request.content.len() as u64;
        let mut unrecorded = Unrecorded::new(Arc::clone(&self), interaction, begun);

        let answer = match request.deadline {
            None => self.answered(&request, &mut unrecorded.interaction).await,
            Some(limit) => timeout(limit, self.answered(&request, &mut unrecorded.interaction))
                .await
                .unwrap_or_else(|_| Err(Arc::new(Cause::TimedOut { after: limit }.into()))),
        };
        let result = match answer {
            Ok((format, answered, cache)) => Ok(Processed {
                id: request.id,
                format,
                attempts: if cache == CacheOutcome::Hit { 0 } else { answered.attempts },
                output: Arc::clone(&answered.output),
                served_by: Arc::clone(&answered.served_by),
                quality: answered.quality,
                cache,
                took: begun.elapsed(),
            }),
            Err(unanswered) => Err(ProcessError { id: request.id, unanswered }),
        };
        unrecorded.ended(&result);
        unrecorded.record().await;
        result
    }

    /// Fills in the record as far as the request gets.
    async fn answered(
        self: &Arc<Self>,
        request: &Request,
        interaction: &mut Interaction,
    ) -> Result<(Format, Arc<Answered>, CacheOutcome), Arc<Unanswered>> {
        if self.is_closed() {
            return Err(Arc::new(Cause::ShuttingDown.into()));
        }
        let checked = tracing::info_span!("validate").in_scope(|| validate(request, &self.settings().limits));
        let format = checked.map_err(Unanswered::from)?;
        format.modality().as_str().clone_into(&mut interaction.modality);
        let (identity, work) = self.work(request, format).map_err(Unanswered::from)?;
        interaction.processor.clone_from(&identity);
        let hash = hash(request).await;
        interaction.content_hash.clone_from(&hash);

        let key = cache_key(request, format, &hash, &identity);
        let system = Arc::clone(self);
        let load = async move |cx: LoadContext| system.load(work, &cx).await.map(Arc::new);
        let lookup = self.cache.get_or_load(key, load).instrument(tracing::info_span!("cache"));
        match lookup.await {
            Ok(fetched) => {
                let (answered, source) = fetched.into_parts();
                let cache = match source {
                    CacheSource::Fresh => CacheOutcome::Hit,
                    CacheSource::Coalesced => CacheOutcome::Coalesced,
                    _ => CacheOutcome::Miss,
                };
                interaction.cache = cache;
                Ok((format, answered, cache))
            }
            Err(error) => {
                interaction.cache = CacheOutcome::Miss;
                Err(match error {
                    LoadError::Loader(unanswered) => unanswered,
                    LoadError::Panicked { message, .. } => {
                        Arc::new(Cause::Panicked { message: message.to_string() }.into())
                    }
                    _ => Arc::new(Cause::ShuttingDown.into()),
                })
            }
        }
    }

    /// Decides which way the request takes, and names who is to answer it.
    fn work(&self, request: &Request, format: Format) -> Result<(String, Work), Cause> {
        if let Some(question) = &request.question {
            let text = String::from_utf8_lossy(&request.content);
            let prompt = Prompt::new(question).context(text);
            return Ok((self.models.identity().to_owned(), Work::Ask { prompt }));
        }
        let modality = format.modality();
        let found = self.routes.iter().enumerate().find(|(_, route)| route.processor.modality() == modality);
        let (route, identity) =
            found.map(|(index, route)| (index, route.identity())).ok_or(Cause::NoProcessor { modality })?;
        let input = Input { content: request.content.clone(), format, parameters: request.parameters.clone() };
        Ok((identity, Work::Process { route, input }))
    }

    /// Takes what the cache does not hold through the task pool.
    async fn load(self: Arc<Self>, work: Work, cx: &LoadContext) -> Result<Answered, Unanswered> {
        let system = Arc::clone(&self);
        let kind = match &work {
            Work::Process { input, .. } => input.format.modality().as_str(),
            Work::Ask { .. } => "ask",
        };
        let task = Task::new(kind, move |_| async move { system.run(work).await });
        let submitted = match self.settings().workers.overflow {
            Overflow::Reject => self.pool.try_submit(task),
            Overflow::Wait => {
                let limit = self.settings().recovery.total_timeout;
                let waited = timeout(limit, self.pool.submit(task)).await;
                waited.map_err(|_| self.overloaded(Some(limit)))?
            }
        };
        let handle = submitted.map_err(|error| match error {
            SubmitError::Full { retry_after, .. } => self.overloaded(retry_after),
            _ => Cause::ShuttingDown,
        })?;
        let answer = handle.await.map_err(|error| match error {
            TaskError::Failed(unanswered) => unanswered,
            TaskError::Panicked { message } => Cause::Panicked { message }.into(),
            TaskError::TimedOut { after } => Cause::TimedOut { after }.into(),
            _ => Cause::ShuttingDown.into(),
        })?;
        if answer.is_degraded() {
            cx.do_not_store();
        }
        Ok(Answered {
            weight: serde_json::to_vec(&answer.value).map_or(u64::MAX, |json| json.len() as u64),
            quality: answer.quality.get(),
            attempts: answer.attempts,
            served_by: answer.source,
            output: Arc::new(answer.value),
        })
    }

    async fn run(&self, work: Work) -> Result<Answer<Output>, Unanswered> {
        match work {
            Work::Ask { prompt } => self.models.answer(&prompt).await,
            Work::Process { route, input } => match self.routes.get(route) {
                Some(route) => route.answer(input).await,
                None => Err(Cause::ShuttingDown.into()),
            },
        }
    }

    fn overloaded(&self, retry_after: Option<Duration>) -> Cause {
        Cause::Overloaded { queued: self.pool.stats().queued, retry_after }
    }
}

impl Unrecorded {
    /// Notes, counts and logs how the request ended.
    fn ended(&mut self, result: &Result<Processed, ProcessError>) {
        let record = &mut self.interaction;
        record.duration = self.begun.elapsed();
        match result {
            Ok(processed) => {
                record.status = if processed.is_degraded() { Status::Degraded } else { Status::Succeeded };
                record.served_by = Some(processed.served_by.to_string());
                record.attempts = processed.attempts;
                record.quality = processed.quality;
                tracing::info!(
                    modality = record.modality,
                    cache = record.cache.as_str(),
                    served_by = &*processed.served_by,
                    quality = processed.quality,
                    attempts = processed.attempts,
                    duration_ms = record.duration.as_secs_f64() * 1e3,
                    "request processed"
                );
            }
            Err(error) => {
                record.attempts = error.unanswered.attempts;
                self.failed(error.kind(), &error.message());
            }
        }
    }

    /// Notes and logs that the request has no answer.
    pub(crate) fn failed(&mut self, kind: ErrorKind, message: &str) {
        self.at_fault = !matches!(kind, ErrorKind::InvalidRequest | ErrorKind::TooLarge | ErrorKind::Unsupported);
        let record = &mut self.interaction;
        record.duration = self.begun.elapsed();
        record.status = Status::Failed;
        record.quality = 0.0;
        record.error_kind = Some(kind.as_str().to_owned());
        record.error = Some(message.to_owned());
        if kind == ErrorKind::Failed {
            tracing::error!(modality = record.modality, kind = kind.as_str(), error = message, "request failed");
        } else {
            tracing::warn!(modality = record.modality, kind = kind.as_str(), error = message, "request refused");
        }
    }
}

/// What the caller says the content is, until the content is looked at.
fn modality_of(request: &Request) -> &str {
    short(request.modality.as_deref().unwrap_or("unknown"))
}

/// The beginning of a text that nobody has checked yet: as long as a valid id may be.
fn short(text: &str) -> &str {
    text.get(..text.floor_char_boundary(128)).unwrap_or_default()
}

/// Hashes the content with BLAKE3; large content off the threads of the runtime, which it would hold for milliseconds.
async fn hash(request: &Request) -> String {
    const LARGE: usize = 1 << 20;
    let content = request.content.clone();
    if content.len() < LARGE {
        return blake3::hash(&content).to_hex().to_string();
    }
    let hashing = tokio::task::spawn_blocking(move || blake3::hash(&content).to_hex().to_string());
    hashing.await.unwrap_or_else(|_| blake3::hash(&request.content).to_hex().to_string())
}

/// Everything the answer depends on. The parts are separated by a character that none but the last may contain.
fn cache_key(request: &Request, format: Format, hash: &str, identity: &str) -> String {
    let parameters = serde_json::to_string(&request.parameters).unwrap_or_default();
    let question = request.question.as_deref().unwrap_or_default();
    let asked = blake3::hash(format!("{parameters}\n{question}").as_bytes());
    format!("{}\n{format:?}\n{hash}\n{}\n{identity}", request.tenant, asked.to_hex())
}
