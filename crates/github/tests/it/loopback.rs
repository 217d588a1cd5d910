//! The real transport, over HTTP on the loopback, against a server that commits and then misbehaves.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bedplate_github::{GitHub, GitHubError, IssueQuery, NewIssue, ReqwestTransport, TransportErrorKind};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::issues;

#[derive(Clone, Default)]
struct Server {
    issues: Arc<Mutex<Vec<Value>>>,
    /// What happens after a create was committed.
    fault: Arc<Mutex<Fault>>,
}

#[derive(Clone, Copy, Default)]
enum Fault {
    #[default]
    None,
    BadGateway,
    Reset,
}

async fn create(State(server): State<Server>, axum::Json(sent): axum::Json<Value>) -> Response {
    let mut issues = server.issues.lock();
    let issue = json!({"number": issues.len() + 1, "title": sent["title"], "state": "open"});
    issues.push(issue.clone());
    drop(issues);
    let fault = *server.fault.lock();
    match fault {
        Fault::None => (StatusCode::CREATED, axum::Json(issue)).into_response(),
        Fault::BadGateway => StatusCode::BAD_GATEWAY.into_response(),
        // A handler that panics closes its connection without an answer.
        Fault::Reset => panic!("the connection ends here, on purpose"),
    }
}

async fn list(State(server): State<Server>) -> Response {
    axum::Json(server.issues.lock().clone()).into_response()
}

async fn one(State(server): State<Server>, Path((_, _, number)): Path<(String, String, usize)>) -> Response {
    match server.issues.lock().get(number.wrapping_sub(1)) {
        Some(issue) => axum::Json(issue.clone()).into_response(),
        None => (StatusCode::NOT_FOUND, axum::Json(json!({"message": "Not Found"}))).into_response(),
    }
}

async fn serve() -> (Server, String) {
    let server = Server::default();
    let routes = Router::new()
        .route("/repos/{owner}/{repo}/issues", get(list).post(create))
        .route("/repos/{owner}/{repo}/issues/{number}", get(one))
        .with_state(server.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(tokio::spawn(async move { axum::serve(listener, routes).await }));
    (server, address)
}

fn client(address: &str) -> GitHub {
    GitHub::builder(ReqwestTransport::new().unwrap())
        .base_url(address)
        .backoff(std::time::Duration::from_millis(1))
        .build()
        .unwrap()
}

#[tokio::test]
async fn issues_are_created_listed_and_read() {
    let (_, address) = serve().await;
    let issues = issues(&client(&address));
    assert_eq!(issues.create(NewIssue::new("first")).await.unwrap().number, 1);
    assert_eq!(issues.create(NewIssue::new("zweites")).await.unwrap().title, "zweites");
    assert_eq!(issues.list(&IssueQuery::new()).await.unwrap().issues.len(), 2);
    assert_eq!(issues.get(2).await.unwrap().title, "zweites");
    assert!(matches!(issues.get(3).await.unwrap_err(), GitHubError::NotFound(_)));
}

#[tokio::test]
async fn a_server_that_commits_and_fails_holds_one_issue_and_no_more() {
    for fault in [Fault::BadGateway, Fault::Reset] {
        let (server, address) = serve().await;
        let issues = issues(&client(&address));
        *server.fault.lock() = fault;
        let error = issues.create(NewIssue::new("once")).await.unwrap_err();
        assert!(error.is_outcome_unknown(), "{error:?}");
        // The caller looks before it leaps, and finds it.
        let found = issues.list(&IssueQuery::new()).await.unwrap().issues;
        assert_eq!(found.iter().map(|issue| issue.title.as_str()).collect::<Vec<_>>(), ["once"]);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_was_not_asked() {
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = issues(&client(&address)).create(NewIssue::new("t")).await.unwrap_err();
    let GitHubError::Transport(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), TransportErrorKind::NotSent);
}

#[tokio::test]
async fn an_endless_answer_is_given_up() {
    let (server, address) = serve().await;
    server.issues.lock().push(json!({"number": 1, "title": "x".repeat(10_000)}));
    let transport = ReqwestTransport::new().unwrap().max_response_bytes(1_000);
    let github = GitHub::builder(transport).base_url(address).build().unwrap();
    let error = issues(&github).get(1).await.unwrap_err();
    let GitHubError::Transport(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), TransportErrorKind::TooLarge);
}
