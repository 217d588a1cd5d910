use std::sync::Arc;

use async_trait::async_trait;
use bedplate_github::{
    GitHub, GitHubBuilder, GitHubError, GitHubEvent, Issues, NewIssue, Repo, StaticToken, Token, TokenError,
    TokenSource,
};
use parking_lot::Mutex;

use crate::{Fake, issues};

const CANARY: &str = "ghp_canary0123456789";

#[tokio::test]
async fn no_debug_and_no_error_shows_the_token() {
    let fake = Fake::new().answer(401, &[], r#"{"message": "Bad credentials"}"#);
    let token = Token::new(CANARY).unwrap();
    let mut shown = vec![format!("{token:?} {:?}", StaticToken::new(token.clone()))];
    let builder = fake.builder().token(token);
    shown.push(format!("{builder:?}"));
    let github = builder.build().unwrap();
    shown.push(format!("{github:?} {:?}", issues(&github)));
    let error = issues(&github).create(NewIssue::new("t")).await.unwrap_err();
    assert!(matches!(error, GitHubError::Unauthorized(_)));
    shown.push(format!("{error:?} {error} {:?}", fake.asked.lock()));
    shown.push(Token::new("ghp canary").unwrap_err().to_string());
    let shown = shown.concat();
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("Sensitive"), "the header is there: {shown}");
}

struct Broken;

#[async_trait]
impl TokenSource for Broken {
    async fn token(&self) -> Result<Token, TokenError> {
        Err(TokenError::new("the vault is sealed"))
    }
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_and_the_observer_hears_why() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    let fake = Fake::new();
    let github = fake
        .builder()
        .token_source(Broken)
        .observer(move |event: &GitHubEvent<'_>| {
            if let GitHubEvent::Failed { operation, error, .. } = event {
                log.lock().push((*operation, error.as_str()));
            }
        })
        .build()
        .unwrap();
    let error = issues(&github).create(NewIssue::new("t")).await.unwrap_err();
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "token could not be had: the vault is sealed");
    assert_eq!((fake.asked(), heard.lock().as_slice()), (0, [("issues.create", "token")].as_slice()));
}

#[test]
fn handles_and_futures_can_be_sent_and_shared() {
    fn shared<T: Send + Sync>() {}
    fn sent<T: Send>(_: &T) {}
    fn sendable<T: Send>() {}
    shared::<GitHub>();
    shared::<Repo>();
    shared::<Issues>();
    shared::<GitHubError>();
    sendable::<GitHubBuilder>();
    let issues = Fake::new().issues();
    sent(&issues.create(NewIssue::new("t")));
    sent(&issues.get(1));
    sent(&issues.list(&bedplate_github::IssueQuery::new()));
}
