//! The client against a server on the loopback interface that answers, fails and stalls as real ones do.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bedplate_models::{Model as _, ModelError, OpenAiCompatible, Prompt};

type Seen = Arc<Mutex<Vec<(Option<String>, String)>>>;

async fn serve(answer: fn() -> Response) -> (SocketAddr, Seen) {
    let seen = Seen::default();
    let requests = Arc::clone(&seen);
    let handler = move |headers: HeaderMap, body: String| async move {
        let key = headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
        requests.lock().unwrap().push((key, body));
        answer()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/v1/chat/completions", post(handler));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, seen)
}

fn model(address: SocketAddr) -> OpenAiCompatible {
    OpenAiCompatible::builder(format!("http://{address}/v1/"), "tiny")
        .api_key("secret-key")
        .timeout(Duration::from_secs(5))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_prompt_goes_out_whole_and_its_answer_comes_back() {
    let (address, seen) = serve(|| {
        r#"{"model":"tiny","choices":[{"message":{"content":"Four."},"finish_reason":"stop"}],
            "usage":{"prompt_tokens":5,"completion_tokens":2}}"#
            .into_response()
    })
    .await;
    let prompt = Prompt::new("1+1?")
        .then("2", "2+2?")
        .instructions("Be brief.")
        .context("Sums.")
        .max_output_tokens(7)
        .temperature(0.5);
    let answer = model(address).generate(&prompt).await.unwrap();
    assert_eq!(answer.text, "Four.");

    let (key, body) = seen.lock().unwrap().pop().unwrap();
    assert_eq!(key.as_deref(), Some("Bearer secret-key"));
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "model": "tiny", "max_tokens": 7, "temperature": 0.5,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Answer from these texts:\n\nSums."},
            {"role": "user", "content": "1+1?"},
            {"role": "assistant", "content": "2"},
            {"role": "user", "content": "2+2?"},
        ],
    });
    assert_eq!(body, expected);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let (address, _) =
        serve(|| (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "7")], "slow down").into_response()).await;
    let error = model(address).generate(&Prompt::new("?")).await.unwrap_err();
    assert!(matches!(error, ModelError::RateLimited { .. }));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    assert!(error.is_transient());

    let (address, _) = serve(|| (StatusCode::SERVICE_UNAVAILABLE, "").into_response()).await;
    let error = model(address).generate(&Prompt::new("?")).await.unwrap_err();
    assert!(matches!(error, ModelError::Provider { status: 503, retry_after: None }));
    assert!(error.is_transient());

    let (address, _) = serve(|| (StatusCode::UNAUTHORIZED, "secret-key is wrong").into_response()).await;
    let error = model(address).generate(&Prompt::new("?")).await.unwrap_err();
    assert!(matches!(error, ModelError::Unauthorized { status: 401 }));
    assert!(!error.to_string().contains("secret-key"));

    let (address, _) =
        serve(|| (StatusCode::NOT_FOUND, r#"{"error":{"message":"no model tiny"}}"#).into_response()).await;
    let error = model(address).generate(&Prompt::new("?")).await.unwrap_err();
    assert_eq!(error.to_string(), "the provider refused the request with status 404: no model tiny");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_network_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = model(address).generate(&Prompt::new("?")).await.unwrap_err();
    assert!(matches!(error, ModelError::Network { .. }));
    assert!(error.is_transient());
}

#[tokio::test]
async fn a_server_that_stalls_is_given_up() {
    // It accepts, and never answers.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let after = Duration::from_millis(50);
    let model = OpenAiCompatible::builder(format!("http://{address}/v1"), "tiny").timeout(after).build().unwrap();
    let error = model.generate(&Prompt::new("?")).await.unwrap_err();
    assert!(matches!(error, ModelError::TimedOut { after: given } if given == after));
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    let (address, _) = serve(|| vec![b' '; 4096].into_response()).await;
    let model =
        OpenAiCompatible::builder(format!("http://{address}/v1"), "tiny").max_answer_bytes(1024).build().unwrap();
    let error = model.generate(&Prompt::new("?")).await.unwrap_err();
    assert!(matches!(error, ModelError::Malformed { missing: "end within max_answer_bytes", .. }));
}

#[test]
fn settings_that_cannot_be_are_named() {
    let field = |builder: bedplate_models::OpenAiCompatibleBuilder| builder.build().unwrap_err().field;
    let fine = || OpenAiCompatible::builder("http://127.0.0.1:1/v1", "tiny");
    assert_eq!(field(OpenAiCompatible::builder("ftp://example.org", "tiny")), "openai.base_url");
    assert_eq!(field(OpenAiCompatible::builder("not an address", "tiny")), "openai.base_url");
    assert_eq!(field(OpenAiCompatible::builder("http://127.0.0.1:1/v1", " ")), "openai.model");
    assert_eq!(field(fine().timeout(Duration::ZERO)), "openai.timeout");
    assert_eq!(field(fine().max_answer_bytes(1)), "openai.max_answer_bytes");
}

#[test]
fn the_key_is_never_shown() {
    let builder = OpenAiCompatible::builder("http://127.0.0.1:1/v1", "tiny").api_key("secret-key");
    assert!(!format!("{builder:?}").contains("secret-key"));
    assert!(!format!("{:?}", builder.build().unwrap()).contains("secret-key"));
}
