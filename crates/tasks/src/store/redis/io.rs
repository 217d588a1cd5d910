//! The thread that drives the connections.
//!
//! Calls hop over to a runtime of the store's own, so that a runtime whose threads are all blocked by somebody's work
//! still answers the server and gives its signs of life in time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, ErrorKind, RedisError, Script, ServerErrorKind, Value};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, OnceCell, broadcast, oneshot};

use crate::store::error::StoreError;
use crate::store::redis::builder::RedisStoreBuilder;
use crate::store::redis::failure::{Late, NAME, of_engine, of_redis};
use crate::store::redis::listen;
use crate::store::signal::Signal;

/// How many signals a slow reader may lag behind.
const SIGNALS: usize = 4_096;

pub(super) struct Io {
    handle: Handle,
    /// Ends the thread when it is dropped.
    _stop: oneshot::Sender<()>,
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    commands: ConnectionManager,
    engine: OnceCell<bullmq::redis_connection::RedisConnection>,
    url: String,
    prefix: String,
    own: String,
    timeout: Duration,
    /// Something may be there to claim.
    pub(super) arrived: Notify,
    pub(super) signals: broadcast::Sender<Signal>,
}

impl Io {
    pub(super) async fn open(settings: &RedisStoreBuilder) -> Result<Self, StoreError> {
        let client = Client::open(settings.url.as_str()).map_err(|_| {
            // The URL is not repeated: it may hold a password.
            StoreError::invalid("url", "no such URL", "redis://[user:password@]host[:port][/db]")
        })?;
        let (told, started) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("tasks-redis".to_owned())
            .spawn(move || {
                let runtime = match Builder::new_current_thread().enable_all().build() {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(told.send(Err(error))),
                };
                drop(told.send(Ok(runtime.handle().clone())));
                // An error is the drop that ends it.
                drop(runtime.block_on(stopped));
            })
            .map_err(|error| StoreError::backend(NAME, true, error))?;
        let handle =
            started.await.map_err(|_| StoreError::Closed)?.map_err(|error| StoreError::backend(NAME, true, error))?;
        let timeout = settings.response_timeout;
        // Few and quick attempts: whoever calls tries again by itself, with delays of its own.
        let config = ConnectionManagerConfig::new()
            .set_min_delay(Duration::from_millis(20))
            .set_max_delay(Duration::from_millis(200))
            .set_number_of_retries(3)
            .set_connection_timeout(Some(timeout.min(Duration::from_secs(2))))
            .set_response_timeout(Some(timeout));
        let commands = {
            let client = client.clone();
            handle
                .spawn(async move { ConnectionManager::new_with_config(client, config).await })
                .await
                .map_err(|_| StoreError::Closed)?
                .map_err(of_redis)?
        };
        let shared = Arc::new(Shared {
            commands,
            engine: OnceCell::new(),
            url: settings.url.clone(),
            prefix: settings.prefix.clone(),
            own: format!("{}~tasks:", settings.prefix),
            timeout,
            arrived: Notify::new(),
            signals: broadcast::Sender::new(SIGNALS),
        });
        let (heard, listening) = oneshot::channel();
        drop(handle.spawn(listen::run(client, Arc::downgrade(&shared), shared.channel(), heard)));
        drop(listening.await);
        Ok(Self { handle, _stop: stop, shared })
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Runs a script; what was sent is done, whether or not anybody waits for the answer.
    pub(super) async fn run(&self, script: &Arc<Script>, args: Vec<Vec<u8>>) -> Result<Value, StoreError> {
        let (shared, script) = (Arc::clone(&self.shared), Arc::clone(script));
        self.hop(async move { shared.run(&script, &args).await }).await?.map_err(of_redis)
    }

    /// Starts what runs as long as the store lives.
    pub(super) fn background(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.handle.spawn(work));
    }

    /// Does a few commands at once.
    pub(super) async fn pipe(&self, pipe: redis::Pipeline) -> Result<Vec<Value>, StoreError> {
        let shared = Arc::clone(&self.shared);
        self.hop(async move {
            let mut commands = shared.commands.clone();
            pipe.query_async::<Vec<Value>>(&mut commands).await
        })
        .await?
        .map_err(of_redis)
    }

    /// Does something with one of the engine's queues.
    pub(super) async fn engine<F>(
        &self,
        queue: String,
        work: impl FnOnce(bullmq::Queue) -> F + Send + 'static,
    ) -> Result<(), StoreError>
    where
        F: Future<Output = Result<(), bullmq::Error>> + Send,
    {
        let shared = Arc::clone(&self.shared);
        let all = async move {
            let connection = shared.engine.get_or_try_init(|| shared.connect_engine()).await?;
            let options = bullmq::QueueOptions { prefix: shared.prefix.clone(), ..bullmq::QueueOptions::default() };
            work(bullmq::Queue::with_connection(&queue, connection.clone(), options).await?).await
        };
        let limit = self.shared.timeout;
        self.hop(tokio::time::timeout(limit, all)).await?.map_err(|_| Late)?.map_err(of_engine)
    }

    async fn hop<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Result<T, StoreError> {
        self.handle.spawn(work).await.map_err(|_| StoreError::Closed)
    }
}

impl Shared {
    /// Runs a script, bringing it to the server first if it is not there.
    pub(super) async fn run(&self, script: &Script, args: &[Vec<u8>]) -> Result<Value, RedisError> {
        let mut commands = self.commands.clone();
        let size = args.iter().map(|arg| arg.len() + 16).sum::<usize>() + self.own.len() + 128;
        let mut call = redis::Cmd::with_capacity(args.len() + 5, size);
        call.arg("EVALSHA").arg(script.get_hash()).arg(2).arg(&self.prefix).arg(&self.own);
        for arg in args {
            call.arg(&**arg);
        }
        match call.query_async(&mut commands).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                script.load_async(&mut commands).await?;
                call.query_async(&mut commands).await
            }
            answer => answer,
        }
    }

    pub(super) fn own(&self, what: &str) -> String {
        format!("{}{what}", self.own)
    }

    fn channel(&self) -> String {
        self.own("signals")
    }

    async fn connect_engine(&self) -> Result<bullmq::redis_connection::RedisConnection, bullmq::Error> {
        let options = bullmq::options::RedisConnectionOptions {
            url: self.url.clone(),
            ..bullmq::options::RedisConnectionOptions::default()
        };
        bullmq::redis_connection::RedisConnection::new_managed_only(&options).await
    }

    pub(super) fn tell(&self, signal: Signal) {
        // Nobody listens: that is fine.
        drop(self.signals.send(signal));
    }
}

/// A connection's error is worth a line, but not more than that: the caller hears of it too.
pub(super) fn note(error: &RedisError) {
    tracing::debug!(%error, "redis signals are interrupted");
}
