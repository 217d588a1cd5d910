//! Real requests through every part.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bedplate::media::{Modality, Report};
use bedplate::observability::{Logs, Observability};
use bedplate::storage::{InteractionQuery, Status};
use bedplate::{Bedplate, CacheOutcome, ErrorKind, Output, Request};

use crate::support::{Scripted, asset, done, record};

#[tokio::test(flavor = "multi_thread")]
async fn each_modality_is_processed_cached_and_recorded_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let system = Bedplate::builder().database(folder.path().join("it.db")).build().await.unwrap();
    let files = [
        ("bedplate.txt", Modality::Text),
        ("china.jpg", Modality::Image),
        ("complete.oga", Modality::Audio),
        ("bigbuckbunny.mp4", Modality::Video),
    ];
    for (name, modality) in files {
        let request = || Request::new(asset(name)).file_name(name).user("ada").session("s-1");
        let first = system.process(request()).await.unwrap();
        assert_eq!(first.output.report().map(Report::modality), Some(modality));
        assert_eq!((first.cache, first.attempts, first.quality), (CacheOutcome::Miss, 1, 1.0));

        let again = system.process(request()).await.unwrap();
        assert_eq!((again.cache, again.attempts), (CacheOutcome::Hit, 0));
        assert_eq!(again.output, first.output);
        assert_ne!(again.id, first.id);

        let record = record(&system, first.id).await;
        assert_eq!(record.modality, modality.as_str());
        assert_eq!(record.status, Status::Succeeded);
        assert_eq!((record.user.as_deref(), record.session.as_deref()), (Some("ada"), Some("s-1")));
        assert_eq!(record.content_bytes, asset(name).len() as u64);
        assert_eq!(record.content_hash.len(), 64);
        assert!(record.duration > Duration::ZERO);
    }
    let counts = system.store().interaction_counts().await.unwrap();
    assert_eq!((counts.succeeded, counts.total()), (8, 8));
    assert_eq!(system.telemetry().metrics().operations["process image"].requests, 2);
    assert!(system.shutdown(Duration::from_secs(10)).await.is_clean());
}

#[tokio::test]
async fn whatever_the_answer_depends_on_is_part_of_the_cache_key() {
    let processor = Scripted::new(|_| done());
    let calls = processor.calls();
    let system = Bedplate::builder().processor(processor).build().await.unwrap();
    let base = || Request::text("one text");
    let variants = [
        base(),
        Request::text("another text"),
        base().tenant("acme"),
        base().parameter("detail", 1),
        base().parameter("detail", 2),
        base().parameter("detail", "2"),
    ];
    for (index, variant) in (1..).zip(&variants) {
        assert_eq!(system.process(variant.clone()).await.unwrap().cache, CacheOutcome::Miss);
        assert_eq!(calls.load(Ordering::SeqCst), index);
    }
    for variant in variants {
        assert_eq!(system.process(variant).await.unwrap().cache, CacheOutcome::Hit);
    }
    // Who asks, and under which file name, changes nothing.
    let same = base().user("ada").session("s").file_name("a.txt");
    assert_eq!(system.process(same).await.unwrap().cache, CacheOutcome::Hit);
    system.clear_cache();
    assert_eq!(system.process(base()).await.unwrap().cache, CacheOutcome::Miss);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_the_same_share_one_call() {
    let processor = Scripted::new(|_| {
        std::thread::yield_now();
        done()
    });
    let calls = processor.calls();
    let system = Bedplate::builder().processor(processor).build().await.unwrap();
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let system = system.clone();
        requests.spawn(async move { system.process(Request::text("the same")).await });
    }
    while let Some(done) = requests.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    system.flush_records().await;
    assert_eq!(system.store().interaction_counts().await.unwrap().total(), 100, "each is recorded by itself");
}

#[tokio::test]
async fn a_question_about_a_text_is_answered_by_the_models() {
    let system = Bedplate::builder().build().await.unwrap();
    let request =
        Request::text("The bedplate is cast. The governor closes the throttle.").ask("What closes the throttle?");
    let answer = system.process(request.clone()).await.unwrap();
    let Output::Completion(completion) = &*answer.output else { panic!("{:?}", answer.output) };
    assert_eq!(completion.text, "The governor closes the throttle.");
    assert_eq!(&*answer.served_by, "extractive@1");
    assert!(!answer.is_degraded());
    assert_eq!(system.process(request).await.unwrap().cache, CacheOutcome::Hit);

    let about_a_picture = system.process(Request::image(asset("china.jpg")).ask("what?")).await.unwrap_err();
    assert_eq!(about_a_picture.kind(), ErrorKind::InvalidRequest);
    assert!(about_a_picture.message().starts_with("question is asked of image content"));
}

/// A log that the test reads.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn every_log_line_of_a_request_carries_its_id_in_one_trace() {
    let kept = Kept::default();
    let logs = Logs::json().filter("info").writer(kept.clone());
    // For the whole process, since the pools' tasks and threads are outside of any scope; other tests' lines have other ids.
    let telemetry = Observability::builder("it").logs(logs).install().unwrap();
    let processor = Scripted::new(|_| {
        tracing::info!("deep inside");
        done()
    });
    let request = Request::text("some text").user("u-1").session("s-1");
    let id = request.id().to_string();
    let system = Bedplate::builder().processor(processor).telemetry(telemetry.clone()).build().await.unwrap();
    system.process(request).await.unwrap();
    assert!(system.shutdown(Duration::from_secs(5)).await.is_clean());
    assert!(telemetry.shutdown(Duration::from_secs(5)).flushed);

    let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_request: Vec<_> = lines.iter().filter(|line| line["request_id"] == *id).collect();
    let messages: Vec<&str> = of_request.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages, ["deep inside", "request processed"], "{text}");
    assert_eq!(of_request[0]["trace_id"], of_request[1]["trace_id"], "one tree");
    assert!(of_request.iter().all(|line| line["user_id"] == "u-1" && line["session_id"] == "s-1"));
    assert_eq!(of_request[0]["attempt"], 1, "the processor runs inside the attempt's span");
}

#[tokio::test]
async fn failed_requests_can_be_found_in_the_record() {
    let system = Bedplate::builder().build().await.unwrap();
    system.process(Request::text("fine")).await.unwrap();
    let error = system.process(Request::audio(asset("china.jpg")).file_name("song.mp3")).await.unwrap_err();
    system.flush_records().await;
    let failures = system.store().interactions(&InteractionQuery::newest(10).status(Status::Failed)).await.unwrap();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].id, error.id);
    assert_eq!(failures[0].error_kind.as_deref(), Some("invalid_request"));
}
