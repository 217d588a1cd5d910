//! Redis publish/subscribe as a backplane.
//!
//! Redis delivers at most once and forgets at once: whoever is not connected misses. So every new
//! connection begins with a gap, and a silent one is asked for a sign of life, since a connection that a
//! firewall forgot looks like one on which nothing happens.

use std::fmt;
use std::pin::pin;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use redis::Client;
use redis::aio::{ConnectionManager, PubSub, PubSubSink, PubSubStream};
use tokio::sync::mpsc;

use super::backplane::read;
use super::redis_tier::{bounded, client, manager};
use super::{Backplane, Delivery, GapReason, Notification, RemoteError, Subscription};
use crate::ConfigError;

/// How a [`RedisBackplane`] uses its server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisBackplaneConfig {
    /// The channel; default `bedplate:changes`. Caches of different content need different ones.
    pub channel: String,
    /// How long a command may take; default 500 ms, above zero.
    pub timeout: Duration,
    /// How long a connection may take to be made; default 1 s, above zero.
    pub connect_timeout: Duration,
    /// After how much silence a sign of life is asked for; default 5 s, above zero. A cut that nobody
    /// noticed is noticed after this and a timeout.
    pub ping_every: Duration,
    /// The first pause before connecting again; default 50 ms, doubling.
    pub first_pause: Duration,
    /// The longest pause; default 5 s.
    pub max_pause: Duration,
    /// Notifications that wait for a slow subscriber; default 1024, at least 1. More are a gap.
    pub capacity: usize,
}

impl Default for RedisBackplaneConfig {
    fn default() -> Self {
        Self {
            channel: "bedplate:changes".to_owned(),
            timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_secs(1),
            ping_every: Duration::from_secs(5),
            first_pause: Duration::from_millis(50),
            max_pause: Duration::from_secs(5),
            capacity: 1024,
        }
    }
}

/// Carries notifications over a channel of Redis.
#[derive(Clone)]
pub struct RedisBackplane {
    client: Client,
    publisher: ConnectionManager,
    config: RedisBackplaneConfig,
}

impl RedisBackplane {
    /// Makes a backplane at an address such as `redis://127.0.0.1:6379`. The server need not be up.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the address is none, or a setting cannot be. The address is not repeated, as
    /// it may hold a password.
    pub fn new(url: &str, config: RedisBackplaneConfig) -> Result<Self, ConfigError> {
        if config.ping_every.is_zero() {
            return Err(ConfigError::new("ping_every", "0 ns", "more than zero"));
        }
        let publisher = manager(url, config.timeout, config.connect_timeout)?;
        Ok(Self { client: client(url)?, publisher, config })
    }

    async fn connect(&self) -> Result<PubSub, RemoteError> {
        let limit = self.config.timeout.saturating_add(self.config.connect_timeout);
        let subscribed = async {
            let mut connection = self.client.get_async_pubsub().await?;
            connection.subscribe(&self.config.channel).await?;
            Ok(connection)
        };
        bounded(limit, subscribed).await
    }

    async fn reconnect(&self) -> PubSub {
        let mut pause = self.config.first_pause;
        loop {
            match self.connect().await {
                Ok(connection) => return connection,
                Err(error) => tracing::debug!(%error, "the backplane cannot be reached"),
            }
            // Half of the pause at least; the rest by chance, so that nodes do not come back in step.
            tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * fastrand::f64())).await;
            pause = pause.saturating_mul(2).min(self.config.max_pause);
        }
    }
}

impl fmt::Debug for RedisBackplane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisBackplane").field("config", &self.config).finish_non_exhaustive()
    }
}

#[async_trait]
impl Backplane for RedisBackplane {
    async fn publish(&self, notification: &Notification) -> Result<(), RemoteError> {
        let mut connection = self.publisher.clone();
        let mut publish = redis::cmd("PUBLISH");
        publish.arg(&self.config.channel).arg(&notification.to_bytes()[..]);
        let limit = self.config.timeout.saturating_add(self.config.connect_timeout);
        let _heard_by: i64 = bounded(limit, publish.query_async(&mut connection)).await?;
        Ok(())
    }

    async fn subscribe(&self) -> Result<Subscription, RemoteError> {
        let connection = self.connect().await?;
        let (sender, receiver) = mpsc::channel(self.config.capacity.max(1));
        let task = tokio::spawn(listen(self.clone(), connection, Outlet { sender, gap: None }));
        Ok(Subscription::from_channel(receiver, task))
    }
}

/// Listens until the subscription is dropped.
async fn listen(backplane: RedisBackplane, mut connection: PubSub, mut outlet: Outlet) {
    loop {
        let (sink, stream) = connection.split();
        if hear(&backplane.config, sink, stream, &mut outlet).await.is_err() {
            return;
        }
        connection = backplane.reconnect().await;
        if outlet.send(Delivery::Gap(GapReason::Reconnected)).is_err() {
            return;
        }
    }
}

/// Hears one connection to its end; an error if nobody listens any more.
async fn hear(
    config: &RedisBackplaneConfig,
    mut sink: PubSubSink,
    mut stream: PubSubStream,
    outlet: &mut Outlet,
) -> Result<(), Gone> {
    loop {
        match tokio::time::timeout(config.ping_every, stream.next()).await {
            Ok(Some(message)) => outlet.send(read(message.get_payload_bytes()))?,
            Ok(None) => return Ok(()),
            Err(_) => {
                outlet.retry()?;
                // Messages are taken while the answer is awaited: it may stand behind them.
                let pinged = pin!(tokio::time::timeout(config.timeout, sink.ping::<redis::Value>()));
                let mut pinged = pinged;
                loop {
                    match select(pinged.as_mut(), pin!(stream.next())).await {
                        Either::Left((Ok(Ok(_)), _)) => break,
                        Either::Left(_) | Either::Right((None, _)) => return Ok(()),
                        Either::Right((Some(message), _)) => outlet.send(read(message.get_payload_bytes()))?,
                    }
                }
            }
        }
    }
}

/// Hands deliveries over without ever waiting: what does not fit becomes a gap.
struct Outlet {
    sender: mpsc::Sender<Delivery>,
    gap: Option<GapReason>,
}

/// Nobody listens any more.
struct Gone;

impl Outlet {
    fn send(&mut self, delivery: Delivery) -> Result<(), Gone> {
        self.retry()?;
        let reason = if let Delivery::Gap(reason) = delivery { reason } else { GapReason::Overrun };
        match self.gap {
            // What comes before its gap was handed over is covered by it.
            Some(_) => Ok(()),
            None => self.offer(delivery, reason),
        }
    }

    fn retry(&mut self) -> Result<(), Gone> {
        match self.gap.take() {
            Some(reason) => self.offer(Delivery::Gap(reason), reason),
            None => Ok(()),
        }
    }

    fn offer(&mut self, delivery: Delivery, reason: GapReason) -> Result<(), Gone> {
        match self.sender.try_send(delivery) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.gap = Some(reason);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Gone),
        }
    }
}
