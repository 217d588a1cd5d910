//! The GitHub client by itself, against a server within this process that keeps what it was sent and then answers 502.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::Response;
use bedplate_github::{GitHub, GitHubError, IssueQuery, NewIssue, Request, Token};

/// What the fake server holds: the titles of its issues, and how many requests it saw.
#[derive(Default)]
struct Server {
    titles: Vec<String>,
    requests: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = Arc::new(Mutex::new(Server::default()));
    let behind = Arc::clone(&server);
    let github = GitHub::builder(move |request: Request| {
        let mut server = behind.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(server.answer(&request))
    })
    .token(Token::new("ghp_example")?)
    .build()?;
    let issues = github.repo("octo", "weather")?.issues();

    let first = issues.create(NewIssue::new("It rains").label("bug")).await?;
    println!("created:   #{} {}", first.number, first.title);

    // The server creates the issue and fails to say so. A client that repeats would make a second one.
    let Err(error) = issues.create(NewIssue::new("It hails, 502")).await else {
        return Err("502 is no success".into());
    };
    println!("uncertain: {error}");
    let list = issues.list(&IssueQuery::new()).await?;
    let found = list.issues.iter().filter(|issue| issue.title.starts_with("It hails")).count();
    println!("looked up: {found} of it, of {} issues", list.issues.len());

    let Err(missing) = issues.get(99).await else {
        return Err("there is no issue 99".into());
    };
    println!("missing:   {missing}");
    println!("limit:     {:?} left", github.rate_limit().map(|limit| limit.remaining));

    let requests = server.lock().unwrap_or_else(PoisonError::into_inner).requests;
    println!("requests:  {requests}, by the client's count {}", github.stats().requests);
    let right =
        error.is_outcome_unknown() && found == 1 && matches!(missing, GitHubError::NotFound(_)) && requests == 4;
    if right { Ok(()) } else { Err("the client did not do what it should".into()) }
}

impl Server {
    fn answer(&mut self, request: &Request) -> bedplate_github::Response {
        self.requests += 1;
        let last = request.uri().path().rsplit('/').next().unwrap_or_default();
        let (status, body) = match (request.method().as_str(), last.parse::<usize>()) {
            ("POST", _) => {
                let body = String::from_utf8_lossy(request.body()).into_owned();
                let title = body.split('"').nth(3).unwrap_or_default().to_owned();
                self.titles.push(title.clone());
                let status = if title.ends_with("502") { 502 } else { 201 };
                (status, issue(self.titles.len(), &title))
            }
            (_, Ok(number)) => match self.titles.get(number.wrapping_sub(1)) {
                Some(title) => (200, issue(number, title)),
                None => (404, r#"{"message": "Not Found"}"#.to_owned()),
            },
            _ => {
                let issues = self.titles.iter().enumerate();
                let issues: Vec<_> = issues.map(|(index, title)| issue(index + 1, title)).collect();
                (200, format!("[{}]", issues.join(",")))
            }
        };
        let mut answer = Response::new(body.into());
        *answer.status_mut() = axum::http::StatusCode::from_u16(status).unwrap_or_default();
        let left = (5_000 - self.requests).into();
        answer.headers_mut().insert("x-ratelimit-limit", 5_000.into());
        answer.headers_mut().insert("x-ratelimit-remaining", left);
        answer.headers_mut().insert("x-ratelimit-reset", 1_800_000_000.into());
        answer
    }
}

fn issue(number: usize, title: &str) -> String {
    format!(r#"{{"number": {number}, "title": "{title}", "state": "open"}}"#)
}
