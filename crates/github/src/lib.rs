#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod call;
mod client;
mod config;
mod error;
mod issues;
mod link;
mod observer;
mod rate_limit;
mod repo;
#[cfg(feature = "reqwest")]
mod reqwest_transport;
mod stats;
mod target;
mod token;
mod transport;

pub use client::{GitHub, GitHubBuilder};
pub use config::{ConfigError, GitHubConfig};
pub use error::{FieldError, GitHubError, Outcome, Rejection};
pub use issues::{
    Direction, Issue, IssueList, IssueQuery, IssueSort, IssueState, Issues, Label, Milestone, NewIssue, StateFilter,
    User,
};
pub use observer::{GitHubEvent, Observer};
pub use rate_limit::{RateLimit, RateLimitKind};
pub use repo::{Repo, RepoName};
#[cfg(feature = "reqwest")]
pub use reqwest_transport::ReqwestTransport;
pub use stats::GitHubStats;
pub use token::{StaticToken, Token, TokenError, TokenSource};
pub use transport::{Request, Response, Transport, TransportError, TransportErrorKind};

/// Compiles the blocks of the guide; a packaged crate has no such file, `cfg(doctest)` keeps it out.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/src/guides/github.md")]
struct Guide;
