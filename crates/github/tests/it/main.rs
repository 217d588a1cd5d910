//! The public API of `bedplate-github`.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test reports by panicking")]

mod issues;
mod limits;
#[cfg(feature = "reqwest")]
mod loopback;
mod recorded;
mod secrets;
mod writes;

use std::collections::VecDeque;
use std::sync::Arc;

use bedplate_github::{GitHub, GitHubBuilder, Issues, Request, Response, TransportError, TransportErrorKind};
use parking_lot::Mutex;

/// Answers by a script, and keeps what it was asked.
#[derive(Clone, Default)]
struct Fake {
    answers: Arc<Mutex<VecDeque<Result<Response, TransportErrorKind>>>>,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Fake {
    fn new() -> Self {
        Self::default()
    }

    fn answer(self, status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        let mut answer = http::Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        self.answers.lock().push_back(Ok(answer.body(body.to_owned().into()).unwrap()));
        self
    }

    fn fail(self, kind: TransportErrorKind) -> Self {
        self.answers.lock().push_back(Err(kind));
        self
    }

    fn builder(&self) -> GitHubBuilder {
        let fake = self.clone();
        GitHub::builder(move |request: Request| {
            fake.asked.lock().push(request);
            let answer = fake.answers.lock().pop_front();
            let Some(answer) = answer else { panic!("one request too many: {:?}", fake.asked.lock().last()) };
            answer.map_err(TransportError::new)
        })
    }

    fn issues(&self) -> Issues {
        issues(&self.builder().build().unwrap())
    }

    fn asked(&self) -> usize {
        self.asked.lock().len()
    }

    fn uris(&self) -> Vec<String> {
        self.asked.lock().iter().map(|request| request.uri().to_string()).collect()
    }
}

fn issues(github: &GitHub) -> Issues {
    github.repo("octo", "hello").unwrap().issues()
}
