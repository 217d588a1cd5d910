//! `#[memoize]`.

mod async_functions;
mod elsewhere;
mod methods;
mod sync_functions;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use bedplate_cache::{Cache, LoadError, memoize};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{advance, sleep};

/// Counts the calls of one function.
struct Calls(AtomicU64);

impl Calls {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Broken {
    #[error("the origin is down")]
    Down,
    #[error("the cache: {0}")]
    Cache(String),
}

#[test]
fn what_cannot_be_memoized_is_said_so() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/memoize/*.rs");
}
