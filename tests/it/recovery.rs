//! What happens when a processor or model fails.

use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bedplate::media::Modality;
use bedplate::models::{Completion, Model, ModelError, ModelId, Prompt};
use bedplate::recovery::Quality;
use bedplate::storage::Status;
use bedplate::{
    Bedplate, BedplateBuilder, CacheOutcome, DegradedAnswers, ErrorKind, Input, Output, Processor, ProcessorError,
    Request,
};

use crate::support::{Scripted, asset, done, record};

fn quick(builder: BedplateBuilder) -> BedplateBuilder {
    builder.configure(|settings| {
        settings.recovery.backoff = Duration::from_millis(1);
        settings.recovery.attempts = 3;
    })
}

#[tokio::test]
async fn a_passing_failure_is_retried() {
    let processor = Scripted::new(|call| if call < 2 { Err(ProcessorError::transient("restarting")) } else { done() });
    let system = quick(Bedplate::builder().processor(processor)).build().await.unwrap();
    let processed = system.process(Request::text("t")).await.unwrap();
    assert_eq!((processed.attempts, processed.quality), (3, 1.0));
    assert_eq!(system.counters().retries, 2);
    assert_eq!(record(&system, processed.id).await.attempts, 3);
}

#[tokio::test]
async fn a_lasting_failure_is_answered_by_the_degraded_form_which_is_marked_and_never_cached() {
    let processor = Scripted::new(|_| Err(ProcessorError::permanent("broken")));
    let calls = processor.calls();
    let system = quick(Bedplate::builder().processor(processor)).build().await.unwrap();
    let processed = system.process(Request::text("text")).await.unwrap();
    assert!(processed.is_degraded());
    assert_eq!(&*processed.served_by, "scripted (inspected)");
    assert_eq!(*processed.output, Output::Json(serde_json::json!({ "bytes": 4 })));
    assert_eq!(calls.load(Ordering::SeqCst), 1, "a lasting failure is not retried");
    assert_eq!(record(&system, processed.id).await.status, Status::Degraded);

    let again = system.process(Request::text("text")).await.unwrap();
    assert_eq!(again.cache, CacheOutcome::Miss);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(system.counters().degraded, 2);
}

#[tokio::test]
async fn where_degraded_answers_are_refused_the_failure_is_told() {
    let processor = Scripted::new(|_| Err(ProcessorError::permanent("broken")));
    let system = quick(Bedplate::builder().processor(processor))
        .configure(|settings| settings.recovery.degraded_answers = DegradedAnswers::Refuse)
        .build()
        .await
        .unwrap();
    let error = system.process(Request::text("t")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(error.message(), "the processor failed: broken");
    assert_eq!(system.telemetry().metrics().operations["process text"].errors, 1);
    assert_eq!(record(&system, error.id).await.attempts, 1, "a failed request was tried too");
}

#[tokio::test]
async fn a_panic_is_a_failure_of_one_request() {
    let processor = Scripted::new(|call| if call == 0 { panic!("on purpose") } else { done() });
    let system = quick(Bedplate::builder().processor(processor)).build().await.unwrap();
    assert!(system.process(Request::text("t")).await.unwrap().is_degraded());
    assert!(!system.process(Request::text("t")).await.unwrap().is_degraded());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_hangs_is_given_up_after_its_time() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let processor = Scripted::new(move |_| {
        // Ends when the test does.
        let _released = wait.lock().unwrap().recv();
        done()
    });
    let system = Bedplate::builder()
        .processor(processor)
        .configure(|settings| {
            settings.recovery.attempts = 1;
            settings.recovery.attempt_timeout = Duration::from_millis(50);
            settings.recovery.degraded_answers = DegradedAnswers::Refuse;
        })
        .build()
        .await
        .unwrap();
    let error = system.process(Request::text("t")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.is_transient());
    drop(release);
}

#[tokio::test]
async fn a_breaker_stops_the_calls_and_health_says_so() {
    let processor = Scripted::new(|_| Err(ProcessorError::transient("down")));
    let calls = processor.calls();
    let system = Bedplate::builder()
        .processor(processor)
        .configure(|settings| {
            settings.recovery.attempts = 1;
            settings.recovery.breaker_minimum_calls = 5;
            settings.recovery.degraded_answers = DegradedAnswers::Refuse;
        })
        .build()
        .await
        .unwrap();
    for index in 0..10 {
        let error = system.process(Request::text(format!("text {index}"))).await.unwrap_err();
        let expected = if index < 5 { ErrorKind::Failed } else { ErrorKind::Unavailable };
        assert_eq!(error.kind(), expected, "call {index}: {error}");
        assert_eq!(error.retry_after().is_some(), index >= 5);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 5);
    let health = system.health().check_all_now().await.unwrap();
    let recovery = health.component("recovery").unwrap();
    assert_eq!(recovery.reason.as_deref(), Some("not calling scripted"));
}

/// A model that always fails so.
#[derive(Debug)]
struct Failing(ModelId, fn() -> ModelError);

#[async_trait]
impl Model for Failing {
    fn id(&self) -> &ModelId {
        &self.0
    }

    async fn generate(&self, _: &Prompt) -> Result<Completion, ModelError> {
        Err((self.1)())
    }
}

#[tokio::test]
async fn where_the_models_fail_the_extractive_one_answers() {
    let down = Failing(ModelId::new("down"), || ModelError::Provider { status: 503, retry_after: None });
    let wrong = Failing(ModelId::new("wrong"), || ModelError::Unauthorized { status: 401 });
    let system =
        quick(Bedplate::builder().model(down).fallback_model(wrong, Quality::new(0.8).unwrap())).build().await.unwrap();
    let request = Request::text("The governor closes the throttle.").ask("What closes the throttle?");
    let answer = system.process(request).await.unwrap();
    assert_eq!(&*answer.served_by, "extractive@1");
    assert!(answer.is_degraded());
    assert_eq!(answer.to_string(), "The governor closes the throttle.");
    assert_eq!(system.counters().retries, 2, "only what may pass is retried");
    assert_eq!(answer.attempts, 5, "three, one and one");
    assert!((answer.quality - 0.3).abs() < 1e-9);
}

/// Analyses nothing until the channel closes, whatever its time limit.
struct DeafImages(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl Processor for DeafImages {
    fn name(&self) -> &'static str {
        "deaf"
    }

    fn version(&self) -> u32 {
        1
    }

    fn modality(&self) -> Modality {
        Modality::Image
    }

    fn process(&self, _: &Input) -> Result<Output, ProcessorError> {
        // Ends when the test does.
        let _released = self.0.lock().unwrap().recv();
        done()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_processor_that_hangs_takes_nobody_else_s_threads_or_time() {
    let (release, wait) = std::sync::mpsc::channel();
    let system = Bedplate::builder()
        .processor(DeafImages(std::sync::Mutex::new(wait)))
        .configure(|settings| {
            settings.workers.workers = 2;
            settings.recovery.attempts = 1;
            settings.recovery.attempt_timeout = Duration::from_millis(100);
            settings.recovery.total_timeout = Duration::from_millis(200);
        })
        .build()
        .await
        .unwrap();
    for index in 0..6 {
        let picture = Request::image(asset("china.jpg")).parameter("variant", index);
        let begun = tokio::time::Instant::now();
        let error = system.process(picture).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::Unavailable), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        let text = system.process(Request::text(format!("text {index}"))).await.unwrap();
        assert!(!text.is_degraded());
    }
    drop(release);
}
