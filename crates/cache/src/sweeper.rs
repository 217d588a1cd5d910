//! The task that drops what has expired.

use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::inner::{Inner, Setup};
use crate::load::panic_message;

/// Ends the task when it is dropped, which the cache does at its own end.
#[derive(Debug)]
pub(crate) struct Sweeper {
    task: AbortHandle,
}

impl Sweeper {
    /// Builds a cache that sweeps itself. The task holds the cache only while it sweeps, so it
    /// keeps nothing alive.
    pub(crate) fn attach<K, V>(setup: Setup<K, V>, runtime: &Handle, period: Duration) -> Arc<Inner<K, V>>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        Arc::new_cyclic(|inner: &Weak<Inner<K, V>>| {
            let task = runtime.spawn(sweep(Weak::clone(inner), period)).abort_handle();
            Inner::new(setup, Some(Self { task }))
        })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn sweep<K, V>(inner: Weak<Inner<K, V>>, period: Duration)
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first is at once, and may come before there is a cache to hold.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let Some(mut round) = inner.begin_sweep() else { continue };
        loop {
            // The user's `Drop` and observer run in here. What is swept is out of the shard by then,
            // and the round goes on with the next one.
            match catch_unwind(AssertUnwindSafe(|| inner.sweep_shard(&mut round))) {
                Ok(None) => break,
                Ok(Some(_)) => {}
                Err(panic) => {
                    let message = panic_message(&*panic);
                    tracing::error!(
                        target: "bedplate_cache",
                        cache = inner.name(),
                        %message,
                        "dropping an expired entry panicked"
                    );
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
