//! Whatever is wrong with a request is a typed error that names the field and what would be right; the system stays up and
//! the request is recorded as failed.

use std::time::Duration;

use bedplate::storage::Status;
use bedplate::{Bedplate, BuildError, ErrorKind, Request};
use bytes::Bytes;

use crate::support::{asset, record};

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_named_and_recorded_and_the_system_stays_up() {
    let system = Bedplate::builder().build().await.unwrap();
    let long = "x".repeat(300);
    let many = (0..40).fold(Request::text("t"), |request, index| request.parameter(format!("p{index}"), index));
    let cases = [
        (
            Request::new("text").modality_name("hologram"),
            ErrorKind::InvalidRequest,
            "modality is \"hologram\", expected one of: text, image, audio, video",
        ),
        (Request::new(Bytes::new()), ErrorKind::InvalidRequest, "body is empty"),
        (Request::text("t").tenant(""), ErrorKind::InvalidRequest, "tenant"),
        (Request::text("t").tenant("a b"), ErrorKind::InvalidRequest, "tenant has characters other than"),
        (Request::text("t").user(&*long), ErrorKind::InvalidRequest, "user"),
        (Request::text("t").session(""), ErrorKind::InvalidRequest, "session"),
        (Request::text("t").file_name(&*long), ErrorKind::InvalidRequest, "file_name"),
        (Request::text("t").ask(""), ErrorKind::InvalidRequest, "question has 0 bytes, expected 1 to 16384"),
        (Request::text("t").deadline(Duration::ZERO), ErrorKind::InvalidRequest, "deadline is zero"),
        (many, ErrorKind::InvalidRequest, "parameters"),
        (Request::new(asset("china.jpg")).file_name("song.mp3"), ErrorKind::InvalidRequest, "file_name says audio"),
        (Request::audio(asset("china.jpg")), ErrorKind::InvalidRequest, "modality says audio"),
        (Request::text("t").modality_name("image"), ErrorKind::InvalidRequest, "modality says image"),
        (Request::new(vec![0, 159, 146, 150]).modality_name("text"), ErrorKind::InvalidRequest, "UTF-8 at byte"),
        (Request::new(vec![0xde, 0xad, 0xbe, 0xef]), ErrorKind::Unsupported, "not recognized"),
        (Request::text("a".repeat(5 << 20)), ErrorKind::TooLarge, "expected at most"),
        (Request::new(bomb()), ErrorKind::TooLarge, "60000"),
        (Request::new(zero_boxes()), ErrorKind::InvalidRequest, ""),
        (Request::new(asset("china.jpg").slice(..400)), ErrorKind::InvalidRequest, ""),
    ];
    for (request, kind, message) in cases {
        let shown = format!("{request:?}");
        let error = system.process(request).await.expect_err(&shown);
        assert_eq!(error.kind(), kind, "{shown}: {error}");
        assert!(error.message().contains(message), "{shown}: {error}");
        assert!(!error.is_transient(), "{shown}");
        let record = record(&system, error.id).await;
        assert_eq!((record.status, record.quality), (Status::Failed, 0.0));
        assert_eq!(record.error_kind.as_deref(), Some(kind.as_str()));
        assert_eq!(record.error, Some(error.message()));
    }
    system.process(Request::text("still up")).await.unwrap();
    let counters = system.counters();
    assert_eq!(
        (counters.succeeded, counters.failed, counters.retries),
        (1, 19, 0),
        "the caller's fault is not retried"
    );
    let total = system.telemetry().metrics().total;
    assert_eq!((total.requests, total.errors), (20, 0), "the caller's fault is no error of an operation");
    assert!(system.shutdown(Duration::from_secs(10)).await.is_clean());
}

/// A whole PNG, with right checksums, that claims to be 60,000 pixels square.
fn bomb() -> Vec<u8> {
    let hex = "89504e470d0a1a0a0000000d494844520000ea600000ea60080600000080d275420000000c49444154789c6360a03d00000064000186643c350000000049454e44ae426082";
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    hex.as_bytes().chunks(2).map(byte).collect()
}

/// An MP4 whose boxes after the first have no size.
fn zero_boxes() -> Vec<u8> {
    let mut mp4 = b"\0\0\0\x18ftypisom\0\0\x02\0isommp41\0\0\0\x20moov".to_vec();
    mp4.resize(4_096, 0);
    mp4
}

#[tokio::test(flavor = "multi_thread")]
async fn truncated_files_answer_or_fail_and_never_hang() {
    let system = Bedplate::builder().build().await.unwrap();
    for name in ["china.jpg", "complete.oga", "bigbuckbunny.mp4"] {
        let whole = asset(name);
        for part in 1..8 {
            let content = whole.slice(..whole.len() * part / 8);
            let processing = system.process(Request::new(content));
            let ended = tokio::time::timeout(Duration::from_mins(1), processing).await.expect("it ends");
            if let Err(error) = ended {
                assert_eq!(error.kind(), ErrorKind::InvalidRequest, "{name} cut to {part}/8: {error}");
            }
        }
    }
}

async fn refused(builder: bedplate::BedplateBuilder) -> String {
    let error = builder.build().await.unwrap_err();
    let mut message = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        message = format!("{message}: {cause}");
        source = cause.source();
    }
    message
}

#[tokio::test]
async fn contradictory_settings_are_refused_by_name() {
    let configured = |text: &str| Bedplate::builder().config_text("it.toml", text);
    let cases = [
        ("[workers]\nworkers = 0", "workers.workers is 0, expected 1 to 500"),
        (
            "[recovery]\nattempt_timeout = \"2m\"",
            "recovery.attempt_timeout is 120s, expected at most recovery.total_timeout, which is 60s",
        ),
        ("[recovery]\nbreaker_failure_rate = 0.0", "recovery.breaker_failure_rate is 0, expected above 0.0 to 1.0"),
        ("[cache]\nttl = \"0s\"", "cache.ttl is 0ns"),
        ("[cache]\nttl = 5", "cache.ttl of file it.toml is wrong"),
        ("[cache]\nmax_byte = 5", "unknown field `max_byte`, expected `max_bytes` or `ttl`"),
        ("[cachee]\nttl = \"5s\"", "unknown field `cachee`"),
        ("[cache", "file it.toml cannot be read"),
        ("[health]\ninterval = \"1ms\"", "health.interval is 1ms, expected 10ms to"),
        ("[limits.image]\nmax_width = 0", "limits cannot be set up: "),
    ];
    for (text, expected) in cases {
        let message = refused(configured(text)).await;
        assert!(message.contains(expected), "{text:?}: {message}");
    }
    let missing = refused(Bedplate::builder().config_file("no/such/file.toml")).await;
    assert!(missing.starts_with("file no/such/file.toml cannot be read"), "{missing}");

    let twice = Bedplate::builder()
        .database("it.db")
        .store(std::sync::Arc::new(bedplate::storage::MemoryStore::new()))
        .build()
        .await;
    assert!(matches!(twice, Err(BuildError::Invalid { field, .. }) if field == "database"));
}

#[tokio::test]
async fn what_is_recorded_of_a_wrong_request_is_bounded() {
    let system = Bedplate::builder().build().await.unwrap();
    let long = "ü".repeat(1 << 20);
    let request = Request::text("t").tenant(&*long).user(&*long).session(&*long).modality_name(&*long);
    let error = system.process(request).await.unwrap_err();
    assert!(error.to_string().len() < 1_000);
    let record = record(&system, error.id).await;
    for recorded in [&record.tenant, record.user.as_ref().unwrap(), record.session.as_ref().unwrap(), &record.modality]
    {
        assert_eq!(recorded.len(), 128);
    }
}
