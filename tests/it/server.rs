//! The HTTP surface, through a real client and a real socket.

use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::Ordering;

use bedplate::media::Modality;
use bedplate::{Bedplate, ProcessorError};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::support::{Scripted, asset, done, serve};

#[tokio::test(flavor = "multi_thread")]
async fn content_goes_in_and_what_it_contains_comes_out() {
    let system = Bedplate::builder().build().await.unwrap();
    let base = serve(system.clone()).await;
    let client = Client::new();
    let post = || {
        client
            .post(format!("{base}/v1/process?file_name=china.jpg"))
            .header("x-user-id", "ada")
            .body(asset("china.jpg"))
    };
    let response = post().send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["id"], id);
    assert_eq!(answer["cache"], "miss");
    assert_eq!(answer["output"]["value"]["modality"], Modality::Image.as_str());
    assert_eq!(answer["output"]["value"]["width"], 640);
    let again: Value = post().send().await.unwrap().json().await.unwrap();
    assert_eq!(again["cache"], "hit");
    assert_eq!(again["output"], answer["output"]);

    let asked: Value = client
        .post(format!("{base}/v1/process"))
        .json(&json!({"text": "The governor closes the throttle.", "question": "What closes the throttle?"}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(asked["output"]["value"]["text"], "The governor closes the throttle.");
    assert_eq!(system.counters().succeeded, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_a_problem_document() {
    let system = Bedplate::builder().build().await.unwrap();
    let limit = system.settings().limits;
    let base = serve(system).await;
    let client = Client::new();
    let cases = [
        ("/v1/process", b"".to_vec(), StatusCode::BAD_REQUEST, "body is empty"),
        ("/v1/process?modality=hologram", b"x".to_vec(), StatusCode::BAD_REQUEST, "modality is \"hologram\""),
        ("/v1/process?modalty=text", b"x".to_vec(), StatusCode::BAD_REQUEST, "unknown field `modalty`"),
        ("/v1/process", vec![0xde, 0xad, 0xbe, 0xef], StatusCode::UNSUPPORTED_MEDIA_TYPE, "not recognized"),
        ("/v1/process?modality=text", vec![b'a'; 5 << 20], StatusCode::PAYLOAD_TOO_LARGE, "at most"),
        ("/nowhere", b"x".to_vec(), StatusCode::NOT_FOUND, "no such route"),
    ];
    for (path, body, status, detail) in cases {
        let response = client.post(format!("{base}{path}")).body(body).send().await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["status"], status.as_u16());
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{path}: {problem}");
    }
    let wrong_json = client.post(format!("{base}/v1/process")).json(&json!({"txt": "x"})).send().await.unwrap();
    assert_eq!(wrong_json.status(), StatusCode::BAD_REQUEST);

    let most = Modality::ALL.map(|modality| limit.max_bytes(modality)).into_iter().max().unwrap();
    let oversized = vec![0; usize::try_from(most).unwrap() + 2];
    // The server may close the connection before all of it is sent; an answer, where one comes, must be 413.
    if let Ok(response) = client.post(format!("{base}/v1/process")).body(oversized).send().await {
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert_eq!(client.get(format!("{base}/health")).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_and_the_state_page_show_the_system() {
    let processor = Scripted::new(|_| Err(ProcessorError::transient("<script>alert(1)</script>")));
    let system = Bedplate::builder()
        .processor(processor)
        .configure(|settings| {
            settings.recovery.attempts = 1;
            settings.recovery.breaker_minimum_calls = 1;
        })
        .build()
        .await
        .unwrap();
    let base = serve(system.clone()).await;
    let client = Client::new();
    client.post(format!("{base}/v1/process")).body("some text").send().await.unwrap();
    system.health().check_all_now().await.unwrap();

    let health: Value = client.get(format!("{base}/health")).send().await.unwrap().json().await.unwrap();
    assert_eq!(health["status"], "DEGRADED");
    assert_eq!(health["components"]["recovery"]["reason"], "not calling scripted");

    let metrics = client.get(format!("{base}/metrics")).send().await.unwrap();
    assert!(metrics.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let metrics = metrics.text().await.unwrap();
    for line in [
        "bedplate_requests_total{status=\"degraded\"} 1",
        "bedplate_breakers_open 1",
        "bedplate_health_status{component=\"recovery\"} 1",
        "operation_requests_total{operation=\"process text\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is missing in:\n{metrics}");
    }

    // As Prometheus asks.
    let accept = "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let open = client.get(format!("{base}/metrics")).header("accept", accept).send().await.unwrap();
    let media = open.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(media.starts_with("application/openmetrics-text; version=1.0.0"), "{media}");
    assert!(open.text().await.unwrap().ends_with("# EOF\n"));

    let page = client.get(&base).send().await.unwrap();
    assert!(page.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    let page = page.text().await.unwrap();
    assert!(page.contains("<title>bedplate: DEGRADED</title>"));
    assert!(page.contains("not calling scripted") && page.contains("recovery.attempts") && page.contains("code"));
    assert!(!page.contains("<script"), "nothing from outside becomes markup");

    system.shutdown(std::time::Duration::from_secs(5)).await;
    let late = client.post(format!("{base}/v1/process")).body("late").send().await.unwrap();
    assert_eq!(late.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// A builder whose router takes bodies of up to 64 KiB, and eight of those at once.
fn small() -> bedplate::BedplateBuilder {
    Bedplate::builder().configure(|settings| {
        let limits = &mut settings.limits;
        (limits.text.max_bytes, limits.image.max_bytes) = (64 * 1024, 64 * 1024);
        (limits.audio.max_bytes, limits.video.max_bytes) = (64 * 1024, 64 * 1024);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn senders_who_stall_keep_nobody_out() {
    let base = serve(small().build().await.unwrap()).await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut sender = TcpStream::connect(base.strip_prefix("http://").unwrap()).unwrap();
        sender.write_all(b"POST /v1/process HTTP/1.1\r\nhost: it\r\ncontent-length: 65536\r\n\r\n").unwrap();
        stalled.push(sender);
    }
    for index in 0..20 {
        // Without a delay the first answers may come before the stalled requests are read.
        tokio::task::yield_now().await;
        let response =
            Client::new().post(format!("{base}/v1/process")).body(format!("text {index}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_takes_room_as_long_as_it_is_worked_on_even_for_nobody() {
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let processor = Scripted::new(move |_| {
        // Ends when the test says so.
        let _released = gate.lock().unwrap().recv();
        done()
    });
    let calls = processor.calls();
    let system = small().processor(processor).build().await.unwrap();
    let base = serve(system.clone()).await;
    for index in 0..8_u32 {
        let url = format!("{base}/v1/process");
        let body = format!("{index}{}", " text".repeat(12_000));
        let sending = match index % 2 {
            0 => Client::new().post(url).body(body).send(),
            _ => Client::new().post(url).json(&json!({ "text": body })).send(),
        };
        let caller = tokio::spawn(sending);
        while calls.load(Ordering::SeqCst) == 0 || u64::from(index) >= system.cache_stats().loads {
            tokio::task::yield_now().await;
        }
        caller.abort();
    }
    while system.counters().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    let refused = Client::new().post(format!("{base}/v1/process")).body("one more").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);

    drop(release);
    while system.tasks().stats().running > 0 {
        tokio::task::yield_now().await;
    }
    let taken = Client::new().post(format!("{base}/v1/process")).body("one more").send().await.unwrap();
    assert_eq!(taken.status(), StatusCode::OK);
}
