//! The connection that hears of what other processes did.

use std::sync::Weak;
use std::time::Duration;

use futures_util::StreamExt as _;
use redis::{Client, RedisError};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::id::TaskId;
use crate::store::redis::io::{Shared, note};
use crate::store::signal::Signal;

/// How long to wait until the next attempt to connect.
const AGAIN: Duration = Duration::from_millis(100);

/// The length of an id as text.
const ID: usize = 36;

/// Listens as long as the store lives.
pub(super) async fn run(client: Client, shared: Weak<Shared>, channel: String, heard: oneshot::Sender<()>) {
    let mut first = Some(heard);
    while shared.strong_count() > 0 {
        if let Err(error) = listen(&client, &shared, &channel, &mut first).await {
            note(&error);
        }
        // The first subscription failed: whoever connects need not wait for the next.
        drop(first.take());
        sleep(AGAIN).await;
    }
}

async fn listen(
    client: &Client,
    shared: &Weak<Shared>,
    channel: &str,
    first: &mut Option<oneshot::Sender<()>>,
) -> Result<(), RedisError> {
    let mut subscription = client.get_async_pubsub().await?;
    subscription.subscribe(channel).await?;
    match (first.take(), shared.upgrade()) {
        (Some(heard), _) => drop(heard.send(())),
        (None, Some(shared)) => {
            shared.arrived.notify_waiters();
            shared.tell(Signal::Reconnected);
        }
        (None, None) => {}
    }
    let mut messages = subscription.into_on_message();
    while let Some(message) = messages.next().await {
        let Some(shared) = shared.upgrade() else { return Ok(()) };
        take(&shared, message.get_payload_bytes());
    }
    Ok(())
}

fn take(shared: &Shared, message: &[u8]) {
    let Some((what, rest)) = message.split_first() else { return };
    let signal = match what {
        b'e' => Signal::Ended,
        b'p' => Signal::Progress,
        b'c' => Signal::Cancel,
        _ => return shared.arrived.notify_waiters(),
    };
    for id in rest.chunks(ID) {
        if let Some(id) = std::str::from_utf8(id).ok().and_then(|text| text.parse::<TaskId>().ok()) {
            shared.tell(signal(id));
        }
    }
}
